//! What visitors' grants make of memberships: they follow the grants and whether a group allows visitors.

use mcx_store::{StoreError, Transaction};
use mcx_types::McServiceGroupId;

use super::columns::{json, parse};
use super::members::{MemberRow, Membership, read};
use super::sql;
use crate::domain::member::granted_terms;
use crate::domain::migration::DormantGrant;

/// Makes the visitors of these migrations members where they are granted to be; the memberships that are new.
pub(crate) async fn put_members_of(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<Vec<Membership>, StoreError> {
    let put = sql!(
        transaction.engine(),
        "INSERT INTO member (group_id, origin, mc_service_id, mc_system_id, terms) \
         SELECT DISTINCT visitor_grant.group_id, 'GRANTED', identity.partner_mc_service_id, identity.primary_mc_system_id, $2 \
         FROM visitor_grant JOIN visitor_identity AS identity ON identity.migration_id = visitor_grant.migration_id \
         JOIN mc_group ON mc_group.group_id = visitor_grant.group_id AND mc_group.is_own AND mc_group.allow_visitors \
         WHERE visitor_grant.migration_id IN " [1] " ON CONFLICT (group_id, mc_service_id) DO NOTHING RETURNING *"
    );
    let rows: Vec<MemberRow> = transaction
        .statement(put)
        .bind_text_array(migration_ids.iter().cloned())
        .bind(json(&granted_terms())?)
        .fetch_all()
        .await?;
    read(rows)
}

/// Makes visitors members of a group that allows them now; the memberships that are new.
pub(crate) async fn put_members_in(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
) -> Result<Vec<Membership>, StoreError> {
    let rows: Vec<MemberRow> = transaction
        .statement(
            "INSERT INTO member (group_id, origin, mc_service_id, mc_system_id, terms) \
             SELECT DISTINCT visitor_grant.group_id, 'GRANTED', identity.partner_mc_service_id, identity.primary_mc_system_id, $2 \
             FROM visitor_grant JOIN visitor_identity AS identity ON identity.migration_id = visitor_grant.migration_id \
             WHERE visitor_grant.group_id = $1 ON CONFLICT (group_id, mc_service_id) DO NOTHING RETURNING *",
        )
        .bind(group.as_str())
        .bind(json(&granted_terms())?)
        .fetch_all()
        .await?;
    read(rows)
}

/// Ends the memberships of visitors in a group that no longer allows them, granted or provisioned; those that there were.
pub(crate) async fn remove_visitors_from(
    transaction: &mut Transaction,
    group: &McServiceGroupId,
) -> Result<Vec<Membership>, StoreError> {
    let rows: Vec<MemberRow> = transaction
        .statement(
            "DELETE FROM member WHERE group_id = $1 AND (origin = 'GRANTED' OR EXISTS \
             (SELECT 1 FROM visitor_identity WHERE partner_mc_service_id = member.mc_service_id)) RETURNING *",
        )
        .bind(group.as_str())
        .fetch_all()
        .await?;
    read(rows)
}

/// Ends granted memberships of these visitors that no grant speaks for any more; those that there were.
pub(crate) async fn remove_lapsed_of(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<Vec<Membership>, StoreError> {
    let remove = sql!(
        transaction.engine(),
        "DELETE FROM member WHERE origin = 'GRANTED' AND mc_service_id IN \
         (SELECT partner_mc_service_id FROM visitor_identity WHERE migration_id IN " [1] ") AND NOT EXISTS \
         (SELECT 1 FROM visitor_grant JOIN visitor_identity AS identity ON identity.migration_id = visitor_grant.migration_id \
         WHERE identity.partner_mc_service_id = member.mc_service_id AND visitor_grant.group_id = member.group_id) RETURNING *"
    );
    let rows: Vec<MemberRow> =
        transaction.statement(remove).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    read(rows)
}

/// Grants of these visitors without effect.
pub(crate) async fn dormant_of(
    transaction: &mut Transaction,
    migration_ids: &[String],
) -> Result<Vec<DormantGrant>, StoreError> {
    let find = sql!(
        transaction.engine(),
        "SELECT migration_id, group_id FROM visitor_grant WHERE migration_id IN " [1] " AND NOT EXISTS \
         (SELECT 1 FROM mc_group WHERE mc_group.group_id = visitor_grant.group_id AND is_own AND allow_visitors) \
         ORDER BY migration_id, group_id"
    );
    let rows: Vec<(String, String)> =
        transaction.statement(find).bind_text_array(migration_ids.iter().cloned()).fetch_all().await?;
    rows.into_iter()
        .map(|(migration_id, group_id)| {
            Ok(DormantGrant {
                migration_id: parse("migration_id", &migration_id)?,
                group: parse("group_id", &group_id)?,
            })
        })
        .collect()
}
