//! The settings of configuration management.

use std::time::Duration;

use mcx_types::Violations;
use serde::{Deserialize, Serialize};

/// Settings of the section `[configuration_management]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigurationManagementConfig {
    /// How long a partner's configuration management server may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub partner_timeout: Duration,
    /// The first wait before user profiles that a partner could not be given are given again; it doubles with each failure.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub share_retry_min: Duration,
    /// The longest such wait.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub share_retry_max: Duration,
    /// How old a visitor's user profiles may become before her primary MC system is asked for them again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub visitor_profile_max_age: Duration,
    /// How long those that are here are served on when her primary MC system cannot be asked, before it is asked again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub visitor_profile_retry: Duration,
    /// How long an enrolment code can be used, where the operator does not say.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub enrolment_validity: Duration,
    /// How long changes are kept for watchers that come back.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub change_retention: Duration,
    /// How often others may ask.
    pub limits: Limits,
}

/// How often others may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Attempts to fetch the initial UE configuration of all UEs together, per minute.
    pub bootstraps_per_minute: u32,
    /// Attempts from one source, an IPv4 address or an IPv6 /64, per minute.
    pub bootstraps_per_source_per_minute: u32,
    /// Attempts from one source in the name of one UE, per minute.
    pub bootstraps_per_ue_per_minute: u32,
    /// Requests of one partner for user profiles, per minute.
    pub profile_requests_per_partner_per_minute: u32,
}

impl Default for ConfigurationManagementConfig {
    fn default() -> Self {
        Self {
            partner_timeout: Duration::from_secs(2),
            share_retry_min: Duration::from_secs(1),
            share_retry_max: Duration::from_secs(300),
            visitor_profile_max_age: Duration::from_secs(3_600),
            visitor_profile_retry: Duration::from_secs(10),
            enrolment_validity: Duration::from_secs(7 * 24 * 3_600),
            change_retention: Duration::from_secs(24 * 3_600),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bootstraps_per_minute: 600,
            bootstraps_per_source_per_minute: 120,
            bootstraps_per_ue_per_minute: 10,
            profile_requests_per_partner_per_minute: 6_000,
        }
    }
}

impl mcx_runtime::config::Settings for ConfigurationManagementConfig {
    fn validate(&self, violations: &mut Violations) {
        for (key, duration) in [
            ("partner_timeout", self.partner_timeout),
            ("share_retry_min", self.share_retry_min),
            ("share_retry_max", self.share_retry_max),
            ("visitor_profile_max_age", self.visitor_profile_max_age),
            ("visitor_profile_retry", self.visitor_profile_retry),
            ("enrolment_validity", self.enrolment_validity),
            ("change_retention", self.change_retention),
        ] {
            if duration.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        if self.share_retry_max < self.share_retry_min {
            violations.add("share_retry_max", "must not be shorter than share_retry_min");
        }
        for (key, number) in [
            ("limits.bootstraps_per_minute", self.limits.bootstraps_per_minute),
            ("limits.bootstraps_per_source_per_minute", self.limits.bootstraps_per_source_per_minute),
            ("limits.bootstraps_per_ue_per_minute", self.limits.bootstraps_per_ue_per_minute),
            (
                "limits.profile_requests_per_partner_per_minute",
                self.limits.profile_requests_per_partner_per_minute,
            ),
        ] {
            if number == 0 {
                violations.add(key, "must be at least 1");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use mcx_runtime::config::Settings;

    use super::*;

    #[test]
    fn the_defaults_are_good_and_every_bad_setting_is_told() {
        let mut violations = Violations::new();
        ConfigurationManagementConfig::default().validate(&mut violations);
        assert!(violations.is_empty());
        let bad = ConfigurationManagementConfig {
            partner_timeout: Duration::ZERO,
            share_retry_max: Duration::from_millis(1),
            limits: Limits { bootstraps_per_minute: 0, ..Limits::default() },
            ..Default::default()
        };
        bad.validate(&mut violations);
        let keys: Vec<&str> =
            violations.as_slice().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(keys, ["partner_timeout", "share_retry_max", "limits.bootstraps_per_minute"]);
    }
}
