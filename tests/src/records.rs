//! What the systems recorded of a user.

use crossband::dev::DevSystem;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::AuditDecision;

/// What a system recorded of a user of the primary, the latest first.
pub async fn records_of(system: &DevSystem, primary_impi: &str) -> Vec<proto::AuditRecord> {
    let request =
        proto::ListAuditRecordsRequest { primary_impi: primary_impi.to_owned(), ..Default::default() };
    let answer = system.operator.audit.clone().list_audit_records(request).await;
    answer.expect("the records are read").into_inner().audit_records
}

/// Everything that a system recorded, the latest first.
pub async fn all_records(system: &DevSystem) -> Vec<proto::AuditRecord> {
    let request = proto::ListAuditRecordsRequest { page_size: 1_000, ..Default::default() };
    let answer = system.operator.audit.clone().list_audit_records(request).await;
    answer.expect("the records are read").into_inner().audit_records
}

/// The latest decision of a system about a user and its reason, such as `REFUSED BINDING_SUSPENDED`; `nothing` where it recorded
/// none.
pub async fn latest_decision(system: &DevSystem, primary_impi: &str) -> String {
    records_of(system, primary_impi).await.first().map_or_else(|| "nothing".to_owned(), decision)
}

/// The decision and reason of a record in short.
pub fn decision(record: &proto::AuditRecord) -> String {
    let short = |name: &'static str, prefix: &str| name.strip_prefix(prefix).unwrap_or(name);
    let decided = short(record.decision().as_str_name(), "AUDIT_DECISION_");
    if record.decision() == AuditDecision::Released {
        return decided.to_owned();
    }
    format!("{decided} {}", short(record.reason().as_str_name(), "ERROR_REASON_"))
}
