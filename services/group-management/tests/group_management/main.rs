//! Group management over real sockets, on both database engines, alone and between two MC systems.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod fixture;
mod groups;
mod members;
mod peers;
mod sharing;
mod users;
mod visitors;
