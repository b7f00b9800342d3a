//! Permits in the database.

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
}

impl TryFrom<Row> for Stored<Permit> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Permit {
                id: parse("permit_id", &row.permit_id)?,
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

/// Whether the permit is there, whatever its version.
pub(crate) async fn exists(transaction: &mut Transaction, id: Uuid) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT version FROM permit WHERE permit_id = $1")
        .bind(id.to_string())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}
