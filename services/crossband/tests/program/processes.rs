//! One MC system whose entities are processes of their own, each started, killed and stopped by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crossband::certificates::{self, Certificates};
use crossband::config::{EndpointConfig, EndpointsConfig};
use crossband::dev::{PeerListener, Reach, SipListener};
use mcx_types::{Clock, Entity, McSystemId, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::{Daemon, crossband, run_well, signal};

/// How often is looked whether a process serves.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After this a test fails instead of hanging. Nothing is measured with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a listener is for. Each entity has one of each.
#[derive(Debug, Clone, Copy)]
enum Listener {
    Grpc,
    Peer,
    Client,
    Admin,
}

/// How many ports an entity has, and where those come that only one entity has.
const PORTS_OF_ENTITY: u16 = 4;
const HTTPS: u16 = 40;
const SIP: u16 = 41;
/// Where a test may put what stands in front of an entity.
pub(crate) const IN_FRONT: u16 = 50;

/// One MC system.
pub(crate) struct Processes {
    pub(crate) id: McSystemId,
    pub(crate) certificates: Certificates,
    folder: PathBuf,
    base: u16,
    running: Mutex<BTreeMap<Entity, Daemon>>,
}

/// Where UEs find identity management, unless it is where that listens.
pub(crate) struct Issuer(pub(crate) Option<SocketAddr>);

impl Processes {
    /// Everything but the running processes: certificates, keys, configuration and schemas.
    pub(crate) fn set_up(id: &str, folder: &Path, base: u16, issuer: &Issuer) -> Self {
        let id: McSystemId = id.parse().unwrap();
        let folder = folder.join(id.as_str());
        let hosts = ["localhost", "127.0.0.1"];
        let certificates =
            certificates::ensure(&folder.join("certificates"), &id, &hosts, SystemClock.now()).unwrap();
        let system = Self { id, certificates, folder, base, running: Mutex::default() };
        run_well(["key-file", "create", &system.path("keys.toml"), "--id", "first"]);
        std::fs::create_dir_all(system.path("database")).unwrap();
        let configuration = toml::to_string(&system.configuration(issuer)).unwrap();
        std::fs::write(system.path("crossband.toml"), configuration).unwrap();
        run_well(["migrate", "all", "--config", &system.path("crossband.toml")]);
        system
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn at(&self, offset: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.base + offset))
    }

    fn listener(&self, entity: Entity, listener: Listener) -> SocketAddr {
        let index = Entity::ALL.iter().position(|known| *known == entity).unwrap();
        self.at(u16::try_from(index).unwrap() * PORTS_OF_ENTITY + listener as u16)
    }

    /// Where the entities keep things.
    pub(crate) fn database_url(&self) -> String {
        format!("sqlite:{}", self.path("database"))
    }

    /// Where identity management listens.
    pub(crate) fn https(&self) -> SocketAddr {
        self.at(HTTPS)
    }

    /// A place in front of an entity.
    pub(crate) fn in_front_of(&self, entity: Entity) -> SocketAddr {
        let index = Entity::ALL.iter().position(|known| *known == entity).unwrap();
        self.at(IN_FRONT + u16::try_from(index).unwrap())
    }

    fn issuer(&self, issuer: &Issuer) -> String {
        format!("https://{}", issuer.0.unwrap_or_else(|| self.https()))
    }

    fn configuration(&self, issuer: &Issuer) -> Value {
        let endpoint = |entity: &Entity| {
            let at =
                json!({ "addresses": [self.listener(*entity, Listener::Grpc)], "identity": entity.as_str() });
            (entity.as_str().replace('-', "_"), at)
        };
        let endpoints: serde_json::Map<String, Value> = Entity::ALL.iter().map(endpoint).collect();
        json!({
            "mc_system_id": self.id.as_str(),
            "certificates": { "directory": self.certificates.directory },
            "database": { "url": self.database_url() },
            "cache": { "url": "memory:" },
            "endpoints": endpoints,
            "sip_database": { "key_file": self.path("keys.toml") },
            "identity_management": {
                "https_address": self.https(),
                "issuer": self.issuer(issuer),
                "key_file": self.path("keys.toml"),
            },
            // What waits, waits briefly: the tests wait for it.
            "migration_management": {
                "breaker_pause": "50ms",
                "agreement_refresh_interval": "200ms",
                "default_limits": { "requests_per_user_per_minute": 600 },
                "provisioning": {
                    "first_retry": "20ms",
                    "longest_retry": "200ms",
                    "claim_lifetime": "3s",
                },
            },
            "mc_service": {
                "upkeep_interval": "100ms",
                "notice_backoff": "50ms",
                "notice_backoff_limit": "200ms",
            },
            "sip_core": {
                "realm": self.id.as_str(),
                "visitor_realm": format!("visitors.{}", self.id),
                "udp_address": self.at(SIP),
                "tcp_address": self.at(SIP),
            },
        })
    }

    /// Where the system is reached, with nothing in front of it.
    pub(crate) fn reach(&self, issuer: &Issuer) -> Reach {
        let at = |entity: Entity, listener| self.listener(entity, listener);
        let mut endpoints = EndpointsConfig::default();
        for entity in Entity::ALL {
            *endpoint_mut(&mut endpoints, *entity) =
                EndpointConfig { addresses: vec![at(*entity, Listener::Grpc).into()], identity: *entity };
        }
        let peers = [
            Entity::MigrationManagement,
            Entity::ConfigurationManagement,
            Entity::GroupManagement,
            Entity::McService,
        ];
        let clients = [
            Entity::ConfigurationManagement,
            Entity::GroupManagement,
            Entity::FunctionalAliasManagement,
            Entity::McService,
        ];
        Reach {
            id: self.id.clone(),
            certificates: self.certificates.clone(),
            endpoints,
            peers: peers
                .into_iter()
                .map(|entity| (entity, PeerListener { address: at(entity, Listener::Peer), shows: entity }))
                .collect(),
            clients: clients
                .into_iter()
                .map(|entity| (entity, at(entity, Listener::Client).into()))
                .collect(),
            sip: SipListener { transport: "SIP_TRANSPORT_TCP", address: self.at(SIP) },
            issuer: self.issuer(issuer),
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<Entity, Daemon>> {
        self.running.lock().unwrap()
    }

    /// Starts an entity; it need not serve yet.
    pub(crate) fn start(&self, entity: Entity) {
        let mut command = crossband(["serve", entity.as_str(), "--config", &self.path("crossband.toml")]);
        let listeners = [
            ("GRPC", Listener::Grpc),
            ("PEER", Listener::Peer),
            ("CLIENT", Listener::Client),
            ("ADMIN", Listener::Admin),
        ];
        for (name, listener) in listeners {
            command.env(format!("CROSSBAND_LISTEN__{name}"), self.listener(entity, listener).to_string());
        }
        let logs = self.folder.join(entity.as_str());
        std::fs::create_dir_all(&logs).unwrap();
        self.running().insert(entity, Daemon::start(command, &logs));
    }

    /// Starts every entity, and waits until all serve.
    pub(crate) async fn start_all(&self) {
        Entity::ALL.iter().for_each(|entity| self.start(*entity));
        for entity in Entity::ALL {
            self.serving(*entity).await;
        }
    }

    /// Starts an entity, and waits until it serves.
    pub(crate) async fn start_and_wait(&self, entity: Entity) {
        self.start(entity);
        self.serving(entity).await;
    }

    /// Completes when an entity serves.
    async fn serving(&self, entity: Entity) {
        let admin = self.listener(entity, Listener::Admin);
        let looking = async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            while !is_ready(admin).await {
                if let Some(daemon) = self.running().get_mut(&entity) {
                    daemon.assert_running();
                }
                ticks.tick().await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, looking).await;
        seen.unwrap_or_else(|_| panic!("{entity} of {} does not serve: {}", self.id, self.logged(entity)));
    }

    /// The metrics of an entity.
    pub(crate) async fn metrics(&self, entity: Entity) -> String {
        get(self.listener(entity, Listener::Admin), "/metrics").await.unwrap()
    }

    /// What an entity logged since it was started.
    pub(crate) fn logged(&self, entity: Entity) -> String {
        self.running().get(&entity).map(Daemon::logged).unwrap_or_default()
    }

    /// Ends an entity as a power cut would; it is gone when this returns.
    pub(crate) fn kill(&self, entity: Entity) {
        let daemon = self.running().remove(&entity);
        daemon.unwrap_or_else(|| panic!("{entity} of {} runs", self.id)).kill();
    }

    /// Stops all entities but these in the middle of whatever they do, or lets them go on.
    pub(crate) fn signal_all_but(&self, spared: &BTreeSet<Entity>, name: &str) {
        let running = self.running();
        let others: Vec<&Daemon> =
            running.iter().filter(|(entity, _)| !spared.contains(entity)).map(|(_, daemon)| daemon).collect();
        assert!(signal(name, &others), "all entities of {} run", self.id);
    }
}

fn endpoint_mut(endpoints: &mut EndpointsConfig, entity: Entity) -> &mut EndpointConfig {
    match entity {
        Entity::MigrationManagement => &mut endpoints.migration_management,
        Entity::SipDatabase => &mut endpoints.sip_database,
        Entity::SipCore => &mut endpoints.sip_core,
        Entity::IdentityManagement => &mut endpoints.identity_management,
        Entity::ConfigurationManagement => &mut endpoints.configuration_management,
        Entity::GroupManagement => &mut endpoints.group_management,
        Entity::FunctionalAliasManagement => &mut endpoints.functional_alias_management,
        Entity::McService => &mut endpoints.mc_service,
    }
}

/// Whether the admin listener says that everything is there.
async fn is_ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// What an admin listener answers.
async fn get(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
