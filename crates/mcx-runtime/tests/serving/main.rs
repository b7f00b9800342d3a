//! The server over real sockets, with real certificates.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod admin;
mod calls;
mod drain;
mod harness;
mod health;
mod reflection;
mod traces;
mod users;
