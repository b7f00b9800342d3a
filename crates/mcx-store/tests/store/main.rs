//! What both SQL engines and both cache engines promise, checked on each of them by the same tests.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

mod cache;
mod changes;
mod durability;
mod fixture;
mod group_commit;
mod idempotency;
mod migrations;
mod outage;
mod sql;
