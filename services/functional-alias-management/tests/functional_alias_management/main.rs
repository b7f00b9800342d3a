//! Functional alias management over real sockets, on both database engines.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod aliases;
mod fixture;
mod users;
