//! Identity management: the identity management server (IdMS) of an MC system, in both of its roles.
//!
//! It is the OpenID provider of the users of its system (TS 33.180 5.1.2, annex B; CSC-1). As **primary** it gives them security tokens for
//! the partners that they may migrate to; as **partner** it takes security tokens of the primaries that it trusts and gives visitors access
//! tokens with the MC service IDs that were allotted to them here (TS 33.180 5.1.4, C.2).
//!
//! [`Service`] is the whole, [`client`] what others call it with.

mod api;
mod app;
pub mod client;
mod config;
mod domain;
mod error;
mod https;
mod store;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mcx_federation::Listener;
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_proto::identity::v1::account_service_server::AccountServiceServer;
use mcx_proto::identity::v1::client_registration_service_server::ClientRegistrationServiceServer;
use mcx_proto::identity::v1::key_encryption_key_service_server::KeyEncryptionKeyServiceServer;
use mcx_proto::identity::v1::migration_identity_service_server::MigrationIdentityServiceServer;
use mcx_proto::identity::v1::partner_trust_service_server::PartnerTrustServiceServer;
use mcx_proto::identity::v1::signing_key_service_server::SigningKeyServiceServer;
use mcx_proto::identity::v1::token_service_server::TokenServiceServer;
use mcx_proto::identity::v1::token_trust_service_server::TokenTrustServiceServer;
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::sealing::{KeyFile, KeyFileError};
use mcx_store::{CacheConfig, Database, OpenError, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio_rustls::rustls;
use tokio_util::sync::CancellationToken;

use app::limits::SourceLimits;
use app::passwords::PasswordHasher;
use app::trust::TrustState;
use app::{App, AppParts};
use https::HttpsServer;

pub use app::randomness::Randomness;
pub use config::{IdentityManagementConfig, LimitConfig, PasswordConfig};
pub use error::Error;
pub use store::SCHEMA;

/// What identity management stands on; made by whoever runs it.
pub struct Dependencies {
    /// This MC system.
    pub own: McSystemId,
    /// The database with [`SCHEMA`].
    pub database: Database,
    /// What replicas share.
    pub cache: SharedCache,
    /// The server's side of HTTPS: the certificate of the entity, none asked of UEs.
    pub tls: Arc<rustls::ServerConfig>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What nobody can guess.
    pub randomness: Randomness,
}

/// Why identity management cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The in-process cache cannot be opened.
    #[error(transparent)]
    Cache(#[from] OpenError),
    /// The HTTPS address cannot be listened on.
    #[error("cannot listen for https: {0}")]
    Bind(#[from] io::Error),
    /// Passwords cannot be hashed with these settings.
    #[error("passwords cannot be hashed: {0}")]
    Passwords(Error),
}

/// Identity management as a part of a process.
pub struct Service {
    app: App,
    https: HttpsServer,
    readiness: Readiness,
}

impl Service {
    /// The name of the entity.
    pub const NAME: &'static str = "identity-management";

    /// Binds the HTTPS listener and prepares the service; the database need not be there yet, and nobody is answered before
    /// [`Service::run`]. Call from within a Tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(
        config: IdentityManagementConfig,
        dependencies: Dependencies,
    ) -> Result<Self, BuildError> {
        let Dependencies { own, database, cache, tls, clock, randomness } = dependencies;
        let key_file = KeyFile::open(&config.key_file)?;
        let https = HttpsServer::bind(config.https_address, &tls, config.limits).await?;
        let issuer = config.issuer.clone().unwrap_or_else(|| format!("https://{}", https.address()));
        let own_cache = SharedCache::open(&CacheConfig::from_url("memory:"), own.as_str())?;
        let passwords = config.passwords;
        let hasher = tokio::task::spawn_blocking(move || PasswordHasher::new(&passwords)).await;
        let hasher = hasher.map_err(io::Error::other)?.map_err(BuildError::Passwords)?;
        let app = App::new(AppParts {
            verifier: AccessTokenVerifier::new(own.clone(), Arc::clone(&clock)),
            own,
            issuer,
            database,
            limits: SourceLimits::new(cache.clone(), own_cache),
            cache,
            key_file,
            hasher,
            trust: TrustState::new(),
            config,
            clock,
            randomness,
            draining: CancellationToken::new(),
        });
        let readiness = Readiness::new(Self::NAME);
        // Closed from the beginning: nobody is to come before the first key is there.
        app::upkeep::latches(&readiness);
        Ok(Self { app, https, readiness })
    }

    /// The HTTPS address, with the port that the system chose.
    #[must_use]
    pub fn https_address(&self) -> SocketAddr {
        self.https.address()
    }

    /// The issuer URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.app.issuer
    }

    /// The token endpoint: what security tokens for this MC system are made out to.
    #[must_use]
    pub fn token_endpoint(&self) -> String {
        self.app.token_endpoint()
    }

    /// The verifier of this service itself. Entities in the same process may share it instead of following the trust.
    #[must_use]
    pub fn verifier(&self) -> AccessTokenVerifier {
        self.app.verifier.clone()
    }

    /// Adds the gRPC services to a server, on the internal listener.
    #[must_use]
    pub fn add_to(&self, server: Server, config: &ServerConfig) -> Server {
        let app = || self.app.clone();
        let account = AccountServiceServer::new(api::account::AccountApi(app()));
        let client = api::client_registration::ClientRegistrationApi(app());
        let client = ClientRegistrationServiceServer::new(client);
        let partner = PartnerTrustServiceServer::new(api::partner_trust::PartnerTrustApi(app()));
        let sealing = api::key_encryption_key::KeyEncryptionKeyApi(app());
        let sealing = KeyEncryptionKeyServiceServer::new(sealing);
        let signing_key = SigningKeyServiceServer::new(api::signing_key::SigningKeyApi(app()));
        let token = TokenServiceServer::new(api::token::TokenApi(app()));
        let trust = TokenTrustServiceServer::new(api::token_trust::TokenTrustApi(app()));
        let migration = api::migration_identity::MigrationIdentityApi(app());
        let migration = MigrationIdentityServiceServer::new(migration);
        server
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Internal, limited!(account, config), &self.readiness)
            .add_service(Listener::Internal, limited!(client, config), &self.readiness)
            .add_service(Listener::Internal, limited!(partner, config), &self.readiness)
            .add_service(Listener::Internal, limited!(sealing, config), &self.readiness)
            .add_service(Listener::Internal, limited!(signing_key, config), &self.readiness)
            .add_service(Listener::Internal, limited!(token, config), &self.readiness)
            .add_service(Listener::Internal, limited!(trust, config), &self.readiness)
            .add_service(Listener::Internal, limited!(migration, config), &self.readiness)
    }

    /// Whether the service can do its work: it needs its database and a key that signs, and does with less comfort without its cache.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Answers HTTPS and does the work beside the requests, until `shutdown` completes; then connections end in good order. Without it
    /// the service never becomes ready.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let router = https::router(self.app.clone());
        let draining = self.app.draining.clone();
        let serve = self.https.run(router, async move {
            shutdown.await;
            draining.cancel();
        });
        let upkeep = self.app.upkeep(&self.readiness);
        tokio::select! {
            () = serve => {}
            () = upkeep => {}
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Service")
            .field("issuer", &self.app.issuer)
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
