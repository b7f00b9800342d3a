//! The settings of identity management.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mcx_runtime::config::{Settings, duration_schema};
use mcx_types::Violations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::lock_out::LockOutPolicy;
use crate::domain::partner::issuer_fault;

/// Section `[identity_management]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityManagementConfig {
    /// Where HTTPS is listened for (CSC-1).
    pub https_address: SocketAddr,
    /// The issuer URL: `iss` of tokens, and below which clients find everything. Once tokens were issued it must not change. Absent: the
    /// address that was bound, which is for development.
    pub issuer: Option<String>,
    /// The file with the key-encryption keys, under which signing keys are stored; empty: that of the SIP database. `crossband key-file`
    /// makes one.
    pub key_file: PathBuf,

    /// How long an access token or ID token is valid. A revoked one is refused earlier by whoever follows.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub access_token_lifetime: Duration,
    /// How long a security token for a partner is valid; at most 5 minutes.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub security_token_lifetime: Duration,
    /// How long an authorization code waits for its client; at most 10 minutes.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub authorization_code_lifetime: Duration,
    /// How long a refresh token that nobody uses is worth something.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub refresh_token_lifetime: Duration,
    /// After how long a user has to log in again, however often she refreshed.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub session_lifetime: Duration,
    /// After how long a signing key is replaced by the next one.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub signing_key_lifetime: Duration,
    /// How often keys and revocations are read again, should a change notification have been missed.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub trust_refresh_interval: Duration,

    /// How passwords are hashed and guarded.
    pub passwords: PasswordConfig,
    /// What one source address may do.
    pub limits: LimitConfig,
}

/// How passwords are hashed and guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordConfig {
    /// Memory that Argon2id takes for one password, in KiB.
    pub hash_memory_kib: u32,
    /// How many passes Argon2id makes over it.
    pub hash_passes: u32,
    /// How many passwords are hashed at once; each takes a thread and the memory above.
    pub hash_concurrency: usize,
    /// How long a password waits for its turn before the caller is told to come back.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub hash_queue_timeout: Duration,
    /// Wrong passwords for one MC ID from one source address before passwords from there are not looked at.
    pub failures_per_source: u32,
    /// How long that lasts at first; each further wrong password doubles it.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub first_lock_per_source: Duration,
    /// How long that lasts at most.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub longest_lock_per_source: Duration,
    /// Wrong passwords for one MC ID from all source addresses before passwords are not looked at, but where the user logged in before.
    pub failures_per_account: u32,
    /// How long that lasts at first; each further wrong password doubles it.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub first_lock_per_account: Duration,
    /// How long that lasts at most: for that long a stranger can keep a user out of a new place.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub longest_lock_per_account: Duration,
    /// After how long without a wrong password the earlier ones are forgotten.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub failure_window: Duration,
}

/// What one source address may do: an IPv4 address, or a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Logins per minute. Many users may stand behind one address.
    pub logins_per_source_per_minute: u64,
    /// Token, revocation and user information requests per minute.
    pub token_requests_per_source_per_minute: u64,
    /// Most connections.
    pub connections: usize,
    /// Most connections from one source.
    pub connections_per_source: usize,
    /// How long a TLS handshake or a request may take to arrive.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub receive_timeout: Duration,
    /// How long connections may take to end when the service drains.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub drain_timeout: Duration,
}

impl Default for IdentityManagementConfig {
    fn default() -> Self {
        Self {
            https_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9443)),
            issuer: None,
            key_file: PathBuf::new(),
            access_token_lifetime: Duration::from_secs(600),
            security_token_lifetime: Duration::from_secs(300),
            authorization_code_lifetime: Duration::from_secs(60),
            refresh_token_lifetime: Duration::from_secs(24 * 3_600),
            session_lifetime: Duration::from_secs(30 * 24 * 3_600),
            signing_key_lifetime: Duration::from_secs(30 * 24 * 3_600),
            trust_refresh_interval: Duration::from_secs(2),
            passwords: PasswordConfig::default(),
            limits: LimitConfig::default(),
        }
    }
}

impl Default for PasswordConfig {
    fn default() -> Self {
        Self {
            // OWASP's first choice for Argon2id.
            hash_memory_kib: 19_456,
            hash_passes: 2,
            hash_concurrency: 4,
            hash_queue_timeout: Duration::from_secs(3),
            failures_per_source: 5,
            first_lock_per_source: Duration::from_secs(5),
            longest_lock_per_source: Duration::from_secs(900),
            failures_per_account: 50,
            first_lock_per_account: Duration::from_secs(1),
            longest_lock_per_account: Duration::from_secs(30),
            failure_window: Duration::from_secs(3_600),
        }
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            logins_per_source_per_minute: 120,
            token_requests_per_source_per_minute: 1_200,
            connections: 10_000,
            connections_per_source: 1_000,
            receive_timeout: Duration::from_secs(10),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl PasswordConfig {
    pub(crate) fn per_source(&self) -> LockOutPolicy {
        LockOutPolicy {
            failures: self.failures_per_source,
            first_lock: self.first_lock_per_source,
            longest_lock: self.longest_lock_per_source,
        }
    }

    pub(crate) fn per_account(&self) -> LockOutPolicy {
        LockOutPolicy {
            failures: self.failures_per_account,
            first_lock: self.first_lock_per_account,
            longest_lock: self.longest_lock_per_account,
        }
    }
}

impl IdentityManagementConfig {
    /// The longest that anything signed may be valid.
    pub(crate) fn longest_token_lifetime(&self) -> Duration {
        self.access_token_lifetime.max(self.security_token_lifetime)
    }
}

impl Settings for IdentityManagementConfig {
    fn validate(&self, violations: &mut Violations) {
        if let Some(fault) = self.issuer.as_deref().and_then(issuer_fault) {
            violations.add("issuer", fault);
        }
        let durations = [
            ("access_token_lifetime", self.access_token_lifetime, 3_600),
            ("security_token_lifetime", self.security_token_lifetime, 300),
            ("authorization_code_lifetime", self.authorization_code_lifetime, 600),
            ("refresh_token_lifetime", self.refresh_token_lifetime, u64::MAX),
            ("session_lifetime", self.session_lifetime, u64::MAX),
            ("signing_key_lifetime", self.signing_key_lifetime, u64::MAX),
            ("trust_refresh_interval", self.trust_refresh_interval, 60),
            ("passwords.hash_queue_timeout", self.passwords.hash_queue_timeout, 60),
            ("passwords.first_lock_per_source", self.passwords.first_lock_per_source, u64::MAX),
            ("passwords.longest_lock_per_source", self.passwords.longest_lock_per_source, u64::MAX),
            ("passwords.first_lock_per_account", self.passwords.first_lock_per_account, u64::MAX),
            ("passwords.longest_lock_per_account", self.passwords.longest_lock_per_account, 300),
            ("passwords.failure_window", self.passwords.failure_window, u64::MAX),
            ("limits.receive_timeout", self.limits.receive_timeout, u64::MAX),
            ("limits.drain_timeout", self.limits.drain_timeout, u64::MAX),
        ];
        for (key, duration, longest_seconds) in durations {
            if duration < Duration::from_secs(1) {
                violations.add(key, "must be at least a second");
            } else if duration > Duration::from_secs(longest_seconds) {
                violations.add(key, format_args!("must be at most {longest_seconds} seconds"));
            }
        }
        let numbers = [
            ("passwords.failures_per_source", u64::from(self.passwords.failures_per_source)),
            ("passwords.failures_per_account", u64::from(self.passwords.failures_per_account)),
            ("passwords.hash_concurrency", self.passwords.hash_concurrency as u64),
            ("limits.logins_per_source_per_minute", self.limits.logins_per_source_per_minute),
            ("limits.token_requests_per_source_per_minute", self.limits.token_requests_per_source_per_minute),
            ("limits.connections", self.limits.connections as u64),
            ("limits.connections_per_source", self.limits.connections_per_source as u64),
        ];
        for (key, number) in numbers {
            if number == 0 {
                violations.add(key, "must be at least 1");
            }
        }
        let passwords = self.passwords;
        if argon2::Params::new(passwords.hash_memory_kib, passwords.hash_passes, 1, None).is_err() {
            violations.add("passwords", "hash_memory_kib must be at least 8 and hash_passes at least 1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_keys(config: &IdentityManagementConfig) -> Vec<String> {
        let mut violations = Violations::new();
        config.validate(&mut violations);
        violations.as_slice().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn defaults_are_good() {
        assert_eq!(refused_keys(&IdentityManagementConfig::default()), Vec::<String>::new());
    }

    #[test]
    fn every_bad_setting_is_told_at_once() {
        let config = IdentityManagementConfig {
            issuer: Some("http://idms.alpha.example".to_owned()),
            key_file: "keys.toml".into(),
            security_token_lifetime: Duration::from_secs(301),
            access_token_lifetime: Duration::ZERO,
            passwords: PasswordConfig { hash_passes: 0, ..PasswordConfig::default() },
            limits: LimitConfig { connections: 0, ..LimitConfig::default() },
            ..IdentityManagementConfig::default()
        };
        assert_eq!(
            refused_keys(&config),
            ["issuer", "access_token_lifetime", "security_token_lifetime", "limits.connections", "passwords"]
        );
    }
}
