//! What partners are to have of the profiles of own users (CSC-17): the work that is to be done, and how far it is.

use std::time::Duration;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::parse;
use crate::domain::user_profile::ServiceUser;

/// What one partner is to have of the profiles of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) id: Uuid,
    pub(crate) user: ServiceUser,
    pub(crate) partner: McSystemId,
    /// The partner is to have nothing any more.
    pub(crate) is_withdrawn: bool,
    pub(crate) wanted_version: i64,
    /// How often it was tried in vain.
    pub(crate) attempts: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    share_id: String,
    mc_service: String,
    mc_service_id: String,
    partner_mc_system_id: String,
    is_withdrawn: bool,
    wanted_version: i64,
    attempts: i64,
}

impl TryFrom<Row> for Share {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: parse("share_id", &row.share_id)?,
            user: ServiceUser {
                mc_service: parse("mc_service", &row.mc_service)?,
                id: parse("mc_service_id", &row.mc_service_id)?,
            },
            partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
            is_withdrawn: row.is_withdrawn,
            wanted_version: row.wanted_version,
            attempts: row.attempts,
        })
    }
}

/// Lets a partner have this version of the user's profiles, or (`is_withdrawn`) nothing any more.
pub(crate) async fn want(
    transaction: &mut Transaction,
    user: &ServiceUser,
    partner: &McSystemId,
    version: i64,
    is_withdrawn: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO share (share_id, mc_service, mc_service_id, partner_mc_system_id, is_withdrawn, wanted_version, \
             pushed_version, attempts, next_attempt_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7) \
             ON CONFLICT (mc_service, mc_service_id, partner_mc_system_id) DO UPDATE SET \
             is_withdrawn = excluded.is_withdrawn, wanted_version = excluded.wanted_version, attempts = 0, \
             next_attempt_at = excluded.next_attempt_at",
        )
        .bind(Uuid::now_v7().to_string())
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(partner.as_str())
        .bind(is_withdrawn)
        .bind(version)
        .bind(now.as_micros())
        .execute()
        .await
        .map(drop)
}

/// Lets all partners that may have the user's profiles have this version of them.
pub(crate) async fn want_everywhere(
    transaction: &mut Transaction,
    user: &ServiceUser,
    version: i64,
    now: Timestamp,
) -> Result<u64, StoreError> {
    transaction
        .statement(
            "UPDATE share SET wanted_version = $3, attempts = 0, next_attempt_at = $4 \
             WHERE mc_service = $1 AND mc_service_id = $2 AND NOT is_withdrawn",
        )
        .bind(user.mc_service.as_str())
        .bind(user.id.as_str())
        .bind(version)
        .bind(now.as_micros())
        .execute()
        .await
}

/// Takes up to `limit` shares that are due. Nobody else gets them before `lease` is over, so that what a replica takes and then dies
/// with is done by another.
pub(crate) async fn take_due(
    database: &Database,
    now: Timestamp,
    lease: Duration,
    limit: i64,
) -> Result<Vec<Share>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "UPDATE share SET next_attempt_at = $2, attempts = attempts + 1 WHERE share_id IN \
             (SELECT share_id FROM share WHERE next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $3) \
             AND next_attempt_at <= $1 \
             RETURNING share_id, mc_service, mc_service_id, partner_mc_system_id, is_withdrawn, wanted_version, attempts",
        )
        .bind(now.as_micros())
        .bind(now.saturating_add(lease).as_micros())
        .bind(limit)
        .fetch_all()
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// When the next share is due.
pub(crate) async fn next_due(database: &Database) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64,)> = database
        .statement(
            "SELECT next_attempt_at FROM share WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT 1",
        )
        .fetch_optional()
        .await?;
    Ok(row.map(|(at,)| Timestamp::from_micros(at)))
}

/// The partner has what was wanted; if something newer is wanted by now, that stays to be done.
pub(crate) async fn done(transaction: &mut Transaction, share: &Share) -> Result<(), StoreError> {
    let statement = if share.is_withdrawn {
        "DELETE FROM share WHERE share_id = $1 AND wanted_version = $2 AND is_withdrawn"
    } else {
        "UPDATE share SET pushed_version = $2, attempts = 0, \
         next_attempt_at = CASE WHEN wanted_version <= $2 THEN NULL ELSE next_attempt_at END WHERE share_id = $1"
    };
    transaction
        .statement(statement)
        .bind(share.id.to_string())
        .bind(share.wanted_version)
        .execute()
        .await
        .map(drop)
}

/// It did not work out; it is tried again at `at`, unless something newer is wanted by now, which is due anyway.
pub(crate) async fn postpone(database: &Database, share: &Share, at: Timestamp) -> Result<(), StoreError> {
    database
        .statement("UPDATE share SET next_attempt_at = $3 WHERE share_id = $1 AND wanted_version = $2")
        .bind(share.id.to_string())
        .bind(share.wanted_version)
        .bind(at.as_micros())
        .execute()
        .await
        .map(drop)
}
