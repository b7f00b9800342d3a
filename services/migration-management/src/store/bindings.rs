//! Bindings in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Impi, Impu, McSystemId, Timestamp};
use uuid::Uuid;

use super::columns::{
    identities, list_json, micros, parse, signalling_access, signalling_access_name, use_state,
    use_state_name, validity,
};
use super::{Page, Stored};
use crate::domain::binding::{Binding, BindingTerms};

#[derive(sqlx::FromRow)]
struct Row {
    binding_id: String,
    partner_impi: String,
    partner_impus: String,
    primary_mc_system_id: String,
    primary_impi: String,
    primary_impus: String,
    signalling_access: String,
    state: String,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<Binding> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Binding {
                id: parse("binding_id", &row.binding_id)?,
                terms: BindingTerms {
                    partner_identities: identities(&row.partner_impi, &row.partner_impus)?,
                    primary_identities: identities(&row.primary_impi, &row.primary_impus)?,
                    primary_mc_system_id: parse("primary_mc_system_id", &row.primary_mc_system_id)?,
                    signalling_access: signalling_access(&row.signalling_access)?,
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

fn read(row: Option<Row>) -> Result<Option<Stored<Binding>>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn find(database: &Database, id: Uuid) -> Result<Option<Stored<Binding>>, StoreError> {
    let id = id.to_string();
    read(database.statement("SELECT * FROM binding WHERE binding_id = $1").bind(id).fetch_optional().await?)
}

/// The lookup of step 3 of TS 23.280 10.1.6.2.
pub(crate) async fn find_by_partner_impi(
    database: &Database,
    impi: &Impi,
) -> Result<Option<Stored<Binding>>, StoreError> {
    read(
        database
            .statement("SELECT * FROM binding WHERE partner_impi = $1")
            .bind(impi.as_str())
            .fetch_optional()
            .await?,
    )
}

/// Up to `limit` bindings behind `after`, in the order of their creation.
pub(crate) async fn list(
    database: &Database,
    primary: Option<&McSystemId>,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<Binding>>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM binding WHERE binding_id > $1 AND primary_mc_system_id = COALESCE($2, primary_mc_system_id) \
             ORDER BY binding_id LIMIT $3",
        )
        .bind(after)
        .bind(primary.map(McSystemId::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<Binding>>, _>>()?;
    Ok(Page::cut(items, limit, |binding| binding.value.id.to_string()))
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    id: Uuid,
    terms: &BindingTerms,
    now: Timestamp,
) -> Result<Stored<Binding>, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO binding (binding_id, partner_impi, partner_impus, primary_mc_system_id, primary_impi, primary_impus, \
             signalling_access, state, valid_from, valid_until, version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11) RETURNING *",
        )
        .bind(id.to_string())
        .bind(terms.partner_identities.impi.as_str())
        .bind(list_json(&terms.partner_identities.impus))
        .bind(terms.primary_mc_system_id.as_str())
        .bind(terms.primary_identities.impi.as_str())
        .bind(list_json(&terms.primary_identities.impus))
        .bind(signalling_access_name(terms.signalling_access))
        .bind(use_state_name(terms.state))
        .bind(micros(terms.validity.from))
        .bind(micros(terms.validity.until))
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    insert_partner_impus(transaction, id, &terms.partner_identities.impus).await?;
    row.try_into()
}

/// Replaces the binding if it still has `version`; `None` where it has not, or is gone.
pub(crate) async fn update(
    transaction: &mut Transaction,
    id: Uuid,
    terms: &BindingTerms,
    version: i64,
    now: Timestamp,
) -> Result<Option<Stored<Binding>>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "UPDATE binding SET partner_impi = $3, partner_impus = $4, primary_mc_system_id = $5, primary_impi = $6, \
             primary_impus = $7, signalling_access = $8, state = $9, valid_from = $10, valid_until = $11, \
             version = version + 1, updated_at = $12 \
             WHERE binding_id = $1 AND version = $2 RETURNING *",
        )
        .bind(id.to_string())
        .bind(version)
        .bind(terms.partner_identities.impi.as_str())
        .bind(list_json(&terms.partner_identities.impus))
        .bind(terms.primary_mc_system_id.as_str())
        .bind(terms.primary_identities.impi.as_str())
        .bind(list_json(&terms.primary_identities.impus))
        .bind(signalling_access_name(terms.signalling_access))
        .bind(use_state_name(terms.state))
        .bind(micros(terms.validity.from))
        .bind(micros(terms.validity.until))
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    let Some(row) = row else { return Ok(None) };
    transaction
        .statement("DELETE FROM binding_partner_impu WHERE binding_id = $1")
        .bind(id.to_string())
        .execute()
        .await?;
    insert_partner_impus(transaction, id, &terms.partner_identities.impus).await?;
    row.try_into().map(Some)
}

async fn insert_partner_impus(
    transaction: &mut Transaction,
    id: Uuid,
    impus: &[Impu],
) -> Result<(), StoreError> {
    for impu in impus {
        transaction
            .statement("INSERT INTO binding_partner_impu (partner_impu, binding_id) VALUES ($1, $2)")
            .bind(impu.as_str())
            .bind(id.to_string())
            .execute()
            .await?;
    }
    Ok(())
}

/// Removes the binding if it has `version` (`None`: whichever); says whether it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    id: Uuid,
    version: Option<i64>,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM binding WHERE binding_id = $1 AND version = COALESCE($2, version)")
        .bind(id.to_string())
        .bind(version)
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Whether the binding is there, whatever its version.
pub(crate) async fn exists(transaction: &mut Transaction, id: Uuid) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT version FROM binding WHERE binding_id = $1")
        .bind(id.to_string())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}
