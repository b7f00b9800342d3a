//! Fixtures for tests: private database and cache servers that end with the test, however it ends.
//!
//! A missing server program fails the test with how to install it; nothing is ever skipped.

mod postgres;
mod redis;
mod sequence_audit;
mod watchdog;

pub use postgres::{PostgresOptions, PostgresServer};
pub use redis::RedisServer;
pub use sequence_audit::SequenceAudit;
