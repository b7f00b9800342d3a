//! Own users who may migrate, in the database.

use std::collections::{BTreeSet, HashMap};

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceId, Timestamp};

use super::columns::json;
use super::sql;
use crate::domain::migration::SharedUser;

/// All that is said of a user, in one text that is the same for the same content.
pub(crate) fn content(user: &SharedUser) -> Result<String, StoreError> {
    json(&(&user.partner, &user.identities, user.valid_until.map(Timestamp::as_micros)))
}

/// The contents of those of these users who are there.
pub(crate) async fn contents(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<HashMap<String, String>, StoreError> {
    let find =
        sql!(transaction.engine(), "SELECT migration_id, content FROM shared_user WHERE migration_id IN "[1]);
    let rows: Vec<(String, String)> =
        transaction.statement(find).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    Ok(rows.into_iter().collect())
}

/// Writes a user, whether she is there or not.
pub(crate) async fn put(
    transaction: &mut Transaction,
    user: &SharedUser,
    content: &str,
) -> Result<(), StoreError> {
    let migration_id = user.migration_id.to_string();
    transaction
        .statement(
            "INSERT INTO shared_user (migration_id, content, valid_until) VALUES ($1, $2, $3) \
             ON CONFLICT (migration_id) DO UPDATE SET content = excluded.content, valid_until = excluded.valid_until",
        )
        .bind(migration_id.as_str())
        .bind(content)
        .bind(user.valid_until.map(Timestamp::as_micros))
        .execute()
        .await?;
    transaction
        .statement("DELETE FROM shared_user_identity WHERE migration_id = $1")
        .bind(migration_id.as_str())
        .execute()
        .await?;
    // The MC services may have the same one.
    let ids: BTreeSet<&McServiceId> = user.identities.values().collect();
    for id in ids {
        transaction
            .statement(
                "INSERT INTO shared_user_identity (migration_id, partner_mc_system_id, mc_service_id) VALUES ($1, $2, $3)",
            )
            .bind(migration_id.as_str())
            .bind(user.partner.as_str())
            .bind(id.as_str())
            .execute()
            .await?;
    }
    Ok(())
}

/// Forgets users.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<(), StoreError> {
    let delete = sql!(transaction.engine(), "DELETE FROM shared_user WHERE migration_id IN "[1]);
    transaction.statement(delete).bind_text_array(migration_ids.iter().cloned()).execute().await.map(drop)
}

/// Some users whose migration is over.
pub(crate) async fn expired(database: &Database, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> = database
        .statement("SELECT migration_id FROM shared_user WHERE valid_until <= $1 LIMIT 500")
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
