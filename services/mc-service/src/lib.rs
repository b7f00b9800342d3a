//! The MC service server of an MC system: who is authorized, with which profile, affiliated where, and whom one may call. TS 23.280
//! 10.1.1, 10.6, 10.8, 10.13.
//!
//! As **partner** it serves visitors whom their primary MC system lets be served here; as **primary** it permits own users to be served by
//! exactly the partner that their user profile names, and knows where they are (10.6.3). What users may do is asked of configuration, group
//! and functional alias management each time, and enforced as it is then: see [`domain::communication`].

mod api;
mod app;
pub mod client;
pub mod config;
pub mod domain;
mod error;
pub mod sources;
mod store;
mod wire;

use std::sync::Arc;

use mcx_federation::{Listener, PartnerDirectory};
use mcx_proto::mcservice::v1::affiliation_service_server::AffiliationServiceServer;
use mcx_proto::mcservice::v1::communication_service_server::CommunicationServiceServer;
use mcx_proto::mcservice::v1::federation_service_server::FederationServiceServer;
use mcx_proto::mcservice::v1::functional_alias_activation_service_server::FunctionalAliasActivationServiceServer;
use mcx_proto::mcservice::v1::migrated_user_service_server::MigratedUserServiceServer;
use mcx_proto::mcservice::v1::service_authorization_service_server::ServiceAuthorizationServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::changes::{ChangeFeed, ChangeFeedConfig};
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio::sync::Notify;

use app::{App, AppParts};
use config::McServiceConfig;
pub use error::{Error, Hop};
use sources::{AliasSource, GroupSource, ProfileSource};
pub use store::SCHEMA;

/// The channel of the cache by which replicas tell each other of changes.
const CHANGES: &str = "mc_service.changes";

/// What the MC service server stands on; made by whoever runs it.
pub struct Dependencies {
    /// This MC system.
    pub own: McSystemId,
    /// The database with [`SCHEMA`].
    pub database: Database,
    /// What replicas share.
    pub cache: SharedCache,
    /// User profiles: [`sources::ConfigurationManagement`].
    pub profiles: Arc<dyn ProfileSource>,
    /// Groups: [`sources::GroupManagement`].
    pub groups: Arc<dyn GroupSource>,
    /// Functional aliases: [`sources::FunctionalAliasManagement`].
    pub aliases: Arc<dyn AliasSource>,
    /// The partners, kept in step with the agreements by whoever runs this.
    pub partners: PartnerDirectory,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The MC service server as a part of a server.
pub struct Service {
    app: App,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "mc-service";

    /// Prepares the service; neither the database nor anybody else need be there yet. Call from within a Tokio runtime.
    pub fn build(config: McServiceConfig, dependencies: Dependencies) -> Self {
        let Dependencies { own, database, cache, profiles, groups, aliases, partners, clock } = dependencies;
        let feed = ChangeFeed::start(database.clone(), cache, CHANGES, ChangeFeedConfig::default());
        let notices_left = Notify::new();
        let app = App::new(AppParts {
            own,
            database,
            profiles,
            groups,
            aliases,
            partners,
            feed,
            notices_left,
            config,
            clock,
        });
        Self { app, readiness: Readiness::new(Self::NAME) }
    }

    /// Adds the gRPC services to a server: what UEs ask to the client listener, what partners ask to the peer listener, all else to the
    /// internal one.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let authorization = ServiceAuthorizationServiceServer::new(
            api::service_authorization::ServiceAuthorizationApi(app()),
        );
        let affiliation = AffiliationServiceServer::new(api::affiliation::AffiliationApi(app()));
        let activation = FunctionalAliasActivationServiceServer::new(api::activation::ActivationApi(app()));
        let communication = || CommunicationServiceServer::new(api::communication::CommunicationApi(app()));
        let migrated = MigratedUserServiceServer::new(api::migrated_user::MigratedUserApi(app()));
        let federation = FederationServiceServer::new(api::federation::FederationApi(app()));
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Client, limited!(authorization, config), &self.readiness)
            .add_service(Listener::Client, limited!(affiliation, config), &self.readiness)
            .add_service(Listener::Client, limited!(activation, config), &self.readiness)
            .add_service(Listener::Client, limited!(communication(), config), &self.readiness)
            .add_service(Listener::Internal, limited!(communication(), config), &self.readiness)
            .add_service(Listener::Internal, limited!(migrated, config), &self.readiness)
            .add_service(Listener::Peer, limited!(federation, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database; until the agreements are known it serves own users only.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: ends what has expired, tells other MC systems, watches the dependencies. Runs until it is dropped;
    /// without it the service never becomes ready.
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
