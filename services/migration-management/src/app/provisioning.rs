//! The migration of users between two MC systems, TS 23.280 10.17.5.
//!
//! | room | does | role |
//! | --- | --- | --- |
//! | [`request`] | takes what an operator requests | primary |
//! | [`offers`] | takes what a primary offers | partner |
//! | [`admit`] | allots a visitor's identities | partner |
//! | [`decide`] | accepts, refuses, revokes | both |
//! | [`reports`] | takes what the other system tells | both |
//! | [`renewal`] | has primaries told again how this system is reached, once that changes | partner |
//! | [`reconcile`] | does what is still to be done, from the state in the database | both |
//! | [`steps`] | each single thing that is to be done | both |
//! | [`progress`] | tells how far a request is | both |

pub(crate) mod admit;
pub(crate) mod decide;
pub(crate) mod offers;
pub(crate) mod policies;
pub(crate) mod progress;
pub(crate) mod reconcile;
pub(crate) mod renewal;
pub(crate) mod reports;
pub(crate) mod request;
pub(crate) mod steps;

use mcx_runtime::CallContext;
use mcx_runtime::telemetry::current_trace_id;
use mcx_store::Transaction;
use mcx_types::{Entity, SpiffeId, Timestamp};
use tonic::Status;
use uuid::Uuid;

use super::App;
use crate::domain::audit::{AuditDecision, AuditRecord, AuditRole, AuditedAction, AuditedUserMigration};
use crate::domain::user_migration::{MigrationRole, UserMigration};
use crate::error::Error;
use crate::store::audit_records;

/// Where replicas tell each other that user migrations have changed.
pub(crate) const CHANGES: &str = "user_migrations";

/// How many user migrations are worked on at a time.
pub(crate) const BATCH: usize = crate::wire::user_migration_exchange::BATCH_LIMIT;

/// Who decides: an operator, the other MC system, or this one by its own rules.
#[derive(Debug, Clone)]
pub(crate) struct Decider {
    spiffe_id: SpiffeId,
    certificate_sha256: String,
}

impl Decider {
    /// Whoever calls.
    pub(crate) fn of(context: &CallContext) -> Result<Self, Status> {
        let certificate_sha256 = context.certificate()?.to_string();
        Ok(Self { spiffe_id: context.caller.clone(), certificate_sha256 })
    }
}

impl App {
    /// This MC system itself, where a policy or the clock decides.
    fn own_rules(&self) -> Decider {
        let spiffe_id = SpiffeId::entity(self.own.clone(), Entity::MigrationManagement);
        Decider { spiffe_id, certificate_sha256: String::new() }
    }

    /// The record of a decision.
    fn record_of(
        migration: &UserMigration,
        action: AuditedAction,
        decider: &Decider,
        now: Timestamp,
    ) -> AuditRecord {
        let reason = migration.progress.reason.filter(|_| action == AuditedAction::AdmitUserMigration);
        AuditRecord {
            id: Uuid::now_v7(),
            decided_at: now,
            action,
            decision: if reason.is_some() { AuditDecision::Refused } else { AuditDecision::Done },
            reason: reason.map(|reason| reason.as_str()),
            role: match migration.role {
                MigrationRole::Primary => AuditRole::Primary,
                MigrationRole::Partner => AuditRole::Partner,
            },
            peer: Some(migration.peer.clone()),
            peer_certificate_sha256: decider.certificate_sha256.clone(),
            primary_impi: Some(migration.primary_identities.impi.to_string()),
            partner_impi: migration
                .grant
                .as_ref()
                .map(|grant| grant.visitor_identities.impi.to_string())
                .unwrap_or_default(),
            scheme: None,
            vector_count: 0,
            transaction_id: None,
            trace_id: current_trace_id(),
            user_migration: Some(AuditedUserMigration {
                migration_id: migration.id,
                decided_by: decider.spiffe_id.to_string(),
                cause: migration.progress.cause.clone(),
            }),
        }
    }

    /// Makes changes and their records durable together, and tells whoever waits for changes.
    async fn conclude(&self, mut transaction: Transaction, records: Vec<AuditRecord>) -> Result<(), Error> {
        if !records.is_empty() {
            audit_records::append_in(&mut transaction, &records).await?;
        }
        transaction.commit().await?;
        self.audit.copy(&records).await;
        self.user_migrations_changed().await;
        Ok(())
    }

    /// Tells whoever waits for changes of user migrations, here and in the other replicas.
    pub(super) async fn user_migrations_changed(&self) {
        self.user_migrations.send_modify(|changes| *changes = changes.wrapping_add(1));
        if let Err(error) = self.cache.publish(CHANGES, "changed").await {
            tracing::debug!(%error, "other replicas are not told of the change, they will find it at their next interval");
        }
    }
}
