//! UE configuration, annex A.2 of the MC service specifications.

use mcx_proto::configuration::v1 as proto;
use mcx_types::{McServiceGroupId, Violations};

use super::initial_ue_configuration::check_ip_version;
use super::{identities, number, ue_id};

const PRIORITISED_LIMIT: usize = 100;

/// Checks a UE configuration; what comes out has no output-only field.
pub(crate) fn check(
    violations: &mut Violations,
    field: &str,
    configuration: Option<&proto::UeConfiguration>,
) -> Option<proto::UeConfiguration> {
    let configuration = violations.require(field, configuration)?;
    let before = violations.as_slice().len();
    violations.mc_service(format!("{field}.mc_service"), configuration.mc_service);
    if !configuration.ue_id.is_empty() {
        ue_id(violations, &format!("{field}.ue_id"), &configuration.ue_id);
    }
    for (name, count) in [
        ("max_simultaneous_group_calls", configuration.max_simultaneous_group_calls),
        ("max_simultaneous_private_calls", configuration.max_simultaneous_private_calls),
        (
            "max_simultaneous_transmissions_in_group_call",
            configuration.max_simultaneous_transmissions_in_group_call,
        ),
    ] {
        number::<u32>(violations, format!("{field}.{name}"), count, 1..=1_000);
    }
    check_ip_version(violations, &format!("{field}.ip_version"), configuration.ip_version);
    let groups = format!("{field}.prioritised_group_ids");
    identities::<McServiceGroupId>(
        violations,
        &groups,
        &configuration.prioritised_group_ids,
        PRIORITISED_LIMIT,
    );
    (violations.as_slice().len() == before).then(|| proto::UeConfiguration {
        etag: String::new(),
        version: 0,
        update_time: None,
        ..configuration.clone()
    })
}
