//! The MC service servers of two MC systems over real sockets, on both database engines.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod affiliation;
mod aliases;
mod caller;
mod coming_home;
mod communication;
mod exceptions;
mod fixture;
mod home;
mod lying_primary;
mod migration;
mod operators;
mod sources;
