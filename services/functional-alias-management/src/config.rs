//! The settings of functional alias management.

use std::time::Duration;

use mcx_types::Violations;
use serde::{Deserialize, Serialize};

/// Settings of the section `[functional_alias_management]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionalAliasManagementConfig {
    /// For how long clients that were away can be told every change since.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub change_retention: Duration,
}

impl Default for FunctionalAliasManagementConfig {
    fn default() -> Self {
        Self { change_retention: Duration::from_secs(24 * 3_600) }
    }
}

impl mcx_runtime::config::Settings for FunctionalAliasManagementConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.change_retention.is_zero() {
            violations.add("change_retention", "must be longer than zero");
        }
    }
}
