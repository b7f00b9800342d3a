//! Fixtures for tests: private database and cache servers that end with the test, however it ends; certificates of whole MC systems; a
//! watch over sequence numbers.
//!
//! A missing server program fails the test with how to install it; nothing is ever skipped.

mod postgres;
mod redis;
mod sequence_audit;
mod trust_domain;
mod watchdog;

pub use postgres::{PostgresOptions, PostgresServer};
pub use redis::RedisServer;
pub use sequence_audit::SequenceAudit;
pub use trust_domain::{TrustDomain, any_port};
