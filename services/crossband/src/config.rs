//! The configuration of a process: which MC system it is part of, and the settings of what runs in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use configuration_management::config::ConfigurationManagementConfig;
use functional_alias_management::config::FunctionalAliasManagementConfig;
use group_management::config::GroupManagementConfig;
use identity_management::IdentityManagementConfig;
use mc_service::config::McServiceConfig;
use mcx_federation::{IdentityFiles, PeerEndpoint};
use mcx_runtime::config::{Settings, validate_section};
use mcx_runtime::server::ServerConfig;
use mcx_runtime::telemetry::TelemetryConfig;
use mcx_store::{CacheConfig, DatabaseConfig};
use mcx_types::{Entity, McSystemId, Violations};
use migration_management::config::MigrationManagementConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sip_core::SipCoreConfig;
use sip_database::SipDatabaseConfig;

/// Where the configuration is looked for unless the command line names another file.
pub const DEFAULT_FILE: &str = "/etc/crossband/crossband.toml";

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossbandConfig {
    /// The MC system, a DNS name such as `alpha.example`. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub mc_system_id: Option<McSystemId>,
    /// What the process proves itself with.
    pub certificates: CertificatesConfig,
    /// Where it listens.
    pub listen: ListenConfig,
    /// Where it finds the other entities of its MC system.
    pub endpoints: EndpointsConfig,
    /// The durable state.
    pub database: DatabaseConfig,
    /// What replicas share and may lose.
    pub cache: CacheConfig,
    /// The gRPC listeners' limits.
    pub server: ServerConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
    /// The migration management server.
    pub migration_management: MigrationManagementConfig,
    /// The identity management server.
    pub identity_management: IdentityManagementConfig,
    /// The configuration management server.
    pub configuration_management: ConfigurationManagementConfig,
    /// The group management server.
    pub group_management: GroupManagementConfig,
    /// The functional alias management server.
    pub functional_alias_management: FunctionalAliasManagementConfig,
    /// The MC service server.
    pub mc_service: McServiceConfig,
    /// The SIP database.
    pub sip_database: SipDatabaseConfig,
    /// The SIP core.
    pub sip_core: SipCoreConfig,
}

/// What the process proves itself with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CertificatesConfig {
    /// The folder with `<entity>.pem`, `<entity>-key.pem` for each entity that runs, and `trust-bundle.pem` of the MC system. The files
    /// are read again when they change.
    pub directory: PathBuf,
}

impl Default for CertificatesConfig {
    fn default() -> Self {
        Self { directory: PathBuf::from("/etc/crossband/certificates") }
    }
}

impl CertificatesConfig {
    /// The files of one holder of a certificate, an entity or `operator`.
    pub fn files(&self, holder: &str) -> IdentityFiles {
        identity_files(&self.directory, holder)
    }
}

/// The files of one holder of a certificate in a folder of certificates.
pub fn identity_files(directory: &Path, holder: &str) -> IdentityFiles {
    IdentityFiles {
        certificate_file: directory.join(format!("{holder}.pem")),
        key_file: directory.join(format!("{holder}-key.pem")),
        trust_bundle_file: directory.join("trust-bundle.pem"),
    }
}

/// Where the process listens. Port 0 lets the operating system choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// gRPC for entities and operators of the same MC system.
    pub grpc: SocketAddr,
    /// gRPC for partner MC systems; only a process with an entity that partners talk to opens it: migration management, configuration
    /// management, group management, the MC service server.
    pub peer: SocketAddr,
    /// gRPC for UEs; only a process with an entity that UEs talk to opens it: configuration management, group management, functional
    /// alias management, the MC service server.
    pub client: SocketAddr,
    /// Plain HTTP for probes and metrics.
    pub admin: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self { grpc: any(7000), peer: any(7443), client: any(7444), admin: any(9090) }
    }
}

/// Where the other entities of the MC system are found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointsConfig {
    /// The SIP database.
    pub sip_database: EndpointConfig,
    /// The migration management server.
    pub migration_management: EndpointConfig,
    /// The SIP core, of which migration management ends registrations.
    pub sip_core: EndpointConfig,
    /// The identity management server.
    pub identity_management: EndpointConfig,
    /// The configuration management server.
    pub configuration_management: EndpointConfig,
    /// The group management server.
    pub group_management: EndpointConfig,
    /// The functional alias management server.
    pub functional_alias_management: EndpointConfig,
    /// The MC service server.
    pub mc_service: EndpointConfig,
}

impl EndpointsConfig {
    /// Where an entity is found.
    pub fn of(&self, entity: Entity) -> &EndpointConfig {
        match entity {
            Entity::MigrationManagement => &self.migration_management,
            Entity::SipDatabase => &self.sip_database,
            Entity::SipCore => &self.sip_core,
            Entity::IdentityManagement => &self.identity_management,
            Entity::ConfigurationManagement => &self.configuration_management,
            Entity::GroupManagement => &self.group_management,
            Entity::FunctionalAliasManagement => &self.functional_alias_management,
            Entity::McService => &self.mc_service,
        }
    }

    /// Every entity at one place, as where one process runs them all.
    pub fn all_at(endpoint: &EndpointConfig) -> Self {
        Self::each(|_| endpoint.clone())
    }

    pub(crate) fn each(at: impl Fn(Entity) -> EndpointConfig) -> Self {
        Self {
            sip_database: at(Entity::SipDatabase),
            migration_management: at(Entity::MigrationManagement),
            sip_core: at(Entity::SipCore),
            identity_management: at(Entity::IdentityManagement),
            configuration_management: at(Entity::ConfigurationManagement),
            group_management: at(Entity::GroupManagement),
            functional_alias_management: at(Entity::FunctionalAliasManagement),
            mc_service: at(Entity::McService),
        }
    }
}

/// Where an entity is found, and who it proves to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `host:port` of its gRPC listener; several are tried in order.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<PeerEndpoint>,
    /// Whose certificate its listener shows: the entity's own, or that of the first entity of a process that runs several.
    #[schemars(with = "String")]
    pub identity: Entity,
}

impl Default for EndpointsConfig {
    fn default() -> Self {
        Self::each(|entity| EndpointConfig {
            addresses: format!("{entity}:7000").parse().into_iter().collect(),
            identity: entity,
        })
    }
}

impl Settings for CrossbandConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.mc_system_id.is_none() {
            violations.add("mc_system_id", "is required");
        }
        for entity in Entity::ALL {
            if self.endpoints.of(*entity).addresses.is_empty() {
                let section = entity.as_str().replace('-', "_");
                violations.add(format!("endpoints.{section}.addresses"), "must not be empty");
            }
        }
        for (section, problems) in [("database", self.database.problems()), ("cache", self.cache.problems())]
        {
            for problem in problems {
                let (key, description) = problem.split_once(": ").unwrap_or(("url", &problem));
                violations.add(format!("{section}.{key}"), description);
            }
        }
        validate_section("server", &self.server, violations);
        validate_section("telemetry", &self.telemetry, violations);
        validate_section("migration_management", &self.migration_management, violations);
        validate_section("identity_management", &self.identity_management, violations);
        validate_section("configuration_management", &self.configuration_management, violations);
        let aliases = &self.functional_alias_management;
        validate_section("functional_alias_management", aliases, violations);
        validate_section("mc_service", &self.mc_service, violations);
        validate_section("group_management", &self.group_management, violations);
        validate_section("sip_database", &self.sip_database, violations);
        validate_section("sip_core", &self.sip_core, violations);
    }
}
