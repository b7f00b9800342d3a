//! Own users: the lock on their profiles, and to which partners they may migrate.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::McSystemId;
use uuid::Uuid;

use super::parse;
use crate::domain::user_profile::ServiceUser;

/// Counts one more change of the user's profiles, and keeps others from changing them until the transaction ends.
pub(crate) async fn lock(transaction: &mut Transaction, user: &ServiceUser) -> Result<i64, StoreError> {
    let (version,): (i64,) = transaction
        .statement(
            "INSERT INTO service_user (mc_service, mc_service_id, version) VALUES ($1, $2, 1) \
             ON CONFLICT (mc_service, mc_service_id) DO UPDATE SET version = service_user.version + 1 RETURNING version",
        )
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .fetch_one()
        .await?;
    Ok(version)
}

/// How often the user's profiles have changed.
pub(crate) async fn version(database: &Database, user: &ServiceUser) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = database
        .statement("SELECT version FROM service_user WHERE mc_service = $1 AND mc_service_id = $2")
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .fetch_optional()
        .await?;
    Ok(row.map_or(0, |(version,)| version))
}

/// To which partner an own user may migrate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) migration_id: Uuid,
    pub(crate) user: ServiceUser,
    pub(crate) partner: McSystemId,
    /// A `MigrationTarget` message.
    pub(crate) content: Vec<u8>,
}

#[derive(sqlx::FromRow)]
struct Row {
    migration_id: String,
    mc_service: String,
    mc_service_id: String,
    partner_mc_system_id: String,
    content: Vec<u8>,
}

impl TryFrom<Row> for Target {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            migration_id: parse("migration_id", &row.migration_id)?,
            user: ServiceUser {
                mc_service: parse("mc_service", &row.mc_service)?,
                id: parse("mc_service_id", &row.mc_service_id)?,
            },
            partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
            content: row.content,
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<Target>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

const TARGETS: &str = "SELECT migration_id, mc_service, mc_service_id, partner_mc_system_id, content \
    FROM migration_target WHERE mc_service = $1 AND mc_service_id = $2 ORDER BY partner_mc_system_id";

/// The targets of a user, in the order of the partners.
pub(crate) async fn targets(database: &Database, user: &ServiceUser) -> Result<Vec<Target>, StoreError> {
    let statement = database.statement(TARGETS).bind(user.mc_service.as_str()).bind(user.id.as_str());
    read(statement.fetch_all().await?)
}

pub(crate) async fn targets_in(
    transaction: &mut Transaction,
    user: &ServiceUser,
) -> Result<Vec<Target>, StoreError> {
    let statement = transaction.statement(TARGETS).bind(user.mc_service.as_str()).bind(user.id.as_str());
    read(statement.fetch_all().await?)
}

/// The targets of a migration, one per MC service.
pub(crate) async fn targets_of_migration(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Vec<Target>, StoreError> {
    let rows = transaction
        .statement(
            "SELECT migration_id, mc_service, mc_service_id, partner_mc_system_id, content \
             FROM migration_target WHERE migration_id = $1",
        )
        .bind(migration_id.to_string())
        .fetch_all()
        .await?;
    read(rows)
}

/// The target of a user at one partner.
pub(crate) async fn target(
    database: &Database,
    user: &ServiceUser,
    partner: &McSystemId,
) -> Result<Option<Target>, StoreError> {
    let row: Option<Row> = database
        .statement(
            "SELECT migration_id, mc_service, mc_service_id, partner_mc_system_id, content FROM migration_target \
             WHERE mc_service = $1 AND mc_service_id = $2 AND partner_mc_system_id = $3",
        )
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(partner.as_str())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Whether the user may migrate to the partner.
pub(crate) async fn may_migrate(
    database: &Database,
    user: &ServiceUser,
    partner: &McSystemId,
) -> Result<bool, StoreError> {
    let row: Option<(String,)> = database
        .statement(
            "SELECT migration_id FROM migration_target \
             WHERE mc_service = $1 AND mc_service_id = $2 AND partner_mc_system_id = $3",
        )
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(partner.as_str())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}

/// Writes a target of a migration, over the one that it has for the MC service.
pub(crate) async fn put_target(transaction: &mut Transaction, target: &Target) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO migration_target (migration_id, mc_service, mc_service_id, partner_mc_system_id, content) \
             VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (migration_id, mc_service) DO UPDATE SET content = excluded.content",
        )
        .bind(target.migration_id.to_string())
        .bind(target.user.mc_service.as_str())
        .bind(target.user.id.as_str())
        .bind(target.partner.as_str())
        .bind(&target.content)
        .execute()
        .await
        .map(drop)
}

pub(crate) async fn delete_target(transaction: &mut Transaction, target: &Target) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM migration_target WHERE migration_id = $1 AND mc_service = $2")
        .bind(target.migration_id.to_string())
        .bind(target.user.mc_service.as_str())
        .execute()
        .await
        .map(drop)
}
