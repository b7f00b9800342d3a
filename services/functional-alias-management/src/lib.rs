//! Functional alias management: the functional alias management server (FAMS) of an MC system. TS 23.280 8.1.5, 10.13, annex A.7.
//!
//! It holds which functional aliases there are and who may activate them, and tells clients of every change. Which user has activated which
//! alias is known to the MC service server.

mod api;
mod app;
pub mod client;
pub mod config;
pub mod domain;
mod error;
mod store;
mod wire;

use std::sync::Arc;

use mcx_federation::Listener;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_server::FunctionalAliasConfigurationServiceServer;
use mcx_proto::functionalalias::v1::functional_alias_lookup_service_server::FunctionalAliasLookupServiceServer;
use mcx_proto::functionalalias::v1::functional_alias_service_server::FunctionalAliasServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::changes::{ChangeFeed, ChangeFeedConfig};
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};

use app::{App, AppParts};
use config::FunctionalAliasManagementConfig;
pub use error::Error;
pub use store::SCHEMA;

/// Where replicas tell each other that the change log has been written.
const CHANGES: &str = "functional-alias-changes";

/// What functional alias management stands on; made by whoever runs it.
pub struct Dependencies {
    /// This MC system.
    pub own: McSystemId,
    /// The database with [`SCHEMA`].
    pub database: Database,
    /// What replicas share.
    pub cache: SharedCache,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Functional alias management as a part of a server.
pub struct Service {
    app: App,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "functional-alias-management";

    /// Prepares the service; the database need not be there yet. Call from within a Tokio runtime.
    pub fn build(config: FunctionalAliasManagementConfig, dependencies: Dependencies) -> Self {
        let Dependencies { own, database, cache, clock } = dependencies;
        let feed = ChangeFeed::start(database.clone(), cache.clone(), CHANGES, ChangeFeedConfig::default());
        let app = App::new(AppParts { own, database, cache, feed, config, clock });
        Self { app, readiness: Readiness::new(Self::NAME) }
    }

    /// Adds the gRPC services to a server: what UEs ask to the client listener, all else to the internal one.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let alias = FunctionalAliasServiceServer::new(api::alias::FunctionalAliasApi(app()));
        let lookup = FunctionalAliasLookupServiceServer::new(api::lookup::FunctionalAliasLookupApi(app()));
        let configuration = FunctionalAliasConfigurationServiceServer::new(
            api::configuration::FunctionalAliasConfigurationApi(app()),
        );
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, limited!(alias, config), &self.readiness)
            .add_service(Listener::Internal, limited!(lookup, config), &self.readiness)
            .add_service(Listener::Client, limited!(configuration, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database, and does with less comfort without its cache.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: the dependencies are watched. Runs until it is dropped; without it the service never becomes ready.
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
