//! The settings of the MC service server.

use std::time::Duration;

use mcx_types::Violations;
use serde::{Deserialize, Serialize};

/// Settings of the section `[mc_service]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McServiceConfig {
    /// How long a client is authorized unless it refreshes; it is asked to after half of it. After this a lost UE is noticed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub authorization_lease: Duration,
    /// How long an own user counts as served by a partner unless the partner renews it.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub migration_lease: Duration,
    /// How many clients one user may have authorized in one MC service.
    pub max_clients_per_user: u32,
    /// How long the MC service server of another MC system may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub partner_timeout: Duration,
    /// How long configuration, group and functional alias management may take to answer. Configuration management may have to ask the
    /// primary MC system for a visitor's user profile first.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub source_timeout: Duration,
    /// How often is looked for what has expired, and for notices that are due.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub upkeep_interval: Duration,
    /// How long is waited before a notice to another MC system is repeated for the first time; each time twice as long.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub notice_backoff: Duration,
    /// The longest time between two attempts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub notice_backoff_limit: Duration,
    /// After what time a notice is given up. By then the lease in the other MC system has ended long ago.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub notice_lifetime: Duration,
    /// How long changes of status are kept for clients that were away.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub change_retention: Duration,
}

impl Default for McServiceConfig {
    fn default() -> Self {
        Self {
            authorization_lease: Duration::from_hours(1),
            migration_lease: Duration::from_hours(1),
            max_clients_per_user: 8,
            partner_timeout: Duration::from_secs(2),
            source_timeout: Duration::from_secs(3),
            upkeep_interval: Duration::from_secs(1),
            notice_backoff: Duration::from_secs(1),
            notice_backoff_limit: Duration::from_secs(60),
            notice_lifetime: Duration::from_hours(7 * 24),
            change_retention: Duration::from_hours(24),
        }
    }
}

impl McServiceConfig {
    /// After what time a client is asked to refresh an authorization that holds for `lease`.
    pub(crate) fn refresh_after(lease: Duration) -> Duration {
        lease / 2
    }
}

impl mcx_runtime::config::Settings for McServiceConfig {
    fn validate(&self, violations: &mut Violations) {
        let durations = [
            ("authorization_lease", self.authorization_lease),
            ("migration_lease", self.migration_lease),
            ("partner_timeout", self.partner_timeout),
            ("source_timeout", self.source_timeout),
            ("upkeep_interval", self.upkeep_interval),
            ("notice_backoff", self.notice_backoff),
            ("notice_backoff_limit", self.notice_backoff_limit),
            ("notice_lifetime", self.notice_lifetime),
            ("change_retention", self.change_retention),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        if self.max_clients_per_user == 0 {
            violations.add("max_clients_per_user", "must be at least 1");
        }
        if self.notice_backoff_limit < self.notice_backoff {
            violations.add("notice_backoff_limit", "must not be shorter than notice_backoff");
        }
    }
}
