//! What other MC systems have to be told, in the database.

use std::time::Duration;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::columns::{corrupt, parse};

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoticeKind {
    /// To the primary MC system: its user is not served here any more.
    Deauthorize,
    /// To the partner: end the service of our user.
    End,
    /// To the MC system that owns groups: a client is not affiliated any more.
    Deaffiliate,
}

impl NoticeKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deauthorize => "DEAUTHORIZE",
            Self::End => "END",
            Self::Deaffiliate => "DEAFFILIATE",
        }
    }

    fn from_name(name: &str) -> Result<Self, StoreError> {
        [Self::Deauthorize, Self::End, Self::Deaffiliate]
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| corrupt("kind"))
    }
}

/// A notice that waits to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) id: Uuid,
    /// To whom.
    pub(crate) to: McSystemId,
    pub(crate) kind: NoticeKind,
    /// The request, as the protocol encodes it.
    pub(crate) content: Vec<u8>,
    /// How often it was tried, this time included.
    pub(crate) attempts: i64,
    pub(crate) created_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    notice_id: String,
    mc_system_id: String,
    kind: String,
    content: Vec<u8>,
    attempts: i64,
    created_at: i64,
}

impl TryFrom<Row> for Notice {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: parse("notice_id", &row.notice_id)?,
            to: parse("mc_system_id", &row.mc_system_id)?,
            kind: NoticeKind::from_name(&row.kind)?,
            content: row.content,
            attempts: row.attempts,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

/// Leaves a notice to be told once the transaction is committed and it is due; returns its identifier.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    to: &McSystemId,
    kind: NoticeKind,
    content: Vec<u8>,
    now: Timestamp,
    due: Timestamp,
) -> Result<Uuid, StoreError> {
    let id = Uuid::now_v7();
    transaction
        .statement(
            "INSERT INTO notice (notice_id, mc_system_id, kind, content, attempts, next_attempt_at, created_at) \
             VALUES ($1, $2, $3, $4, 0, $5, $6)",
        )
        .bind(id.to_string())
        .bind(to.as_str())
        .bind(kind.as_str())
        .bind(content)
        .bind(due.as_micros())
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(id)
}

/// Takes back a notice of which nobody has been told; says whether that was possible still.
pub(crate) async fn withdraw(transaction: &mut Transaction, id: Uuid) -> Result<bool, StoreError> {
    let withdrawn = transaction
        .statement("DELETE FROM notice WHERE notice_id = $1 AND attempts = 0")
        .bind(id.to_string())
        .execute()
        .await?;
    Ok(withdrawn == 1)
}

/// Takes up to `limit` notices that are due, and keeps other replicas from them for as long as `hold`, so that one whose replica dies is
/// tried again.
pub(crate) async fn claim(
    database: &Database,
    now: Timestamp,
    hold: Duration,
    limit: u32,
) -> Result<Vec<Notice>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "UPDATE notice SET attempts = attempts + 1, next_attempt_at = $2 WHERE next_attempt_at <= $1 AND notice_id IN \
             (SELECT notice_id FROM notice WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3) RETURNING *",
        )
        .bind(now.as_micros())
        .bind(now.saturating_add(hold).as_micros())
        .bind(i64::from(limit))
        .fetch_all()
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Tries a notice again later.
pub(crate) async fn postpone(database: &Database, id: Uuid, until: Timestamp) -> Result<(), StoreError> {
    database
        .statement("UPDATE notice SET next_attempt_at = $2 WHERE notice_id = $1")
        .bind(id.to_string())
        .bind(until.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Forgets a notice: it has arrived, or is given up.
pub(crate) async fn remove(database: &Database, id: Uuid) -> Result<(), StoreError> {
    database
        .statement("DELETE FROM notice WHERE notice_id = $1")
        .bind(id.to_string())
        .execute()
        .await
        .map(drop)
}

/// How many notices were tried and have not arrived. Those that are only foreseen are none of them.
pub(crate) async fn count_tried(database: &Database) -> Result<i64, StoreError> {
    let tried = "SELECT COUNT(*) FROM notice WHERE attempts > 0";
    let (count,): (i64,) = database.statement(tried).fetch_one().await?;
    Ok(count)
}
