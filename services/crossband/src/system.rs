//! One MC system, or the part of it that runs in this process: builds the entities, opens the listeners, ends in good order.

mod builder;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_federation::policy::RULES;
use mcx_federation::{Listener, PolicyTable, TrustBundles};
use mcx_runtime::admin::Admin;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::Server;
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::LogLevel;
use mcx_store::{Database, Schema};
use mcx_types::{Clock, Entity, McSystemId, SystemClock};

use crate::config::CrossbandConfig;
use builder::Builder;

/// How long a process may take to end beyond what its settings allow for, after which what is left is cut.
const SHUTDOWN_MARGIN: Duration = Duration::from_secs(10);

/// Where a running system is reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// gRPC for entities and operators of the same MC system.
    pub grpc: SocketAddr,
    /// gRPC for partners; absent where no entity that partners talk to runs here.
    pub peer: Option<SocketAddr>,
    /// gRPC for UEs; absent where no entity that UEs talk to runs here.
    pub client: Option<SocketAddr>,
    /// HTTPS of identity management; absent where it does not run here.
    pub https: Option<SocketAddr>,
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
    /// The issuer URL of identity management; absent where it does not run here.
    pub issuer: Option<String>,
    readiness: Vec<Readiness>,
    shutdown: Shutdown,
    /// How long the shutdown may take.
    shutdown_bound: Duration,
}

/// The schemas of the entities that keep something in the database.
pub fn schema_of(entity: Entity) -> Option<&'static Schema> {
    match entity {
        Entity::MigrationManagement => Some(&migration_management::SCHEMA),
        Entity::SipDatabase => Some(&sip_database::SCHEMA),
        Entity::GroupManagement => Some(&group_management::SCHEMA),
        Entity::IdentityManagement => Some(&identity_management::SCHEMA),
        Entity::ConfigurationManagement => Some(&configuration_management::SCHEMA),
        Entity::McService => Some(&mc_service::SCHEMA),
        Entity::FunctionalAliasManagement => Some(&functional_alias_management::SCHEMA),
        Entity::SipCore => None,
    }
}

/// Whether partners call the entity, on the peer listener.
fn talks_to_partners(entity: Entity) -> bool {
    match entity {
        Entity::MigrationManagement
        | Entity::ConfigurationManagement
        | Entity::GroupManagement
        | Entity::McService => true,
        Entity::SipDatabase
        | Entity::SipCore
        | Entity::IdentityManagement
        | Entity::FunctionalAliasManagement => false,
    }
}

/// Whether UEs call the entity by gRPC, on the client listener.
fn talks_to_ues(entity: Entity) -> bool {
    match entity {
        Entity::ConfigurationManagement
        | Entity::GroupManagement
        | Entity::FunctionalAliasManagement
        | Entity::McService => true,
        Entity::MigrationManagement | Entity::SipDatabase | Entity::SipCore | Entity::IdentityManagement => {
            false
        }
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
        let listening_identity = builder::identity(&config, &id, &shutdown, listening_as)?;
        let bundles = TrustBundles::new(listening_identity.clone());
        let policy = Arc::new(PolicyTable::new(id.clone(), &RULES)?);
        let users = AccessTokenVerifier::new(id.clone(), Arc::clone(&clock));
        let mut server = Server::builder(listening_identity.clone(), bundles.clone(), policy)
            .config(config.server.clone())
            .access_tokens(users.clone())
            .listener(Listener::Internal, config.listen.grpc);
        if entities.iter().any(|entity| talks_to_partners(*entity)) {
            server = server.listener(Listener::Peer, config.listen.peer);
        }
        if entities.iter().any(|entity| talks_to_ues(*entity)) {
            server = server.listener(Listener::Client, config.listen.client);
        }
        let builder = Builder { config: &config, id: &id, clock, shutdown: &shutdown, bundles };

        let mut readiness = Vec::new();
        if entities.contains(&Entity::SipDatabase) {
            server = builder.sip_database(server, &mut readiness)?;
        }
        if entities.contains(&Entity::MigrationManagement) {
            server = builder.migration_management(server, &mut readiness).await?;
        }
        let mut https = None;
        if entities.contains(&Entity::IdentityManagement) {
            let (with_identity_management, bound) =
                builder.identity_management(server, &mut readiness).await?;
            server = with_identity_management;
            https = Some(bound);
        }
        if let Some(entity) = entities.iter().copied().find(|entity| talks_to_ues(*entity)) {
            builder.follow_token_trust(entity, &users)?;
        }
        if entities.contains(&Entity::ConfigurationManagement) {
            server = builder.configuration_management(server, &mut readiness)?;
        }
        if entities.contains(&Entity::McService) {
            server = builder.mc_service(server, &mut readiness)?;
        }
        if entities.contains(&Entity::GroupManagement) {
            server = builder.group_management(server, &mut readiness)?;
        }
        if entities.contains(&Entity::FunctionalAliasManagement) {
            server = builder.functional_alias_management(server, &mut readiness)?;
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
            client: server.address(Listener::Client),
            https: https.as_ref().map(|bound| bound.address),
            admin: admin.address(),
            sip_udp: sip.and_then(|bound| bound.udp),
            sip_tcp: sip.and_then(|bound| bound.tcp),
            sip_tls: sip.and_then(|bound| bound.tls),
        };
        shutdown.spawn(server.serve(shutdown.token().clone()));
        shutdown.spawn(admin.serve(shutdown.token().clone()));
        let shutdown_bound = config.server.announce_duration + config.server.drain_timeout + SHUTDOWN_MARGIN;
        let issuer = https.map(|bound| bound.issuer);
        Ok(Self { id, addresses, issuer, readiness, shutdown, shutdown_bound })
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
        self.shutdown.wait(self.shutdown_bound).await
    }

    /// Completes when the process is asked to end and everything has ended.
    pub async fn run_until_shutdown(self) -> bool {
        self.shutdown.token().cancelled().await;
        self.shutdown.wait(self.shutdown_bound).await
    }
}
