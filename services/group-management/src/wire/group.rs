//! Groups on the wire.

use std::time::Duration;

use mcx_proto::group::v1 as proto;
use mcx_proto::types::v1::McService as WireMcService;
use mcx_types::{McService, McServiceGroupId, McSystemId, Violations};

use super::time;
use crate::domain::group::{CallParameters, Group, GroupTerms, is_home};
use crate::store::groups::StoredGroup;

const DISPLAY_NAME_LIMIT: usize = 100;
const URI_LIMIT: usize = 253;
const CALL_DURATION_LIMIT: Duration = Duration::from_secs(24 * 3_600);
const HANG_TIME_LIMIT: Duration = Duration::from_secs(3_600);

/// Decodes a group under `field`. Its home is `home`.
pub(crate) fn decode(
    violations: &mut Violations,
    field: &str,
    home: &McSystemId,
    group: Option<&proto::Group>,
) -> Option<Group> {
    let group = violations.require(field, group)?;
    let id: Option<McServiceGroupId> = violations.parse(format!("{field}.group_id"), &group.group_id);
    if id.as_ref().is_some_and(|id| !is_home(home, id)) {
        violations.add(format!("{field}.group_id"), format_args!("must be of {home}"));
    }
    let terms = terms(violations, field, group);
    Some(Group { id: id?, terms: terms? })
}

/// Decodes what is said of a group.
pub(crate) fn terms(violations: &mut Violations, field: &str, group: &proto::Group) -> Option<GroupTerms> {
    let characters = group.display_name.chars().count();
    let is_named =
        (1..=DISPLAY_NAME_LIMIT).contains(&characters) && !group.display_name.chars().any(char::is_control);
    if !is_named {
        violations.add(
            format!("{field}.display_name"),
            format_args!("must be 1 to {DISPLAY_NAME_LIMIT} printable characters"),
        );
    }
    let kms_uri = kms_uri(violations, field, &group.kms_uri);
    let is_enabled = match proto::GroupStatus::try_from(group.status) {
        Ok(proto::GroupStatus::Unspecified | proto::GroupStatus::Enabled) => Some(true),
        Ok(proto::GroupStatus::Disabled) => Some(false),
        Err(_) => {
            violations.add(format!("{field}.status"), "must be a known status");
            None
        }
    };
    let mc_services = mc_services(violations, field, &group.mc_services);
    let priority = super::priority(violations, format!("{field}.priority"), group.priority);
    if group.max_members == Some(0) {
        violations.add(format!("{field}.max_members"), "must be at least 1");
    }
    let call = call(violations, field, group.call.as_ref());
    Some(GroupTerms {
        display_name: is_named.then(|| group.display_name.clone())?,
        kms_uri: kms_uri?,
        is_enabled: is_enabled?,
        mc_services: mc_services?,
        priority: priority?,
        max_members: group.max_members,
        encryption_mandatory: group.encryption_mandatory,
        call: call?,
        allow_visitors: group.allow_visitors,
        home_only: group.home_only,
    })
}

fn kms_uri(violations: &mut Violations, field: &str, uri: &str) -> Option<Option<String>> {
    if uri.is_empty() {
        return Some(None);
    }
    let is_uri = uri.len() <= URI_LIMIT
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
        && uri.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if !is_uri {
        violations
            .add(format!("{field}.kms_uri"), format_args!("must be a URI of at most {URI_LIMIT} bytes"));
        return None;
    }
    Some(Some(uri.to_owned()))
}

fn mc_services(violations: &mut Violations, field: &str, services: &[i32]) -> Option<Vec<McService>> {
    if services.is_empty() {
        violations.add(format!("{field}.mc_services"), "must hold at least one mc service");
        return None;
    }
    let mut decoded = Vec::with_capacity(services.len());
    for (index, service) in services.iter().enumerate() {
        let path = format!("{field}.mc_services[{index}]");
        if let Some(service) = violations.mc_service(path.as_str(), *service) {
            if decoded.contains(&service) {
                violations.add(path, "must not repeat an mc service");
            } else {
                decoded.push(service);
            }
        }
    }
    (decoded.len() == services.len()).then_some(decoded)
}

fn call(
    violations: &mut Violations,
    field: &str,
    call: Option<&proto::GroupCallParameters>,
) -> Option<CallParameters> {
    let Some(call) = call else { return Some(CallParameters::default()) };
    let max_duration =
        seconds(violations, format!("{field}.call.max_duration"), call.max_duration, CALL_DURATION_LIMIT);
    let hang_time = seconds(violations, format!("{field}.call.hang_time"), call.hang_time, HANG_TIME_LIMIT);
    Some(CallParameters {
        max_duration: max_duration?,
        hang_time: hang_time?,
        emergency_allowed: call.emergency_allowed,
    })
}

/// Decodes an optional duration of whole seconds, from one second to `limit`.
fn seconds(
    violations: &mut Violations,
    field: String,
    duration: Option<prost_types::Duration>,
    limit: Duration,
) -> Option<Option<Duration>> {
    let Some(duration) = duration else { return Some(None) };
    let seconds = u64::try_from(duration.seconds)
        .ok()
        .filter(|seconds| duration.nanos == 0 && (1..=limit.as_secs()).contains(seconds));
    if seconds.is_none() {
        violations.add(field, format_args!("must be whole seconds from 1 to {}", limit.as_secs()));
    }
    seconds.map(|seconds| Some(Duration::from_secs(seconds)))
}

pub(crate) fn encode(stored: &StoredGroup) -> proto::Group {
    let terms = &stored.group.terms;
    let call = terms.call;
    proto::Group {
        group_id: stored.group.id.to_string(),
        display_name: terms.display_name.clone(),
        kms_uri: terms.kms_uri.clone().unwrap_or_default(),
        status: match terms.is_enabled {
            true => proto::GroupStatus::Enabled,
            false => proto::GroupStatus::Disabled,
        }
        .into(),
        mc_services: terms.mc_services.iter().map(|service| WireMcService::from(*service).into()).collect(),
        priority: terms.priority.into(),
        max_members: terms.max_members,
        encryption_mandatory: terms.encryption_mandatory,
        call: (call != CallParameters::default()).then(|| proto::GroupCallParameters {
            max_duration: call.max_duration.map(duration),
            hang_time: call.hang_time.map(duration),
            emergency_allowed: call.emergency_allowed,
        }),
        allow_visitors: terms.allow_visitors,
        home_only: terms.home_only,
        home_mc_system_id: stored.home.to_string(),
        version: stored.version,
        etag: stored.version.to_string(),
        create_time: time(stored.created_at),
        update_time: time(stored.updated_at),
    }
}

fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}
