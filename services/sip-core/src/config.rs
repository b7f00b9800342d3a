//! The settings of the SIP core.

use std::net::SocketAddr;
use std::time::Duration;

use mcx_runtime::config::{Settings, duration_schema};
use mcx_sip::{MessageLimits, SipAddress};
use mcx_types::{Realm, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::app::{Realms, RegistrarPolicy};
use crate::domain::registration::RegistrationPolicy;
use crate::sip::{ConnectionTimeouts, EdgeLimits, SipEdgeSettings};
use crate::store::AttemptLimits;

/// Section `[sip_core]`. The shared cache, the server's certificate and where the other entities are is said in sections of
/// their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SipCoreConfig {
    /// The realm of own users. Required.
    pub realm: String,
    /// The realm of visitors; empty: no visitors are taken.
    pub visitor_realm: String,
    /// Further domains that a Request-URI may name, besides the realms.
    pub domain_aliases: Vec<String>,
    /// Where SIP is listened for over UDP; absent: not at all.
    pub udp_address: Option<SocketAddr>,
    /// Where SIP is listened for over TCP; absent: not at all.
    pub tcp_address: Option<SocketAddr>,
    /// Where SIP is listened for over TLS; absent: not at all.
    pub tls_address: Option<SocketAddr>,
    /// `Service-Route` values told to registered users (RFC 3608).
    pub service_route: Vec<String>,

    /// Shortest lifetime of a registration; shorter ones get 423.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub minimum_expiry: Duration,
    /// Longest lifetime of a registration; longer ones are shortened.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub maximum_expiry: Duration,
    /// Lifetime of a registration that asks for none.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub default_expiry: Duration,
    /// Most contacts of one public user identity.
    pub maximum_contacts: usize,
    /// How often registrations that were not refreshed are looked for, to tell watchers of their end.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub sweep_interval: Duration,

    /// How long a challenge waits for its answer: the timer reg-await-auth of TS 24.229.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub challenge_lifetime: Duration,
    /// A refresh on the TLS connection on which the user authenticated needs no new challenge for this long. Zero: every
    /// REGISTER is challenged. Leave it zero where proxies carry many users on one connection.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub trust_connection_for: Duration,
    /// Wrong responses of one private user identity from one source address before it is locked out there.
    pub failures_per_identity: u64,
    /// Wrong responses from one source address before it is locked out.
    pub failures_per_address: u64,
    /// How long wrong responses are counted, and how long a lockout lasts.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub lockout_window: Duration,
    /// Resynchronisations of one private user identity from one source address within `resynchronisation_window`.
    pub resynchronisations: u64,
    /// How long resynchronisations are counted.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub resynchronisation_window: Duration,
    /// Challenges of one private user identity asked for from one address within `challenge_window`; each costs a vector.
    pub challenges: u64,
    /// How long challenges are counted.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub challenge_window: Duration,

    /// Every REGISTER is answered within this time.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub request_deadline: Duration,
    /// What `Retry-After` says where nobody behind us named a time.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub retry_after: Duration,

    /// Longest message in bytes.
    pub message_bytes: usize,
    /// Most header lines of a message.
    pub header_lines: usize,
    /// Longest header line in bytes.
    pub header_line_bytes: usize,
    /// Most TCP and TLS connections.
    pub connections: usize,
    /// Most TCP and TLS connections from one address.
    pub connections_per_address: usize,
    /// Most requests being decided at once; further ones get 503.
    pub requests_in_flight: usize,
    /// Most answers over UDP kept for retransmissions.
    pub completed_transactions: usize,
    /// How long a TLS handshake may take.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub handshake_timeout: Duration,
    /// How long a connection may be without a whole message or keep-alive.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub idle_timeout: Duration,
    /// How long a peer may take to read a response.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub write_timeout: Duration,
}

impl Default for SipCoreConfig {
    fn default() -> Self {
        let limits = MessageLimits::default();
        Self {
            realm: String::new(),
            visitor_realm: String::new(),
            domain_aliases: Vec::new(),
            udp_address: None,
            tcp_address: None,
            tls_address: None,
            service_route: Vec::new(),
            minimum_expiry: Duration::from_secs(60),
            maximum_expiry: Duration::from_secs(24 * 3600),
            default_expiry: Duration::from_secs(3600),
            maximum_contacts: 10,
            sweep_interval: Duration::from_secs(1),
            challenge_lifetime: Duration::from_secs(240),
            trust_connection_for: Duration::ZERO,
            failures_per_identity: 5,
            failures_per_address: 50,
            lockout_window: Duration::from_secs(300),
            resynchronisations: 5,
            resynchronisation_window: Duration::from_secs(600),
            challenges: 60,
            challenge_window: Duration::from_secs(60),
            request_deadline: Duration::from_secs(5),
            retry_after: Duration::from_secs(10),
            message_bytes: limits.message_bytes,
            header_lines: limits.header_lines,
            header_line_bytes: limits.header_line_bytes,
            connections: 10_000,
            connections_per_address: 1_000,
            requests_in_flight: 4_096,
            completed_transactions: 32_768,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15 * 60),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Timer F of a UE (RFC 3261 17.1.2.2): an answer after this is read by nobody.
const TIMER_F: Duration = mcx_sip::TIMER_T1.saturating_mul(64);

impl Settings for SipCoreConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.realm.is_empty() {
            violations.add("realm", "must name the realm of own users");
        } else {
            violations.parse::<Realm>("realm", &self.realm);
        }
        if !self.visitor_realm.is_empty() {
            violations.parse::<Realm>("visitor_realm", &self.visitor_realm);
            if self.visitor_realm.eq_ignore_ascii_case(&self.realm) {
                violations.add("visitor_realm", "must differ from realm");
            }
        }
        for (index, alias) in self.domain_aliases.iter().enumerate() {
            if SipAddress::parse(&format!("sip:{alias}")).is_err() {
                violations.add(format!("domain_aliases[{index}]"), "must be a host name or an address");
            }
        }
        self.validate_times(violations);
        let sizes = [
            ("maximum_contacts", self.maximum_contacts, 100),
            ("message_bytes", self.message_bytes, 65_535),
            ("header_lines", self.header_lines, 10_000),
            ("header_line_bytes", self.header_line_bytes, 65_535),
            ("connections", self.connections, 1_000_000),
            ("connections_per_address", self.connections_per_address, 1_000_000),
            ("requests_in_flight", self.requests_in_flight, 1_000_000),
            ("completed_transactions", self.completed_transactions, 10_000_000),
        ];
        for (key, size, limit) in sizes {
            if !(1..=limit).contains(&size) {
                violations.add(key, format_args!("must be from 1 to {limit}"));
            }
        }
        let counts = [
            ("failures_per_identity", self.failures_per_identity),
            ("failures_per_address", self.failures_per_address),
            ("resynchronisations", self.resynchronisations),
            ("challenges", self.challenges),
        ];
        for (key, count) in counts {
            if count == 0 {
                violations.add(key, "must be at least 1");
            }
        }
    }
}

impl SipCoreConfig {
    fn validate_times(&self, violations: &mut Violations) {
        let times = [
            ("minimum_expiry", self.minimum_expiry),
            ("sweep_interval", self.sweep_interval),
            ("challenge_lifetime", self.challenge_lifetime),
            ("lockout_window", self.lockout_window),
            ("resynchronisation_window", self.resynchronisation_window),
            ("challenge_window", self.challenge_window),
            ("request_deadline", self.request_deadline),
            ("retry_after", self.retry_after),
            ("handshake_timeout", self.handshake_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
        ];
        for (key, time) in times {
            if time.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        if !(self.minimum_expiry..=self.maximum_expiry).contains(&self.default_expiry) {
            violations.add("default_expiry", "must be from minimum_expiry to maximum_expiry");
        }
        if self.request_deadline >= TIMER_F {
            violations.add("request_deadline", "must be shorter than 32 s, when UEs give up");
        }
    }

    /// The realms; nothing before [`Settings::validate`] found no fault.
    pub(crate) fn realms(&self) -> Option<Realms> {
        let visitors = match self.visitor_realm.as_str() {
            "" => None,
            realm => Some(realm.parse().ok()?),
        };
        Some(Realms { own: self.realm.parse().ok()?, visitors })
    }

    pub(crate) fn registrar_policy(&self, realms: Realms) -> RegistrarPolicy {
        RegistrarPolicy {
            realms,
            registration: RegistrationPolicy {
                minimum_expiry: self.minimum_expiry,
                maximum_expiry: self.maximum_expiry,
                default_expiry: self.default_expiry,
                maximum_contacts: self.maximum_contacts,
            },
            // A twentieth is left to answer the UE with.
            source_deadline: self.request_deadline - self.request_deadline / 20,
            retry_after: self.retry_after,
            trust_connection_for: self.trust_connection_for,
        }
    }

    pub(crate) fn attempt_limits(&self) -> AttemptLimits {
        AttemptLimits {
            failures_per_identity: self.failures_per_identity,
            failures_per_address: self.failures_per_address,
            lockout_window: self.lockout_window,
            resynchronisations: self.resynchronisations,
            resynchronisation_window: self.resynchronisation_window,
            challenges: self.challenges,
            challenge_window: self.challenge_window,
        }
    }

    pub(crate) fn edge_settings(&self, realms: &Realms) -> SipEdgeSettings {
        let realms = std::iter::once(&realms.own).chain(&realms.visitors).map(ToString::to_string);
        let aliases = self.domain_aliases.iter().map(|alias| alias.to_ascii_lowercase());
        SipEdgeSettings {
            domains: realms.chain(aliases).collect(),
            request_deadline: self.request_deadline,
            retry_after: self.retry_after,
            service_route: self.service_route.clone(),
            message_limits: MessageLimits {
                message_bytes: self.message_bytes,
                header_lines: self.header_lines,
                header_line_bytes: self.header_line_bytes,
            },
            edge_limits: EdgeLimits {
                connections: self.connections,
                connections_per_address: self.connections_per_address,
                requests_in_flight: self.requests_in_flight,
                completed_transactions: self.completed_transactions,
            },
        }
    }

    pub(crate) fn connection_timeouts(&self) -> ConnectionTimeouts {
        ConnectionTimeouts {
            handshake: self.handshake_timeout,
            idle: self.idle_timeout,
            write: self.write_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_keys(config: &SipCoreConfig) -> Vec<String> {
        let mut violations = Violations::new();
        config.validate(&mut violations);
        violations.as_slice().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn defaults_lack_the_realm_only() {
        assert_eq!(refused_keys(&SipCoreConfig::default()), ["realm"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = SipCoreConfig {
            realm: "bravo.example".to_owned(),
            visitor_realm: "Bravo.Example".to_owned(),
            domain_aliases: vec!["not a host".to_owned()],
            default_expiry: Duration::from_secs(1),
            request_deadline: Duration::from_secs(32),
            connections: 0,
            challenges: 0,
            ..SipCoreConfig::default()
        };
        assert_eq!(
            refused_keys(&config),
            [
                "visitor_realm",
                "domain_aliases[0]",
                "default_expiry",
                "request_deadline",
                "connections",
                "challenges"
            ]
        );
    }
}
