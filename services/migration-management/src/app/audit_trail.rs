//! The audit trail: records that are durable before a vector leaves, and their copy as JSON lines.

use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use mcx_store::{Database, GroupCommit, GroupCommitConfig, GroupCommitError, StoreError};
use metrics::Counter;
use serde_json::json;
use sha2::Sha256;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::config::AuditConfig;
use crate::domain::audit::AuditRecord;
use crate::error::Error;
use crate::store::audit_records;

/// The fewest bytes of a pseudonym key.
const PSEUDONYM_KEY_LENGTH: usize = 32;

/// Why the audit trail cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AuditTrailError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The pseudonym key is too short.
    #[error("{path}: holds fewer than {PSEUDONYM_KEY_LENGTH} bytes")]
    ShortKey {
        /// Which file.
        path: String,
    },
}

/// Records decisions. Clones share one trail; concurrent records share one commit.
#[derive(Clone)]
pub(crate) struct AuditTrail {
    commits: Arc<GroupCommit<AuditRecord, (), StoreError>>,
    lines: Option<Arc<JsonLines>>,
}

impl AuditTrail {
    /// Opens the trail.
    ///
    /// # Errors
    /// Where the file of JSON lines or the pseudonym key cannot be used.
    pub(crate) async fn open(config: &AuditConfig, database: Database) -> Result<Self, AuditTrailError> {
        let lines = match (&config.json_lines_file, &config.pseudonym_key_file) {
            (Some(lines), Some(key)) => Some(Arc::new(JsonLines::open(lines, key).await?)),
            _ => None,
        };
        let of_flush = lines.clone();
        let flush = move |records: Vec<AuditRecord>| {
            let database = database.clone();
            let lines = of_flush.clone();
            async move {
                audit_records::append(&database, &records).await?;
                if let Some(lines) = &lines {
                    lines.append(&records).await;
                }
                Ok(vec![(); records.len()])
            }
        };
        let commits = GroupCommit::start("audit_record", GroupCommitConfig::default(), flush);
        Ok(Self { commits: Arc::new(commits), lines })
    }

    /// Copies records that became durable with what they tell of to the file of JSON lines.
    pub(crate) async fn copy(&self, records: &[AuditRecord]) {
        records.iter().for_each(count);
        if let Some(lines) = &self.lines {
            lines.append(records).await;
        }
    }

    /// Records a decision; it is durable when this returns.
    pub(crate) async fn record(&self, record: AuditRecord) -> Result<(), Error> {
        count(&record);
        self.commits.submit(record).await.map_err(|error| match error {
            GroupCommitError::Flush(error) => error.into(),
            other => Error::Internal(other.to_string()),
        })
    }
}

fn count(record: &AuditRecord) {
    metrics::counter!(
        "mcx_migration_management_decisions_total",
        "partner" => record.peer.as_ref().map_or_else(String::new, ToString::to_string),
        "role" => record.role.as_str(),
        "decision" => record.decision.as_str(),
        "reason" => record.reason.unwrap_or_default()
    )
    .increment(1);
}

/// The copy of the trail for collectors of logs. The database is the trail itself: a line that cannot be written is logged and counted,
/// and keeps no vector back.
struct JsonLines {
    file: Mutex<File>,
    pseudonym_key: Zeroizing<Vec<u8>>,
    lost: Counter,
}

impl JsonLines {
    async fn open(path: &Path, key_path: &Path) -> Result<Self, AuditTrailError> {
        let of_file = |path: &Path| {
            let path = path.display().to_string();
            move |source| AuditTrailError::File { path, source }
        };
        let pseudonym_key = Zeroizing::new(tokio::fs::read(key_path).await.map_err(of_file(key_path))?);
        if pseudonym_key.len() < PSEUDONYM_KEY_LENGTH {
            return Err(AuditTrailError::ShortKey { path: key_path.display().to_string() });
        }
        let file = OpenOptions::new().create(true).append(true).open(path).await.map_err(of_file(path))?;
        // There from the start: of a counter that appears with its first line, Prometheus sees no increase.
        let lost = metrics::counter!("mcx_migration_management_audit_lines_lost_total");
        lost.increment(0);
        Ok(Self { file: Mutex::new(file), pseudonym_key, lost })
    }

    async fn append(&self, records: &[AuditRecord]) {
        let mut lines = String::new();
        for record in records {
            lines.push_str(&self.line(record).to_string());
            lines.push('\n');
        }
        let mut file = self.file.lock().await;
        let written = async {
            file.write_all(lines.as_bytes()).await?;
            file.flush().await
        };
        if let Err(error) = written.await {
            self.lost.increment(records.len() as u64);
            tracing::error!(%error, records = records.len(), "audit records are in the database but not in the file of json lines");
        }
    }

    /// Without the cause that an operator gave: it is free text, and may name the user.
    fn line(&self, record: &AuditRecord) -> serde_json::Value {
        json!({
            "time": record.decided_at.to_string(),
            "audit_record_id": record.id.to_string(),
            "action": record.action.as_str(),
            "decision": record.decision.as_str(),
            "reason": record.reason,
            "role": record.role.as_str(),
            "peer_mc_system_id": record.peer.as_ref().map(ToString::to_string),
            "peer_certificate_sha256": record.peer_certificate_sha256,
            "user_pseudonym": record.primary_impi.as_deref().map(|impi| self.pseudonym(impi)),
            "scheme": record.scheme.map(|scheme| scheme.to_string()),
            "vector_count": record.vector_count,
            "transaction_id": record.transaction_id.map(|id| id.to_string()),
            "trace_id": record.trace_id,
            "migration_id": record.user_migration.as_ref().map(|of| of.migration_id.to_string()),
            "decided_by": record.user_migration.as_ref().map(|of| of.decided_by.as_str()),
        })
    }

    /// The first 16 bytes of HMAC-SHA-256 over the identity, in hexadecimal: the same for the same user, and of no use without the key.
    fn pseudonym(&self, impi: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.pseudonym_key).expect("hmac takes a key of any length");
        mac.update(impi.as_bytes());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
