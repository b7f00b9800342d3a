//! Authentication and key agreement (AKA) for the SIP core, the SIP database and the MC service UE.
//!
//! Everything here is pure: no input or output, no clock, no random source. A caller passes the RAND in and stores
//! the counters that come out, so every rule of TS 33.102 can be tested with tables and properties.
//!
//! | module | what | source |
//! | --- | --- | --- |
//! | [`Milenage`] | f1, f1\*, f2, f3, f4, f5, f5\* and OPc | TS 35.205, TS 35.206 |
//! | [`AuthenticationVector`] | RAND, AUTN, XRES, CK, IK | TS 33.102 clause 6.3.2 |
//! | [`Sqn`], [`Sequence`], [`IndexValue`] | the 48-bit sequence number | TS 33.102 Annex C.1.1, C.3 |
//! | [`network`] | what the home network decides on an AUTS | TS 33.102 clause 6.3.5, Annex C.3 |
//! | [`isim`] | what the ISIM decides on a challenge | TS 33.102 clause 6.3.3, Annex C.2 |
//! | [`digest`] | the HTTP digest that carries AKA over SIP | RFC 2617, RFC 3310, RFC 4169 |
//!
//! Secrets (K, OP, OPc, RES, XRES, CK, IK, AK) are wiped when dropped, compare in constant time and print as
//! `[redacted]`; the octets leave only through a method named `expose_octets`, so each such place can be found.

pub mod digest;
pub mod isim;
pub mod network;

mod milenage;
mod parameter;
mod response;
mod secret;
mod sequence_number;
mod vector;

pub use milenage::{Milenage, MilenageOutput};
pub use parameter::{Amf, Autn, Auts, OctetsError, Rand};
pub use response::{Res, Xres};
pub use secret::{
    AnonymityKey, CipherKey, IntegrityKey, MessageAuthenticationCode, Opc, OperatorKey, SubscriberKey,
};
pub use sequence_number::{
    IndexValue, InvalidSequenceNumber, MAXIMUM_SEQUENCE_JUMP, Sequence, SequenceExhausted, Sqn,
};
pub use vector::AuthenticationVector;
