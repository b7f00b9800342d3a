//! Wrong and right passwords, by MC ID and source. The empty source stands for all together; its row is what those who write to an MC ID
//! queue for.

use mcx_store::{Database, Statement, StoreError, Transaction};
use mcx_types::Timestamp;

use super::columns::optional_time;
use crate::domain::lock_out::LoginHistory;

/// All sources together.
pub(crate) const EVERYWHERE: &str = "";

#[derive(sqlx::FromRow)]
struct Row {
    source: String,
    failures: i64,
    locked_until: Option<i64>,
    succeeded_at: Option<i64>,
}

impl From<&Row> for LoginHistory {
    fn from(row: &Row) -> Self {
        Self {
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            locked_until: optional_time(row.locked_until),
            succeeded_at: optional_time(row.succeeded_at),
        }
    }
}

const HISTORY: &str = "SELECT source, failures, locked_until, succeeded_at FROM login_source WHERE mc_id = $1 AND source IN ($2, '')";

/// What is known of an MC ID: from this source, and from all together.
pub(crate) async fn history(
    database: &Database,
    mc_id: &str,
    source: &str,
) -> Result<(LoginHistory, LoginHistory), StoreError> {
    read_history(database.statement(HISTORY), mc_id, source).await
}

/// The same as it stays until the transaction ends: of logins that were looked at together each sees what the one before it counted.
pub(crate) async fn hold_history(
    transaction: &mut Transaction,
    mc_id: &str,
    source: &str,
    now: Timestamp,
) -> Result<(LoginHistory, LoginHistory), StoreError> {
    transaction
        .statement(
            "INSERT INTO login_source (mc_id, source, failures, updated_at) VALUES ($1, '', 0, $2) \
             ON CONFLICT (mc_id, source) DO UPDATE SET failures = login_source.failures",
        )
        .bind(mc_id)
        .bind(now.as_micros())
        .execute()
        .await?;
    read_history(transaction.statement(HISTORY), mc_id, source).await
}

async fn read_history(
    statement: Statement<'_>,
    mc_id: &str,
    source: &str,
) -> Result<(LoginHistory, LoginHistory), StoreError> {
    let rows: Vec<Row> = statement.bind(mc_id).bind(source).fetch_all().await?;
    let of = |wanted: &str| {
        rows.iter().find(|row| row.source == wanted).map(LoginHistory::from).unwrap_or_default()
    };
    Ok((of(source), of(EVERYWHERE)))
}

/// Until when passwords are not looked at wherever they come from, of each of these MC IDs that are locked.
pub(crate) async fn locks(
    database: &Database,
    mc_ids: impl IntoIterator<Item = String>,
    now: Timestamp,
) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let statement = database.dialect(
        "SELECT mc_id, locked_until FROM login_source WHERE mc_id = ANY ($1) AND source = '' AND locked_until > $2",
        "SELECT mc_id, locked_until FROM login_source WHERE mc_id IN (SELECT value FROM json_each($1)) AND source = '' \
         AND locked_until > $2",
    );
    let rows: Vec<(String, i64)> =
        database.statement(statement).bind_text_array(mc_ids).bind(now.as_micros()).fetch_all().await?;
    Ok(rows.into_iter().map(|(mc_id, until)| (mc_id, Timestamp::from_micros(until))).collect())
}

/// Counts a wrong password; how many there are now. They are forgotten `forget_before`.
pub(crate) async fn count_failure(
    transaction: &mut Transaction,
    mc_id: &str,
    source: &str,
    now: Timestamp,
    forget_before: Timestamp,
) -> Result<u32, StoreError> {
    let (failures,): (i64,) = transaction
        .statement(
            "INSERT INTO login_source (mc_id, source, failures, updated_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (mc_id, source) DO UPDATE SET updated_at = excluded.updated_at, \
             failures = CASE WHEN login_source.updated_at < $4 THEN 1 ELSE login_source.failures + 1 END \
             RETURNING failures",
        )
        .bind(mc_id)
        .bind(source)
        .bind(now.as_micros())
        .bind(forget_before.as_micros())
        .fetch_one()
        .await?;
    Ok(u32::try_from(failures).unwrap_or(u32::MAX))
}

/// Looks at no password until then, or longer where it was to be so.
pub(crate) async fn lock(
    transaction: &mut Transaction,
    mc_id: &str,
    source: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "UPDATE login_source SET locked_until = CASE WHEN locked_until > $3 THEN locked_until ELSE $3 END \
             WHERE mc_id = $1 AND source = $2",
        )
        .bind(mc_id)
        .bind(source)
        .bind(until.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Notes a right password.
pub(crate) async fn succeed(
    transaction: &mut Transaction,
    mc_id: &str,
    source: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO login_source (mc_id, source, failures, succeeded_at, updated_at) VALUES ($1, $2, 0, $3, $3) \
             ON CONFLICT (mc_id, source) DO UPDATE SET failures = 0, locked_until = NULL, \
             succeeded_at = excluded.succeeded_at, updated_at = excluded.updated_at",
        )
        .bind(mc_id)
        .bind(source)
        .bind(now.as_micros())
        .execute()
        .await?;
    transaction.statement(LIFT_EVERYWHERE).bind(mc_id).execute().await?;
    Ok(())
}

const LIFT_EVERYWHERE: &str =
    "UPDATE login_source SET failures = 0, locked_until = NULL WHERE mc_id = $1 AND source = ''";

/// Lifts all locks of an MC ID.
pub(crate) async fn unlock(database: &Database, mc_id: &str) -> Result<(), StoreError> {
    let mut transaction = database.begin().await?;
    // First what logins hold first.
    transaction.statement(LIFT_EVERYWHERE).bind(mc_id).execute().await?;
    transaction
        .statement(
            "UPDATE login_source SET failures = 0, locked_until = NULL WHERE mc_id = $1 AND source <> ''",
        )
        .bind(mc_id)
        .execute()
        .await?;
    transaction.commit().await
}

/// Forgets where nobody ever logged in and nothing happened since `failures_before`, and all that did not change since `all_before`.
pub(crate) async fn forget(
    database: &Database,
    failures_before: Timestamp,
    all_before: Timestamp,
) -> Result<(), StoreError> {
    // What a login holds is not old any more in a moment.
    let statement = database.dialect(
        "DELETE FROM login_source WHERE (mc_id, source) IN (SELECT mc_id, source FROM login_source \
         WHERE updated_at < $1 AND (succeeded_at IS NULL OR updated_at < $2) FOR UPDATE SKIP LOCKED)",
        "DELETE FROM login_source WHERE updated_at < $1 AND (succeeded_at IS NULL OR updated_at < $2)",
    );
    database
        .statement(statement)
        .bind(failures_before.as_micros())
        .bind(all_before.as_micros())
        .execute()
        .await?;
    Ok(())
}
