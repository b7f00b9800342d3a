//! Migration management: the migration management server (MMS) of an MC system, in both of its roles.
//!
//! As **partner** it knows which visitor stands for which user of which primary MC system, and gets her authentication vector from there.
//! As **primary** it releases vectors of own users to the partners that they may migrate to, and to nobody else. TS 23.280 10.1.6.2,
//! 10.1.1.2; the checks before a vector leaves are in [`domain::release`].

mod api;
mod app;
pub mod client;
pub mod collaborators;
pub mod config;
pub mod domain;
mod error;
mod store;
mod wire;

use std::sync::Arc;

use mcx_federation::{BreakerSettings, Dialer, Listener, TrustBundles};
use mcx_proto::migration::v1::admission_policy_service_server::AdmissionPolicyServiceServer;
use mcx_proto::migration::v1::agreement_service_server::AgreementServiceServer;
use mcx_proto::migration::v1::audit_service_server::AuditServiceServer;
use mcx_proto::migration::v1::binding_service_server::BindingServiceServer;
use mcx_proto::migration::v1::federation_service_server::FederationServiceServer;
use mcx_proto::migration::v1::partner_service_server::PartnerServiceServer;
use mcx_proto::migration::v1::permit_service_server::PermitServiceServer;
use mcx_proto::migration::v1::sip_authentication_service_server::SipAuthenticationServiceServer;
use mcx_proto::migration::v1::user_migration_service_server::UserMigrationServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::{CacheConfig, Database, OpenError, SharedCache};
use mcx_types::{Clock, IdentityError, McSystemId};
use sip_database::client::SipAuthenticationClient;
use tokio::sync::{Mutex, watch};

use app::audit_trail::AuditTrail;
pub use app::audit_trail::AuditTrailError;
use app::limits::RateLimiter;
use app::peers::Peers;
use app::{App, AppParts};
use collaborators::Collaborators;
use config::MigrationManagementConfig;
pub use error::{Error, Hop};
pub use store::SCHEMA;

/// What migration management stands on; made by whoever runs it.
pub struct Dependencies {
    /// This MC system.
    pub own: McSystemId,
    /// The database with [`SCHEMA`].
    pub database: Database,
    /// What replicas share.
    pub cache: SharedCache,
    /// The own SIP database.
    pub sip_database: SipAuthenticationClient,
    /// The other entities of this MC system that users are provisioned with.
    pub collaborators: Collaborators,
    /// Opens channels to partners.
    pub dialer: Dialer,
    /// Whom the peer listener and the dialer believe; kept in step with the agreements from here.
    pub bundles: TrustBundles,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why migration management cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The audit trail cannot be opened.
    #[error(transparent)]
    AuditTrail(#[from] AuditTrailError),
    /// The in-process cache cannot be opened.
    #[error(transparent)]
    Cache(#[from] OpenError),
    /// The name of this MC system leaves no room for a visitor realm below it: one has to be configured.
    #[error("no visitor realm can be made: {0}")]
    VisitorRealm(#[from] IdentityError),
}

/// Migration management as a part of a server.
pub struct Service {
    app: App,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "migration-management";

    /// Prepares the service; neither the database nor a partner need be there yet. Call from within a Tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(
        config: MigrationManagementConfig,
        dependencies: Dependencies,
    ) -> Result<Self, BuildError> {
        let Dependencies { own, database, cache, sip_database, collaborators, dialer, bundles, clock } =
            dependencies;
        let domains = config.visitors.domains(&own)?;
        let breaker =
            BreakerSettings { failures_to_open: config.breaker_failures, open_for: config.breaker_pause };
        let own_cache = SharedCache::open(&CacheConfig::from_url("memory:"), own.as_str())?;
        let sip_database = sip_database.with_timeout(config.sip_database_timeout);
        let audit = AuditTrail::open(&config.audit, database.clone()).await?;
        let limiter = RateLimiter::new(cache.clone(), own_cache, config.default_limits);
        let peers = Peers::new(dialer, bundles, breaker);
        let app = App::new(AppParts {
            own,
            database,
            sip_database,
            cache,
            peers,
            audit,
            limiter,
            config,
            clock,
            agreements: watch::Sender::new(None),
            agreements_turn: Mutex::default(),
            user_migrations: watch::Sender::new(0),
            collaborators,
            domains,
        });
        Ok(Self { app, readiness: Readiness::new(Self::NAME) })
    }

    /// Adds the gRPC services to a server: what partners ask to the peer listener, all else to the internal one.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let binding = BindingServiceServer::new(api::binding::BindingApi(app()));
        let permit = PermitServiceServer::new(api::permit::PermitApi(app()));
        let agreement = AgreementServiceServer::new(api::agreement::AgreementApi(app()));
        let audit = AuditServiceServer::new(api::audit::AuditApi(app()));
        let sip = SipAuthenticationServiceServer::new(api::sip_authentication::SipAuthenticationApi(app()));
        let federation = FederationServiceServer::new(api::federation::FederationApi(app()));
        let partner = PartnerServiceServer::new(api::partner::PartnerApi(app()));
        let user_migration = UserMigrationServiceServer::new(api::user_migration::UserMigrationApi(app()));
        let admission_policy =
            AdmissionPolicyServiceServer::new(api::admission_policy::AdmissionPolicyApi(app()));
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, limited!(binding, config), &self.readiness)
            .add_service(Listener::Internal, limited!(permit, config), &self.readiness)
            .add_service(Listener::Internal, limited!(agreement, config), &self.readiness)
            .add_service(Listener::Internal, limited!(audit, config), &self.readiness)
            .add_service(Listener::Internal, limited!(sip, config), &self.readiness)
            .add_service(Listener::Internal, limited!(partner, config), &self.readiness)
            .add_service(Listener::Internal, limited!(user_migration, config), &self.readiness)
            .add_service(Listener::Internal, limited!(admission_policy, config), &self.readiness)
            .add_service(Listener::Peer, limited!(federation, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database, and does with less comfort without its cache.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: keeps trust bundles and channels in step with the agreements, watches the dependencies. Runs until
    /// it is dropped; without it the service never becomes ready.
    pub fn upkeep(&self) -> impl Future<Output = ()> + Send + 'static {
        let app = self.app.clone();
        let readiness = self.readiness.clone();
        async move { app.upkeep(&readiness).await }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
