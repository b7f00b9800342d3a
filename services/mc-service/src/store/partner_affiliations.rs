//! Affiliations to groups of this MC system that partners made for clients whom they serve, in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceGroupId, McSystemId, Timestamp};

use crate::domain::user::Client;

/// Writes an affiliation, unless the partner has said something later of the same client and group.
pub(crate) async fn put(
    transaction: &mut Transaction,
    serving: &McSystemId,
    client: &Client,
    group: &McServiceGroupId,
    requested_at: Timestamp,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO partner_affiliation (serving_mc_system_id, mc_service, mc_service_id, client_instance, group_id, requested_at, \
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (serving_mc_system_id, mc_service, mc_service_id, client_instance, group_id) DO UPDATE SET \
             requested_at = excluded.requested_at, expires_at = excluded.expires_at \
             WHERE partner_affiliation.requested_at <= excluded.requested_at",
        )
        .bind(serving.as_str())
        .bind(client.user.mc_service.as_str())
        .bind(client.user.id.as_str())
        .bind(client.instance.to_string())
        .bind(group.as_str())
        .bind(requested_at.as_micros())
        .bind(expires_at.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Removes affiliations of a client that the partner asked for not later than `until`; of these groups, or of all where there are none.
pub(crate) async fn remove(
    transaction: &mut Transaction,
    serving: &McSystemId,
    client: &Client,
    groups: &[McServiceGroupId],
    until: Timestamp,
) -> Result<u64, StoreError> {
    let delete = transaction.engine().dialect(
        "DELETE FROM partner_affiliation WHERE serving_mc_system_id = $1 AND mc_service = $2 AND mc_service_id = $3 \
         AND client_instance = $4 AND requested_at <= $5 AND ($6 OR group_id = ANY($7::text[]))",
        "DELETE FROM partner_affiliation WHERE serving_mc_system_id = $1 AND mc_service = $2 AND mc_service_id = $3 \
         AND client_instance = $4 AND requested_at <= $5 AND ($6 OR group_id IN (SELECT value FROM json_each($7)))",
    );
    transaction
        .statement(delete)
        .bind(serving.as_str())
        .bind(client.user.mc_service.as_str())
        .bind(client.user.id.as_str())
        .bind(client.instance.to_string())
        .bind(until.as_micros())
        .bind(groups.is_empty())
        .bind_text_array(groups.iter().map(McServiceGroupId::to_string))
        .execute()
        .await
}

/// Removes those that have ended at `now`.
pub(crate) async fn remove_expired(database: &Database, now: Timestamp) -> Result<u64, StoreError> {
    database
        .statement("DELETE FROM partner_affiliation WHERE expires_at <= $1")
        .bind(now.as_micros())
        .execute()
        .await
}
