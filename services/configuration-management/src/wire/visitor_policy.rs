//! Policies for visitors.

use mcx_proto::configuration::v1 as proto;
use mcx_types::Violations;

use super::user_profile::{private_call, private_call_to_wire};
use super::{KnownSystems, identities, number, partner};
use crate::domain::visitor_policy::{GroupAdmission, VisitorPolicy};

const ADMITTED_LIMIT: usize = 1_000;
const GRANTED_LIMIT: usize = 100;

pub(crate) fn decode(
    violations: &mut Violations,
    field: &str,
    policy: Option<&proto::VisitorPolicy>,
    systems: &dyn KnownSystems,
) -> Option<VisitorPolicy> {
    let policy = violations.require(field, policy)?;
    let mc_system_id = partner(violations, format!("{field}.mc_system_id"), &policy.mc_system_id, systems);
    let priority_ceiling =
        number(violations, format!("{field}.priority_ceiling"), policy.priority_ceiling, 0..=255);
    let max_affiliations =
        number(violations, format!("{field}.max_affiliations"), policy.max_affiliations, 0..=1_000);
    let group_admission = group_admission(violations, field, policy);
    let groups = format!("{field}.granted_group_ids");
    let granted_groups = identities(violations, &groups, &policy.granted_group_ids, GRANTED_LIMIT);
    let aliases = format!("{field}.granted_functional_aliases");
    let granted_functional_aliases =
        identities(violations, &aliases, &policy.granted_functional_aliases, GRANTED_LIMIT);
    let private_call =
        private_call(violations, &format!("{field}.private_call"), policy.private_call.as_ref());
    Some(VisitorPolicy {
        mc_system_id: mc_system_id?,
        priority_ceiling: priority_ceiling?,
        max_affiliations: max_affiliations?,
        group_admission: group_admission?,
        granted_groups: granted_groups?,
        granted_functional_aliases: granted_functional_aliases?,
        private_call: private_call?,
        is_emergency_call_allowed: policy.emergency_call_allowed,
    })
}

fn group_admission(
    violations: &mut Violations,
    field: &str,
    policy: &proto::VisitorPolicy,
) -> Option<GroupAdmission> {
    let groups = format!("{field}.admitted_group_ids");
    let listed = identities(violations, &groups, &policy.admitted_group_ids, ADMITTED_LIMIT);
    let admission = proto::VisitorGroupAdmission::try_from(policy.group_admission).unwrap_or_default();
    let may_list =
        matches!(admission, proto::VisitorGroupAdmission::Listed | proto::VisitorGroupAdmission::Unspecified);
    if !may_list && !policy.admitted_group_ids.is_empty() {
        violations.add(groups, "must be empty unless group_admission is LISTED");
        return None;
    }
    match admission {
        proto::VisitorGroupAdmission::All => Some(GroupAdmission::All),
        proto::VisitorGroupAdmission::None => Some(GroupAdmission::None),
        proto::VisitorGroupAdmission::Listed => listed.map(GroupAdmission::Listed),
        proto::VisitorGroupAdmission::Unspecified => {
            violations.add(format!("{field}.group_admission"), "must be one of ALL, LISTED, NONE");
            None
        }
    }
}

pub(crate) fn encode(policy: &VisitorPolicy) -> proto::VisitorPolicy {
    let (admission, admitted) = match &policy.group_admission {
        GroupAdmission::All => (proto::VisitorGroupAdmission::All, &[][..]),
        GroupAdmission::Listed(groups) => (proto::VisitorGroupAdmission::Listed, groups.as_slice()),
        GroupAdmission::None => (proto::VisitorGroupAdmission::None, &[][..]),
    };
    proto::VisitorPolicy {
        mc_system_id: policy.mc_system_id.to_string(),
        priority_ceiling: policy.priority_ceiling.into(),
        max_affiliations: policy.max_affiliations.into(),
        group_admission: admission.into(),
        admitted_group_ids: admitted.iter().map(ToString::to_string).collect(),
        granted_group_ids: policy.granted_groups.iter().map(ToString::to_string).collect(),
        granted_functional_aliases: policy
            .granted_functional_aliases
            .iter()
            .map(ToString::to_string)
            .collect(),
        private_call: Some(private_call_to_wire(&policy.private_call)),
        emergency_call_allowed: policy.is_emergency_call_allowed,
        ..Default::default()
    }
}
