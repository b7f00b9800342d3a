//! Mutating requests that may be repeated: the second one with the same id gets the first answer.
//!
//! Every schema that uses this has the table
//!
//! ```sql
//! CREATE TABLE request (
//!     id         TEXT PRIMARY KEY,
//!     method     TEXT NOT NULL,
//!     content    BYTEA NOT NULL,   -- SHA-256; BLOB on SQLite
//!     response   BYTEA,            -- NULL only within the transaction that carries the request out
//!     created_at BIGINT NOT NULL   -- microseconds since the epoch
//! );
//! CREATE INDEX request_created_at ON request (created_at);
//! ```
//!
//! The pattern of a use case: begin a transaction, [`MutatingRequest::claim`], do the work where the claim is
//! [`Claim::Granted`], [`MutatingRequest::answer`], commit. Whatever fails before the commit takes the claim back with
//! it, so that a repetition is carried out.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Database, StoreError, Transaction};

/// A mutating request with an id that its caller chose.
///
/// Of the content only the SHA-256 is kept, so that a request may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutatingRequest {
    id: Uuid,
    method: &'static str,
    content: [u8; 32],
}

/// What came of claiming a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has carried it out before: carry it out and answer it in this transaction.
    Granted,
    /// It was carried out before; this was the answer.
    Answered(Vec<u8>),
    /// The id was used for a request with another method or content.
    Reused,
}

impl MutatingRequest {
    /// The request with this id. `method` is the path of the rpc, `content` the encoded request.
    pub fn new(id: Uuid, method: &'static str, content: &[u8]) -> Self {
        Self { id, method, content: Sha256::digest(content).into() }
    }

    /// The id that the caller chose.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Claims the request for this transaction, or finds the answer that it got before.
    ///
    /// Of concurrent requests with the same id one is granted; the others wait for the end of its transaction.
    ///
    /// # Errors
    /// [`StoreError`], as of any statement.
    pub async fn claim(&self, transaction: &mut Transaction, now_micros: i64) -> Result<Claim, StoreError> {
        const CLAIM: &str = "INSERT INTO request (id, method, content, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO NOTHING";
        const FIND: &str = "SELECT method, content, response FROM request WHERE id = $1";
        let claimed = transaction
            .statement(CLAIM)
            .bind(self.id.to_string())
            .bind(self.method)
            .bind(self.content.to_vec())
            .bind(now_micros)
            .execute()
            .await?;
        if claimed == 1 {
            return Ok(Claim::Granted);
        }
        let found: Option<(String, Vec<u8>, Option<Vec<u8>>)> =
            transaction.statement(FIND).bind(self.id.to_string()).fetch_optional().await?;
        Ok(match found {
            Some((method, content, Some(response)))
                if method == self.method && content == self.content.as_slice() =>
            {
                Claim::Answered(response)
            }
            Some(_) => Claim::Reused,
            // It was removed as too old between the two statements.
            None => return Err(StoreError::Conflict),
        })
    }

    /// Keeps the answer for repetitions of a request that was granted in this transaction.
    ///
    /// # Errors
    /// [`StoreError`], as of any statement.
    pub async fn answer(&self, transaction: &mut Transaction, response: &[u8]) -> Result<(), StoreError> {
        const ANSWER: &str = "UPDATE request SET response = $2 WHERE id = $1";
        transaction.statement(ANSWER).bind(self.id.to_string()).bind(response.to_vec()).execute().await?;
        Ok(())
    }
}

/// Forgets the requests made before `before_micros`, and tells how many there were. A repetition of such a request is
/// carried out anew, so keep them for longer than any caller repeats.
///
/// # Errors
/// [`StoreError`], as of any statement.
pub async fn forget_requests_before(database: &Database, before_micros: i64) -> Result<u64, StoreError> {
    database.statement("DELETE FROM request WHERE created_at < $1").bind(before_micros).execute().await
}
