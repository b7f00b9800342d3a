//! Admission policies in the database.

use std::time::Duration;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};

use super::columns::{corrupt, parse, parse_list};
use super::{Page, Stored};
use crate::domain::admission_policy::{AdmissionMode, AdmissionPolicy};

#[derive(sqlx::FromRow)]
struct Row {
    primary_mc_system_id: String,
    mode: String,
    mc_services: String,
    scopes: String,
    granted_group_ids: String,
    max_users: Option<i64>,
    validity_limit: Option<i64>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<AdmissionPolicy> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let micros = |micros: i64| u64::try_from(micros).map_err(|_| corrupt("validity_limit"));
        let max_users = row.max_users.map(|number| u32::try_from(number).map_err(|_| corrupt("max_users")));
        Ok(Self {
            value: AdmissionPolicy {
                primary: parse("primary_mc_system_id", &row.primary_mc_system_id)?,
                mode: AdmissionMode::from_name(&row.mode).ok_or_else(|| corrupt("mode"))?,
                mc_services: parse_list("mc_services", &row.mc_services)?.into_iter().collect(),
                scopes: parse_list("scopes", &row.scopes)?.into_iter().collect(),
                granted_group_ids: parse_list("granted_group_ids", &row.granted_group_ids)?,
                max_users: max_users.transpose()?,
                validity_limit: row.validity_limit.map(micros).transpose()?.map(Duration::from_micros),
            },
            version: row.version,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn read(row: Option<Row>) -> Result<Option<Stored<AdmissionPolicy>>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

fn list_json<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    serde_json::Value::from_iter(items.into_iter().map(|item| item.to_string())).to_string()
}

const FIND: &str = "SELECT * FROM admission_policy WHERE primary_mc_system_id = $1";

pub(crate) async fn find(
    database: &Database,
    primary: &McSystemId,
) -> Result<Option<Stored<AdmissionPolicy>>, StoreError> {
    read(database.statement(FIND).bind(primary.as_str()).fetch_optional().await?)
}

/// The policy that applies to a primary MC system: the default one where no operator said anything.
pub(crate) async fn applicable(
    transaction: &mut Transaction,
    primary: &McSystemId,
) -> Result<AdmissionPolicy, StoreError> {
    let found = read(transaction.statement(FIND).bind(primary.as_str()).fetch_optional().await?)?;
    Ok(found.map_or_else(|| AdmissionPolicy::default_for(primary.clone()), |stored| stored.value))
}

/// Up to `limit` policies behind `after`, in the order of the primaries' identifiers.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<AdmissionPolicy>>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM admission_policy WHERE primary_mc_system_id > $1 ORDER BY primary_mc_system_id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items =
        rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<AdmissionPolicy>>, _>>()?;
    Ok(Page::cut(items, limit, |policy| policy.value.primary.to_string()))
}

/// Writes the policy if it still has `version`, or is not there yet where that is `None`; `None` where it is otherwise.
pub(crate) async fn put(
    transaction: &mut Transaction,
    policy: &AdmissionPolicy,
    version: Option<i64>,
    now: Timestamp,
) -> Result<Option<Stored<AdmissionPolicy>>, StoreError> {
    let sql = match version {
        None => {
            "INSERT INTO admission_policy (primary_mc_system_id, mode, mc_services, scopes, granted_group_ids, max_users, \
             validity_limit, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8) \
             ON CONFLICT (primary_mc_system_id) DO NOTHING RETURNING *"
        }
        Some(_) => {
            "UPDATE admission_policy SET mode = $2, mc_services = $3, scopes = $4, granted_group_ids = $5, max_users = $6, \
             validity_limit = $7, updated_at = $8, version = version + 1 \
             WHERE primary_mc_system_id = $1 AND version = $9 RETURNING *"
        }
    };
    let limit = policy.validity_limit.map(|limit| i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
    let statement = transaction
        .statement(sql)
        .bind(policy.primary.as_str())
        .bind(policy.mode.as_str())
        .bind(list_json(&policy.mc_services))
        .bind(list_json(&policy.scopes))
        .bind(list_json(&policy.granted_group_ids))
        .bind(policy.max_users.map(i64::from))
        .bind(limit)
        .bind(now.as_micros());
    let statement = match version {
        None => statement,
        Some(version) => statement.bind(version),
    };
    read(statement.fetch_optional().await?)
}
