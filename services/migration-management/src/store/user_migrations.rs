//! User migrations in the database: read and written as whole rows, many at once, and claimed by whoever does their next step.

mod claims;
mod queries;
mod row;

pub(crate) use claims::{Due, StepKey, claim, claimed, due, release, retry_now};
pub(crate) use queries::{
    MigrationFilter, active_count, active_subjects, counts, expired, find, is_active_with, list, lock_by_ids,
    lock_selected, lock_told_otherwise, next_expiry, obstacles, peers_of_ids, peers_of_request,
    pending_count, taken_identities, told_range,
};

use mcx_store::{StoreError, Transaction};

use crate::domain::user_migration::UserMigration;
use row::Row;

/// How many rows are written per statement.
const WRITTEN_AT_ONCE: usize = 1_000;

/// What is written of a row, and how each engine reads it from JSON. Claims are not part of it.
macro_rules! upsert {
    ($($column:literal $type:literal),* $(,)?) => {
        const UPSERT_POSTGRES: &str = concat!(
            "INSERT INTO user_migration (", columns!("", $($column),*), ") SELECT ", columns!("", $($column),*),
            " FROM json_to_recordset($1::json) AS row(", columns!("", $($column, " ", $type);*), ") ",
            "ON CONFLICT (migration_id) DO UPDATE SET ", columns!("", $($column, " = excluded.", $column);*)
        );
        const UPSERT_SQLITE: &str = concat!(
            "INSERT INTO user_migration (", columns!("", $($column),*), ") SELECT ",
            columns!("", $("value->>'", $column, "'");*),
            " FROM json_each($1) WHERE true ",
            "ON CONFLICT (migration_id) DO UPDATE SET ", columns!("", $($column, " = excluded.", $column);*)
        );
    };
}

/// Joins with commas.
macro_rules! columns {
    ("", $first:literal $(, $rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
    ("", $($first:literal),+ $(; $($rest:literal),+)*) => { concat!($($first),+ $(, ", ", $($rest),+)*) };
}

upsert!(
    "migration_id" "TEXT",
    "request_id" "TEXT",
    "role" "TEXT",
    "peer_mc_system_id" "TEXT",
    "mc_id" "TEXT",
    "primary_issuer" "TEXT",
    "primary_subject" "TEXT",
    "primary_impi" "TEXT",
    "primary_impus" "TEXT",
    "primary_mc_service_ids" "TEXT",
    "visitor_impi" "TEXT",
    "visitor_impus" "TEXT",
    "visitor_mc_service_ids" "TEXT",
    "scopes" "TEXT",
    "granted_group_ids" "TEXT",
    "ue_configuration_digest" "TEXT",
    "valid_until" "BIGINT",
    "state" "TEXT",
    "next_step" "TEXT",
    "is_peer_told" "BOOLEAN",
    "reason" "TEXT",
    "cause" "TEXT",
    "failed_attempts" "BIGINT",
    "next_attempt_at" "BIGINT",
    "last_error" "TEXT",
    "created_at" "BIGINT",
    "updated_at" "BIGINT",
);

/// Writes rows, new ones and changed ones. Whoever changes one has read it under a lock in the same transaction.
pub(crate) async fn put(
    transaction: &mut Transaction,
    migrations: &[UserMigration],
) -> Result<(), StoreError> {
    let sql = transaction.engine().dialect(UPSERT_POSTGRES, UPSERT_SQLITE);
    for chunk in migrations.chunks(WRITTEN_AT_ONCE) {
        let rows: Vec<Row> = chunk.iter().map(Row::from).collect();
        let json = serde_json::to_string(&rows).map_err(|_| StoreError::Internal)?;
        transaction.statement(sql).bind(json).execute().await?;
    }
    Ok(())
}
