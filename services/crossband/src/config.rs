//! The configuration of a process: which MC system it is part of, and the settings of what runs in it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

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
    /// gRPC for partner MC systems; only a process with migration management opens it.
    pub peer: SocketAddr,
    /// Plain HTTP for probes and metrics.
    pub admin: SocketAddr,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self { grpc: any(7000), peer: any(7443), admin: any(9090) }
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
}

/// Where an entity is found, and who it proves to be.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
        let at = |entity: Entity| EndpointConfig {
            addresses: format!("{entity}:7000").parse().into_iter().collect(),
            identity: entity,
        };
        Self { sip_database: at(Entity::SipDatabase), migration_management: at(Entity::MigrationManagement) }
    }
}

impl Settings for CrossbandConfig {
    fn validate(&self, violations: &mut Violations) {
        if self.mc_system_id.is_none() {
            violations.add("mc_system_id", "is required");
        }
        for (name, endpoint) in [
            ("sip_database", &self.endpoints.sip_database),
            ("migration_management", &self.endpoints.migration_management),
        ] {
            if endpoint.addresses.is_empty() {
                violations.add(format!("endpoints.{name}.addresses"), "must not be empty");
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
        validate_section("sip_database", &self.sip_database, violations);
        validate_section("sip_core", &self.sip_core, violations);
    }
}
