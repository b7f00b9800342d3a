//! The SIP core of an MC system: a registrar on UDP, TCP and TLS that authenticates users with AKA.
//!
//! Own users are authenticated with vectors of the own SIP database, visitors with vectors that the migration management
//! server gets from their primary MC systems (TS 23.280 10.1.6.2 steps 1, 2, 10 and 11). RFC 3261 10.3 and 17.2.2, RFC 3310,
//! RFC 4169; TS 33.203 6.1, TS 24.229 5.4.1.2.
//!
//! [`Service`] is the whole, [`client`] what others call its management interface with.

mod api;
pub mod app;
pub mod client;
mod config;
pub mod domain;
mod error;
mod peers;
pub mod sip;
pub mod store;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mcx_federation::Listener;
use mcx_proto::sipcore::v1::registration_service_server::RegistrationServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::{Readiness, Weight};
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::SharedCache;
use mcx_types::Clock;
use tokio::time::{MissedTickBehavior, interval};

use app::{AuthenticationInformationSource, Randomness, Registrar, Registry};
pub use config::SipCoreConfig;
pub use peers::{MigrationManagementSource, SipDatabaseSource};
use sip::{BoundAddresses, SipEdge, SipListeners, SipServer};
use store::{Attempts, Challenges, Registrations};

/// How often the shared cache is asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What the SIP core is built from.
#[derive(Clone)]
pub struct Dependencies {
    /// What the replicas share and may lose.
    pub cache: SharedCache,
    /// Vectors of own users.
    pub own_users: Arc<dyn AuthenticationInformationSource>,
    /// Vectors of visitors.
    pub visitors: Arc<dyn AuthenticationInformationSource>,
    /// The server's side of SIP over TLS: the certificate of the system, none asked of UEs. `None` without a TLS address.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes identifiers that nobody can guess.
    pub randomness: Randomness,
}

/// Why the SIP core cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A realm is no domain name.
    #[error("realm or visitor_realm is not a realm")]
    Realm,
    /// A TLS address is configured, but no certificate.
    #[error("tls_address needs a certificate")]
    CertificateMissing,
    /// An address cannot be listened on.
    #[error("cannot listen for sip: {0}")]
    Bind(#[from] io::Error),
}

/// The SIP core as a part of a process.
pub struct Service {
    edge: Arc<SipEdge>,
    sip_server: SipServer,
    registrations: Registrations,
    registry: Registry,
    cache: SharedCache,
    clock: Arc<dyn Clock>,
    sweep_interval: Duration,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "sip-core";

    /// Binds the SIP listeners and prepares the service; nobody is answered before [`Service::run`].
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(config: SipCoreConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        let Dependencies { cache, own_users, visitors, tls, clock, randomness } = dependencies;
        let realms = config.realms().ok_or(StartError::Realm)?;
        let tls = match config.tls_address {
            Some(address) => Some((address, tls.ok_or(StartError::CertificateMissing)?)),
            None => None,
        };
        let listeners = SipListeners { udp: config.udp_address, tcp: config.tcp_address, tls };
        let sip_server = SipServer::bind(listeners, config.connection_timeouts(), randomness()).await?;
        let registrations = Registrations::new(cache.clone());
        let registrar = Registrar::new(
            config.registrar_policy(realms.clone()),
            own_users,
            visitors,
            Challenges::new(cache.clone(), config.challenge_lifetime),
            registrations.clone(),
            Attempts::new(cache.clone(), config.attempt_limits()),
            Arc::clone(&clock),
            randomness,
        );
        Ok(Self {
            edge: SipEdge::new(config.edge_settings(&realms), registrar),
            sip_server,
            registry: Registry::new(registrations.clone(), Arc::clone(&clock)),
            registrations,
            cache,
            clock,
            sweep_interval: config.sweep_interval,
            readiness: Readiness::new(Self::NAME),
        })
    }

    /// The SIP addresses, with the ports that the system chose.
    #[must_use]
    pub fn bound(&self) -> BoundAddresses {
        self.sip_server.bound()
    }

    /// Adds the gRPC service to a server, on the internal listener.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let registrations = api::RegistrationApi::new(self.registry.clone());
        let registrations = limited!(RegistrationServiceServer::new(registrations), config);
        server.file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET).add_service(
            Listener::Internal,
            registrations,
            &self.readiness,
        )
    }

    /// Whether the service can do its work: it needs the shared cache.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Answers SIP, watches the shared cache and tells of registrations that ended, until `shutdown` completes; without it the
    /// service never becomes ready.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let serve = self.sip_server.run(self.edge, shutdown);
        let upkeep = upkeep(self.registrations, self.cache, self.clock, self.sweep_interval, self.readiness);
        tokio::select! {
            () = serve => {}
            () = upkeep => {}
        }
    }
}

/// Never ends.
async fn upkeep(
    registrations: Registrations,
    cache: SharedCache,
    clock: Arc<dyn Clock>,
    sweep_interval: Duration,
    readiness: Readiness,
) {
    let watch = async {
        let latch = readiness.latch("cache", Weight::Required);
        let mut ticks = ticks_every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            match cache.ping().await {
                Ok(()) => latch.up(),
                Err(error) => latch.down(error.to_string()),
            }
        }
    };
    let sweep = async {
        let mut ticks = ticks_every(sweep_interval);
        loop {
            ticks.tick().await;
            if let Err(error) = registrations.sweep(clock.now()).await {
                tracing::debug!(%error, "registrations not swept");
            }
        }
    };
    tokio::join!(watch, sweep);
}

fn ticks_every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
