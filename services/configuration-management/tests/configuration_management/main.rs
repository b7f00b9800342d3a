//! Configuration management over real sockets, on both database engines; and two of them that share user profiles.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod bootstrap;
mod documents;
mod effective;
mod fixture;
mod migration;
mod samples;
mod sharing;
mod user_profiles;
mod users;
mod watching;
