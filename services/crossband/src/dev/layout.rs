//! Where the two systems of `crossband dev` listen and keep things.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_store::sealing::create_key_file;
use mcx_store::{CacheConfig, DatabaseConfig};
use mcx_types::{Entity, McSystemId};
use rand::RngExt;

use super::DevOptions;
use crate::certificates::Certificates;
use crate::config::{CertificatesConfig, CrossbandConfig, EndpointConfig, EndpointsConfig, ListenConfig};

/// The first port of `crossband dev` unless `--port-base` says otherwise.
pub const DEFAULT_PORT_BASE: u16 = 7100;

/// The identifier of the key-encryption key that is made on first start.
const FIRST_KEY: &str = "first";

/// How far the ports of the second system are from those of the first.
const SYSTEM_STRIDE: u16 = 100;

/// Below the ephemeral ports of Linux and of IANA (RFC 6335 6).
const CHOSEN_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Which ports are listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPlan {
    /// Fixed ones, counted from a base.
    From(u16),
    /// Whichever are free, for tests that run side by side.
    Free,
}

/// The ports of one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// gRPC.
    pub grpc: u16,
    /// gRPC for partners.
    pub peer: u16,
    /// gRPC for UEs.
    pub client: u16,
    /// HTTPS of identity management.
    pub https: u16,
    /// HTTP for probes and metrics.
    pub admin: u16,
    /// SIP over UDP and TCP.
    pub sip: u16,
    /// SIP over TLS.
    pub sip_tls: u16,
}

impl PortPlan {
    /// The ports of the system with this index, 0 or 1.
    ///
    /// # Errors
    /// Where the base leaves no room, or no port is free.
    pub fn ports(self, index: u16) -> Result<Ports> {
        match self {
            Self::From(base) => {
                let first = index
                    .checked_mul(SYSTEM_STRIDE)
                    .and_then(|stride| base.checked_add(stride))
                    .filter(|first| *first <= u16::MAX - SYSTEM_STRIDE && *first > 0)
                    .with_context(|| format!("--port-base {base} leaves no room for the ports above it"))?;
                Ok(Ports {
                    grpc: first,
                    peer: first + 1,
                    admin: first + 2,
                    client: first + 3,
                    https: first + 4,
                    sip: first + 60,
                    sip_tls: first + 61,
                })
            }
            // Only two ports must be known before they are listened on: entities of one process call each other at that of gRPC, and the
            // issuer of tokens is named by that of HTTPS.
            Self::Free => Ok(Ports {
                grpc: free_port()?,
                https: free_port()?,
                peer: 0,
                client: 0,
                admin: 0,
                sip: 0,
                sip_tls: 0,
            }),
        }
    }
}

/// A port that nobody listens at. It is none of those that the operating system chooses itself, so that it is not given away between
/// here and the moment when it is listened on.
fn free_port() -> Result<u16> {
    let mut random = rand::rng();
    let candidates = std::iter::repeat_with(|| random.random_range(CHOSEN_PORTS)).take(100);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    candidates.into_iter().find(is_free).context("no port is free")
}

/// Where state is kept.
#[derive(Debug, Clone, Default)]
pub struct StoreUrls {
    /// One database URL per system; `None`: SQLite in the data folder.
    pub databases: Option<[String; 2]>,
    /// The shared cache of both systems; `None`: in the process.
    pub cache: Option<String>,
}

/// The port of HTTPS names the issuer of tokens, which partners know: once chosen, it stays that of the data folder.
fn remembered_port(file: &Path, chosen: u16) -> Result<u16> {
    if let Ok(text) = fs::read_to_string(file) {
        return text.trim().parse().with_context(|| format!("{} holds no port", file.display()));
    }
    fs::write(file, chosen.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(chosen)
}

/// The configuration of one of the two systems.
pub(super) fn config(
    id: &McSystemId,
    index: u16,
    directory: &Path,
    certificates: &Certificates,
    options: &DevOptions,
) -> Result<CrossbandConfig> {
    let mut ports = options.ports.ports(index)?;
    ports.https = remembered_port(&directory.join("https-port"), ports.https)?;
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listening_as = *Entity::ALL.iter().min().context("there are entities")?;
    let own = EndpointConfig { addresses: vec![local(ports.grpc).into()], identity: listening_as };
    let database_directory = directory.join("database");
    fs::create_dir_all(&database_directory)?;
    let database = match &options.stores.databases {
        Some(urls) => urls[usize::from(index)].clone(),
        None => format!("sqlite:{}", database_directory.display()),
    };
    let mut config = CrossbandConfig {
        mc_system_id: Some(id.clone()),
        certificates: CertificatesConfig { directory: certificates.directory.clone() },
        listen: ListenConfig {
            grpc: local(ports.grpc),
            peer: local(ports.peer),
            client: local(ports.client),
            admin: local(ports.admin),
        },
        endpoints: EndpointsConfig::all_at(&own),
        database: DatabaseConfig::from_url(database),
        cache: CacheConfig::from_url(options.stores.cache.as_deref().unwrap_or("memory:")),
        ..CrossbandConfig::default()
    };
    config.sip_database.key_file = directory.join("key-encryption-keys.toml");
    if !config.sip_database.key_file.exists() {
        create_key_file(&config.sip_database.key_file, FIRST_KEY, rand::rng().random())?;
    }
    config.identity_management.https_address = local(ports.https);
    config.identity_management.issuer = Some(format!("https://127.0.0.1:{}", ports.https));
    config.identity_management.key_file = config.sip_database.key_file.clone();
    let pseudonym_key = directory.join("audit-pseudonym.key");
    if !pseudonym_key.exists() {
        crate::files::write_secret(&pseudonym_key, &rand::rng().random::<[u8; 32]>())?;
    }
    config.migration_management.audit.json_lines_file = Some(directory.join("audit.jsonl"));
    config.migration_management.audit.pseudonym_key_file = Some(pseudonym_key);
    config.sip_core.realm = id.to_string();
    config.sip_core.visitor_realm = format!("visitors.{id}");
    config.sip_core.udp_address = Some(local(ports.sip));
    config.sip_core.tcp_address = Some(local(ports.sip));
    config.sip_core.tls_address = Some(local(ports.sip_tls));
    // After a start at other ports alice's access information is soon right again.
    config.migration_management.provisioning.ue_configuration_interval = Duration::from_millis(500);
    // A demonstration asks for more vectors in a minute than a user does; it is the primary that counts them.
    config.migration_management.default_limits.requests_per_user_per_minute = 600;
    Ok(config)
}
