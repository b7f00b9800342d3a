//! Bindings in the database.

use std::collections::HashSet;

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
    migration_id: Option<String>,
}

impl TryFrom<Row> for Stored<Binding> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Binding {
                id: parse("binding_id", &row.binding_id)?,
                kept_by: row.migration_id.map(|id| parse("migration_id", &id)).transpose()?,
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

/// Creates the bindings that user migrations keep, all of them or none.
pub(crate) async fn insert_kept(
    transaction: &mut Transaction,
    bindings: &[(Uuid, BindingTerms)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows: Vec<serde_json::Value> = bindings
        .iter()
        .map(|(migration, terms)| {
            serde_json::json!({
                "binding_id": Uuid::now_v7().to_string(),
                "migration_id": migration.to_string(),
                "partner_impi": terms.partner_identities.impi,
                "partner_impus": list_json(&terms.partner_identities.impus),
                "primary_mc_system_id": terms.primary_mc_system_id,
                "primary_impi": terms.primary_identities.impi,
                "primary_impus": list_json(&terms.primary_identities.impus),
                "signalling_access": signalling_access_name(terms.signalling_access),
                "state": use_state_name(terms.state),
                "valid_from": micros(terms.validity.from),
                "valid_until": micros(terms.validity.until),
                "now": now.as_micros(),
            })
        })
        .collect();
    let sql = transaction.engine().dialect(
        "INSERT INTO binding (binding_id, migration_id, partner_impi, partner_impus, primary_mc_system_id, primary_impi, \
         primary_impus, signalling_access, state, valid_from, valid_until, version, created_at, updated_at) \
         SELECT binding_id, migration_id, partner_impi, partner_impus, primary_mc_system_id, primary_impi, primary_impus, \
         signalling_access, state, valid_from, valid_until, 1, now, now FROM json_to_recordset($1::json) AS row(\
         binding_id TEXT, migration_id TEXT, partner_impi TEXT, partner_impus TEXT, primary_mc_system_id TEXT, \
         primary_impi TEXT, primary_impus TEXT, signalling_access TEXT, state TEXT, valid_from BIGINT, \
         valid_until BIGINT, now BIGINT)",
        "INSERT INTO binding (binding_id, migration_id, partner_impi, partner_impus, primary_mc_system_id, primary_impi, \
         primary_impus, signalling_access, state, valid_from, valid_until, version, created_at, updated_at) \
         SELECT value->>'binding_id', value->>'migration_id', value->>'partner_impi', value->>'partner_impus', \
         value->>'primary_mc_system_id', value->>'primary_impi', value->>'primary_impus', value->>'signalling_access', \
         value->>'state', value->>'valid_from', value->>'valid_until', 1, value->>'now', value->>'now' FROM json_each($1)",
    );
    transaction.statement(sql).bind(serde_json::Value::from(rows).to_string()).execute().await?;
    let impus = bindings.iter().flat_map(|(migration, terms)| {
        let impus = terms.partner_identities.impus.iter();
        impus.map(|impu| serde_json::json!({ "impu": impu, "migration_id": migration.to_string() }))
    });
    let impus = serde_json::Value::from(impus.collect::<Vec<_>>()).to_string();
    let sql = transaction.engine().dialect(
        "INSERT INTO binding_partner_impu (partner_impu, binding_id) SELECT row.impu, binding.binding_id \
         FROM json_to_recordset($1::json) AS row(impu TEXT, migration_id TEXT) \
         JOIN binding ON binding.migration_id = row.migration_id",
        "INSERT INTO binding_partner_impu (partner_impu, binding_id) SELECT value->>'impu', binding.binding_id \
         FROM json_each($1) JOIN binding ON binding.migration_id = value->>'migration_id'",
    );
    transaction.statement(sql).bind(impus).execute().await.map(drop)
}

/// Which of these users of a primary MC system have a binding that an operator made.
pub(crate) async fn made_by_hand(
    transaction: &mut Transaction,
    primary: &McSystemId,
    impis: impl IntoIterator<Item = String>,
) -> Result<HashSet<String>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT primary_impi FROM binding WHERE primary_mc_system_id = $1 AND migration_id IS NULL \
         AND primary_impi = ANY($2::text[])",
        "SELECT primary_impi FROM binding WHERE primary_mc_system_id = $1 AND migration_id IS NULL \
         AND primary_impi IN (SELECT value FROM json_each($2))",
    );
    let rows: Vec<(String,)> =
        transaction.statement(sql).bind(primary.as_str()).bind_text_array(impis).fetch_all().await?;
    Ok(rows.into_iter().map(|(impi,)| impi).collect())
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

/// Who keeps the binding: `None`: it is not there; `Some(None)`: operators do.
pub(crate) async fn kept_by(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<Option<Option<Uuid>>, StoreError> {
    let row: Option<(Option<String>,)> = transaction
        .statement("SELECT migration_id FROM binding WHERE binding_id = $1")
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
        "DELETE FROM binding WHERE migration_id = ANY($1::text[])",
        "DELETE FROM binding WHERE migration_id IN (SELECT value FROM json_each($1))",
    );
    transaction.statement(sql).bind_text_array(migrations.iter().map(Uuid::to_string)).execute().await
}
