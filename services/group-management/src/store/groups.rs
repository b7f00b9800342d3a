//! Groups in the database: own ones, and those of primary MC systems that visitors are members of.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceGroupId, McSystemId, Timestamp};

use super::Page;
use super::columns::{json, parse, parse_json};
use crate::domain::group::Group;

/// A group, with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub(crate) group: Group,
    /// Its home.
    pub(crate) home: McSystemId,
    /// Whether that is this MC system.
    pub(crate) is_own: bool,
    /// Members of the own MC system; kept for own groups only.
    pub(crate) member_count: i64,
    /// Counts the changes of its configuration from 1; its text is the `etag` of the protocol.
    pub(crate) version: i64,
    /// Grows with every version, also where a group is removed and made anew; of another system's group the one that its home told.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    group_id: String,
    home_mc_system_id: String,
    is_own: bool,
    terms: String,
    member_count: i64,
    version: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for StoredGroup {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            group: Group { id: parse("group_id", &row.group_id)?, terms: parse_json("terms", &row.terms)? },
            home: parse("home_mc_system_id", &row.home_mc_system_id)?,
            is_own: row.is_own,
            member_count: row.member_count,
            version: row.version,
            revision: row.revision,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn read(row: Option<Row>) -> Result<Option<StoredGroup>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn find(
    database: &Database,
    id: &McServiceGroupId,
) -> Result<Option<StoredGroup>, StoreError> {
    read(
        database
            .statement("SELECT * FROM mc_group WHERE group_id = $1")
            .bind(id.as_str())
            .fetch_optional()
            .await?,
    )
}

/// The group, which nobody else changes until the end of the transaction, nor its members.
pub(crate) async fn find_locked(
    transaction: &mut Transaction,
    id: &McServiceGroupId,
) -> Result<Option<StoredGroup>, StoreError> {
    read(
        transaction
            .statement("UPDATE mc_group SET version = version WHERE group_id = $1 RETURNING *")
            .bind(id.as_str())
            .fetch_optional()
            .await?,
    )
}

/// Up to `limit` groups behind `after`, in the order of their identifiers.
pub(crate) async fn list(
    database: &Database,
    home: Option<&McSystemId>,
    after: &str,
    limit: u32,
) -> Result<Page<StoredGroup>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM mc_group WHERE group_id > $1 AND home_mc_system_id = COALESCE($2, home_mc_system_id) \
             ORDER BY group_id LIMIT $3",
        )
        .bind(after)
        .bind(home.map(McSystemId::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<StoredGroup>, _>>()?;
    Ok(Page::cut(items, limit, |group| group.group.id.to_string()))
}

/// Creates an own group.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    home: &McSystemId,
    group: &Group,
    now: Timestamp,
) -> Result<StoredGroup, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO mc_group (group_id, home_mc_system_id, is_own, terms, allow_visitors, member_count, version, revision, \
             created_at, updated_at) VALUES ($1, $2, TRUE, $3, $4, 0, 1, $5, $5, $5) RETURNING *",
        )
        .bind(group.id.as_str())
        .bind(home.as_str())
        .bind(json(&group.terms)?)
        .bind(group.terms.allow_visitors)
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Replaces the configuration of an own group that is locked.
pub(crate) async fn update(
    transaction: &mut Transaction,
    group: &Group,
    now: Timestamp,
) -> Result<StoredGroup, StoreError> {
    let row: Row = transaction
        .statement(
            "UPDATE mc_group SET terms = $2, allow_visitors = $3, version = version + 1, \
             revision = CASE WHEN revision < $4 THEN $4 ELSE revision + 1 END, updated_at = $4 WHERE group_id = $1 RETURNING *",
        )
        .bind(group.id.as_str())
        .bind(json(&group.terms)?)
        .bind(group.terms.allow_visitors)
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// What the home of a group says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) group: Group,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Makes a group of another MC system what its home says; `None` where more recent news of it are known.
pub(crate) async fn put_told(
    transaction: &mut Transaction,
    home: &McSystemId,
    told: &Told,
) -> Result<Option<StoredGroup>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "INSERT INTO mc_group (group_id, home_mc_system_id, is_own, terms, allow_visitors, member_count, version, revision, \
             created_at, updated_at) VALUES ($1, $2, FALSE, $3, FALSE, 0, $4, $5, $6, $7) \
             ON CONFLICT (group_id) DO UPDATE SET terms = excluded.terms, version = excluded.version, revision = excluded.revision, \
             created_at = excluded.created_at, updated_at = excluded.updated_at \
             WHERE NOT mc_group.is_own AND mc_group.revision <= excluded.revision RETURNING *",
        )
        .bind(told.group.id.as_str())
        .bind(home.as_str())
        .bind(json(&told.group.terms)?)
        .bind(told.version)
        .bind(told.revision)
        .bind(told.created_at.as_micros())
        .bind(told.updated_at.as_micros())
        .fetch_optional()
        .await?;
    read(row)
}

/// Adds to the number of own members.
pub(crate) async fn count_members(
    transaction: &mut Transaction,
    id: &McServiceGroupId,
    added: i64,
) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE mc_group SET member_count = member_count + $2 WHERE group_id = $1")
        .bind(id.as_str())
        .bind(added)
        .execute()
        .await
        .map(drop)
}

/// Removes a group that has no member any more.
pub(crate) async fn delete(transaction: &mut Transaction, id: &McServiceGroupId) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM mc_group WHERE group_id = $1")
        .bind(id.as_str())
        .execute()
        .await
        .map(drop)
}

/// Removes those of these groups that are of other MC systems and have no member any more.
pub(crate) async fn delete_deserted(
    transaction: &mut Transaction,
    ids: impl IntoIterator<Item = String>,
) -> Result<(), StoreError> {
    let delete = super::sql!(
        transaction.engine(),
        "DELETE FROM mc_group WHERE NOT is_own AND group_id IN " [1]
        " AND NOT EXISTS (SELECT 1 FROM member WHERE member.group_id = mc_group.group_id)"
    );
    transaction.statement(delete).bind_text_array(ids).execute().await.map(drop)
}
