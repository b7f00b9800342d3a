//! Service configuration, annex A.5 of the MC service specifications.

use std::time::Duration;

use mcx_proto::configuration::v1 as proto;
use mcx_types::Violations;

use super::number;

const SECOND: Duration = Duration::from_secs(1);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Checks a service configuration; what comes out has no output-only field.
pub(crate) fn check(
    violations: &mut Violations,
    field: &str,
    configuration: Option<&proto::ServiceConfiguration>,
) -> Option<proto::ServiceConfiguration> {
    let configuration = violations.require(field, configuration)?;
    let before = violations.as_slice().len();
    violations.mc_service(format!("{field}.mc_service"), configuration.mc_service);
    number::<u32>(violations, format!("{field}.priority_levels"), configuration.priority_levels, 1..=256);
    let private_call = format!("{field}.private_call");
    if let Some(call) = violations.require(private_call.as_str(), configuration.private_call.as_ref()) {
        duration(violations, format!("{private_call}.max_duration"), call.max_duration, DAY);
        duration(violations, format!("{private_call}.answer_timeout"), call.answer_timeout, TEN_MINUTES);
    }
    let group_call = format!("{field}.group_call");
    if let Some(call) = violations.require(group_call.as_str(), configuration.group_call.as_ref()) {
        duration(violations, format!("{group_call}.max_duration"), call.max_duration, DAY);
        duration(violations, format!("{group_call}.hang_time"), call.hang_time, HOUR);
    }
    let emergency_call = format!("{field}.emergency_call");
    if let Some(call) = violations.require(emergency_call.as_str(), configuration.emergency_call.as_ref()) {
        duration(violations, format!("{emergency_call}.max_duration"), call.max_duration, DAY);
    }
    duration(violations, format!("{field}.max_transmit_duration"), configuration.max_transmit_duration, HOUR);
    (violations.as_slice().len() == before).then(|| proto::ServiceConfiguration {
        etag: String::new(),
        version: 0,
        update_time: None,
        ..configuration.clone()
    })
}

/// Notes a duration that is missing, shorter than a second or longer than `longest`.
fn duration(
    violations: &mut Violations,
    field: String,
    duration: Option<prost_types::Duration>,
    longest: Duration,
) {
    let Some(duration) = violations.require(field.as_str(), duration) else { return };
    let is_within = Duration::try_from(duration).is_ok_and(|duration| (SECOND..=longest).contains(&duration));
    if !is_within {
        violations.add(field, format_args!("must be 1 s to {} s", longest.as_secs()));
    }
}
