//! The migration of users between two systems, each with its own database, over real mutual-TLS sockets. TS 23.280 10.17.5.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod admission;
mod bulk;
mod crash;
mod decisions;
mod entities;
mod exchange;
mod messages;
mod renewal;
mod request;
mod revocation;
mod saga;
mod systems;
