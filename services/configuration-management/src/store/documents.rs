//! Documents of every kind, with their versions.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::Timestamp;

use super::Page;

/// What kind of document it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    InitialUeConfiguration,
    UeConfiguration,
    UserProfile,
    ServiceConfiguration,
    VisitorPolicy,
}

impl Kind {
    /// As it is stored, and as changes name it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InitialUeConfiguration => "initial-ue-configuration",
            Self::UeConfiguration => "ue-configuration",
            Self::UserProfile => "user-profile",
            Self::ServiceConfiguration => "service-configuration",
            Self::VisitorPolicy => "visitor-policy",
        }
    }
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    key: String,
    version: i64,
    content: Vec<u8>,
    updated_at: i64,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: String,
    /// Counts its changes from 1; its text is the `etag` of the protocol.
    pub(crate) version: i64,
    pub(crate) content: Vec<u8>,
    pub(crate) updated_at: Timestamp,
}

impl From<Row> for Stored {
    fn from(row: Row) -> Self {
        let Row { key, version, content, updated_at } = row;
        Self { key, version, content, updated_at: Timestamp::from_micros(updated_at) }
    }
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) version: i64,
    /// None: it was removed.
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) changed_by: String,
    pub(crate) created_at: Timestamp,
}

/// Who changes a document, and when.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

const FIND: &str = "SELECT key, version, content, updated_at FROM document WHERE kind = $1 AND key = $2";

pub(crate) async fn find(database: &Database, kind: Kind, key: &str) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> = database.statement(FIND).bind(kind.as_str()).bind(key).fetch_optional().await?;
    Ok(row.map(Into::into))
}

pub(crate) async fn find_in(
    transaction: &mut Transaction,
    kind: Kind,
    key: &str,
) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> = transaction.statement(FIND).bind(kind.as_str()).bind(key).fetch_optional().await?;
    Ok(row.map(Into::into))
}

/// `key` is behind `$2` and begins with a prefix: it is before `$3`, the prefix with a character behind every other.
const LIST: &str = "SELECT key, version, content, updated_at FROM document \
    WHERE kind = $1 AND key > $2 AND key < $3 ORDER BY key LIMIT $4";

/// The end of keys that begin with a prefix: keys are printable ASCII.
fn end(prefix: &str) -> String {
    format!("{prefix}~~")
}

/// Up to `limit` documents behind `after` whose key begins with `prefix`, in the order of the keys.
pub(crate) async fn list(
    database: &Database,
    kind: Kind,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<Page<Stored>, StoreError> {
    let rows: Vec<Row> = database
        .statement(LIST)
        .bind(kind.as_str())
        .bind(after.max(prefix))
        .bind(end(prefix))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items: Vec<Stored> = rows.into_iter().map(Into::into).collect();
    Ok(Page::cut(items, limit, |stored| stored.key.clone()))
}

/// All documents whose key begins with `prefix`, where there are few: those of one user.
pub(crate) async fn all_in(
    transaction: &mut Transaction,
    kind: Kind,
    prefix: &str,
) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = transaction
        .statement(LIST)
        .bind(kind.as_str())
        .bind(prefix)
        .bind(end(prefix))
        .bind(i64::MAX)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// All documents whose key begins with `prefix`, outside of a transaction.
pub(crate) async fn all(database: &Database, kind: Kind, prefix: &str) -> Result<Vec<Stored>, StoreError> {
    let rows: Vec<Row> = database
        .statement(LIST)
        .bind(kind.as_str())
        .bind(prefix)
        .bind(end(prefix))
        .bind(i64::MAX)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Creates a document; its version goes on where one that was removed ended.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    kind: Kind,
    key: &str,
    content: Vec<u8>,
    change: &Change,
) -> Result<Stored, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO document (kind, key, version, content, created_at, updated_at) \
             SELECT $1, $2, 1 + COALESCE(MAX(version), 0), $3, $4, $4 FROM document_version WHERE kind = $1 AND key = $2 \
             RETURNING key, version, content, updated_at",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(&content)
        .bind(change.at.as_micros())
        .fetch_one()
        .await?;
    let stored = Stored::from(row);
    remember(transaction, kind, key, stored.version, Some(&content), change).await?;
    Ok(stored)
}

/// Replaces a document that has `version`; `None` where it has not, or is not there.
pub(crate) async fn replace(
    transaction: &mut Transaction,
    kind: Kind,
    key: &str,
    content: Vec<u8>,
    version: i64,
    change: &Change,
) -> Result<Option<Stored>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "UPDATE document SET content = $4, version = version + 1, updated_at = $5 \
             WHERE kind = $1 AND key = $2 AND version = $3 RETURNING key, version, content, updated_at",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(version)
        .bind(&content)
        .bind(change.at.as_micros())
        .fetch_optional()
        .await?;
    let Some(stored) = row.map(Stored::from) else { return Ok(None) };
    remember(transaction, kind, key, stored.version, Some(&content), change).await?;
    Ok(Some(stored))
}

/// Removes a document if it has `version` (`None`: whichever), and tells the version of its removal.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    kind: Kind,
    key: &str,
    version: Option<i64>,
    change: &Change,
) -> Result<Option<i64>, StoreError> {
    let removed: Option<(i64,)> = transaction
        .statement(
            "DELETE FROM document WHERE kind = $1 AND key = $2 AND version = COALESCE($3, version) RETURNING version",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(version)
        .fetch_optional()
        .await?;
    let Some((version,)) = removed else { return Ok(None) };
    remember(transaction, kind, key, version + 1, None, change).await?;
    Ok(Some(version + 1))
}

async fn remember(
    transaction: &mut Transaction,
    kind: Kind,
    key: &str,
    version: i64,
    content: Option<&Vec<u8>>,
    change: &Change,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO document_version (kind, key, version, content, changed_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(version)
        .bind(content.cloned())
        .bind(change.by.as_str())
        .bind(change.at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Up to `limit` versions before `before` (0: from the newest), the newest first.
pub(crate) async fn versions(
    database: &Database,
    kind: Kind,
    key: &str,
    before: i64,
    limit: u32,
) -> Result<Page<Version>, StoreError> {
    let rows: Vec<(i64, Option<Vec<u8>>, String, i64)> = database
        .statement(
            "SELECT version, content, changed_by, created_at FROM document_version \
             WHERE kind = $1 AND key = $2 AND version < $3 ORDER BY version DESC LIMIT $4",
        )
        .bind(kind.as_str())
        .bind(key)
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let versions = rows.into_iter().map(|(version, content, changed_by, created_at)| Version {
        version,
        content,
        changed_by,
        created_at: Timestamp::from_micros(created_at),
    });
    Ok(Page::cut(versions.collect(), limit, |version| version.version.to_string()))
}
