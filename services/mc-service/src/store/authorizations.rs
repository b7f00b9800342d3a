//! Authorizations of clients in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, ProfileIndex, Timestamp};
use uuid::Uuid;

use super::Selection;
use super::columns::{client, corrupt, parse, profile_index, rule};
use crate::domain::rule_name;
use crate::domain::user::{Authorization, Client, User, Visitor};

#[derive(sqlx::FromRow)]
struct Row {
    mc_service: String,
    mc_service_id: String,
    client_instance: String,
    authorization_id: String,
    profile_index: i64,
    rule: String,
    primary_mc_system_id: Option<String>,
    primary_mc_service_id: Option<String>,
    migration_id: Option<String>,
    authorized_at: i64,
    refreshed_at: i64,
    expires_at: i64,
}

impl TryFrom<Row> for Authorization {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let visitor = match (row.primary_mc_system_id, row.primary_mc_service_id, row.migration_id) {
            (Some(primary), Some(primary_id), Some(migration_id)) => Some(Visitor {
                primary: parse("primary_mc_system_id", &primary)?,
                primary_id: parse("primary_mc_service_id", &primary_id)?,
                migration_id: parse("migration_id", &migration_id)?,
            }),
            (None, None, None) => None,
            _ => return Err(corrupt("primary_mc_system_id")),
        };
        Ok(Self {
            client: client(&row.mc_service, &row.mc_service_id, &row.client_instance)?,
            id: parse("authorization_id", &row.authorization_id)?,
            profile_index: profile_index(row.profile_index)?,
            rule: rule(&row.rule)?,
            visitor,
            authorized_at: Timestamp::from_micros(row.authorized_at),
            refreshed_at: Timestamp::from_micros(row.refreshed_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<Authorization>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The authorizations of a user that have not ended at `now`, by client instance.
pub(crate) async fn of_user(
    database: &Database,
    user: &User,
    now: Timestamp,
) -> Result<Vec<Authorization>, StoreError> {
    let statement = database.statement(OF_USER);
    read(
        statement
            .bind(user.mc_service.as_str())
            .bind(user.id.as_str())
            .bind(now.as_micros())
            .fetch_all()
            .await?,
    )
}

/// [`of_user`] within a transaction.
pub(crate) async fn of_user_in(
    transaction: &mut Transaction,
    user: &User,
    now: Timestamp,
) -> Result<Vec<Authorization>, StoreError> {
    let statement = transaction.statement(OF_USER);
    read(
        statement
            .bind(user.mc_service.as_str())
            .bind(user.id.as_str())
            .bind(now.as_micros())
            .fetch_all()
            .await?,
    )
}

const OF_USER: &str = "SELECT * FROM service_authorization WHERE mc_service = $1 AND mc_service_id = $2 AND expires_at > $3 \
     ORDER BY client_instance";

/// Writes the authorization of a client that has none.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    authorization: &Authorization,
) -> Result<(), StoreError> {
    let visitor = authorization.visitor.as_ref();
    transaction
        .statement(
            "INSERT INTO service_authorization (mc_service, mc_service_id, client_instance, authorization_id, profile_index, rule, \
             primary_mc_system_id, primary_mc_service_id, migration_id, authorized_at, refreshed_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(authorization.client.user.mc_service.as_str())
        .bind(authorization.client.user.id.as_str())
        .bind(authorization.client.instance.to_string())
        .bind(authorization.id.to_string())
        .bind(i64::from(authorization.profile_index.0))
        .bind(rule_name(authorization.rule))
        .bind(visitor.map(|visitor| visitor.primary.to_string()))
        .bind(visitor.map(|visitor| visitor.primary_id.to_string()))
        .bind(visitor.map(|visitor| visitor.migration_id.to_string()))
        .bind(authorization.authorized_at.as_micros())
        .bind(authorization.refreshed_at.as_micros())
        .bind(authorization.expires_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Keeps an authorization; `None` where it is not there any more.
pub(crate) async fn refresh(
    transaction: &mut Transaction,
    id: Uuid,
    profile_index: ProfileIndex,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Option<Authorization>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "UPDATE service_authorization SET profile_index = $2, refreshed_at = $3, expires_at = $4 \
             WHERE authorization_id = $1 RETURNING *",
        )
        .bind(id.to_string())
        .bind(i64::from(profile_index.0))
        .bind(now.as_micros())
        .bind(expires_at.as_micros())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Removes an authorization, with its affiliations; says whether it was there.
pub(crate) async fn remove(transaction: &mut Transaction, id: Uuid) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM service_authorization WHERE authorization_id = $1")
        .bind(id.to_string())
        .execute()
        .await?;
    Ok(removed == 1)
}

/// The authorization of a client, also one that has expired and was not cleared away yet.
pub(crate) async fn of_client(
    transaction: &mut Transaction,
    client: &Client,
) -> Result<Option<Authorization>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "SELECT * FROM service_authorization WHERE mc_service = $1 AND mc_service_id = $2 AND client_instance = $3",
        )
        .bind(client.user.mc_service.as_str())
        .bind(client.user.id.as_str())
        .bind(client.instance.to_string())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Up to `limit` authorizations that have ended at `now`.
pub(crate) async fn expired(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Authorization>, StoreError> {
    let statement = database
        .statement("SELECT * FROM service_authorization WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2");
    read(statement.bind(now.as_micros()).bind(i64::from(limit)).fetch_all().await?)
}

/// The visitors' authorizations of a migration.
pub(crate) async fn of_migration(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Vec<Authorization>, StoreError> {
    let statement = transaction.statement("SELECT * FROM service_authorization WHERE migration_id = $1");
    read(statement.bind(migration_id.to_string()).fetch_all().await?)
}

/// The visitors whom an operator means, in the order of their clients.
pub(crate) async fn of_visitors(
    transaction: &mut Transaction,
    selection: &Selection,
) -> Result<Vec<Authorization>, StoreError> {
    let select = transaction.engine().dialect(
        "SELECT * FROM service_authorization WHERE primary_mc_system_id IS NOT NULL \
         AND mc_service = COALESCE($1, mc_service) AND primary_mc_system_id = COALESCE($2, primary_mc_system_id) \
         AND ($3 OR mc_service_id = ANY($4::text[])) ORDER BY mc_service, mc_service_id, client_instance",
        "SELECT * FROM service_authorization WHERE primary_mc_system_id IS NOT NULL \
         AND mc_service = COALESCE($1, mc_service) AND primary_mc_system_id = COALESCE($2, primary_mc_system_id) \
         AND ($3 OR mc_service_id IN (SELECT value FROM json_each($4))) \
         ORDER BY mc_service, mc_service_id, client_instance",
    );
    let statement = transaction.statement(select);
    read(
        statement
            .bind(selection.service_name())
            .bind(selection.mc_system_id.as_ref().map(McSystemId::as_str))
            .bind(selection.ids.is_empty())
            .bind_text_array(selection.id_texts())
            .fetch_all()
            .await?,
    )
}

/// Up to `limit` authorizations of visitors behind `after`, in the order of their clients.
pub(crate) async fn list_visitors(
    database: &Database,
    primary: Option<&McSystemId>,
    after: Option<&Client>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Authorization>, StoreError> {
    let (service, id, instance) = after_key(after);
    let statement = database.statement(
        "SELECT * FROM service_authorization WHERE primary_mc_system_id IS NOT NULL \
         AND primary_mc_system_id = COALESCE($1, primary_mc_system_id) \
         AND (mc_service, mc_service_id, client_instance) > ($2, $3, $4) AND expires_at > $5 \
         ORDER BY mc_service, mc_service_id, client_instance LIMIT $6",
    );
    read(
        statement
            .bind(primary.map(McSystemId::as_str))
            .bind(service)
            .bind(id)
            .bind(instance)
            .bind(now.as_micros())
            .bind(i64::from(limit))
            .fetch_all()
            .await?,
    )
}

/// Where a page begins, as the columns of a client.
pub(super) fn after_key(after: Option<&Client>) -> (String, String, String) {
    after.map_or_else(Default::default, |client| {
        (client.user.mc_service.as_str().to_owned(), client.user.id.to_string(), client.instance.to_string())
    })
}
