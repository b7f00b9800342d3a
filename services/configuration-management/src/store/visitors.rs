//! Visitors and what their primary MC systems gave of them.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McService, McServiceId, McSystemId, Timestamp};
use uuid::Uuid;

use super::parse;
use crate::domain::user_profile::ServiceUser;

/// A user of a partner MC system who may come here, in one MC service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) migration_id: Uuid,
    /// Who she is here.
    pub(crate) user: ServiceUser,
    pub(crate) primary: McSystemId,
    pub(crate) primary_id: McServiceId,
    pub(crate) valid_until: Option<Timestamp>,
    /// The highest version that her primary gave; 0: nothing yet.
    pub(crate) share_version: i64,
    /// When her profiles are to be asked for again.
    pub(crate) refresh_at: Timestamp,
}

impl Visitor {
    /// Who she is in her primary MC system.
    pub(crate) fn primary_user(&self) -> ServiceUser {
        ServiceUser { mc_service: self.user.mc_service, id: self.primary_id.clone() }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    migration_id: String,
    mc_service: String,
    primary_mc_system_id: String,
    primary_mc_service_id: String,
    partner_mc_service_id: String,
    valid_until: Option<i64>,
    share_version: i64,
    refresh_at: i64,
}

impl TryFrom<Row> for Visitor {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            migration_id: parse("migration_id", &row.migration_id)?,
            user: ServiceUser {
                mc_service: parse("mc_service", &row.mc_service)?,
                id: parse("partner_mc_service_id", &row.partner_mc_service_id)?,
            },
            primary: parse("primary_mc_system_id", &row.primary_mc_system_id)?,
            primary_id: parse("primary_mc_service_id", &row.primary_mc_service_id)?,
            valid_until: row.valid_until.map(Timestamp::from_micros),
            share_version: row.share_version,
            refresh_at: Timestamp::from_micros(row.refresh_at),
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<Visitor>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

fn read_one(row: Option<Row>) -> Result<Option<Visitor>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

/// The visitor who is this user here, and still may be at `now`.
pub(crate) async fn find(
    database: &Database,
    user: &ServiceUser,
    now: Timestamp,
) -> Result<Option<Visitor>, StoreError> {
    let row = database
        .statement(
            "SELECT * FROM visitor WHERE mc_service = $1 AND partner_mc_service_id = $2 \
             AND COALESCE(valid_until, $3 + 1) > $3",
        )
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    read_one(row)
}

/// Whether this user is a visitor's, whatever she may now.
pub(crate) async fn is_of_visitor(
    transaction: &mut Transaction,
    user: &ServiceUser,
) -> Result<bool, StoreError> {
    let row: Option<(String,)> = transaction
        .statement("SELECT migration_id FROM visitor WHERE mc_service = $1 AND partner_mc_service_id = $2")
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}

/// The visitor whom a primary calls so, kept from others' changes until the transaction ends.
pub(crate) async fn lock_by_primary(
    transaction: &mut Transaction,
    mc_service: McService,
    primary: &McSystemId,
    primary_id: &McServiceId,
) -> Result<Option<Visitor>, StoreError> {
    // Writing the row is the lock that both engines have.
    let row = transaction
        .statement(
            "UPDATE visitor SET share_version = share_version \
             WHERE mc_service = $1 AND primary_mc_system_id = $2 AND primary_mc_service_id = $3 RETURNING *",
        )
        .bind(mc_service.as_str())
        .bind(primary.as_str())
        .bind(primary_id.as_str())
        .fetch_optional()
        .await?;
    read_one(row)
}

/// The visitor of a migration in each MC service.
pub(crate) async fn of_migration(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Vec<Visitor>, StoreError> {
    let statement = transaction.statement("SELECT * FROM visitor WHERE migration_id = $1");
    read(statement.bind(migration_id.to_string()).fetch_all().await?)
}

/// Up to `limit` visitors whose time is over at `now`.
pub(crate) async fn expired(
    transaction: &mut Transaction,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Visitor>, StoreError> {
    let statement =
        transaction.statement("SELECT * FROM visitor WHERE valid_until <= $1 ORDER BY valid_until LIMIT $2");
    read(statement.bind(now.as_micros()).bind(limit).fetch_all().await?)
}

pub(crate) async fn insert(transaction: &mut Transaction, visitor: &Visitor) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO visitor (migration_id, mc_service, primary_mc_system_id, primary_mc_service_id, \
             partner_mc_service_id, valid_until, share_version, refresh_at, is_policy_news) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE)",
        )
        .bind(visitor.migration_id.to_string())
        .bind(visitor.user.mc_service.as_str())
        .bind(visitor.primary.as_str())
        .bind(visitor.primary_id.as_str())
        .bind(visitor.user.id.as_str())
        .bind(visitor.valid_until.map(Timestamp::as_micros))
        .bind(visitor.share_version)
        .bind(visitor.refresh_at.as_micros())
        .execute()
        .await
        .map(drop)
}

pub(crate) async fn set_valid_until(
    transaction: &mut Transaction,
    migration_id: Uuid,
    valid_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE visitor SET valid_until = $2 WHERE migration_id = $1")
        .bind(migration_id.to_string())
        .bind(valid_until.map(Timestamp::as_micros))
        .execute()
        .await
        .map(drop)
}

/// Removes a visitor with her profiles.
pub(crate) async fn delete(transaction: &mut Transaction, visitor: &Visitor) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM visitor WHERE migration_id = $1 AND mc_service = $2")
        .bind(visitor.migration_id.to_string())
        .bind(visitor.user.mc_service.as_str())
        .execute()
        .await
        .map(drop)
}

/// Notes what the primary has given up to now, and when to ask it again.
pub(crate) async fn set_received(
    transaction: &mut Transaction,
    visitor: &Visitor,
    share_version: i64,
    refresh_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "UPDATE visitor SET share_version = $3, refresh_at = $4 WHERE migration_id = $1 AND mc_service = $2",
        )
        .bind(visitor.migration_id.to_string())
        .bind(visitor.user.mc_service.as_str())
        .bind(share_version)
        .bind(refresh_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// When to ask the primary again, since it did not answer.
pub(crate) async fn postpone_refresh(
    database: &Database,
    visitor: &Visitor,
    refresh_at: Timestamp,
) -> Result<(), StoreError> {
    database
        .statement(
            "UPDATE visitor SET refresh_at = $3 WHERE migration_id = $1 AND mc_service = $2 AND refresh_at = $4",
        )
        .bind(visitor.migration_id.to_string())
        .bind(visitor.user.mc_service.as_str())
        .bind(refresh_at.as_micros())
        .bind(visitor.refresh_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Notes that the visitors of a primary are to be told of another policy.
pub(crate) async fn note_policy_news(
    transaction: &mut Transaction,
    primary: &McSystemId,
) -> Result<u64, StoreError> {
    transaction
        .statement(
            "UPDATE visitor SET is_policy_news = TRUE WHERE primary_mc_system_id = $1 AND share_version > 0",
        )
        .bind(primary.as_str())
        .execute()
        .await
}

/// Takes up to `limit` visitors who are to be told of another policy: once the transaction commits they count as told.
pub(crate) async fn take_policy_news(
    transaction: &mut Transaction,
    limit: i64,
) -> Result<Vec<Visitor>, StoreError> {
    let rows = transaction
        .statement(
            "UPDATE visitor SET is_policy_news = FALSE WHERE is_policy_news AND (migration_id, mc_service) IN \
             (SELECT migration_id, mc_service FROM visitor WHERE is_policy_news ORDER BY migration_id, mc_service LIMIT $1) \
             RETURNING *",
        )
        .bind(limit)
        .fetch_all()
        .await?;
    read(rows)
}

const PROFILES: &str = "SELECT content, received_at FROM visitor_profile \
    WHERE migration_id = $1 AND mc_service = $2 ORDER BY profile_index";

/// A visitor's profile as her primary gave it: a `UserProfile` message.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Original {
    pub(crate) content: Vec<u8>,
    pub(crate) received_at: i64,
}

pub(crate) async fn profiles(database: &Database, visitor: &Visitor) -> Result<Vec<Original>, StoreError> {
    let statement = database.statement(PROFILES).bind(visitor.migration_id.to_string());
    statement.bind(visitor.user.mc_service.as_str()).fetch_all().await
}

pub(crate) async fn profiles_in(
    transaction: &mut Transaction,
    visitor: &Visitor,
) -> Result<Vec<Original>, StoreError> {
    let statement = transaction.statement(PROFILES).bind(visitor.migration_id.to_string());
    statement.bind(visitor.user.mc_service.as_str()).fetch_all().await
}

/// Makes the visitor's profiles exactly these.
pub(crate) async fn replace_profiles(
    transaction: &mut Transaction,
    visitor: &Visitor,
    originals: &[(i64, Vec<u8>)],
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM visitor_profile WHERE migration_id = $1 AND mc_service = $2")
        .bind(visitor.migration_id.to_string())
        .bind(visitor.user.mc_service.as_str())
        .execute()
        .await?;
    for (index, content) in originals {
        transaction
            .statement(
                "INSERT INTO visitor_profile (migration_id, mc_service, profile_index, content, received_at) \
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(visitor.migration_id.to_string())
            .bind(visitor.user.mc_service.as_str())
            .bind(*index)
            .bind(content)
            .bind(now.as_micros())
            .execute()
            .await?;
    }
    Ok(())
}
