//! Activated functional aliases in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{FunctionalAlias, Timestamp};

use super::columns::{parse, user};
use crate::domain::user::{Activation, User};

#[derive(sqlx::FromRow)]
struct Row {
    functional_alias: String,
    mc_service: String,
    mc_service_id: String,
    activated_at: i64,
}

impl TryFrom<Row> for Activation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            alias: parse("functional_alias", &row.functional_alias)?,
            user: user(&row.mc_service, &row.mc_service_id)?,
            activated_at: Timestamp::from_micros(row.activated_at),
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<Activation>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A user who is not authorized any more has no functional alias, though her row may wait to be cleared away.
const OF_ALIAS: &str = "SELECT * FROM alias_activation AS activation WHERE functional_alias = $1 \
     AND EXISTS (SELECT 1 FROM service_authorization AS present WHERE present.mc_service = activation.mc_service \
                 AND present.mc_service_id = activation.mc_service_id AND present.expires_at > $2) \
     ORDER BY activated_at, mc_service, mc_service_id";

/// Who has a functional alias at `now`, who has had it longest first.
pub(crate) async fn of_alias(
    database: &Database,
    alias: &FunctionalAlias,
    now: Timestamp,
) -> Result<Vec<Activation>, StoreError> {
    read(database.statement(OF_ALIAS).bind(alias.as_str()).bind(now.as_micros()).fetch_all().await?)
}

/// [`of_alias`] within a transaction.
pub(crate) async fn of_alias_in(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    now: Timestamp,
) -> Result<Vec<Activation>, StoreError> {
    read(transaction.statement(OF_ALIAS).bind(alias.as_str()).bind(now.as_micros()).fetch_all().await?)
}

/// The functional aliases that a user has.
pub(crate) async fn of_user(database: &Database, user: &User) -> Result<Vec<Activation>, StoreError> {
    let statement = database.statement(
        "SELECT * FROM alias_activation WHERE mc_service = $1 AND mc_service_id = $2 ORDER BY functional_alias",
    );
    read(statement.bind(user.mc_service.as_str()).bind(user.id.as_str()).fetch_all().await?)
}

pub(crate) async fn insert(transaction: &mut Transaction, activation: &Activation) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO alias_activation (functional_alias, mc_service, mc_service_id, activated_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(activation.alias.as_str())
        .bind(activation.user.mc_service.as_str())
        .bind(activation.user.id.as_str())
        .bind(activation.activated_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Takes a functional alias from a user; says whether she had it.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    user: &User,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement(
            "DELETE FROM alias_activation WHERE functional_alias = $1 AND mc_service = $2 AND mc_service_id = $3",
        )
        .bind(alias.as_str())
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Takes a functional alias from a user if she has had it since that moment; says whether she had.
pub(crate) async fn remove_since(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    user: &User,
    activated_at: Timestamp,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement(
            "DELETE FROM alias_activation WHERE functional_alias = $1 AND mc_service = $2 AND mc_service_id = $3 \
             AND activated_at = $4",
        )
        .bind(alias.as_str())
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(activated_at.as_micros())
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Takes all functional aliases from a user.
pub(crate) async fn remove_all(transaction: &mut Transaction, user: &User) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM alias_activation WHERE mc_service = $1 AND mc_service_id = $2")
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .execute()
        .await
        .map(drop)
}
