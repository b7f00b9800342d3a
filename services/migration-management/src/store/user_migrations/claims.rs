//! Who does the next step of which rows: a claim keeps others off until it is released, or until its time is over.

use std::collections::BTreeMap;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::row::{Row, read_all};
use crate::domain::user_migration::{MigrationRole, Step, UserMigration};
use crate::store::columns::{corrupt, parse};

/// What is done together: the same step in the same role with the same other MC system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StepKey {
    pub(crate) role: MigrationRole,
    pub(crate) step: Step,
    pub(crate) peer: McSystemId,
}

/// When something is to be done for each key.
pub(crate) type Due = BTreeMap<StepKey, Timestamp>;

/// Everything that is still to be done, and from when on.
pub(crate) async fn due(database: &Database) -> Result<Due, StoreError> {
    let rows: Vec<(String, String, String, i64)> = database
        .statement(
            "SELECT role, next_step, peer_mc_system_id, \
             MIN(CASE WHEN claimed_until > next_attempt_at THEN claimed_until ELSE next_attempt_at END) \
             FROM user_migration WHERE next_step IS NOT NULL GROUP BY role, next_step, peer_mc_system_id",
        )
        .fetch_all()
        .await?;
    let read = |(role, step, peer, at): (String, String, String, i64)| {
        let role = MigrationRole::from_name(&role).ok_or_else(|| corrupt("role"))?;
        let step = Step::from_name(&step).ok_or_else(|| corrupt("next_step"))?;
        let peer = parse("peer_mc_system_id", &peer)?;
        Ok((StepKey { role, step, peer }, Timestamp::from_micros(at)))
    };
    rows.into_iter().map(read).collect()
}

/// Claims up to `limit` rows of a key that are due at `now`, until `until`.
pub(crate) async fn claim(
    database: &Database,
    claim_id: Uuid,
    key: &StepKey,
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<UserMigration>, StoreError> {
    // A row that another replica is just claiming is passed over, not waited for.
    let rows: Vec<Row> = database
        .statement(database.dialect(
            "WITH due AS MATERIALIZED (SELECT migration_id FROM user_migration WHERE role = $3 AND next_step = $4 \
             AND peer_mc_system_id = $5 AND next_attempt_at <= $6 AND claimed_until <= $6 \
             ORDER BY next_attempt_at, migration_id LIMIT $7 FOR UPDATE SKIP LOCKED) \
             UPDATE user_migration SET claim_id = $1, claimed_until = $2 \
             WHERE migration_id IN (SELECT migration_id FROM due) RETURNING *",
            "UPDATE user_migration SET claim_id = $1, claimed_until = $2 WHERE migration_id IN \
             (SELECT migration_id FROM user_migration WHERE role = $3 AND next_step = $4 \
             AND peer_mc_system_id = $5 AND next_attempt_at <= $6 AND claimed_until <= $6 \
             ORDER BY next_attempt_at, migration_id LIMIT $7) RETURNING *",
        ))
        .bind(claim_id.to_string())
        .bind(until.as_micros())
        .bind(key.role.as_str())
        .bind(key.step.as_str())
        .bind(key.peer.as_str())
        .bind(now.as_micros())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all()
        .await?;
    read_all(rows)
}

/// Makes due now what is to be told to another MC system and could not be; says whether there was anything. What somebody is just doing is
/// left alone.
pub(crate) async fn retry_now(
    database: &Database,
    peer: &McSystemId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let retried = database
        .statement(database.dialect(
            "WITH waiting AS MATERIALIZED (SELECT migration_id FROM user_migration \
             WHERE role IN ('PRIMARY', 'PARTNER') AND next_step IN ('OFFER', 'REPORT') AND peer_mc_system_id = $1 \
             AND next_attempt_at > $2 AND failed_attempts > 0 FOR UPDATE SKIP LOCKED) \
             UPDATE user_migration SET next_attempt_at = $2 \
             WHERE migration_id IN (SELECT migration_id FROM waiting)",
            "UPDATE user_migration SET next_attempt_at = $2 WHERE role IN ('PRIMARY', 'PARTNER') \
             AND next_step IN ('OFFER', 'REPORT') AND peer_mc_system_id = $1 AND next_attempt_at > $2 \
             AND failed_attempts > 0",
        ))
        .bind(peer.as_str())
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(retried > 0)
}

/// The rows of a claim as they are now, locked. Those that somebody else claimed since, because its time was over, are not among them.
pub(crate) async fn claimed(
    transaction: &mut Transaction,
    claim_id: Uuid,
) -> Result<Vec<UserMigration>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT * FROM user_migration WHERE claim_id = $1 ORDER BY migration_id FOR UPDATE",
        "SELECT * FROM user_migration WHERE claim_id = $1 ORDER BY migration_id",
    );
    let rows: Vec<Row> = transaction.statement(sql).bind(claim_id.to_string()).fetch_all().await?;
    read_all(rows)
}

/// Ends a claim.
pub(crate) async fn release(transaction: &mut Transaction, claim_id: Uuid) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE user_migration SET claim_id = NULL, claimed_until = 0 WHERE claim_id = $1")
        .bind(claim_id.to_string())
        .execute()
        .await
        .map(drop)
}
