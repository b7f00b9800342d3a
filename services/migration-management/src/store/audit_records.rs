//! Audit records in the database: appended in batches, read in pages, never changed.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Impi, McSystemId, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::Page;
use super::columns::{corrupt, parse};
use crate::domain::audit::{AuditDecision, AuditRecord, AuditRole, AuditedAction, AuditedUserMigration};
use crate::error::reason_by_name;

#[derive(sqlx::FromRow)]
struct Row {
    audit_record_id: String,
    decided_at: i64,
    action: String,
    decision: String,
    reason: Option<String>,
    role: String,
    peer_mc_system_id: Option<String>,
    peer_certificate_sha256: String,
    primary_impi: Option<String>,
    partner_impi: String,
    scheme: Option<String>,
    vector_count: i64,
    transaction_id: Option<String>,
    trace_id: String,
    migration_id: Option<String>,
    decided_by: Option<String>,
    cause: Option<String>,
}

impl TryFrom<Row> for AuditRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: parse("audit_record_id", &row.audit_record_id)?,
            decided_at: Timestamp::from_micros(row.decided_at),
            action: AuditedAction::from_name(&row.action).ok_or_else(|| corrupt("action"))?,
            decision: AuditDecision::from_name(&row.decision).ok_or_else(|| corrupt("decision"))?,
            reason: row
                .reason
                .map(|name| reason_by_name(&name).ok_or_else(|| corrupt("reason")))
                .transpose()?,
            role: AuditRole::from_name(&row.role).ok_or_else(|| corrupt("role"))?,
            peer: row.peer_mc_system_id.map(|id| parse("peer_mc_system_id", &id)).transpose()?,
            peer_certificate_sha256: row.peer_certificate_sha256,
            primary_impi: row.primary_impi,
            partner_impi: row.partner_impi,
            scheme: row.scheme.map(|scheme| parse("scheme", &scheme)).transpose()?,
            vector_count: u32::try_from(row.vector_count).map_err(|_| corrupt("vector_count"))?,
            transaction_id: row.transaction_id.map(|id| parse("transaction_id", &id)).transpose()?,
            trace_id: row.trace_id,
            user_migration: match (row.migration_id, row.decided_by) {
                (Some(id), Some(decided_by)) => Some(AuditedUserMigration {
                    migration_id: parse("migration_id", &id)?,
                    decided_by,
                    cause: row.cause.unwrap_or_default(),
                }),
                _ => None,
            },
        })
    }
}

/// Writes records; they are durable when this returns.
pub(crate) async fn append(database: &Database, records: &[AuditRecord]) -> Result<(), StoreError> {
    let sql = database.dialect(APPEND_POSTGRES, APPEND_SQLITE);
    database.statement(sql).bind(rows(records)).execute().await.map(drop)
}

/// Writes records together with what they tell of; they are durable when the transaction is.
pub(crate) async fn append_in(
    transaction: &mut Transaction,
    records: &[AuditRecord],
) -> Result<(), StoreError> {
    let sql = transaction.engine().dialect(APPEND_POSTGRES, APPEND_SQLITE);
    for chunk in records.chunks(APPENDED_AT_ONCE) {
        transaction.statement(sql).bind(rows(chunk)).execute().await?;
    }
    Ok(())
}

/// How many records one statement writes.
const APPENDED_AT_ONCE: usize = 1_000;

/// One parameter for any number of rows; the two engines read a JSON array as rows each in its own way.
const APPEND_POSTGRES: &str = "INSERT INTO audit_record SELECT * FROM json_to_recordset($1::json) AS row(\
     audit_record_id TEXT, decided_at BIGINT, action TEXT, decision TEXT, reason TEXT, role TEXT, \
     peer_mc_system_id TEXT, peer_certificate_sha256 TEXT, primary_impi TEXT, partner_impi TEXT, scheme TEXT, \
     vector_count BIGINT, transaction_id TEXT, trace_id TEXT, migration_id TEXT, decided_by TEXT, cause TEXT)";
const APPEND_SQLITE: &str = "INSERT INTO audit_record SELECT \
     value->>'audit_record_id', value->>'decided_at', value->>'action', value->>'decision', value->>'reason', \
     value->>'role', value->>'peer_mc_system_id', value->>'peer_certificate_sha256', value->>'primary_impi', \
     value->>'partner_impi', value->>'scheme', value->>'vector_count', value->>'transaction_id', value->>'trace_id', \
     value->>'migration_id', value->>'decided_by', value->>'cause' FROM json_each($1)";

fn rows(records: &[AuditRecord]) -> String {
    serde_json::Value::from(records.iter().map(to_json).collect::<Vec<_>>()).to_string()
}

fn to_json(record: &AuditRecord) -> serde_json::Value {
    json!({
        "audit_record_id": record.id.to_string(),
        "decided_at": record.decided_at.as_micros(),
        "action": record.action.as_str(),
        "decision": record.decision.as_str(),
        "reason": record.reason,
        "role": record.role.as_str(),
        "peer_mc_system_id": record.peer.as_ref().map(McSystemId::as_str),
        "peer_certificate_sha256": record.peer_certificate_sha256,
        "primary_impi": record.primary_impi,
        "partner_impi": record.partner_impi,
        "scheme": record.scheme.map(|scheme| scheme.to_string()),
        "vector_count": record.vector_count,
        "transaction_id": record.transaction_id.map(|id| id.to_string()),
        "trace_id": record.trace_id,
        "migration_id": record.user_migration.as_ref().map(|of| of.migration_id.to_string()),
        "decided_by": record.user_migration.as_ref().map(|of| of.decided_by.as_str()),
        "cause": record.user_migration.as_ref().map(|of| of.cause.as_str()),
    })
}

/// Which records a listing shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditFilter {
    /// Only those of this other MC system.
    pub(crate) peer: Option<McSystemId>,
    /// Only those of this user.
    pub(crate) primary_impi: Option<Impi>,
    /// Only those with this decision.
    pub(crate) decision: Option<AuditDecision>,
    /// Only those of this user migration.
    pub(crate) migration_id: Option<Uuid>,
}

/// Up to `limit` records before `before` (`None`: from the latest), the latest first.
pub(crate) async fn list(
    database: &Database,
    filter: &AuditFilter,
    before: Option<&str>,
    limit: u32,
) -> Result<Page<AuditRecord>, StoreError> {
    let rows: Vec<Row> = database
        .statement(
            "SELECT * FROM audit_record WHERE ($1 IS NULL OR audit_record_id < $1) \
             AND ($2 IS NULL OR peer_mc_system_id = $2) AND ($3 IS NULL OR primary_impi = $3) \
             AND ($4 IS NULL OR decision = $4) AND ($5 IS NULL OR migration_id = $5) ORDER BY audit_record_id DESC LIMIT $6",
        )
        .bind(before)
        .bind(filter.peer.as_ref().map(McSystemId::as_str))
        .bind(filter.primary_impi.as_ref().map(Impi::as_str))
        .bind(filter.decision.map(AuditDecision::as_str))
        .bind(filter.migration_id.map(|id| id.to_string()))
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<AuditRecord>, _>>()?;
    Ok(Page::cut(items, limit, |record| record.id.to_string()))
}
