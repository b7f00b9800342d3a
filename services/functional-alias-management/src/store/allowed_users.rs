//! Who may activate which functional alias, in the database.

use std::collections::BTreeSet;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{FunctionalAlias, McServiceId};

use super::parse;

const FIND: &str = "SELECT mc_service_id FROM allowed_user WHERE functional_alias = $1";

fn users(rows: Vec<(String,)>) -> Result<BTreeSet<McServiceId>, StoreError> {
    rows.iter().map(|(id,)| parse("mc_service_id", id)).collect()
}

/// Who may activate it.
pub(crate) async fn of(
    database: &Database,
    alias: &FunctionalAlias,
) -> Result<BTreeSet<McServiceId>, StoreError> {
    users(database.statement(FIND).bind(alias.as_str()).fetch_all().await?)
}

/// The same within a transaction.
pub(crate) async fn of_locked(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
) -> Result<BTreeSet<McServiceId>, StoreError> {
    users(transaction.statement(FIND).bind(alias.as_str()).fetch_all().await?)
}

/// Whether this user may.
pub(crate) async fn is_allowed(
    database: &Database,
    alias: &FunctionalAlias,
    user: &McServiceId,
) -> Result<bool, StoreError> {
    let found: Option<(String,)> = database
        .statement(
            "SELECT mc_service_id FROM allowed_user WHERE functional_alias = $1 AND mc_service_id = $2",
        )
        .bind(alias.as_str())
        .bind(user.as_str())
        .fetch_optional()
        .await?;
    Ok(found.is_some())
}

/// Lets these users activate it too.
pub(crate) async fn add(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    users: impl IntoIterator<Item = &McServiceId>,
) -> Result<(), StoreError> {
    let add = transaction.engine().dialect(
        "INSERT INTO allowed_user (functional_alias, mc_service_id) SELECT $1, unnest($2::text[])",
        "INSERT INTO allowed_user (functional_alias, mc_service_id) SELECT $1, value FROM json_each($2)",
    );
    transaction
        .statement(add)
        .bind(alias.as_str())
        .bind_text_array(users.into_iter().map(ToString::to_string))
        .execute()
        .await
        .map(drop)
}

/// Lets these users activate it no more.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    users: impl IntoIterator<Item = &McServiceId>,
) -> Result<(), StoreError> {
    let remove = transaction.engine().dialect(
        "DELETE FROM allowed_user WHERE functional_alias = $1 AND mc_service_id IN (SELECT unnest($2::text[]))",
        "DELETE FROM allowed_user WHERE functional_alias = $1 AND mc_service_id IN (SELECT value FROM json_each($2))",
    );
    transaction
        .statement(remove)
        .bind(alias.as_str())
        .bind_text_array(users.into_iter().map(ToString::to_string))
        .execute()
        .await
        .map(drop)
}
