//! The SQL and shared cache engines every service stands on, and nothing a particular service knows.
//!
//! - [`Database`]: durable state, in Postgres or in SQLite, with each statement written once.
//! - [`Schema`]: the forward-only migrations of one service, one set per engine.
//! - [`GroupCommit`]: concurrent requests answered by one commit.
//! - [`idempotency`]: mutating requests that may be repeated.
//! - [`sealing`]: secrets at rest, under keys that lie in a file.
//! - [`changes`]: a change log, and the feed that tells its changes to connected clients.
//! - [`SharedCache`]: what replicas share and may lose, in Redis or in the process.
//!
//! The README of this crate says which SQL both engines understand.

mod cache;
pub mod changes;
mod config;
mod database;
mod error;
mod group_commit;
pub mod idempotency;
pub mod sealing;

pub use cache::{CacheError, Notification, SharedCache, Subscription};
pub use config::{CacheConfig, DatabaseConfig, OpenError};
pub use database::{Database, Engine, FromRow, Schema, SchemaState, Statement, Transaction, Value};
pub use error::StoreError;
pub use group_commit::{GroupCommit, GroupCommitConfig, GroupCommitError};
