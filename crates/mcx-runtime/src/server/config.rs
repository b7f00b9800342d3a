//! The settings of a gRPC server.

use std::time::Duration;

use mcx_types::Violations;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Settings, duration_schema};

/// The section `server` of a configuration. Durations are written as `250ms`, `30s` or `5m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The longest that a call with one answer may take, whatever its caller allows.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub max_call_duration: Duration,
    /// How many calls may be with their handlers at once; more are shed.
    pub max_concurrent_calls: usize,
    /// How long a shed caller is asked to wait before it tries again.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub overload_retry_after: Duration,
    /// How many calls one connection may have open.
    pub max_concurrent_streams: u32,
    /// The largest message that is read, in bytes.
    pub max_request_bytes: usize,
    /// The largest message that is written, in bytes.
    pub max_response_bytes: usize,
    /// The largest set of headers that is read, in bytes.
    pub max_header_bytes: u32,
    /// How long a connection may have nothing to say before it is asked whether it is alive.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub keepalive_timeout: Duration,
    /// After how long a connection is asked to end, so that clients spread over the replicas that there are.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub max_connection_age: Duration,
    /// How long it may take to do so before it is cut.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub max_connection_age_grace: Duration,
    /// How long a TLS handshake may take.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub handshake_timeout: Duration,
    /// How long the server says NOT_SERVING before it stops accepting, for load balancers to notice.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub announce_duration: Duration,
    /// How long calls under way may take to finish when the server ends; then they are cut.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub drain_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_call_duration: Duration::from_secs(30),
            max_concurrent_calls: 1024,
            overload_retry_after: Duration::from_secs(1),
            max_concurrent_streams: 1024,
            max_request_bytes: 4 * 1024 * 1024,
            max_response_bytes: 4 * 1024 * 1024,
            max_header_bytes: 16 * 1024,
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            max_connection_age: Duration::from_mins(15),
            max_connection_age_grace: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(5),
            announce_duration: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

impl Settings for ServerConfig {
    fn validate(&self, violations: &mut Violations) {
        let durations = [
            ("max_call_duration", self.max_call_duration),
            ("keepalive_interval", self.keepalive_interval),
            ("keepalive_timeout", self.keepalive_timeout),
            ("max_connection_age", self.max_connection_age),
            ("handshake_timeout", self.handshake_timeout),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                violations.add(key, "must be longer than nothing");
            }
        }
        let numbers = [
            ("max_concurrent_calls", self.max_concurrent_calls == 0),
            ("max_concurrent_streams", self.max_concurrent_streams == 0),
            ("max_request_bytes", self.max_request_bytes == 0),
            ("max_response_bytes", self.max_response_bytes == 0),
        ];
        for (key, is_zero) in numbers {
            if is_zero {
                violations.add(key, "must be more than 0");
            }
        }
        if self.max_header_bytes < 1024 {
            violations.add("max_header_bytes", "must be 1024 or more");
        }
    }
}
