//! The trust in partners in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};

use super::columns::{from_json, parse, scopes, time, to_json};
use super::{Page, Stored};
use crate::domain::partner::PartnerTrust;

#[derive(sqlx::FromRow)]
struct Row {
    mc_system_id: String,
    issuer: String,
    keys: String,
    allowed_scopes: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<PartnerTrust> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: PartnerTrust {
                mc_system_id: parse("mc_system_id", &row.mc_system_id)?,
                issuer: row.issuer,
                keys: from_json("keys", &row.keys)?,
                allowed_scopes: scopes(&row.allowed_scopes),
            },
            version: row.version,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        })
    }
}

fn read(row: Option<Row>) -> Result<Option<Stored<PartnerTrust>>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

const FIND: &str = "SELECT * FROM partner_trust WHERE mc_system_id = $1";

pub(crate) async fn find(
    database: &Database,
    id: &McSystemId,
) -> Result<Option<Stored<PartnerTrust>>, StoreError> {
    read(database.statement(FIND).bind(id.as_str()).fetch_optional().await?)
}

pub(crate) async fn find_in(
    transaction: &mut Transaction,
    id: &McSystemId,
) -> Result<Option<Stored<PartnerTrust>>, StoreError> {
    read(transaction.statement(FIND).bind(id.as_str()).fetch_optional().await?)
}

pub(crate) async fn find_by_issuer(
    database: &Database,
    issuer: &str,
) -> Result<Option<Stored<PartnerTrust>>, StoreError> {
    read(
        database
            .statement("SELECT * FROM partner_trust WHERE issuer = $1")
            .bind(issuer)
            .fetch_optional()
            .await?,
    )
}

/// Up to `limit` entries behind `after`, in the order of the MC system IDs.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<PartnerTrust>>, StoreError> {
    let rows: Vec<Row> = database
        .statement("SELECT * FROM partner_trust WHERE mc_system_id > $1 ORDER BY mc_system_id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<PartnerTrust>>, _>>()?;
    Ok(Page::cut(items, limit, |trust| trust.value.mc_system_id.to_string()))
}

/// Puts the trust in place, or replaces it if it has `version` (`None`: whichever); `None` where it has not, or is gone.
pub(crate) async fn put(
    transaction: &mut Transaction,
    trust: &PartnerTrust,
    version: Option<i64>,
    now: Timestamp,
) -> Result<Option<Stored<PartnerTrust>>, StoreError> {
    const UPDATE: &str = "UPDATE partner_trust SET issuer = $2, keys = $3, allowed_scopes = $4, version = version + 1, \
         updated_at = $5 WHERE mc_system_id = $1 AND version = $6 RETURNING *";
    const UPSERT: &str = "INSERT INTO partner_trust (mc_system_id, issuer, keys, allowed_scopes, version, created_at, \
         updated_at) VALUES ($1, $2, $3, $4, 1, $5, $5) ON CONFLICT (mc_system_id) DO UPDATE SET issuer = excluded.issuer, \
         keys = excluded.keys, allowed_scopes = excluded.allowed_scopes, version = partner_trust.version + 1, \
         updated_at = excluded.updated_at RETURNING *";
    let statement = transaction
        .statement(if version.is_some() { UPDATE } else { UPSERT })
        .bind(trust.mc_system_id.as_str())
        .bind(trust.issuer.as_str())
        .bind(to_json(&trust.keys)?)
        .bind(trust.allowed_scopes.to_string())
        .bind(now.as_micros());
    let statement = match version {
        Some(version) => statement.bind(version),
        None => statement,
    };
    read(statement.fetch_optional().await?)
}

/// Removes the trust if it has `version` (`None`: whichever); says whether it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    id: &McSystemId,
    version: Option<i64>,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM partner_trust WHERE mc_system_id = $1 AND version = COALESCE($2, version)")
        .bind(id.as_str())
        .bind(version)
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Whether visitors are mapped by this trust.
pub(crate) async fn is_in_use(transaction: &mut Transaction, id: &McSystemId) -> Result<bool, StoreError> {
    let row: Option<(String,)> = transaction
        .statement("SELECT migration_id FROM visitor WHERE primary_mc_system_id = $1 LIMIT 1")
        .bind(id.as_str())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}
