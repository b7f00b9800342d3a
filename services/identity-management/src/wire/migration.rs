//! Users who migrate, on the wire.

use std::collections::BTreeSet;

use mcx_proto::identity::v1 as proto;
use mcx_types::{McSystemId, Violations};
use uuid::Uuid;

use crate::domain::account::{ExchangeTarget, VisitorTerms};
use crate::domain::partner::issuer_fault;

/// The most users of a call.
const BATCH_LIMIT: usize = 500;

/// Notes where a batch is empty or too large.
fn check_size(violations: &mut Violations, field: &str, size: usize) {
    if size == 0 || size > BATCH_LIMIT {
        violations.add(field, format_args!("must hold 1 to {BATCH_LIMIT} items"));
    }
}

/// Decodes a migration that must not be named twice.
fn migration_id(
    violations: &mut Violations,
    field: String,
    text: &str,
    seen: &mut BTreeSet<Uuid>,
) -> Option<Uuid> {
    let id = super::uuid(violations, field.clone(), text)?;
    if !seen.insert(id) {
        violations.add(field, "must not repeat a migration");
        return None;
    }
    Some(id)
}

/// Decodes migrations.
pub(crate) fn migration_ids(violations: &mut Violations, texts: &[String]) -> Option<Vec<Uuid>> {
    check_size(violations, "migration_ids", texts.len());
    let ids = texts
        .iter()
        .enumerate()
        .filter_map(|(index, text)| super::uuid(violations, format!("migration_ids[{index}]"), text));
    Some(ids.collect())
}

/// Decodes visitors of other MC systems than `own`.
pub(crate) fn visitors(
    violations: &mut Violations,
    own: &McSystemId,
    visitors: &[proto::Visitor],
) -> Option<Vec<VisitorTerms>> {
    check_size(violations, "visitors", visitors.len());
    let mut seen = BTreeSet::new();
    let decoded = visitors
        .iter()
        .enumerate()
        .filter_map(|(index, visitor)| decode_visitor(violations, own, index, visitor, &mut seen));
    Some(decoded.collect())
}

fn decode_visitor(
    violations: &mut Violations,
    own: &McSystemId,
    index: usize,
    visitor: &proto::Visitor,
    seen: &mut BTreeSet<Uuid>,
) -> Option<VisitorTerms> {
    let field = |name: &str| format!("visitors[{index}].{name}");
    let migration_id = migration_id(violations, field("migration_id"), &visitor.migration_id, seen);
    let primary = violations.parse(field("primary_mc_system_id"), &visitor.primary_mc_system_id);
    if primary.as_ref() == Some(own) {
        violations.add(field("primary_mc_system_id"), "must name another mc system");
    }
    if let Some(fault) = issuer_fault(&visitor.primary_issuer) {
        violations.add(field("primary_issuer"), fault);
    }
    let primary_subject = violations.parse(field("primary_subject"), &visitor.primary_subject);
    let identities =
        violations.mc_service_identities(&field("mc_service_identities"), &visitor.mc_service_identities);
    let scopes = super::scopes(violations, &field("scopes"), &visitor.scopes);
    let valid_until = super::optional_time(violations, field("valid_until"), visitor.valid_until);
    Some(VisitorTerms {
        migration_id: migration_id?,
        primary: primary?,
        primary_issuer: visitor.primary_issuer.clone(),
        primary_subject: primary_subject?,
        service_identities: identities?,
        scopes: scopes?,
        valid_until: valid_until?,
    })
}

/// Decodes targets that are other MC systems than `own`.
pub(crate) fn targets(
    violations: &mut Violations,
    own: &McSystemId,
    targets: &[proto::ExchangeTarget],
) -> Option<Vec<ExchangeTarget>> {
    check_size(violations, "targets", targets.len());
    let mut seen = BTreeSet::new();
    let decoded = targets.iter().enumerate().filter_map(|(index, target)| {
        let field = |name: &str| format!("targets[{index}].{name}");
        let migration_id = migration_id(violations, field("migration_id"), &target.migration_id, &mut seen);
        let subject = violations.parse(field("subject"), &target.subject);
        let partner = violations.parse(field("partner_mc_system_id"), &target.partner_mc_system_id);
        if partner.as_ref() == Some(own) {
            violations.add(field("partner_mc_system_id"), "must name another mc system");
        }
        if let Some(fault) = issuer_fault(&target.resource) {
            violations.add(field("resource"), fault);
        }
        let valid_until = super::optional_time(violations, field("valid_until"), target.valid_until);
        Some(ExchangeTarget {
            migration_id: migration_id?,
            subject: subject?,
            partner: partner?,
            resource: target.resource.clone(),
            valid_until: valid_until?,
        })
    });
    Some(decoded.collect())
}
