//! The signalling user agent: registration on the signalling plane (TS 23.280 10.1.6.2 steps 1, 10, 11; RFC 3261 10.2).

mod agent;
mod connection;
mod error;
mod reply;
mod settings;

pub use agent::{SequenceKeeper, SignallingUserAgent};
pub use error::SignallingError;
pub use reply::{RegisteredContact, SignallingRegistration};
pub use settings::{
    Direction, Observer, Randomness, SignallingEvent, SignallingSettings, SignallingTransport,
};
