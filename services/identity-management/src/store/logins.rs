//! Wrong and right passwords, by MC ID and source. The empty source stands for all together.

use mcx_store::{Database, StoreError};
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

/// What is known of an MC ID: from this source, and from all together.
pub(crate) async fn history(
    database: &Database,
    mc_id: &str,
    source: &str,
) -> Result<(LoginHistory, LoginHistory), StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT source, failures, locked_until, succeeded_at FROM login_source WHERE mc_id = $1 AND source IN ($2, '')",
        )
        .bind(mc_id)
        .bind(source)
        .fetch_all()
        .await?;
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
    database: &Database,
    mc_id: &str,
    source: &str,
    now: Timestamp,
    forget_before: Timestamp,
) -> Result<u32, StoreError> {
    let (failures,): (i64,) = database
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

/// Looks at no password until then.
pub(crate) async fn lock(
    database: &Database,
    mc_id: &str,
    source: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    database
        .statement("UPDATE login_source SET locked_until = $3 WHERE mc_id = $1 AND source = $2")
        .bind(mc_id)
        .bind(source)
        .bind(until.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Notes a right password.
pub(crate) async fn succeed(
    database: &Database,
    mc_id: &str,
    source: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    database
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
    database
        .statement(
            "UPDATE login_source SET failures = 0, locked_until = NULL WHERE mc_id = $1 AND source = ''",
        )
        .bind(mc_id)
        .execute()
        .await?;
    Ok(())
}

/// Lifts all locks of an MC ID.
pub(crate) async fn unlock(database: &Database, mc_id: &str) -> Result<(), StoreError> {
    database
        .statement("UPDATE login_source SET failures = 0, locked_until = NULL WHERE mc_id = $1")
        .bind(mc_id)
        .execute()
        .await?;
    Ok(())
}

/// Forgets where nobody ever logged in and nothing happened since `failures_before`, and all that did not change since `all_before`.
pub(crate) async fn forget(
    database: &Database,
    failures_before: Timestamp,
    all_before: Timestamp,
) -> Result<(), StoreError> {
    database
        .statement(
            "DELETE FROM login_source WHERE updated_at < $1 AND (succeeded_at IS NULL OR updated_at < $2)",
        )
        .bind(failures_before.as_micros())
        .bind(all_before.as_micros())
        .execute()
        .await?;
    Ok(())
}
