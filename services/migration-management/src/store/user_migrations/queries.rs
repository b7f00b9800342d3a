//! What is asked about user migrations.

use std::collections::HashSet;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McId, McSystemId, Timestamp};
use uuid::Uuid;

use super::row::{Row, read_all};
use crate::domain::user_migration::{MigrationRole, UserMigration, UserMigrationState};
use crate::store::Page;
use crate::store::columns::{corrupt, parse};

/// Which user migrations are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct MigrationFilter {
    pub(crate) role: Option<MigrationRole>,
    pub(crate) peer: Option<McSystemId>,
    pub(crate) state: Option<UserMigrationState>,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) mc_id: Option<McId>,
}

pub(crate) async fn find(database: &Database, id: Uuid) -> Result<Option<UserMigration>, StoreError> {
    let row: Option<Row> = database
        .statement("SELECT * FROM user_migration WHERE migration_id = $1")
        .bind(id.to_string())
        .fetch_optional()
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Up to `limit` user migrations behind `after`, in the order of their identifiers.
pub(crate) async fn list(
    database: &Database,
    filter: &MigrationFilter,
    after: &str,
    limit: u32,
) -> Result<Page<UserMigration>, StoreError> {
    // One statement per index that is of use.
    let sql = match (&filter.request_id, &filter.mc_id) {
        (Some(_), _) => {
            "SELECT * FROM user_migration WHERE migration_id > $1 AND role = COALESCE($2, role) \
             AND peer_mc_system_id = COALESCE($3, peer_mc_system_id) AND state = COALESCE($4, state) \
             AND request_id = $5 AND ($6 IS NULL OR mc_id = $6) ORDER BY migration_id LIMIT $7"
        }
        (None, Some(_)) => {
            "SELECT * FROM user_migration WHERE migration_id > $1 AND role = COALESCE($2, role) \
             AND peer_mc_system_id = COALESCE($3, peer_mc_system_id) AND state = COALESCE($4, state) \
             AND request_id = COALESCE($5, request_id) AND mc_id = $6 ORDER BY migration_id LIMIT $7"
        }
        (None, None) => {
            "SELECT * FROM user_migration WHERE migration_id > $1 AND role = COALESCE($2, role) \
             AND peer_mc_system_id = COALESCE($3, peer_mc_system_id) AND state = COALESCE($4, state) \
             AND request_id = COALESCE($5, request_id) AND ($6 IS NULL OR mc_id = $6) ORDER BY migration_id LIMIT $7"
        }
    };
    let rows: Vec<Row> = database
        .statement(sql)
        .bind(after)
        .bind(filter.role.map(MigrationRole::as_str))
        .bind(filter.peer.as_ref().map(McSystemId::as_str))
        .bind(filter.state.map(UserMigrationState::as_str))
        .bind(filter.request_id.map(|id| id.to_string()))
        .bind(filter.mc_id.as_ref().map(McId::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    Ok(Page::cut(read_all(rows)?, limit, |migration| migration.id.to_string()))
}

/// The user migrations with these identifiers, locked, as many as there are.
pub(crate) async fn lock_by_ids(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<UserMigration>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT * FROM user_migration WHERE migration_id = ANY($1::text[]) ORDER BY migration_id FOR UPDATE",
        "SELECT * FROM user_migration WHERE migration_id IN (SELECT value FROM json_each($1)) ORDER BY migration_id",
    );
    let ids = ids.iter().map(Uuid::to_string);
    read_all(transaction.statement(sql).bind_text_array(ids).fetch_all().await?)
}

/// Up to `limit` user migrations of a selection behind `after` that are in one of these states, locked.
pub(crate) async fn lock_selected(
    transaction: &mut Transaction,
    filter: &MigrationFilter,
    states: &[UserMigrationState],
    after: &str,
    limit: usize,
) -> Result<Vec<UserMigration>, StoreError> {
    // One statement per index that is of use.
    let engine = transaction.engine();
    let sql = if filter.request_id.is_some() {
        engine.dialect(
            "SELECT * FROM user_migration WHERE request_id = $3 AND migration_id > $1 \
             AND peer_mc_system_id = COALESCE($2, peer_mc_system_id) AND state = ANY($4::text[]) \
             ORDER BY migration_id LIMIT $5 FOR UPDATE",
            "SELECT * FROM user_migration WHERE request_id = $3 AND migration_id > $1 \
             AND peer_mc_system_id = COALESCE($2, peer_mc_system_id) \
             AND state IN (SELECT value FROM json_each($4)) ORDER BY migration_id LIMIT $5",
        )
    } else {
        engine.dialect(
            "SELECT * FROM user_migration WHERE peer_mc_system_id = $2 AND migration_id > $1 \
             AND request_id = COALESCE($3, request_id) AND state = ANY($4::text[]) \
             ORDER BY migration_id LIMIT $5 FOR UPDATE",
            "SELECT * FROM user_migration WHERE peer_mc_system_id = $2 AND migration_id > $1 \
             AND request_id = COALESCE($3, request_id) AND state IN (SELECT value FROM json_each($4)) \
             ORDER BY migration_id LIMIT $5",
        )
    };
    let rows: Vec<Row> = transaction
        .statement(sql)
        .bind(after)
        .bind(filter.peer.as_ref().map(McSystemId::as_str))
        .bind(filter.request_id.map(|id| id.to_string()))
        .bind_text_array(states.iter().map(|state| state.as_str().to_owned()))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all()
        .await?;
    read_all(rows)
}

/// Up to `limit` user migrations that go on although their validity is over, locked.
pub(crate) async fn expired(
    transaction: &mut Transaction,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<UserMigration>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT * FROM user_migration WHERE valid_until <= $1 AND state NOT IN ('REFUSED', 'REVOKING', 'REVOKED') \
         ORDER BY migration_id LIMIT $2 FOR UPDATE",
        "SELECT * FROM user_migration WHERE valid_until <= $1 AND state NOT IN ('REFUSED', 'REVOKING', 'REVOKED') \
         ORDER BY migration_id LIMIT $2",
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read_all(transaction.statement(sql).bind(now.as_micros()).bind(limit).fetch_all().await?)
}

/// Which of these users, by private user identity and by subject, a migration with this other MC system goes on.
pub(crate) async fn active_subjects(
    transaction: &mut Transaction,
    role: MigrationRole,
    peer: &McSystemId,
    impis: impl IntoIterator<Item = String>,
    subjects: impl IntoIterator<Item = String>,
) -> Result<HashSet<String>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT primary_impi, primary_subject FROM user_migration WHERE role = $1 AND peer_mc_system_id = $2 \
         AND state NOT IN ('REFUSED', 'REVOKED') \
         AND (primary_impi = ANY($3::text[]) OR primary_subject = ANY($4::text[]))",
        "SELECT primary_impi, primary_subject FROM user_migration WHERE role = $1 AND peer_mc_system_id = $2 \
         AND state NOT IN ('REFUSED', 'REVOKED') AND (primary_impi IN (SELECT value FROM json_each($3)) \
         OR primary_subject IN (SELECT value FROM json_each($4)))",
    );
    let rows: Vec<(String, String)> = transaction
        .statement(sql)
        .bind(role.as_str())
        .bind(peer.as_str())
        .bind_text_array(impis)
        .bind_text_array(subjects)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().flat_map(|(impi, subject)| [impi, subject]).collect())
}

/// How many visitors of a primary MC system are accepted.
pub(crate) async fn active_count(
    transaction: &mut Transaction,
    primary: &McSystemId,
) -> Result<u64, StoreError> {
    let (count,): (i64,) = transaction
        .statement(
            "SELECT COUNT(*) FROM user_migration WHERE role = 'PARTNER' AND peer_mc_system_id = $1 \
             AND state IN ('ACCEPTED', 'IN_FORCE')",
        )
        .bind(primary.as_str())
        .fetch_one()
        .await?;
    Ok(count.unsigned_abs())
}

/// How many users offered by this primary wait for a decision.
pub(crate) async fn pending_count(
    transaction: &mut Transaction,
    primary: &McSystemId,
) -> Result<u64, StoreError> {
    let (count,): (i64,) = transaction
        .statement(
            "SELECT COUNT(*) FROM user_migration WHERE role = 'PARTNER' AND peer_mc_system_id = $1 AND state = 'PENDING'",
        )
        .bind(primary.as_str())
        .fetch_one()
        .await?;
    Ok(count.unsigned_abs())
}

/// Whether a migration with this other MC system goes on. One of which nothing is left but to tell the other system does not keep the
/// agreement: should that system be gone for good, nobody could ever be told.
pub(crate) async fn is_active_with(
    transaction: &mut Transaction,
    peer: &McSystemId,
) -> Result<bool, StoreError> {
    let row: Option<(String,)> = transaction
        .statement(
            "SELECT migration_id FROM user_migration WHERE peer_mc_system_id = $1 \
             AND state NOT IN ('REFUSED', 'REVOKED') AND NOT (state = 'REVOKING' AND next_step = 'REPORT') LIMIT 1",
        )
        .bind(peer.as_str())
        .fetch_optional()
        .await?;
    Ok(row.is_some())
}

/// Which of these SIP identities of visitors somebody has or had: the identity, and the primary MC system and subject of the user, empty
/// where an operator gave it to her. Nobody gets the identity that another user had before.
pub(crate) async fn taken_identities(
    transaction: &mut Transaction,
    impis: impl IntoIterator<Item = String>,
    impus: impl IntoIterator<Item = String>,
) -> Result<Vec<(String, String, String)>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT visitor_impi, peer_mc_system_id, primary_subject FROM user_migration WHERE visitor_impi = ANY($1::text[]) \
         UNION SELECT partner_impi, '', '' FROM binding WHERE partner_impi = ANY($1::text[]) AND migration_id IS NULL \
         UNION SELECT partner_impu, '', '' FROM binding_partner_impu \
         JOIN binding ON binding.binding_id = binding_partner_impu.binding_id \
         WHERE partner_impu = ANY($2::text[]) AND migration_id IS NULL",
        "SELECT visitor_impi, peer_mc_system_id, primary_subject FROM user_migration WHERE visitor_impi IN (SELECT value FROM json_each($1)) \
         UNION SELECT partner_impi, '', '' FROM binding WHERE partner_impi IN (SELECT value FROM json_each($1)) \
         AND migration_id IS NULL \
         UNION SELECT partner_impu, '', '' FROM binding_partner_impu \
         JOIN binding ON binding.binding_id = binding_partner_impu.binding_id \
         WHERE partner_impu IN (SELECT value FROM json_each($2)) AND migration_id IS NULL",
    );
    transaction.statement(sql).bind_text_array(impis).bind_text_array(impus).fetch_all().await
}

/// How many users of a request are in which state.
pub(crate) async fn counts(
    database: &Database,
    request_id: Uuid,
) -> Result<Vec<(UserMigrationState, u64)>, StoreError> {
    let rows: Vec<(String, i64)> = database
        .statement("SELECT state, COUNT(*) FROM user_migration WHERE request_id = $1 GROUP BY state")
        .bind(request_id.to_string())
        .fetch_all()
        .await?;
    let read = |(state, count): (String, i64)| {
        let state = UserMigrationState::from_name(&state).ok_or_else(|| corrupt("state"))?;
        Ok((state, count.unsigned_abs()))
    };
    rows.into_iter().map(read).collect()
}

/// What keeps users of a request waiting, the most frequent first: the step, what went wrong, and of how many.
pub(crate) async fn obstacles(
    database: &Database,
    request_id: Uuid,
) -> Result<Vec<(String, String, u64)>, StoreError> {
    let rows: Vec<(String, String, i64)> = database
        .statement(
            "SELECT next_step, last_error, COUNT(*) FROM user_migration WHERE request_id = $1 \
             AND next_step IS NOT NULL AND last_error <> '' GROUP BY next_step, last_error ORDER BY 3 DESC, 1, 2 LIMIT 10",
        )
        .bind(request_id.to_string())
        .fetch_all()
        .await?;
    Ok(rows.into_iter().map(|(step, error, count)| (step, error, count.unsigned_abs())).collect())
}

/// The other MC systems of these user migrations, in the order of their identifiers.
pub(crate) async fn peers_of_ids(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<McSystemId>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT DISTINCT peer_mc_system_id FROM user_migration WHERE migration_id = ANY($1::text[]) ORDER BY 1",
        "SELECT DISTINCT peer_mc_system_id FROM user_migration \
         WHERE migration_id IN (SELECT value FROM json_each($1)) ORDER BY 1",
    );
    let ids = ids.iter().map(Uuid::to_string);
    read_peers(transaction.statement(sql).bind_text_array(ids).fetch_all().await?)
}

/// The other MC systems of the user migrations of a request, in the order of their identifiers.
pub(crate) async fn peers_of_request(
    transaction: &mut Transaction,
    request_id: Option<Uuid>,
) -> Result<Vec<McSystemId>, StoreError> {
    let sql = "SELECT DISTINCT peer_mc_system_id FROM user_migration WHERE request_id = $1 ORDER BY 1";
    let request_id = request_id.map(|id| id.to_string());
    read_peers(transaction.statement(sql).bind(request_id).fetch_all().await?)
}

fn read_peers(rows: Vec<(String,)>) -> Result<Vec<McSystemId>, StoreError> {
    rows.iter().map(|(peer,)| parse("peer_mc_system_id", peer)).collect()
}

/// When the next user migration that goes on is no longer valid.
pub(crate) async fn next_expiry(database: &Database) -> Result<Option<Timestamp>, StoreError> {
    let (at,): (Option<i64>,) = database
        .statement(
            "SELECT MIN(valid_until) FROM user_migration WHERE valid_until IS NOT NULL \
             AND state NOT IN ('REFUSED', 'REVOKING', 'REVOKED')",
        )
        .fetch_one()
        .await?;
    Ok(at.map(Timestamp::from_micros))
}

/// The first and the last, in their order, of what primaries were told of how this MC system is reached, by digest: the same where all
/// were told the same; empty for those of whom that is not known. `None` where no visitor's migration is in force.
pub(crate) async fn told_range(database: &Database) -> Result<Option<(String, String)>, StoreError> {
    // Each from its end of the index.
    let (first, last): (Option<String>, Option<String>) = database
        .statement(
            "SELECT (SELECT MIN(COALESCE(ue_configuration_digest, '')) FROM user_migration \
             WHERE role = 'PARTNER' AND state = 'IN_FORCE'), \
             (SELECT MAX(COALESCE(ue_configuration_digest, '')) FROM user_migration \
             WHERE role = 'PARTNER' AND state = 'IN_FORCE')",
        )
        .fetch_one()
        .await?;
    Ok(first.zip(last))
}

/// Up to `limit` visitors' migrations in force of which the primary was told otherwise than `digest`, locked. One that another replica
/// has at hand is passed over.
pub(crate) async fn lock_told_otherwise(
    transaction: &mut Transaction,
    digest: &str,
    limit: usize,
) -> Result<Vec<UserMigration>, StoreError> {
    let sql = transaction.engine().dialect(
        "SELECT * FROM user_migration WHERE role = 'PARTNER' AND state = 'IN_FORCE' \
         AND COALESCE(ue_configuration_digest, '') <> $1 ORDER BY migration_id LIMIT $2 FOR UPDATE SKIP LOCKED",
        "SELECT * FROM user_migration WHERE role = 'PARTNER' AND state = 'IN_FORCE' \
         AND COALESCE(ue_configuration_digest, '') <> $1 ORDER BY migration_id LIMIT $2",
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read_all(transaction.statement(sql).bind(digest).bind(limit).fetch_all().await?)
}
