//! Marks of own users who are served by a partner, in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::Selection;
use super::authorizations::after_key;
use super::columns::{client, parse, profile_index};
use crate::domain::user::{Client, ServedBy, User};

#[derive(sqlx::FromRow)]
struct Row {
    mc_service: String,
    primary_mc_service_id: String,
    client_instance: String,
    authorization_id: String,
    partner_mc_system_id: String,
    partner_mc_service_id: String,
    profile_index: i64,
    migration_id: String,
    authorized_at: i64,
    expires_at: i64,
}

impl TryFrom<Row> for ServedBy {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            client: client(&row.mc_service, &row.primary_mc_service_id, &row.client_instance)?,
            authorization_id: parse("authorization_id", &row.authorization_id)?,
            partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
            partner_id: parse("partner_mc_service_id", &row.partner_mc_service_id)?,
            profile_index: profile_index(row.profile_index)?,
            migration_id: parse("migration_id", &row.migration_id)?,
            authorized_at: Timestamp::from_micros(row.authorized_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<ServedBy>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Where a user is served at `now`, by client instance.
pub(crate) async fn of_user(
    database: &Database,
    user: &User,
    now: Timestamp,
) -> Result<Vec<ServedBy>, StoreError> {
    let statement = database.statement(
        "SELECT * FROM served_by WHERE mc_service = $1 AND primary_mc_service_id = $2 AND expires_at > $3 \
         ORDER BY client_instance",
    );
    read(
        statement
            .bind(user.mc_service.as_str())
            .bind(user.id.as_str())
            .bind(now.as_micros())
            .fetch_all()
            .await?,
    )
}

/// The mark of a client, also one that has expired and was not cleared away yet.
pub(crate) async fn of_client(
    transaction: &mut Transaction,
    client: &Client,
) -> Result<Option<ServedBy>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "SELECT * FROM served_by WHERE mc_service = $1 AND primary_mc_service_id = $2 AND client_instance = $3",
        )
        .bind(client.user.mc_service.as_str())
        .bind(client.user.id.as_str())
        .bind(client.instance.to_string())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Writes the mark of a client in the place of the one that it has.
pub(crate) async fn put(transaction: &mut Transaction, mark: &ServedBy) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO served_by (mc_service, primary_mc_service_id, client_instance, authorization_id, partner_mc_system_id, \
             partner_mc_service_id, profile_index, migration_id, authorized_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (mc_service, primary_mc_service_id, client_instance) DO UPDATE SET \
             authorization_id = excluded.authorization_id, partner_mc_system_id = excluded.partner_mc_system_id, \
             partner_mc_service_id = excluded.partner_mc_service_id, profile_index = excluded.profile_index, \
             migration_id = excluded.migration_id, authorized_at = excluded.authorized_at, expires_at = excluded.expires_at",
        )
        .bind(mark.client.user.mc_service.as_str())
        .bind(mark.client.user.id.as_str())
        .bind(mark.client.instance.to_string())
        .bind(mark.authorization_id.to_string())
        .bind(mark.partner.as_str())
        .bind(mark.partner_id.as_str())
        .bind(i64::from(mark.profile_index.0))
        .bind(mark.migration_id.to_string())
        .bind(mark.authorized_at.as_micros())
        .bind(mark.expires_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Removes a mark; says whether it was there.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    authorization_id: Uuid,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM served_by WHERE authorization_id = $1")
        .bind(authorization_id.to_string())
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Up to `limit` marks that have ended at `now`.
pub(crate) async fn expired(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<ServedBy>, StoreError> {
    let statement =
        database.statement("SELECT * FROM served_by WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2");
    read(statement.bind(now.as_micros()).bind(i64::from(limit)).fetch_all().await?)
}

/// The marks of a migration.
pub(crate) async fn of_migration(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Vec<ServedBy>, StoreError> {
    let statement = transaction.statement("SELECT * FROM served_by WHERE migration_id = $1");
    read(statement.bind(migration_id.to_string()).fetch_all().await?)
}

/// The own users whom an operator means, in the order of their clients.
pub(crate) async fn of_users(
    transaction: &mut Transaction,
    selection: &Selection,
) -> Result<Vec<ServedBy>, StoreError> {
    let select = transaction.engine().dialect(
        "SELECT * FROM served_by WHERE mc_service = COALESCE($1, mc_service) \
         AND partner_mc_system_id = COALESCE($2, partner_mc_system_id) \
         AND ($3 OR primary_mc_service_id = ANY($4::text[])) ORDER BY mc_service, primary_mc_service_id, client_instance",
        "SELECT * FROM served_by WHERE mc_service = COALESCE($1, mc_service) \
         AND partner_mc_system_id = COALESCE($2, partner_mc_system_id) \
         AND ($3 OR primary_mc_service_id IN (SELECT value FROM json_each($4))) \
         ORDER BY mc_service, primary_mc_service_id, client_instance",
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

/// Up to `limit` marks behind `after`, in the order of their clients.
pub(crate) async fn list(
    database: &Database,
    partner: Option<&McSystemId>,
    after: Option<&Client>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<ServedBy>, StoreError> {
    let (service, id, instance) = after_key(after);
    let statement = database.statement(
        "SELECT * FROM served_by WHERE partner_mc_system_id = COALESCE($1, partner_mc_system_id) \
         AND (mc_service, primary_mc_service_id, client_instance) > ($2, $3, $4) AND expires_at > $5 \
         ORDER BY mc_service, primary_mc_service_id, client_instance LIMIT $6",
    );
    read(
        statement
            .bind(partner.map(McSystemId::as_str))
            .bind(service)
            .bind(id)
            .bind(instance)
            .bind(now.as_micros())
            .bind(i64::from(limit))
            .fetch_all()
            .await?,
    )
}
