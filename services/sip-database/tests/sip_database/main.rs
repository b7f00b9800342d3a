//! The SIP database over a real mutual-TLS socket, on both database engines.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod authentication;
mod concurrency;
mod fixture;
mod outage;
mod provisioning;
mod resynchronisation;
mod rotation;
