//! Permits in the database.

use std::collections::HashSet;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Impi, McSystemId, Timestamp};
use uuid::Uuid;

use super::columns::{identities, list_json, micros, parse, use_state, use_state_name, validity};
use super::{Page, Stored};
use crate::domain::permit::{Permit, PermitTerms};

#[derive(sqlx::FromRow)]
struct Row {
    permit_id: String,
    primary_impi: String,
    partner_mc_system_id: String,
    partner_impi: String,
    partner_impus: String,
    state: String,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
    version: i64,
    created_at: i64,
    updated_at: i64,
    migration_id: Option<String>,
}

impl TryFrom<Row> for Stored<Permit> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Permit {
                id: parse("permit_id", &row.permit_id)?,
                kept_by: row.migration_id.map(|id| parse("migration_id", &id)).transpose()?,
                terms: PermitTerms {
                    primary_impi: parse("primary_impi", &row.primary_impi)?,
                    partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
                    partner_identities: identities(&row.partner_impi, &row.partner_impus)?,
                    state: use_state(&row.state)?,
                    validity: validity(row.valid_from, row.valid_until),
                },
            },
            version: row.version,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn read(row: Option<Row>) -> Result<Option<Stored<Permit>>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn find(database: &Database, id: Uuid) -> Result<Option<Stored<Permit>>, StoreError> {
    let id = id.to_string();
    read(database.statement("SELECT * FROM permit WHERE permit_id = $1").bind(id).fetch_optional().await?)
}

/// The permit of one user for one partner.
pub(crate) async fn find_for(
    database: &Database,
    primary_impi: &Impi,
    partner: &McSystemId,
) -> Result<Option<Stored<Permit>>, StoreError> {
    read(
        database
            .statement("SELECT * FROM permit WHERE primary_impi = $1 AND partner_mc_system_id = $2")
            .bind(primary_impi.as_str())
            .bind(partner.as_str())
            .fetch_optional()
            .await?,
    )
}

/// Which permits a listing shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct PermitFilter {
    /// Only those for this partner.
    pub(crate) partner: Option<McSystemId>,
    /// Only those of this user.
    pub(crate) primary_impi: Option<Impi>,
}

/// Up to `limit` permits behind `after`, in the order of their creation.
pub(crate) async fn list(
    database: &Database,
    filter: &PermitFilter,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<Permit>>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM permit WHERE permit_id > $1 AND partner_mc_system_id = COALESCE($2, partner_mc_system_id) \
             AND primary_impi = COALESCE($3, primary_impi) ORDER BY permit_id LIMIT $4",
        )
        .bind(after)
        .bind(filter.partner.as_ref().map(McSystemId::as_str))
        .bind(filter.primary_impi.as_ref().map(Impi::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<Permit>>, _>>()?;
    Ok(Page::cut(items, limit, |permit| permit.value.id.to_string()))
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    id: Uuid,
    terms: &PermitTerms,
    now: Timestamp,
) -> Result<Stored<Permit>, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO permit (permit_id, primary_impi, partner_mc_system_id, partner_impi, partner_impus, state, \
             valid_from, valid_until, version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9) RETURNING *",
        )
        .bind(id.to_string())
        .bind(terms.primary_impi.as_str())
        .bind(terms.partner.as_str())
        .bind(terms.partner_identities.impi.as_str())
        .bind(list_json(&terms.partner_identities.impus))
        .bind(use_state_name(terms.state))
        .bind(micros(terms.validity.from))
        .bind(micros(terms.validity.until))
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Creates the permits that user migrations keep, all of them or none.
pub(crate) async fn insert_kept(
    transaction: &mut Transaction,
    permits: &[(Uuid, PermitTerms)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<serde_json::Value> = permits
        .iter()
        .map(|(migration, terms)| {
            serde_json::json!({
                "permit_id": Uuid::now_v7().to_string(),
                "migration_id": migration.to_string(),
                "primary_impi": terms.primary_impi,
                "partner_mc_system_id": terms.partner,
                "partner_impi": terms.partner_identities.impi,
                "partner_impus": list_json(&terms.partner_identities.impus),
                "state": use_state_name(terms.state),
                "valid_from": micros(terms.validity.from),
                "valid_until": micros(terms.validity.until),
                "now": now.as_micros(),
            })
        })
        .collect();
    let sql = transaction.engine().dialect(
        "INSERT INTO permit (permit_id, migration_id, primary_impi, partner_mc_system_id, partner_impi, partner_impus, \
         state, valid_from, valid_until, version, created_at, updated_at) \
         SELECT permit_id, migration_id, primary_impi, partner_mc_system_id, partner_impi, partner_impus, state, \
         valid_from, valid_until, 1, now, now FROM json_to_recordset($1::json) AS row(\
         permit_id TEXT, migration_id TEXT, primary_impi TEXT, partner_mc_system_id TEXT, partner_impi TEXT, \
         partner_impus TEXT, state TEXT, valid_from BIGINT, valid_until BIGINT, now BIGINT)",
        "INSERT INTO permit (permit_id, migration_id, primary_impi, partner_mc_system_id, partner_impi, partner_impus, \
         state, valid_from, valid_until, version, created_at, updated_at) \
         SELECT value->>'permit_id', value->>'migration_id', value->>'primary_impi', value->>'partner_mc_system_id', \
         value->>'partner_impi', value->>'partner_impus', value->>'state', value->>'valid_from', value->>'valid_until', \
         1, value->>'now', value->>'now' FROM json_each($1)",
    );
    transaction.statement(sql).bind(serde_json::Value::from(rows).to_string()).execute().await.map(drop)
}

/// Which of these users and which of these identities allotted to them have a permit for the partner that an operator made.
pub(crate) async fn made_by_hand(
    transaction: &mut Transaction,
    partner: &McSystemId,
    primary_impis: impl IntoIterator<Item = String>,
    partner_impis: impl IntoIterator<Item = String>,
) -> Result<HashSet<String>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT primary_impi, partner_impi FROM permit WHERE partner_mc_system_id = $1 AND migration_id IS NULL \
         AND (primary_impi = ANY($2::text[]) OR partner_impi = ANY($3::text[]))",
        "SELECT primary_impi, partner_impi FROM permit WHERE partner_mc_system_id = $1 AND migration_id IS NULL \
         AND (primary_impi IN (SELECT value FROM json_each($2)) OR partner_impi IN (SELECT value FROM json_each($3)))",
    );
    let rows: Vec<(String, String)> = transaction
        .statement(sql)
        .bind(partner.as_str())
        .bind_text_array(primary_impis)
        .bind_text_array(partner_impis)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().flat_map(|(primary, partner)| [primary, partner]).collect())
}

/// Replaces the permit if it still has `version`; `None` where it has not, or is gone.
pub(crate) async fn update(
    transaction: &mut Transaction,
    id: Uuid,
    terms: &PermitTerms,
    version: i64,
    now: Timestamp,
) -> Result<Option<Stored<Permit>>, StoreError> {
    read(
        transaction
            .statement(
                "UPDATE permit SET primary_impi = $3, partner_mc_system_id = $4, partner_impi = $5, partner_impus = $6, \
                 state = $7, valid_from = $8, valid_until = $9, version = version + 1, updated_at = $10 \
                 WHERE permit_id = $1 AND version = $2 RETURNING *",
            )
            .bind(id.to_string())
            .bind(version)
            .bind(terms.primary_impi.as_str())
            .bind(terms.partner.as_str())
            .bind(terms.partner_identities.impi.as_str())
            .bind(list_json(&terms.partner_identities.impus))
            .bind(use_state_name(terms.state))
            .bind(micros(terms.validity.from))
            .bind(micros(terms.validity.until))
            .bind(now.as_micros())
            .fetch_optional()
            .await?,
    )
}

/// Removes the permit if it has `version` (`None`: whichever); says whether it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    id: Uuid,
    version: Option<i64>,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM permit WHERE permit_id = $1 AND version = COALESCE($2, version)")
        .bind(id.to_string())
        .bind(version)
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Who keeps the permit: `None`: it is not there; `Some(None)`: operators do.
pub(crate) async fn kept_by(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<Option<Option<Uuid>>, StoreError> {
    let row: Option<(Option<String>,)> = transaction
        .statement("SELECT migration_id FROM permit WHERE permit_id = $1")
        .bind(id.to_string())
        .fetch_optional()
        .await?;
    row.map(|(id,)| id.map(|id| parse("migration_id", &id)).transpose()).transpose()
}

/// Removes what user migrations keep.
pub(crate) async fn delete_kept_by(
    transaction: &mut Transaction,
    migrations: &[Uuid],
) -> Result<u64, StoreError> {
    let sql = transaction.engine().dialect(
        "DELETE FROM permit WHERE migration_id = ANY($1::text[])",
        "DELETE FROM permit WHERE migration_id IN (SELECT value FROM json_each($1))",
    );
    transaction.statement(sql).bind_text_array(migrations.iter().map(Uuid::to_string)).execute().await
}
