//! The one loader of configuration: defaults, then files, then the environment, then flags.
//!
//! A configuration is one struct of sections, each `#[serde(default, deny_unknown_fields)]`. The loader reports every
//! problem at once, each with its key and where the value came from. No other crate reads the environment.

mod durations;
mod loader;
mod secret;

use mcx_types::Violations;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use durations::duration_schema;
pub use loader::{ConfigError, Loader, Problem};
pub use secret::{SecretError, SecretSource};

/// The status with which a process ends whose configuration is refused: `EX_USAGE` of sysexits.
pub const EXIT_CONFIGURATION: u8 = 64;

/// What marks the variables of the environment that are configuration.
pub const ENVIRONMENT_PREFIX: &str = "CROSSBAND_";

/// A section of the configuration, or the whole of it.
///
/// Derive `Serialize`, `Deserialize` and `JsonSchema`, and put `#[serde(default, deny_unknown_fields)]` on the struct.
/// Secrets are [`SecretSource`]s, so that no print of a configuration shows one.
pub trait Settings: Serialize + DeserializeOwned + JsonSchema + Default {
    /// Notes everything about the values that cannot be right, each under its key relative to this section.
    fn validate(&self, violations: &mut Violations);
}

/// Validates a section as part of a larger one: its violations get the name of the section before their keys.
pub fn validate_section(name: &str, section: &impl Settings, violations: &mut Violations) {
    let mut of_section = Violations::new();
    section.validate(&mut of_section);
    for violation in of_section.as_slice() {
        violations.add(format!("{name}.{}", violation.field), &violation.description);
    }
}

/// The whole configuration as TOML, in the form in which it is read; secrets are masked.
///
/// # Errors
/// Where a setting has no form in TOML, which is a mistake in its type.
pub fn print(settings: &impl Settings) -> Result<String, toml::ser::Error> {
    // By way of a table, because TOML wants the plain keys of a table before its sub-tables.
    toml::to_string(&toml::Table::try_from(settings)?)
}

/// The JSON schema of a configuration, for editors and for the values of the chart.
pub fn schema<S: Settings>() -> serde_json::Value {
    schemars::schema_for!(S).to_value()
}

/// The variable of the environment that sets a key: `CROSSBAND_SIP_CORE__MAX_CONTACTS` for `sip_core.max_contacts`.
pub fn environment_variable(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

#[cfg(test)]
mod tests;
