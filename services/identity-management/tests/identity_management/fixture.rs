//! The identity management server of an MC system behind its real listeners.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity_management::{Dependencies, IdentityManagementConfig, SCHEMA, Service};
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_federation::{Listener, TrustBundles, unauthenticated_server_config};
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_proto::identity::v1::client_registration_service_client::ClientRegistrationServiceClient;
use mcx_proto::identity::v1::key_encryption_key_service_client::KeyEncryptionKeyServiceClient;
use mcx_proto::identity::v1::migration_identity_service_client::MigrationIdentityServiceClient;
use mcx_proto::identity::v1::partner_trust_service_client::PartnerTrustServiceClient;
use mcx_proto::identity::v1::signing_key_service_client::SigningKeyServiceClient;
use mcx_proto::identity::v1::token_service_client::TokenServiceClient;
use mcx_proto::types::v1::{McService, McServiceIdentity};
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::ServerConfig;
use mcx_store::sealing::create_key_file;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{TrustDomain, any_port};
use mcx_types::{Clock, Entity, ManualClock, SystemClock};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;

use crate::user_agent::UserAgent;

pub(crate) use mcx_testkit::{Engine, fields, reason, refusal};

/// The password of every user of a test.
pub(crate) const PASSWORD: &str = "wet-otter-sings-41";
/// The OAuth client of UEs.
pub(crate) const UE: &str = "crossband-ue";
/// Where it has users sent back to.
pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:49152/callback";
/// All that users of a test may have.
pub(crate) const SCOPES: [&str; 3] =
    ["3gpp:mc:ptt_service", "3gpp:mc:data_service", "3gpp:mc:config_management_service"];

/// What the replicas of a system stand on.
pub(crate) struct Ground {
    pub(crate) domain: TrustDomain,
    pub(crate) clock: Arc<ManualClock>,
    url: String,
    directory: TempDir,
}

impl Ground {
    pub(crate) fn new(mc_system: &str, engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        Self::at(mc_system, directory, url)
    }

    /// With the database at this address.
    pub(crate) fn at(mc_system: &str, directory: TempDir, url: String) -> Self {
        create_key_file(&directory.path().join("keys.toml"), "2026-01", [7; 32]).unwrap();
        Self {
            domain: TrustDomain::new(mc_system),
            clock: Arc::new(ManualClock::starting_at(SystemClock.now())),
            url,
            directory,
        }
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config(&self) -> IdentityManagementConfig {
        let mut config = IdentityManagementConfig {
            https_address: any_port(),
            key_file: self.directory().join("keys.toml"),
            ..IdentityManagementConfig::default()
        };
        config.passwords.hash_memory_kib = 8;
        config.passwords.hash_passes = 1;
        config
    }

    pub(crate) fn database(&self) -> Database {
        Database::open(&DatabaseConfig::from_url(self.url.clone()), &SCHEMA).unwrap()
    }

    /// A cache that nobody else has.
    pub(crate) fn own_cache(&self) -> SharedCache {
        SharedCache::open(&CacheConfig::from_url("memory:"), self.domain.mc_system_id().as_str()).unwrap()
    }

    /// A replica with these settings and this cache.
    pub(crate) async fn replica(&self, config: IdentityManagementConfig, cache: SharedCache) -> Replica {
        let database = self.database();
        database.migrate().await.unwrap();
        let identity = self.domain.entity(Entity::IdentityManagement);
        let dependencies = Dependencies {
            own: self.domain.mc_system_id().clone(),
            database,
            cache,
            tls: unauthenticated_server_config(&identity),
            clock: Arc::clone(&self.clock) as _,
            randomness: Arc::new(rand::random::<[u8; 32]>),
        };
        let service = Service::build(config, dependencies).await.unwrap();
        let bundles = TrustBundles::new(identity.clone());
        let server = self.domain.server(identity, bundles).listener(Listener::Internal, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let grpc = bound.address(Listener::Internal).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        let readiness = service.readiness().clone();
        let issuer = service.issuer().to_owned();
        let https = service.https_address();
        let verifier = service.verifier();
        let running = tokio::spawn(service.run(token.clone().cancelled_owned()));
        readiness.wait_until_serving().await;
        Replica { grpc, https, issuer, verifier, readiness, running, shutdown: token.drop_guard() }
    }
}

/// A running identity management server.
pub(crate) struct Replica {
    pub(crate) grpc: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) issuer: String,
    /// What the server itself believes.
    pub(crate) verifier: AccessTokenVerifier,
    pub(crate) readiness: Readiness,
    pub(crate) running: JoinHandle<()>,
    pub(crate) shutdown: DropGuard,
}

/// An MC system with one replica and the client of UEs.
pub(crate) struct System {
    pub(crate) ground: Ground,
    pub(crate) replica: Replica,
}

impl System {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::named("alpha.example", engine).await
    }

    pub(crate) async fn named(mc_system: &str, engine: Engine) -> Self {
        Self::on(Ground::new(mc_system, engine)).await
    }

    pub(crate) async fn on(ground: Ground) -> Self {
        let cache = ground.own_cache();
        Self::with_cache(ground, cache).await
    }

    pub(crate) async fn with_cache(ground: Ground, cache: SharedCache) -> Self {
        let replica = ground.replica(ground.config(), cache).await;
        let system = Self { ground, replica };
        system.clients().create_client(create_client(client(UE))).await.unwrap();
        system
    }

    pub(crate) fn name(&self) -> &str {
        self.ground.domain.mc_system_id().as_str()
    }

    pub(crate) fn channel(&self, caller: Entity) -> Channel {
        let caller = self.ground.domain.entity(caller);
        self.ground.domain.channel(caller, Entity::IdentityManagement, self.replica.grpc)
    }

    fn operator(&self) -> Channel {
        let domain = &self.ground.domain;
        domain.channel(domain.operator(), Entity::IdentityManagement, self.replica.grpc)
    }

    pub(crate) fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.operator())
    }

    pub(crate) fn clients(&self) -> ClientRegistrationServiceClient<Channel> {
        ClientRegistrationServiceClient::new(self.operator())
    }

    pub(crate) fn partner_trusts(&self) -> PartnerTrustServiceClient<Channel> {
        PartnerTrustServiceClient::new(self.operator())
    }

    pub(crate) fn sealing(&self) -> KeyEncryptionKeyServiceClient<Channel> {
        KeyEncryptionKeyServiceClient::new(self.operator())
    }

    pub(crate) fn signing_keys(&self) -> SigningKeyServiceClient<Channel> {
        SigningKeyServiceClient::new(self.operator())
    }

    pub(crate) fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.operator())
    }

    pub(crate) fn migrations(&self) -> MigrationIdentityServiceClient<Channel> {
        MigrationIdentityServiceClient::new(self.channel(Entity::MigrationManagement))
    }

    /// A user agent that believes the certificates of this system.
    pub(crate) fn user_agent(&self) -> UserAgent {
        UserAgent::new(&self.ground.domain, &self.replica.issuer)
    }

    /// Creates an account with the password of every user.
    pub(crate) async fn user(&self, name: &str) -> proto::Account {
        let request = proto::CreateAccountRequest {
            account: Some(self.account(name)),
            password: Some(password(PASSWORD)),
            ..Default::default()
        };
        self.accounts().create_account(request).await.unwrap().into_inner().account.unwrap()
    }

    /// What an account of this system says.
    pub(crate) fn account(&self, name: &str) -> proto::Account {
        let domain = self.name();
        proto::Account {
            mc_id: format!("{name}@{domain}"),
            mc_service_identities: identities(name, domain),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            ..Default::default()
        }
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ground.clock.advance(by);
    }

    pub(crate) async fn introspect(&self, token: &str) -> proto::IntrospectTokenResponse {
        let token = Some(proto::Token { value: token.to_owned() });
        self.tokens().introspect_token(proto::IntrospectTokenRequest { token }).await.unwrap().into_inner()
    }

    /// Believes the other system's identity management server, as its operator would after asking the other for its keys.
    pub(crate) async fn trust(&self, other: &Self) {
        let partner_trust = Some(trust_in(other).await);
        let request = proto::PutPartnerTrustRequest { partner_trust, ..Default::default() };
        self.partner_trusts().put_partner_trust(request).await.unwrap();
    }
}

/// The trust in another system.
pub(crate) async fn trust_in(other: &System) -> proto::PartnerTrust {
    let keys = other.signing_keys().get_json_web_key_set(proto::GetJsonWebKeySetRequest {}).await.unwrap();
    let keys = keys.into_inner();
    proto::PartnerTrust {
        mc_system_id: other.name().to_owned(),
        issuer: keys.issuer,
        keys: keys.keys,
        allowed_scopes: SCOPES.map(str::to_owned).to_vec(),
        ..Default::default()
    }
}

pub(crate) fn identities(user: &str, domain: &str) -> Vec<McServiceIdentity> {
    let identity = |service: McService| McServiceIdentity {
        mc_service: service.into(),
        mc_service_id: format!("sip:{user}@{domain}"),
    };
    vec![identity(McService::Ptt), identity(McService::Data)]
}

pub(crate) fn password(value: &str) -> proto::Password {
    proto::Password { value: value.to_owned() }
}

pub(crate) fn client(client_id: &str) -> proto::Client {
    proto::Client {
        client_id: client_id.to_owned(),
        authentication: proto::ClientAuthentication::None.into(),
        redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
        scopes: SCOPES.map(str::to_owned).to_vec(),
        ..Default::default()
    }
}

pub(crate) fn create_client(client: proto::Client) -> proto::CreateClientRequest {
    proto::CreateClientRequest { client: Some(client), ..Default::default() }
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::fixture::System::new; $($names)*); };
}
pub(crate) use on_every_database;
