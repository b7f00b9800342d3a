//! Fixtures for tests: private database and cache servers that end with the test, however it ends; certificates of whole MC systems and
//! access tokens of their users;
//! networks that go wrong; a watch over sequence numbers.
//!
//! A missing server program fails the test with how to install it; nothing is ever skipped.

mod engine;
mod fault_proxy;
mod postgres;
mod redis;
mod refusals;
mod sequence_audit;
mod test_tokens;
mod trust_domain;
mod watchdog;

pub use engine::Engine;
pub use fault_proxy::{Fault, FaultProxy};
pub use postgres::{PostgresOptions, PostgresServer};
pub use redis::RedisServer;
pub use refusals::{fields, reason, refusal};
pub use sequence_audit::SequenceAudit;
pub use test_tokens::{TestTokens, authorized, bearer};
pub use trust_domain::{TrustDomain, any_port};
