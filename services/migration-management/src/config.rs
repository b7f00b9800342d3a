//! The settings of migration management.

use std::path::PathBuf;
use std::time::Duration;

use mcx_types::{IdentityError, McSystemId, Realm, Violations};
use serde::{Deserialize, Serialize};

use crate::domain::allotment::VisitorDomains;

/// Settings of the section `[migration_management]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MigrationManagementConfig {
    /// How long a primary MC system may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub primary_timeout: Duration,
    /// How long the own SIP database may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub sip_database_timeout: Duration,
    /// How often agreements are read again, should a change notification have been missed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub agreement_refresh_interval: Duration,
    /// After how many failures in a row a partner is left alone for a while.
    pub breaker_failures: u32,
    /// How long it is left alone.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub breaker_pause: Duration,
    /// What a partner may ask where its agreement does not say.
    pub default_limits: DefaultLimits,
    /// Where audit records go beside the database.
    pub audit: AuditConfig,
    /// Where the identities of visitors live.
    pub visitors: VisitorsConfig,
    /// How the migration of users is put in place.
    pub provisioning: ProvisioningConfig,
}

/// Where the identities live that this MC system allots to visitors.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisitorsConfig {
    /// The realm of their SIP identities, which the SIP core sends to migration management; absent: `visitors.` and the name of this MC
    /// system.
    #[schemars(with = "Option<String>")]
    pub realm: Option<Realm>,
    /// The domain of their MC service IDs, in which no own user has one; absent: the realm.
    #[schemars(with = "Option<String>")]
    pub mc_service_id_domain: Option<Realm>,
}

impl VisitorsConfig {
    /// The domains in the MC system `own`.
    ///
    /// # Errors
    /// Where the name of the MC system is too long to be given a realm below it.
    pub fn domains(&self, own: &McSystemId) -> Result<VisitorDomains, IdentityError> {
        let realm = match &self.realm {
            Some(realm) => realm.clone(),
            None => format!("visitors.{own}").parse()?,
        };
        let mc_service_id_domain = self.mc_service_id_domain.clone().unwrap_or_else(|| realm.clone());
        Ok(VisitorDomains { realm, mc_service_id_domain })
    }
}

/// How the migration of users is put in place, here and at partners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisioningConfig {
    /// How long another entity of this MC system may take to take up to 500 users.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub entity_timeout: Duration,
    /// How long a partner may take to take up to 500 users.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub partner_timeout: Duration,
    /// When a step that failed is tried again for the first time; the wait doubles with each further failure.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub first_retry: Duration,
    /// The longest wait between two attempts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub longest_retry: Duration,
    /// After how long another replica goes on with what this one has begun, should it have died.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub claim_lifetime: Duration,
    /// How often the own initial UE configuration is compared with what the primaries of visitors were told. Where it has changed they
    /// are told again, so that the access information of their users stays right.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub ue_configuration_interval: Duration,
}

impl Default for ProvisioningConfig {
    fn default() -> Self {
        Self {
            entity_timeout: Duration::from_secs(10),
            partner_timeout: Duration::from_secs(10),
            first_retry: Duration::from_secs(1),
            longest_retry: Duration::from_secs(30),
            claim_lifetime: Duration::from_secs(60),
            ue_configuration_interval: Duration::from_secs(30),
        }
    }
}

/// What a partner may ask where its agreement does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DefaultLimits {
    /// Requests for vectors of all users together, per minute.
    pub requests_per_minute: u32,
    /// Requests for vectors of one user, per minute.
    pub requests_per_user_per_minute: u32,
    /// Resynchronisations of one user, per hour.
    pub resynchronisations_per_user_per_hour: u32,
    /// Users whom the partner offers and about whom nobody here has decided yet. Further offers wait at the partner.
    pub pending_offers: u32,
}

/// Where audit records go beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// A file to which every record is appended as one line of JSON. The user stands in it as a pseudonym only.
    pub json_lines_file: Option<PathBuf>,
    /// A file with the secret, at least 32 bytes, from which pseudonyms are made: the same user has the same pseudonym as long
    /// as the secret stays. Required where `json_lines_file` is set.
    pub pseudonym_key_file: Option<PathBuf>,
}

impl Default for MigrationManagementConfig {
    fn default() -> Self {
        Self {
            primary_timeout: Duration::from_secs(2),
            sip_database_timeout: Duration::from_secs(1),
            agreement_refresh_interval: Duration::from_secs(5),
            breaker_failures: 5,
            breaker_pause: Duration::from_secs(2),
            default_limits: DefaultLimits::default(),
            audit: AuditConfig::default(),
            visitors: VisitorsConfig::default(),
            provisioning: ProvisioningConfig::default(),
        }
    }
}

impl Default for DefaultLimits {
    fn default() -> Self {
        Self {
            requests_per_minute: 6_000,
            requests_per_user_per_minute: 30,
            resynchronisations_per_user_per_hour: 30,
            pending_offers: 50_000,
        }
    }
}

impl mcx_runtime::config::Settings for MigrationManagementConfig {
    fn validate(&self, violations: &mut Violations) {
        let durations = [
            ("primary_timeout", self.primary_timeout),
            ("sip_database_timeout", self.sip_database_timeout),
            ("agreement_refresh_interval", self.agreement_refresh_interval),
            ("breaker_pause", self.breaker_pause),
            ("provisioning.entity_timeout", self.provisioning.entity_timeout),
            ("provisioning.partner_timeout", self.provisioning.partner_timeout),
            ("provisioning.first_retry", self.provisioning.first_retry),
            ("provisioning.longest_retry", self.provisioning.longest_retry),
            ("provisioning.claim_lifetime", self.provisioning.claim_lifetime),
            ("provisioning.ue_configuration_interval", self.provisioning.ue_configuration_interval),
        ];
        for (key, duration) in durations {
            if duration.is_zero() {
                violations.add(key, "must be longer than zero");
            }
        }
        let limits = self.default_limits;
        let numbers = [
            ("breaker_failures", self.breaker_failures),
            ("default_limits.requests_per_minute", limits.requests_per_minute),
            ("default_limits.requests_per_user_per_minute", limits.requests_per_user_per_minute),
            (
                "default_limits.resynchronisations_per_user_per_hour",
                limits.resynchronisations_per_user_per_hour,
            ),
            ("default_limits.pending_offers", limits.pending_offers),
        ];
        for (key, number) in numbers {
            if number == 0 {
                violations.add(key, "must be at least 1");
            }
        }
        if self.audit.json_lines_file.is_some() && self.audit.pseudonym_key_file.is_none() {
            violations.add("audit.pseudonym_key_file", "is required where audit.json_lines_file is set");
        }
    }
}
