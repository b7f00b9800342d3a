//! The MC service UE: what a fire officer's terminal does, as a library for the demo, the tests and the load generator.
//!
//! | module | what it does | source |
//! | --- | --- | --- |
//! | [`ue`] | [`McServiceUe`](ue::McServiceUe), the whole of it: bootstrap, service at home, migration, return | TS 23.280 10.1.1 |
//! | [`state`] | what comes next, and where a failure leaves the UE; pure | TS 23.280 10.1.1 |
//! | [`selection`] | which partner is chosen without asking the user; pure | TS 23.280 10.1.1.2 NOTE 1 |
//! | [`identity`] | the identity management client: log in, keep tokens fresh, go to a partner | TS 33.180 5.1, annex B |
//! | [`servers`] | the clients of the other application plane servers, and watches that go on | TS 23.280 10.1, 10.6, 10.8, 10.13 |
//! | [`documents`] | what these servers told, kept current | TS 23.280 10.1.1.1 |
//!
//! [`SignallingUserAgent`] is its signalling user agent (TS 23.280 7.4.3.1) with a software ISIM: it registers at a SIP core
//! over UDP, TCP or TLS, answers AKA challenges and heals a stale sequence number.

mod connecting;
pub mod documents;
pub mod identity;
pub mod selection;
pub mod servers;
mod signalling;
pub mod state;
pub mod ue;

pub use signalling::{
    Direction, Observer, Randomness, RegisteredContact, SequenceKeeper, SignallingError, SignallingEvent,
    SignallingRegistration, SignallingSettings, SignallingTransport, SignallingUserAgent,
};
