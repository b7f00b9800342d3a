//! One MC system, or the part of it that runs in this process: builds the entities, opens the listeners, ends in good order.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_federation::policy::RULES;
use mcx_federation::{
    ChannelSettings, Dialer, Listener, OwnIdentity, PolicyTable, TrustBundles, unauthenticated_server_config,
};
use mcx_runtime::admin::Admin;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::Server;
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::LogLevel;
use mcx_store::{Database, Schema, SharedCache};
use mcx_types::{Clock, Entity, McSystemId, SpiffeId, SystemClock};
use sip_database::SystemRandom;
use sip_database::client::SipAuthenticationClient;
use tonic::transport::Channel;

use crate::config::{CrossbandConfig, EndpointConfig};

/// How often the certificate files are looked at.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// How long a process may take to end, after which what is left is cut.
const SHUTDOWN_BOUND: Duration = Duration::from_secs(30);

/// Where a running system is reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// gRPC for entities and operators of the same MC system.
    pub grpc: SocketAddr,
    /// gRPC for partners; absent where migration management does not run here.
    pub peer: Option<SocketAddr>,
    /// Plain HTTP for probes and metrics.
    pub admin: SocketAddr,
    /// SIP over UDP, TCP and TLS; absent where the SIP core does not run here, or not on that transport.
    pub sip_udp: Option<SocketAddr>,
    /// See `sip_udp`.
    pub sip_tcp: Option<SocketAddr>,
    /// See `sip_udp`.
    pub sip_tls: Option<SocketAddr>,
}

/// The entities of an MC system that run in this process.
pub struct System {
    /// The MC system.
    pub id: McSystemId,
    /// Where it is reached.
    pub addresses: Addresses,
    readiness: Vec<Readiness>,
    shutdown: Shutdown,
}

/// The schemas of the entities that keep something in the database.
pub fn schema_of(entity: Entity) -> Option<&'static Schema> {
    match entity {
        Entity::MigrationManagement => Some(&migration_management::SCHEMA),
        Entity::SipDatabase => Some(&sip_database::SCHEMA),
        Entity::SipCore
        | Entity::IdentityManagement
        | Entity::ConfigurationManagement
        | Entity::GroupManagement
        | Entity::FunctionalAliasManagement
        | Entity::McService => None,
    }
}

/// Brings the schemas of the entities to what this program needs.
///
/// # Errors
/// Where the database cannot be reached or a migration fails.
pub async fn migrate(config: &CrossbandConfig, entities: &BTreeSet<Entity>) -> Result<()> {
    for entity in entities {
        if let Some(schema) = schema_of(*entity) {
            let database = Database::open(&config.database, schema)?;
            let state = database
                .migrate()
                .await
                .with_context(|| format!("cannot migrate the schema {}", schema.name))?;
            tracing::info!(schema = schema.name, ?state, "schema migrated");
            database.close().await;
        }
    }
    Ok(())
}

impl System {
    /// Starts the entities. Databases, caches and other entities need not be there yet: [`System::wait_until_serving`] tells when all
    /// are.
    ///
    /// # Errors
    /// Where a certificate or key cannot be used, or an address cannot be listened on.
    pub async fn start(
        config: CrossbandConfig,
        entities: &BTreeSet<Entity>,
        log_level: Option<LogLevel>,
        shutdown: Shutdown,
    ) -> Result<Self> {
        let id = config.mc_system_id.clone().context("mc_system_id is required")?;
        let listening_as = *entities.first().context("no entity to run")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut builder = Builder { config: &config, id: &id, clock, shutdown: &shutdown, bundles: None };

        let listening_identity = builder.identity(listening_as)?;
        let bundles = TrustBundles::new(listening_identity.clone());
        builder.bundles = Some(bundles.clone());
        let policy = Arc::new(PolicyTable::new(id.clone(), &RULES)?);
        let mut server = Server::builder(listening_identity.clone(), bundles, policy)
            .config(config.server.clone())
            .listener(Listener::Internal, config.listen.grpc);
        if entities.contains(&Entity::MigrationManagement) {
            server = server.listener(Listener::Peer, config.listen.peer);
        }

        let mut readiness = Vec::new();
        if entities.contains(&Entity::SipDatabase) {
            server = builder.sip_database(server, &mut readiness)?;
        }
        if entities.contains(&Entity::MigrationManagement) {
            server = builder.migration_management(server, &mut readiness).await?;
        }
        let mut sip = None;
        if entities.contains(&Entity::SipCore) {
            let (with_sip_core, bound) =
                builder.sip_core(server, &listening_identity, &mut readiness).await?;
            server = with_sip_core;
            sip = Some(bound);
        }

        let server = server.bind().await?;
        let mut admin = Admin::bind(config.listen.admin, readiness.clone()).await?;
        if let Some(log_level) = log_level {
            admin = admin.log_level(log_level);
        }
        let addresses = Addresses {
            grpc: server.address(Listener::Internal).context("the internal listener is bound")?,
            peer: server.address(Listener::Peer),
            admin: admin.address(),
            sip_udp: sip.and_then(|bound| bound.udp),
            sip_tcp: sip.and_then(|bound| bound.tcp),
            sip_tls: sip.and_then(|bound| bound.tls),
        };
        shutdown.spawn(server.serve(shutdown.token().clone()));
        shutdown.spawn(admin.serve(shutdown.token().clone()));
        Ok(Self { id, addresses, readiness, shutdown })
    }

    /// Completes when every entity can do its work.
    pub async fn wait_until_serving(&self) {
        for readiness in &self.readiness {
            readiness.wait_until_serving().await;
        }
    }

    /// Ends the system in good order; says whether everything ended by itself within the bound.
    pub async fn stop(&self) -> bool {
        self.shutdown.begin();
        self.shutdown.wait(SHUTDOWN_BOUND).await
    }

    /// Completes when the process is asked to end and everything has ended.
    pub async fn run_until_shutdown(self) -> bool {
        self.shutdown.token().cancelled().await;
        self.shutdown.wait(SHUTDOWN_BOUND).await
    }
}

/// What the entities of one process are built from.
struct Builder<'a> {
    config: &'a CrossbandConfig,
    id: &'a McSystemId,
    clock: Arc<dyn Clock>,
    shutdown: &'a Shutdown,
    bundles: Option<TrustBundles>,
}

impl Builder<'_> {
    /// The certificate of an entity, which must be of this MC system.
    fn identity(&self, entity: Entity) -> Result<OwnIdentity> {
        let files = self.config.certificates.files(entity.as_str());
        let identity = OwnIdentity::load(&files).with_context(|| {
            format!("cannot use the certificate of {entity} in {}", files.certificate_file.display())
        })?;
        let expected = SpiffeId::entity(self.id.clone(), entity);
        anyhow::ensure!(
            *identity.spiffe_id() == expected,
            "{} is the certificate of {}, not of {expected}",
            files.certificate_file.display(),
            identity.spiffe_id()
        );
        self.until_shutdown(identity.clone().watch(CERTIFICATE_CHECK_INTERVAL));
        Ok(identity)
    }

    /// Runs work that never ends by itself until the process ends.
    fn until_shutdown(&self, work: impl Future<Output = ()> + Send + 'static) {
        let ended = self.shutdown.token().clone();
        self.shutdown.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = work => {}
            }
        });
    }

    fn bundles(&self) -> Result<TrustBundles> {
        self.bundles.clone().context("the trust bundles are made first")
    }

    fn dialer(&self, entity: Entity) -> Result<Dialer> {
        let identity = self.identity(entity)?;
        Ok(Dialer::new(identity, self.bundles()?, ChannelSettings::default(), Arc::clone(&self.clock)))
    }

    fn channel(&self, dialer: &Dialer, endpoint: &EndpointConfig) -> Result<Channel> {
        let expected = SpiffeId::entity(self.id.clone(), endpoint.identity);
        Ok(dialer.channel(expected, endpoint.addresses.clone())?)
    }

    fn cache(&self, entity: Entity) -> Result<SharedCache> {
        Ok(SharedCache::open(&self.config.cache, &format!("{}/{entity}", self.id))?)
    }

    fn database(&self, schema: &Schema) -> Result<Database> {
        Ok(Database::open(&self.config.database, schema)?)
    }

    fn sip_database(&self, server: Server, readiness: &mut Vec<Readiness>) -> Result<Server> {
        let dependencies = sip_database::Dependencies {
            own_system: self.id.clone(),
            database: self.database(&sip_database::SCHEMA)?,
            cache: self.cache(Entity::SipDatabase)?,
            clock: Arc::clone(&self.clock),
            random: Arc::new(SystemRandom),
        };
        let service = sip_database::Service::build(self.config.sip_database.clone(), dependencies)?;
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    async fn migration_management(&self, server: Server, readiness: &mut Vec<Readiness>) -> Result<Server> {
        let dialer = self.dialer(Entity::MigrationManagement)?;
        let sip_database = self.channel(&dialer, &self.config.endpoints.sip_database)?;
        let dependencies = migration_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&migration_management::SCHEMA)?,
            cache: self.cache(Entity::MigrationManagement)?,
            sip_database: SipAuthenticationClient::new(sip_database),
            dialer,
            bundles: self.bundles()?,
            clock: Arc::clone(&self.clock),
        };
        let config = self.config.migration_management.clone();
        let service = migration_management::Service::build(config, dependencies).await?;
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    async fn sip_core(
        &self,
        server: Server,
        listening_identity: &OwnIdentity,
        readiness: &mut Vec<Readiness>,
    ) -> Result<(Server, sip_core::sip::BoundAddresses)> {
        let dialer = self.dialer(Entity::SipCore)?;
        let timeout = self.config.sip_core.request_deadline;
        let sip_database = self.channel(&dialer, &self.config.endpoints.sip_database)?;
        let migration_management = self.channel(&dialer, &self.config.endpoints.migration_management)?;
        let dependencies = sip_core::Dependencies {
            cache: self.cache(Entity::SipCore)?,
            own_users: Arc::new(sip_core::SipDatabaseSource::new(sip_database, timeout)),
            visitors: Arc::new(sip_core::MigrationManagementSource::new(migration_management, timeout)),
            tls: self.config.sip_core.tls_address.map(|_| unauthenticated_server_config(listening_identity)),
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(rand::random::<u128>),
        };
        let service = sip_core::Service::build(self.config.sip_core.clone(), dependencies).await?;
        let bound = service.bound();
        readiness.push(service.readiness().clone());
        let server = service.add_to(server, &self.config.server);
        let ended = self.shutdown.token().clone();
        self.shutdown.spawn(async move { service.run(ended.cancelled_owned()).await });
        Ok((server, bound))
    }
}
