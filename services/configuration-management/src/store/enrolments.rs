//! The right of UEs to fetch the initial UE configuration.

use mcx_store::{Database, StoreError};
use mcx_types::Timestamp;
use uuid::Uuid;

use super::{Page, corrupt, parse};
use crate::domain::enrolment::{CodeHash, Enrolment};

#[derive(sqlx::FromRow)]
struct Row {
    ue_id: String,
    code_sha256: Vec<u8>,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    used_by: Option<String>,
    failures: i64,
}

impl TryFrom<Row> for Enrolment {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            ue_id: row.ue_id,
            code: CodeHash::from_octets(&row.code_sha256).ok_or_else(|| corrupt("code_sha256"))?,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
            used_at: row.used_at.map(Timestamp::from_micros),
            used_by: row.used_by.map(|id| parse("used_by", &id)).transpose()?,
            failures: row.failures,
        })
    }
}

/// Writes an enrolment, over the one that the UE has.
pub(crate) async fn put(database: &Database, enrolment: &Enrolment) -> Result<(), StoreError> {
    database
        .statement(
            "INSERT INTO ue_enrolment (ue_id, code_sha256, created_at, expires_at, used_at, failures) \
             VALUES ($1, $2, $3, $4, NULL, 0) ON CONFLICT (ue_id) DO UPDATE SET code_sha256 = excluded.code_sha256, \
             created_at = excluded.created_at, expires_at = excluded.expires_at, used_at = NULL, used_by = NULL, \
             failures = 0",
        )
        .bind(enrolment.ue_id.as_str())
        .bind(enrolment.code.as_octets())
        .bind(enrolment.created_at.as_micros())
        .bind(enrolment.expires_at.as_micros())
        .execute()
        .await
        .map(drop)
}

pub(crate) async fn find(database: &Database, ue_id: &str) -> Result<Option<Enrolment>, StoreError> {
    let statement = database.statement("SELECT * FROM ue_enrolment WHERE ue_id = $1").bind(ue_id);
    let row: Option<Row> = statement.fetch_optional().await?;
    row.map(TryInto::try_into).transpose()
}

/// Up to `limit` enrolments behind `after`, in the order of the UE identifiers.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Enrolment>, StoreError> {
    let rows: Vec<Row> = database
        .statement("SELECT * FROM ue_enrolment WHERE ue_id > $1 ORDER BY ue_id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Enrolment>, _>>()?;
    Ok(Page::cut(items, limit, |enrolment| enrolment.ue_id.clone()))
}

pub(crate) async fn delete(database: &Database, ue_id: &str) -> Result<bool, StoreError> {
    let statement = database.statement("DELETE FROM ue_enrolment WHERE ue_id = $1").bind(ue_id);
    Ok(statement.execute().await? == 1)
}

/// Uses the code up; of concurrent callers exactly one does.
pub(crate) async fn use_up(
    database: &Database,
    enrolment: &Enrolment,
    request_id: Option<Uuid>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let used = database
        .statement(
            "UPDATE ue_enrolment SET used_at = $3, used_by = $4 \
             WHERE ue_id = $1 AND code_sha256 = $2 AND used_at IS NULL",
        )
        .bind(enrolment.ue_id.as_str())
        .bind(enrolment.code.as_octets())
        .bind(now.as_micros())
        .bind(request_id.map(|id| id.to_string()))
        .execute()
        .await?;
    Ok(used == 1)
}

/// Counts a wrong code.
pub(crate) async fn count_failure(database: &Database, ue_id: &str) -> Result<(), StoreError> {
    database
        .statement("UPDATE ue_enrolment SET failures = failures + 1 WHERE ue_id = $1")
        .bind(ue_id)
        .execute()
        .await
        .map(drop)
}
