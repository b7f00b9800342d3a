//! OAuth clients in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::Timestamp;
use secrecy::SecretString;

use super::columns::{corrupt, from_json, scopes, time, to_json};
use super::{Page, Stored};
use crate::domain::client::{Client, ClientAuthentication};

#[derive(sqlx::FromRow)]
struct Row {
    client_id: String,
    authentication: String,
    secret_hash: Option<String>,
    redirect_uris: String,
    scopes: String,
    display_name: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<Client> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Client {
                client_id: row.client_id,
                authentication: match row.authentication.as_str() {
                    "NONE" => ClientAuthentication::None,
                    "SECRET_BASIC" => ClientAuthentication::SecretBasic,
                    _ => return Err(corrupt("authentication")),
                },
                redirect_uris: from_json("redirect_uris", &row.redirect_uris)?,
                scopes: scopes(&row.scopes),
                display_name: row.display_name,
            },
            version: row.version,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        })
    }
}

fn authentication_name(authentication: ClientAuthentication) -> &'static str {
    match authentication {
        ClientAuthentication::None => "NONE",
        ClientAuthentication::SecretBasic => "SECRET_BASIC",
    }
}

const FIND: &str = "SELECT * FROM client WHERE client_id = $1";

pub(crate) async fn find(database: &Database, client_id: &str) -> Result<Option<Stored<Client>>, StoreError> {
    let row: Option<Row> = database.statement(FIND).bind(client_id).fetch_optional().await?;
    row.map(TryInto::try_into).transpose()
}

/// A client with the hash of its secret.
pub(crate) async fn find_with_secret(
    database: &Database,
    client_id: &str,
) -> Result<Option<(Client, Option<SecretString>)>, StoreError> {
    let row: Option<Row> = database.statement(FIND).bind(client_id).fetch_optional().await?;
    row.map(|mut row| {
        let hash = row.secret_hash.take().map(SecretString::from);
        Ok((Stored::try_from(row)?.value, hash))
    })
    .transpose()
}

/// The client as the transaction sees it, and whether it has a secret.
pub(crate) async fn find_in(
    transaction: &mut Transaction,
    client_id: &str,
) -> Result<Option<(Stored<Client>, bool)>, StoreError> {
    let row: Option<Row> = transaction.statement(FIND).bind(client_id).fetch_optional().await?;
    row.map(|row| {
        let has_secret = row.secret_hash.is_some();
        Ok((row.try_into()?, has_secret))
    })
    .transpose()
}

/// Up to `limit` clients behind `after`, in the order of their identifiers.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<Client>>, StoreError> {
    let rows: Vec<Row> = database
        .statement("SELECT * FROM client WHERE client_id > $1 ORDER BY client_id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<Client>>, _>>()?;
    Ok(Page::cut(items, limit, |client| client.value.client_id.clone()))
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    client: &Client,
    secret_hash: Option<&str>,
    now: Timestamp,
) -> Result<Stored<Client>, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO client (client_id, authentication, secret_hash, redirect_uris, scopes, display_name, version, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7) RETURNING *",
        )
        .bind(client.client_id.as_str())
        .bind(authentication_name(client.authentication))
        .bind(secret_hash)
        .bind(to_json(&client.redirect_uris)?)
        .bind(client.scopes.to_string())
        .bind(client.display_name.as_str())
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Replaces the client if it still has `version`; `None` where it has not, or is gone. Without a new secret the old one stays, unless
/// the client needs none any more.
pub(crate) async fn update(
    transaction: &mut Transaction,
    client: &Client,
    secret_hash: Option<&str>,
    version: i64,
    now: Timestamp,
) -> Result<Option<Stored<Client>>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "UPDATE client SET authentication = $3, \
             secret_hash = CASE WHEN $3 = 'NONE' THEN NULL ELSE COALESCE($4, secret_hash) END, \
             redirect_uris = $5, scopes = $6, display_name = $7, version = version + 1, updated_at = $8 \
             WHERE client_id = $1 AND version = $2 RETURNING *",
        )
        .bind(client.client_id.as_str())
        .bind(version)
        .bind(authentication_name(client.authentication))
        .bind(secret_hash)
        .bind(to_json(&client.redirect_uris)?)
        .bind(client.scopes.to_string())
        .bind(client.display_name.as_str())
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Removes the client if it has `version` (`None`: whichever), with all that came of logins by way of it; says whether it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    client_id: &str,
    version: Option<i64>,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM client WHERE client_id = $1 AND version = COALESCE($2, version)")
        .bind(client_id)
        .bind(version)
        .execute()
        .await?;
    if removed == 1 {
        transaction
            .statement("DELETE FROM token_family WHERE client_id = $1")
            .bind(client_id)
            .execute()
            .await?;
    }
    Ok(removed == 1)
}
