//! SIP messages (RFC 3261) on the wire, as the registrar and the user agent of Crossband need them.
//!
//! The grammar (line folding, header names and their compact forms, `Via`, SIP URIs, status phrases) is that of
//! the kept crate `ezk-sip-types`; this crate adds what it leaves open and a public port needs: limits, a reply
//! where one can be made, the digest fields of IMS AKA, and framing. No sockets, no clocks.
//! `docs/adr/0002-sip-stack.md` says why the stack is cut here.

mod address;
mod digest;
mod framing;
mod message;
mod parse;

pub use address::{AddressError, NameAddress, SipAddress};
pub use digest::{DigestChallenge, DigestCredentials, DigestError};
pub use framing::{Frame, FrameError, StreamFraming};
pub use message::{MandatoryHeaders, Message, Request, RequestBuilder, Response, ResponseBuilder};
pub use parse::{MessageLimits, ParseError, ParseErrorKind};

/// Branch prefix of a transaction identifier made by an RFC 3261 element (8.1.1.7).
pub const BRANCH_PREFIX: &str = "z9hG4bK";

/// RFC 3261 17.1.1.1: estimate of the round-trip time.
pub const TIMER_T1: std::time::Duration = std::time::Duration::from_millis(500);

/// RFC 3261 17.1.2.2: longest interval between two retransmissions of a request other than INVITE.
pub const TIMER_T2: std::time::Duration = std::time::Duration::from_secs(4);
