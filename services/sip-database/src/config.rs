//! The settings of the SIP database.

use std::path::PathBuf;
use std::time::Duration;

use mcx_runtime::config::{Settings, duration_schema};
use mcx_types::Violations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Section `[sip_database]`. Where the durable state and the shared cache lie is said in sections of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SipDatabaseConfig {
    /// The file with the key-encryption keys under which subscribers' keys are stored. Required; readable by its owner
    /// and group only. Replicas have the same content.
    pub key_file: PathBuf,
    /// How often the key file is looked at for changes.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub key_file_check_interval: Duration,
    /// How long a RAND may be answered with a resynchronisation token after it was issued.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub challenge_lifetime: Duration,
    /// Most requests for vectors whose sequence numbers are made durable by one commit.
    pub commit_batch_size: usize,
    /// Most requests for vectors that wait for a commit; further ones wait before they are queued.
    pub commit_queue_size: usize,
    /// How long the answers to mutating requests are kept for repetitions.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub request_retention: Duration,
    /// How often answers older than that are removed.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub request_cleanup_interval: Duration,
    /// How many subscribers of an import are written in one transaction.
    pub import_batch_size: usize,
    /// How many subscribers' keys a rotation encrypts anew between two reads.
    pub rotation_batch_size: usize,
    /// After how long a caller is told to try again when the store is away.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub store_retry_delay: Duration,
}

impl Default for SipDatabaseConfig {
    fn default() -> Self {
        Self {
            key_file: PathBuf::new(),
            key_file_check_interval: Duration::from_secs(30),
            challenge_lifetime: Duration::from_secs(300),
            commit_batch_size: 256,
            commit_queue_size: 4096,
            request_retention: Duration::from_secs(24 * 60 * 60),
            request_cleanup_interval: Duration::from_secs(10 * 60),
            import_batch_size: 500,
            rotation_batch_size: 500,
            store_retry_delay: Duration::from_secs(1),
        }
    }
}

impl Settings for SipDatabaseConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.key_file.as_os_str().is_empty() {
            violations.add("key_file", "must name the file with the key-encryption keys");
        }
        let durations = [
            ("key_file_check_interval", self.key_file_check_interval),
            ("challenge_lifetime", self.challenge_lifetime),
            ("request_retention", self.request_retention),
            ("request_cleanup_interval", self.request_cleanup_interval),
            ("store_retry_delay", self.store_retry_delay),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        let sizes = [
            ("commit_batch_size", self.commit_batch_size, 10_000),
            ("commit_queue_size", self.commit_queue_size, 1_000_000),
            ("import_batch_size", self.import_batch_size, 10_000),
            ("rotation_batch_size", self.rotation_batch_size, 10_000),
        ];
        for (key, size, limit) in sizes {
            if !(1..=limit).contains(&size) {
                violations.add(key, format!("must be from 1 to {limit}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_keys(config: &SipDatabaseConfig) -> Vec<String> {
        let mut violations = Violations::new();
        config.validate(&mut violations);
        violations.as_slice().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn defaults_lack_the_key_file_only() {
        assert_eq!(refused_keys(&SipDatabaseConfig::default()), ["key_file"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = SipDatabaseConfig {
            key_file: "/run/secrets/keys.toml".into(),
            challenge_lifetime: Duration::ZERO,
            commit_batch_size: 0,
            import_batch_size: 10_001,
            ..SipDatabaseConfig::default()
        };
        assert_eq!(refused_keys(&config), ["challenge_lifetime", "commit_batch_size", "import_batch_size"]);
    }
}
