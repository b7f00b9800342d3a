//! The SIP core of an MC system: a registrar (RFC 3261 10.3) that authenticates with AKA (RFC 3310, TS 33.203).
pub mod app;
pub mod domain;
pub mod sip;
pub mod store;
