//! Migration management over real mutual-TLS sockets, on both database engines.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod agreements;
mod bindings;
mod fixture;
mod partners;
mod permits;
mod release;
