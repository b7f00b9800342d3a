//! Admission policies on the wire.

use std::collections::BTreeSet;
use std::time::Duration;

use mcx_federation::access_token::Scope;
use mcx_proto::migration::v1 as proto;
use mcx_types::{McService, McServiceGroupId, McSystemId, Violations};

use crate::domain::admission_policy::{AdmissionMode, AdmissionPolicy};
use crate::store::Stored;

const FIELD: &str = "admission_policy";
const GROUP_LIMIT: usize = 64;
const SHORTEST_VALIDITY: Duration = Duration::from_secs(60);

/// Decodes a policy of `own`, which is no primary of its own visitors.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    policy: Option<proto::AdmissionPolicy>,
) -> Option<AdmissionPolicy> {
    let policy = violations.require(FIELD, policy)?;
    let primary: Option<McSystemId> =
        violations.parse("admission_policy.primary_mc_system_id", &policy.primary_mc_system_id);
    if primary.as_ref() == Some(own) {
        violations.add("admission_policy.primary_mc_system_id", "must name another mc system");
    }
    let mode = mode(violations, policy.mode);
    let mc_services: BTreeSet<McService> = policy
        .mc_services
        .iter()
        .enumerate()
        .filter_map(|(index, service)| {
            violations.mc_service(format!("admission_policy.mc_services[{index}]"), *service)
        })
        .collect();
    let scopes: BTreeSet<Scope> = policy
        .scopes
        .iter()
        .enumerate()
        .filter_map(|(index, scope)| violations.parse(format!("admission_policy.scopes[{index}]"), scope))
        .collect();
    let groups: Vec<McServiceGroupId> = policy
        .granted_group_ids
        .iter()
        .enumerate()
        .filter_map(|(index, id)| {
            violations.parse(format!("admission_policy.granted_group_ids[{index}]"), id)
        })
        .collect();
    if policy.granted_group_ids.len() > GROUP_LIMIT {
        violations.add(
            "admission_policy.granted_group_ids",
            format_args!("must hold at most {GROUP_LIMIT} groups"),
        );
    }
    if policy.max_users == Some(0) {
        violations.add("admission_policy.max_users", "must be at least 1");
    }
    let limit = policy.validity_limit.map(|limit| {
        let limit = Duration::try_from(limit).ok().filter(|limit| *limit >= SHORTEST_VALIDITY);
        if limit.is_none() {
            violations.add("admission_policy.validity_limit", "must be at least a minute");
        }
        limit
    });
    Some(AdmissionPolicy {
        primary: primary?,
        mode: mode?,
        mc_services,
        scopes,
        granted_group_ids: groups,
        max_users: policy.max_users,
        validity_limit: limit.flatten(),
    })
}

fn mode(violations: &mut Violations, mode: i32) -> Option<AdmissionMode> {
    match proto::AdmissionMode::try_from(mode) {
        Ok(proto::AdmissionMode::Unspecified | proto::AdmissionMode::Manual) => Some(AdmissionMode::Manual),
        Ok(proto::AdmissionMode::Automatic) => Some(AdmissionMode::Automatic),
        Ok(proto::AdmissionMode::Refuse) => Some(AdmissionMode::Refuse),
        Err(_) => {
            violations.add("admission_policy.mode", "must be a known mode");
            None
        }
    }
}

pub(crate) fn encode(stored: &Stored<AdmissionPolicy>) -> proto::AdmissionPolicy {
    let policy = &stored.value;
    proto::AdmissionPolicy {
        primary_mc_system_id: policy.primary.to_string(),
        mode: match policy.mode {
            AdmissionMode::Manual => proto::AdmissionMode::Manual,
            AdmissionMode::Automatic => proto::AdmissionMode::Automatic,
            AdmissionMode::Refuse => proto::AdmissionMode::Refuse,
        }
        .into(),
        mc_services: policy
            .mc_services
            .iter()
            .map(|service| mcx_proto::types::v1::McService::from(*service).into())
            .collect(),
        scopes: policy.scopes.iter().map(ToString::to_string).collect(),
        granted_group_ids: policy.granted_group_ids.iter().map(ToString::to_string).collect(),
        max_users: policy.max_users,
        validity_limit: policy.validity_limit.and_then(|limit| limit.try_into().ok()),
        etag: stored.etag(),
        create_time: super::time(stored.created_at),
        update_time: super::time(stored.updated_at),
    }
}
