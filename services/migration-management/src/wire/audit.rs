//! Audit records on the wire.

use mcx_proto::migration::v1 as proto;
use mcx_types::Violations;
use mcx_types::wire::scheme_to_wire;

use crate::domain::audit::{AuditDecision, AuditRecord, AuditRole, AuditedAction};

pub(crate) fn encode(record: &AuditRecord) -> proto::AuditRecord {
    let reason = record.reason.map(|name| format!("ERROR_REASON_{name}"));
    let of_migration = record.user_migration.as_ref();
    proto::AuditRecord {
        audit_record_id: record.id.to_string(),
        decide_time: super::time(record.decided_at),
        action: match record.action {
            AuditedAction::GetSipAuthenticationInformation => {
                proto::AuditedAction::GetSipAuthenticationInformation
            }
            AuditedAction::Resynchronise => proto::AuditedAction::Resynchronise,
            AuditedAction::RequestUserMigration => proto::AuditedAction::RequestUserMigration,
            AuditedAction::AdmitUserMigration => proto::AuditedAction::AdmitUserMigration,
            AuditedAction::RevokeUserMigration => proto::AuditedAction::RevokeUserMigration,
            AuditedAction::CompleteUserMigration => proto::AuditedAction::CompleteUserMigration,
            AuditedAction::CompleteRevocation => proto::AuditedAction::CompleteRevocation,
        }
        .into(),
        decision: match record.decision {
            AuditDecision::Released => proto::AuditDecision::Released,
            AuditDecision::Refused => proto::AuditDecision::Refused,
            AuditDecision::Failed => proto::AuditDecision::Failed,
            AuditDecision::Done => proto::AuditDecision::Done,
        }
        .into(),
        reason: reason.and_then(|name| proto::ErrorReason::from_str_name(&name)).unwrap_or_default().into(),
        role: match record.role {
            AuditRole::Primary => proto::AuditRole::Primary,
            AuditRole::Partner => proto::AuditRole::Partner,
        }
        .into(),
        peer_mc_system_id: record.peer.as_ref().map(ToString::to_string).unwrap_or_default(),
        peer_certificate_sha256: record.peer_certificate_sha256.clone(),
        primary_impi: record.primary_impi.clone().unwrap_or_default(),
        partner_impi: record.partner_impi.clone(),
        scheme: scheme_to_wire(record.scheme).into(),
        vector_count: record.vector_count,
        transaction_id: record.transaction_id.map(|id| id.to_string()).unwrap_or_default(),
        trace_id: record.trace_id.clone(),
        migration_id: of_migration.map(|of| of.migration_id.to_string()).unwrap_or_default(),
        decided_by: of_migration.map(|of| of.decided_by.clone()).unwrap_or_default(),
        cause: of_migration.map(|of| of.cause.clone()).unwrap_or_default(),
    }
}

/// Decodes the filter by decision: `UNSPECIFIED` is `Some(None)`.
pub(crate) fn decision(violations: &mut Violations, decision: i32) -> Option<Option<AuditDecision>> {
    match proto::AuditDecision::try_from(decision) {
        Ok(proto::AuditDecision::Unspecified) => Some(None),
        Ok(proto::AuditDecision::Released) => Some(Some(AuditDecision::Released)),
        Ok(proto::AuditDecision::Refused) => Some(Some(AuditDecision::Refused)),
        Ok(proto::AuditDecision::Failed) => Some(Some(AuditDecision::Failed)),
        Ok(proto::AuditDecision::Done) => Some(Some(AuditDecision::Done)),
        Err(_) => {
            violations.add("decision", "must be a known decision");
            None
        }
    }
}
