//! Group management: the group management server (GMS) of an MC system, for own users and for visitors. TS 23.280 10.2.
//!
//! As **home** of its groups it holds their configuration and members, tells clients of every change (CSC-2), and tells partner MC systems
//! of the groups of users who migrate to them (CSC-16). As **partner** it holds the groups that visitors' primary MC systems tell it of, and
//! tells the visitors: a UE always asks the group management server of the system that serves it. TS 23.280 10.15.3.3.1.

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
use mcx_proto::group::v1::group_configuration_service_server::GroupConfigurationServiceServer;
use mcx_proto::group::v1::group_lookup_service_server::GroupLookupServiceServer;
use mcx_proto::group::v1::group_service_server::GroupServiceServer;
use mcx_proto::group::v1::group_sharing_service_server::GroupSharingServiceServer;
use mcx_proto::group::v1::migration_group_service_server::MigrationGroupServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::changes::{ChangeFeed, ChangeFeedConfig};
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio::sync::Notify;

use app::{App, AppParts};
use config::GroupManagementConfig;
pub use error::Error;
pub use store::SCHEMA;

/// Where replicas tell each other that the change log has been written.
const CHANGES: &str = "group-changes";

/// What group management stands on; made by whoever runs it.
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

/// Group management as a part of a server.
pub struct Service {
    app: App,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "group-management";

    /// Prepares the service; neither the database nor a partner need be there yet. Call from within a Tokio runtime.
    pub fn build(config: GroupManagementConfig, dependencies: Dependencies) -> Self {
        let Dependencies { own, database, cache, partners, clock } = dependencies;
        let feed = ChangeFeed::start(database.clone(), cache.clone(), CHANGES, ChangeFeedConfig::default());
        let app = App::new(AppParts {
            own,
            database,
            cache,
            feed,
            partners,
            config,
            clock,
            to_tell: Notify::new(),
            to_ask: Notify::new(),
        });
        Self { app, readiness: Readiness::new(Self::NAME) }
    }

    /// Adds the gRPC services to a server: what partners ask to the peer listener, what UEs ask to the client listener, all else to the
    /// internal one.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let group = GroupServiceServer::new(api::group::GroupApi(app()));
        let lookup = GroupLookupServiceServer::new(api::lookup::GroupLookupApi(app()));
        let migration = MigrationGroupServiceServer::new(api::migration::MigrationGroupApi(app()));
        let configuration =
            GroupConfigurationServiceServer::new(api::configuration::GroupConfigurationApi(app()));
        let sharing = GroupSharingServiceServer::new(api::sharing::GroupSharingApi(app()));
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, limited!(group, config), &self.readiness)
            .add_service(Listener::Internal, limited!(lookup, config), &self.readiness)
            .add_service(Listener::Internal, limited!(migration, config), &self.readiness)
            .add_service(Listener::Client, limited!(configuration, config), &self.readiness)
            .add_service(Listener::Peer, limited!(sharing, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database, and does with less comfort without its cache.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: partners are told and asked, the dependencies are watched. Runs until it is dropped; without it the
    /// service never becomes ready.
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
