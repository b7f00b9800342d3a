//! Configuration management: the configuration management server (CMS) of an MC system, for own users and for visitors. TS 23.280 10.1.
//!
//! It keeps what UEs and MC service servers work by: the initial UE configuration that a factory-new UE fetches (10.1.1.1), UE
//! configurations (10.1.3), user profiles (10.1.4) and service configurations. Changes reach connected UEs (10.1.4.4). As **primary** it lets
//! partner MC systems have the profiles of users who may migrate to them, as **partner** it serves visitors what their primary MC
//! systems gave, adapted to the own policy (10.1.4.3.2, CSC-17): see [`domain::adaptation`].

mod api;
mod app;
pub mod client;
pub mod config;
pub mod domain;
mod error;
mod store;
mod wire;

use std::sync::Arc;

use mcx_federation::{Listener, PartnerDirectory};
use mcx_proto::configuration::v1 as proto;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::changes::{ChangeFeed, ChangeFeedConfig};
use mcx_store::{CacheConfig, Database, OpenError, SharedCache};
use mcx_types::{Clock, McSystemId};
use proto::bootstrap_service_server::BootstrapServiceServer;
use proto::configuration_service_server::ConfigurationServiceServer;
use proto::effective_profile_service_server::EffectiveProfileServiceServer;
use proto::initial_ue_configuration_service_server::InitialUeConfigurationServiceServer;
use proto::migration_configuration_service_server::MigrationConfigurationServiceServer;
use proto::profile_sharing_service_server::ProfileSharingServiceServer;
use proto::service_configuration_service_server::ServiceConfigurationServiceServer;
use proto::ue_configuration_service_server::UeConfigurationServiceServer;
use proto::user_profile_service_server::UserProfileServiceServer;
use proto::visitor_policy_service_server::VisitorPolicyServiceServer;
use tokio::sync::Notify;

use app::limits::RateLimiter;
use app::{App, AppParts};
use config::ConfigurationManagementConfig;
pub use error::{Error, Hop, Limit};
pub use store::SCHEMA;

/// What configuration management stands on; made by whoever runs it.
pub struct Dependencies {
    /// This MC system.
    pub own: McSystemId,
    /// The database with [`SCHEMA`].
    pub database: Database,
    /// What replicas share.
    pub cache: SharedCache,
    /// The partners, kept in step with the agreements by whoever runs it.
    pub partners: PartnerDirectory,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Configuration management as a part of a server.
pub struct Service {
    app: App,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "configuration-management";

    /// Prepares the service; neither the database nor a partner need be there yet. Call from within a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] where the in-process cache cannot be opened.
    pub fn build(
        config: ConfigurationManagementConfig,
        dependencies: Dependencies,
    ) -> Result<Self, OpenError> {
        let Dependencies { own, database, cache, partners, clock } = dependencies;
        let own_cache = SharedCache::open(&CacheConfig::from_url("memory:"), own.as_str())?;
        let limiter = RateLimiter::new(cache.clone(), own_cache, config.limits);
        let feed = ChangeFeedConfig::default();
        let changes = ChangeFeed::start(database.clone(), cache.clone(), "configuration-management", feed);
        let (shares_due, policy_news) = (Notify::new(), Notify::new());
        let app = App::new(AppParts {
            own,
            database,
            cache,
            changes,
            partners,
            limiter,
            config,
            clock,
            shares_due,
            policy_news,
        });
        Ok(Self { app, readiness: Readiness::new(Self::NAME) })
    }

    /// Adds the gRPC services to a server: what partners ask to the peer listener, what UEs ask to the client listener, all else to the
    /// internal one.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let initial =
            InitialUeConfigurationServiceServer::new(api::initial::InitialUeConfigurationApi(app()));
        let ue = UeConfigurationServiceServer::new(api::ue_configuration::UeConfigurationApi(app()));
        let profile = UserProfileServiceServer::new(api::user_profile::UserProfileApi(app()));
        let service = ServiceConfigurationServiceServer::new(
            api::service_configuration::ServiceConfigurationApi(app()),
        );
        let policy = VisitorPolicyServiceServer::new(api::visitor_policy::VisitorPolicyApi(app()));
        let effective = EffectiveProfileServiceServer::new(api::effective::EffectiveProfileApi(app()));
        let migration =
            MigrationConfigurationServiceServer::new(api::migration::MigrationConfigurationApi(app()));
        let sharing = ProfileSharingServiceServer::new(api::sharing::ProfileSharingApi(app()));
        let bootstrap = BootstrapServiceServer::new(api::initial::BootstrapApi(app()));
        let configuration = ConfigurationServiceServer::new(api::configuration::ConfigurationApi(app()));
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, limited!(initial, config), &self.readiness)
            .add_service(Listener::Internal, limited!(ue, config), &self.readiness)
            .add_service(Listener::Internal, limited!(profile, config), &self.readiness)
            .add_service(Listener::Internal, limited!(service, config), &self.readiness)
            .add_service(Listener::Internal, limited!(policy, config), &self.readiness)
            .add_service(Listener::Internal, limited!(effective, config), &self.readiness)
            .add_service(Listener::Internal, limited!(migration, config), &self.readiness)
            .add_service(Listener::Peer, limited!(sharing, config), &self.readiness)
            .add_service(Listener::Client, limited!(bootstrap, config), &self.readiness)
            .add_service(Listener::Client, limited!(configuration, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database and the agreements, and does with less comfort without its cache.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: gives partners what is due, tells watchers of policies, ends visits, watches the dependencies. Runs
    /// until it is dropped; without it the service never becomes ready.
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
