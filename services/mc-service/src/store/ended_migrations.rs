//! Migrations that were ended for good.

use mcx_store::{StoreError, Transaction};
use mcx_types::Timestamp;
use uuid::Uuid;

pub(crate) async fn insert(
    transaction: &mut Transaction,
    migration_id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO ended_migration (migration_id, ended_at) VALUES ($1, $2) ON CONFLICT (migration_id) DO NOTHING",
        )
        .bind(migration_id.to_string())
        .bind(now.as_micros())
        .execute()
        .await
        .map(drop)
}

pub(crate) async fn contains(transaction: &mut Transaction, migration_id: Uuid) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT ended_at FROM ended_migration WHERE migration_id = $1")
        .bind(migration_id.to_string())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}
