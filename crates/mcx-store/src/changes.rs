//! The change log of a service, and the feed that tells its changes to connected clients.
//!
//! A change is written in the transaction that makes it, so that neither exists without the other. One task per replica
//! reads each new change once and hands it, shared, to every stream subscribed to its topic. Streams resume after a
//! reconnect, at any replica, from the token of the last event they told: no change is lost or told twice, and the
//! changes of a topic, and so of a document, come in the order of their commits.
//!
//! ```text
//! // At start. The channel name is the same in every replica of the service.
//! let feed = ChangeFeed::start(database.clone(), cache.clone(), "changes", ChangeFeedConfig::default());
//!
//! // A use case. Append last: concurrent writers wait for each other from here to the commit.
//! let change = NewChange { topic: format!("group/{id}"), document: id.to_string(), version, payload };
//! let last = changes::append(&mut transaction, &[change], clock.now().as_micros()).await?;
//! transaction.commit().await?;
//! feed.announce(last);
//!
//! // A `Watch…` rpc: subscribe first, then read the documents, then tell what comes.
//! let after = request.resume_token.map(|token| token.parse()).transpose()?;
//! let mut events = feed.subscribe([format!("group/{id}"), format!("user/{user}")], after).await?;
//! while let Some(event) = events.next().await {
//!     match event? {
//!         ChangeEvent::Change(change) => tell(&change.document, change.version, &change.payload, change.token),
//!         ChangeEvent::Position(token) => tell_token(token), // nothing to do but to remember it
//!     }
//! }
//!
//! // Upkeep, now and then; and feed.close() when the service drains.
//! changes::compact(&database, clock.now().as_micros() - RETENTION_MICROS).await?;
//! ```
//!
//! A topic is what clients subscribe to: `group/<id>`, `user/<mc service id>`, `service-configuration`. A change has one,
//! so a change of a group is one row however many members it has. What concerns two audiences is two changes: that a
//! user joined a group is a change of `group/<id>`, and one of `user/<mc service id>` at which her stream is given the
//! group's topic by [`ChangeStreamHandle::set_topics`]. Keep payloads to what a client needs to know; up to
//! 64 of them are read at a time.
//!
//! # Schema
//!
//! Every schema that uses this has, on Postgres,
//!
//! ```sql
//! CREATE TABLE change_log (
//!     sequence    BIGINT PRIMARY KEY,
//!     topic       TEXT NOT NULL,
//!     document    TEXT NOT NULL,
//!     version     BIGINT NOT NULL,
//!     payload     BYTEA NOT NULL,  -- BLOB on SQLite
//!     recorded_at BIGINT NOT NULL  -- microseconds since the epoch
//! );
//! CREATE INDEX change_log_topic_sequence ON change_log (topic, sequence);
//! CREATE TABLE change_counter (
//!     id                BIGINT PRIMARY KEY CONSTRAINT change_counter_single CHECK (id = 1),
//!     log_id            BIGINT NOT NULL,  -- random: tokens of one log are refused by every other
//!     last_sequence     BIGINT NOT NULL,
//!     compacted_through BIGINT NOT NULL
//! );
//! INSERT INTO change_counter VALUES (1, hashtextextended(gen_random_uuid()::text, 0), 0, 0); -- random() on SQLite
//! ```
//!
//! Whoever restores a database from a backup gives `change_counter.log_id` a new random value: sequences after the
//! backup will be used again, and only the id tells their tokens apart.

mod dispatcher;
mod feed;
mod log;
mod stream;
mod token;
mod window;

use std::sync::Arc;

use bytes::Bytes;

pub use feed::{ChangeFeed, ChangeFeedConfig};
pub use log::{append, compact};
pub use stream::{ChangeStream, ChangeStreamHandle};
pub use token::{MalformedResumeToken, ResumeToken, Sequence};

/// A change to be written to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChange {
    /// What clients subscribe to in order to hear of it, such as `group/<id>`.
    pub topic: String,
    /// Which document changed; unique within the service, not only within the topic.
    pub document: String,
    /// The version of the document after the change.
    pub version: i64,
    /// What the service wants told, in its own encoding. It is stored as it is, so no secrets.
    pub payload: Bytes,
}

/// A committed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Resumes after this change.
    pub token: ResumeToken,
    /// The topic it was written to.
    pub topic: Arc<str>,
    /// Which document changed.
    pub document: String,
    /// The version of the document after the change.
    pub version: i64,
    /// What the service wrote. Shared by everybody who is told.
    pub payload: Bytes,
    /// When it was made, in microseconds since the epoch, by the clock of the replica that made it.
    pub recorded_at_micros: i64,
}

/// What a [`ChangeStream`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeEvent {
    /// A change of one of the topics.
    Change(Arc<Change>),
    /// Everything up to here has been told. First event of a stream that subscribes from now on; told also when a
    /// resumed stream has caught up, when changed topics are in effect, and at intervals while other topics change, so
    /// that the token of a quiet stream is not compacted.
    Position(ResumeToken),
}

impl ChangeEvent {
    /// Resumes after this event.
    pub fn token(&self) -> ResumeToken {
        match self {
            Self::Change(change) => change.token,
            Self::Position(token) => *token,
        }
    }
}

/// Why changes cannot be told. After `Compacted`, `Foreign` and `Future` the client subscribes from now on and reads its
/// documents anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// What came after the token is no longer in the log.
    #[error("changes up to {oldest} have been compacted")]
    Compacted {
        /// The oldest token that can be resumed from.
        oldest: ResumeToken,
    },
    /// The token is not one.
    #[error(transparent)]
    Malformed(#[from] MalformedResumeToken),
    /// The token is of another log: of another system or service, or from before a restored database.
    #[error("the resume token is of another change log")]
    Foreign,
    /// The token is beyond the end of the log, as after a restored database.
    #[error("the resume token is beyond the last change {last}")]
    Future {
        /// The token of the last change there is.
        last: ResumeToken,
    },
    /// The database cannot be reached, or the feed has been closed.
    #[error("the change log is unavailable")]
    Unavailable,
}
