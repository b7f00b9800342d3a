//! Visitors in the database: users of primary MC systems who have migrated here.

use std::collections::HashMap;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McServiceId, McSystemId, Timestamp};

use super::columns::{json, parse};
use super::sql;
use crate::domain::migration::Visitor;

/// All that is said of a visitor, in one text that is the same for the same content.
pub(crate) fn content(visitor: &Visitor) -> Result<String, StoreError> {
    let identities: Vec<_> = visitor
        .identities
        .iter()
        .map(|identity| (identity.mc_service, identity.primary.as_str(), identity.partner.as_str()))
        .collect();
    json(&(
        &visitor.primary,
        identities,
        &visitor.granted_groups,
        visitor.valid_until.map(Timestamp::as_micros),
    ))
}

/// The contents of those of these visitors who are there.
pub(crate) async fn contents(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<HashMap<String, String>, StoreError> {
    let find =
        sql!(transaction.engine(), "SELECT migration_id, content FROM visitor WHERE migration_id IN "[1]);
    let rows: Vec<(String, String)> =
        transaction.statement(find).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    Ok(rows.into_iter().collect())
}

/// Who these visitors are here.
pub(crate) async fn partner_ids(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<Vec<McServiceId>, StoreError> {
    let find = sql!(
        transaction.engine(),
        "SELECT DISTINCT partner_mc_service_id FROM visitor_identity WHERE migration_id IN "[1]
    );
    let rows: Vec<(String,)> =
        transaction.statement(find).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    rows.iter().map(|(id,)| parse("partner_mc_service_id", id)).collect()
}

/// Those of these MC service IDs that are visitors', with their primary MC systems.
pub(crate) async fn among(
    transaction: &mut Transaction,
    ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<HashMap<McServiceId, McSystemId>, StoreError> {
    let find = sql!(
        transaction.engine(),
        "SELECT partner_mc_service_id, primary_mc_system_id FROM visitor_identity WHERE partner_mc_service_id IN "
            [1]
    );
    let rows: Vec<(String, String)> = transaction
        .statement(find)
        .bind_text_array(ids.into_iter().map(ToString::to_string))
        .fetch_all()
        .await?;
    rows.iter()
        .map(|(id, system)| Ok((parse("partner_mc_service_id", id)?, parse("primary_mc_system_id", system)?)))
        .collect()
}

/// Who the users of `primary` with these MC service IDs are here; one there may be several here.
pub(crate) async fn known_as(
    transaction: &mut Transaction,
    primary: &McSystemId,
    primary_ids: impl IntoIterator<Item = &McServiceId>,
) -> Result<HashMap<McServiceId, Vec<McServiceId>>, StoreError> {
    let find = sql!(
        transaction.engine(),
        "SELECT DISTINCT primary_mc_service_id, partner_mc_service_id FROM visitor_identity \
         WHERE primary_mc_system_id = $1 AND primary_mc_service_id IN "[2]
    );
    let rows: Vec<(String, String)> = transaction
        .statement(find)
        .bind(primary.as_str())
        .bind_text_array(primary_ids.into_iter().map(ToString::to_string))
        .fetch_all()
        .await?;
    let mut known: HashMap<McServiceId, Vec<McServiceId>> = HashMap::new();
    for (primary_id, partner_id) in &rows {
        let partner_id = parse("partner_mc_service_id", partner_id)?;
        known.entry(parse("primary_mc_service_id", primary_id)?).or_default().push(partner_id);
    }
    Ok(known)
}

/// Writes a visitor, whether she is there or not. Her groups are asked for at her primary MC system from now on.
pub(crate) async fn put(
    transaction: &mut Transaction,
    visitor: &Visitor,
    content: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let migration_id = visitor.migration_id.to_string();
    transaction
        .statement(
            "INSERT INTO visitor (migration_id, primary_mc_system_id, content, valid_until, pull_at, pulled_at) VALUES ($1, $2, $3, $4, $5, 0) \
             ON CONFLICT (migration_id) DO UPDATE SET primary_mc_system_id = excluded.primary_mc_system_id, \
             content = excluded.content, valid_until = excluded.valid_until, pull_at = excluded.pull_at",
        )
        .bind(migration_id.as_str())
        .bind(visitor.primary.as_str())
        .bind(content)
        .bind(visitor.valid_until.map(Timestamp::as_micros))
        .bind(now.as_micros())
        .execute()
        .await?;
    transaction
        .statement("DELETE FROM visitor_identity WHERE migration_id = $1")
        .bind(migration_id.as_str())
        .execute()
        .await?;
    for identity in &visitor.identities {
        transaction
            .statement(
                "INSERT INTO visitor_identity (migration_id, mc_service, primary_mc_system_id, primary_mc_service_id, \
                 partner_mc_service_id) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(migration_id.as_str())
            .bind(identity.mc_service.as_str())
            .bind(visitor.primary.as_str())
            .bind(identity.primary.as_str())
            .bind(identity.partner.as_str())
            .execute()
            .await?;
    }
    transaction
        .statement("DELETE FROM visitor_grant WHERE migration_id = $1")
        .bind(migration_id.as_str())
        .execute()
        .await?;
    for group in &visitor.granted_groups {
        transaction
            .statement("INSERT INTO visitor_grant (migration_id, group_id) VALUES ($1, $2)")
            .bind(migration_id.as_str())
            .bind(group.as_str())
            .execute()
            .await?;
    }
    Ok(())
}

/// Forgets visitors.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<(), StoreError> {
    let delete = sql!(transaction.engine(), "DELETE FROM visitor WHERE migration_id IN "[1]);
    transaction.statement(delete).bind_text_array(migration_ids.iter().cloned()).execute().await.map(drop)
}

/// Some visitors whose migration is over.
pub(crate) async fn expired(database: &Database, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> = database
        .statement("SELECT migration_id FROM visitor WHERE valid_until <= $1 LIMIT 500")
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The primary MC systems that are to be asked for groups.
pub(crate) async fn primaries_to_ask(
    database: &Database,
    now: Timestamp,
) -> Result<Vec<McSystemId>, StoreError> {
    let rows: Vec<(String,)> = database
        .statement("SELECT DISTINCT primary_mc_system_id FROM visitor WHERE pull_at <= $1")
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    rows.iter().map(|(id,)| parse("primary_mc_system_id", id)).collect()
}

/// Takes some visitors of `primary` whose groups are to be asked for; until `until` nobody else does. Gives their migrations and who they
/// are at home.
pub(crate) async fn claim_to_ask(
    database: &Database,
    primary: &McSystemId,
    now: Timestamp,
    until: Timestamp,
) -> Result<(Vec<String>, Vec<McServiceId>), StoreError> {
    let claimed: Vec<(String,)> = database
        .statement(
            "UPDATE visitor SET pull_at = $3, pulled_at = $2 WHERE pull_at <= $2 AND migration_id IN \
             (SELECT migration_id FROM visitor WHERE primary_mc_system_id = $1 AND pull_at <= $2 LIMIT 150) RETURNING migration_id",
        )
        .bind(primary.as_str())
        .bind(now.as_micros())
        .bind(until.as_micros())
        .fetch_all()
        .await?;
    let migration_ids: Vec<String> = claimed.into_iter().map(|(id,)| id).collect();
    let find = sql!(
        database.engine(),
        "SELECT DISTINCT primary_mc_service_id FROM visitor_identity WHERE migration_id IN "[1]
    );
    let rows: Vec<(String,)> =
        database.statement(find).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    let ids = rows.iter().map(|(id,)| parse("primary_mc_service_id", id)).collect::<Result<_, _>>()?;
    Ok((migration_ids, ids))
}

/// Says when the groups of these visitors are next to be asked for, unless that was said anew since they were claimed until `claimed`.
pub(crate) async fn ask_next(
    database: &Database,
    migration_ids: &[String],
    claimed: Timestamp,
    next: Timestamp,
) -> Result<(), StoreError> {
    let update =
        sql!(database.engine(), "UPDATE visitor SET pull_at = $3 WHERE pull_at = $2 AND migration_id IN "[1]);
    database
        .statement(update)
        .bind_text_array(migration_ids.iter().cloned())
        .bind(claimed.as_micros())
        .bind(next.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Says that the groups of the visitors with these MC service IDs here are to be asked for now, unless they were asked for since `lately`;
/// says whether there are such visitors.
pub(crate) async fn ask_now(
    database: &Database,
    ids: &[McServiceId],
    now: Timestamp,
    lately: Timestamp,
) -> Result<bool, StoreError> {
    let update = sql!(
        database.engine(),
        "UPDATE visitor SET pull_at = $2 WHERE pull_at > $2 AND pulled_at < $3 AND migration_id IN \
         (SELECT migration_id FROM visitor_identity WHERE partner_mc_service_id IN " [1] ")"
    );
    let updated = database
        .statement(update)
        .bind_text_array(ids.iter().map(ToString::to_string))
        .bind(now.as_micros())
        .bind(lately.as_micros())
        .execute()
        .await?;
    Ok(updated > 0)
}
