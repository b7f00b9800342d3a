//! The settings of group management.

use std::time::Duration;

use mcx_types::Violations;
use serde::{Deserialize, Serialize};

/// Settings of the section `[group_management]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupManagementConfig {
    /// How many members of this MC system any group may have, at most 10,000.
    pub max_members_per_group: u32,
    /// How long the group management server of a partner may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub partner_timeout: Duration,
    /// How often it is looked whether a partner is to be told or asked something, should a notification have been missed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub sharing_interval: Duration,
    /// How long a partner that does not answer is left alone at first; twice as long each time after that.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retry_pause: Duration,
    /// How long it is left alone at most.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub retry_pause_limit: Duration,
    /// How often visitors' groups are asked for at their primary MC systems, beside what those tell by themselves.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub refresh_interval: Duration,
    /// For how long clients that were away can be told every change since.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub change_retention: Duration,
}

/// More members than this do not fit into what two MC systems tell each other at once.
const MEMBER_LIMIT: u32 = 10_000;

impl Default for GroupManagementConfig {
    fn default() -> Self {
        Self {
            max_members_per_group: MEMBER_LIMIT,
            partner_timeout: Duration::from_secs(5),
            sharing_interval: Duration::from_secs(1),
            retry_pause: Duration::from_secs(1),
            retry_pause_limit: Duration::from_secs(60),
            refresh_interval: Duration::from_secs(600),
            change_retention: Duration::from_secs(24 * 3_600),
        }
    }
}

impl mcx_runtime::config::Settings for GroupManagementConfig {
    fn validate(&self, violations: &mut Violations) {
        if !(1..=MEMBER_LIMIT).contains(&self.max_members_per_group) {
            violations.add("max_members_per_group", format_args!("must be from 1 to {MEMBER_LIMIT}"));
        }
        let durations = [
            ("partner_timeout", self.partner_timeout),
            ("sharing_interval", self.sharing_interval),
            ("retry_pause", self.retry_pause),
            ("refresh_interval", self.refresh_interval),
            ("change_retention", self.change_retention),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        if self.retry_pause_limit < self.retry_pause {
            violations.add("retry_pause_limit", "must not be shorter than retry_pause");
        }
    }
}
