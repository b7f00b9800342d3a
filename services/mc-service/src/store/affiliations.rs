//! Affiliations of clients that are authorized here, in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceGroupId, Timestamp};

use super::columns::{client, parse};
use crate::domain::user::{Affiliation, Client, User};

#[derive(sqlx::FromRow)]
struct Row {
    mc_service: String,
    mc_service_id: String,
    client_instance: String,
    group_id: String,
    home_mc_system_id: String,
    implicit: bool,
    affiliated_at: i64,
}

impl TryFrom<Row> for Affiliation {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            client: client(&row.mc_service, &row.mc_service_id, &row.client_instance)?,
            group: parse("group_id", &row.group_id)?,
            home: parse("home_mc_system_id", &row.home_mc_system_id)?,
            implicit: row.implicit,
            affiliated_at: Timestamp::from_micros(row.affiliated_at),
        })
    }
}

fn read(rows: Vec<Row>) -> Result<Vec<Affiliation>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}

const OF_USER: &str = "SELECT * FROM affiliation WHERE mc_service = $1 AND mc_service_id = $2 ORDER BY group_id, client_instance";

/// The affiliations of all clients of a user, by group, then client instance.
pub(crate) async fn of_user(database: &Database, user: &User) -> Result<Vec<Affiliation>, StoreError> {
    let statement = database.statement(OF_USER).bind(user.mc_service.as_str());
    read(statement.bind(user.id.as_str()).fetch_all().await?)
}

/// [`of_user`] within a transaction.
pub(crate) async fn of_user_in(
    transaction: &mut Transaction,
    user: &User,
) -> Result<Vec<Affiliation>, StoreError> {
    let statement = transaction.statement(OF_USER).bind(user.mc_service.as_str());
    read(statement.bind(user.id.as_str()).fetch_all().await?)
}

/// Writes an affiliation; one that is there stays as it is, but is the user's from now on where she asks for it.
pub(crate) async fn insert(
    transaction: &mut Transaction,
    affiliation: &Affiliation,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO affiliation (mc_service, mc_service_id, client_instance, group_id, home_mc_system_id, implicit, affiliated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (mc_service, mc_service_id, client_instance, group_id) \
             DO UPDATE SET implicit = affiliation.implicit AND excluded.implicit",
        )
        .bind(affiliation.client.user.mc_service.as_str())
        .bind(affiliation.client.user.id.as_str())
        .bind(affiliation.client.instance.to_string())
        .bind(affiliation.group.as_str())
        .bind(affiliation.home.as_str())
        .bind(affiliation.implicit)
        .bind(affiliation.affiliated_at.as_micros())
        .execute()
        .await
        .map(drop)
}

pub(crate) async fn remove(
    transaction: &mut Transaction,
    client: &Client,
    group: &McServiceGroupId,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "DELETE FROM affiliation WHERE mc_service = $1 AND mc_service_id = $2 AND client_instance = $3 AND group_id = $4",
        )
        .bind(client.user.mc_service.as_str())
        .bind(client.user.id.as_str())
        .bind(client.instance.to_string())
        .bind(group.as_str())
        .execute()
        .await
        .map(drop)
}
