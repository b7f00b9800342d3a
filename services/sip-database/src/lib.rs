//! The SIP database of an MC system: the home of subscribers and the authentication centre.
//!
//! It keeps subscribers with K and OPc encrypted, counts their sequence numbers, and makes AKA authentication vectors:
//! for the own SIP core, and on behalf of partner systems for the migration management server (TS 23.280 10.1.6.2 steps
//! 5 and 6; TS 33.102 6.3 and Annex C).
//!
//! [`Service`] is the server side, [`client`] what others call it with.

mod api;
mod app;
pub mod client;
mod config;
mod domain;
mod error;
mod random;
mod store;

use std::sync::Arc;

use mcx_federation::Listener;
use mcx_proto::sipdatabase::v1::key_encryption_key_service_server::KeyEncryptionKeyServiceServer;
use mcx_proto::sipdatabase::v1::sip_authentication_service_server::SipAuthenticationServiceServer;
use mcx_proto::sipdatabase::v1::subscriber_service_server::SubscriberServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::sealing::KeyFileError;

pub use app::Dependencies;
pub use config::SipDatabaseConfig;
pub use random::{RandomSource, SystemRandom};
pub use store::SCHEMA;

/// The SIP database as a part of a server.
pub struct Service {
    app: Arc<app::App>,
    readiness: Readiness,
    latches: app::Latches,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "sip-database";

    /// Reads the key file and prepares the service; nothing else is contacted yet. Call from within a Tokio runtime.
    ///
    /// # Errors
    /// [`KeyFileError`]: without its key-encryption keys the service could answer nobody.
    pub fn build(config: SipDatabaseConfig, dependencies: Dependencies) -> Result<Self, KeyFileError> {
        let app = Arc::new(app::App::new(config, dependencies)?);
        let readiness = Readiness::new(Self::NAME);
        let latches = app::Latches::of(&readiness);
        Ok(Self { app, readiness, latches })
    }

    /// Adds the gRPC services to a server, all on the internal listener.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let authentication = api::SipAuthenticationApi::new(Arc::clone(&self.app));
        let subscribers = api::SubscriberApi::new(Arc::clone(&self.app));
        let keys = api::KeyEncryptionKeyApi::new(Arc::clone(&self.app));
        let authentication = limited!(SipAuthenticationServiceServer::new(authentication), config);
        let subscribers = limited!(SubscriberServiceServer::new(subscribers), config);
        let keys = limited!(KeyEncryptionKeyServiceServer::new(keys), config);
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, authentication, &self.readiness)
            .add_service(Listener::Internal, subscribers, &self.readiness)
            .add_service(Listener::Internal, keys, &self.readiness)
    }

    /// Whether the service can do its work: it needs its database, and does with less comfort without its cache.
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// The work beside the requests: watches the dependencies, follows the key file, forgets the answers to old requests.
    /// Runs until it is dropped; without it the service never becomes ready.
    pub fn upkeep(&self) -> impl Future<Output = ()> + Send + 'static {
        let app = Arc::clone(&self.app);
        let latches = self.latches.clone();
        async move { app.upkeep(&latches).await }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Service").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}
