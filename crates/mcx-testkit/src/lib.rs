//! Fixtures for tests: private database and cache servers that end with the test, however it ends; certificates of whole MC systems;
//! networks that go wrong; a watch over sequence numbers.
//!
//! A missing server program fails the test with how to install it; nothing is ever skipped.

mod fault_proxy;
mod postgres;
mod redis;
mod sequence_audit;
mod trust_domain;
mod watchdog;

pub use fault_proxy::{Fault, FaultProxy};
pub use postgres::{PostgresOptions, PostgresServer};
pub use redis::RedisServer;
pub use sequence_audit::SequenceAudit;
pub use trust_domain::{TrustDomain, any_port};
