//! Members on the wire.

use std::collections::HashSet;

use mcx_proto::group::v1 as proto;
use mcx_types::{McServiceId, Violations};

use super::count;
use crate::domain::member::{Member, MemberTerms};

const PARTICIPANT_TYPE_LIMIT: usize = 64;

/// Decodes members of a required field, up to `limit`, each once.
pub(crate) fn decode_all(
    violations: &mut Violations,
    field: &str,
    members: &[proto::GroupMember],
    limit: usize,
) -> Option<Vec<(McServiceId, MemberTerms)>> {
    if !count(violations, field, members.len(), 1, limit) {
        return None;
    }
    let mut seen = HashSet::with_capacity(members.len());
    let mut decoded = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let path = format!("{field}[{index}]");
        let id: Option<McServiceId> =
            violations.parse(format!("{path}.mc_service_id"), &member.mc_service_id);
        if id.as_ref().is_some_and(|id| !seen.insert(id.clone())) {
            violations.add(format!("{path}.mc_service_id"), "must not repeat a member");
        }
        let terms = terms(violations, &path, member);
        decoded.extend(id.zip(terms));
    }
    (decoded.len() == members.len()).then_some(decoded)
}

fn terms(violations: &mut Violations, path: &str, member: &proto::GroupMember) -> Option<MemberTerms> {
    let priority = super::priority(violations, format!("{path}.priority"), member.priority);
    let is_good = member.participant_type.chars().count() <= PARTICIPANT_TYPE_LIMIT
        && !member.participant_type.chars().any(char::is_control);
    if !is_good {
        violations.add(
            format!("{path}.participant_type"),
            format_args!("must be at most {PARTICIPANT_TYPE_LIMIT} printable characters"),
        );
    }
    Some(MemberTerms {
        priority: priority?,
        participant_type: is_good.then(|| member.participant_type.clone())?,
        may_speak: member.may_speak,
    })
}

pub(crate) fn encode(member: &Member) -> proto::GroupMember {
    proto::GroupMember {
        mc_service_id: member.id.to_string(),
        priority: member.terms.priority.into(),
        participant_type: member.terms.participant_type.clone(),
        may_speak: member.terms.may_speak,
        mc_system_id: member.system.to_string(),
    }
}
