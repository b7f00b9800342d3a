//! The MC service UE: what a fire officer's terminal does, as a library for the demo, the tests and the load generator.
//!
//! [`SignallingUserAgent`] is its signalling user agent (TS 23.280 7.4.3.1) with a software ISIM: it registers at a SIP core
//! over UDP, TCP or TLS, answers AKA challenges and heals a stale sequence number.

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
