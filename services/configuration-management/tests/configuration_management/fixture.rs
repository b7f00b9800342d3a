//! Configuration management servers behind their real listeners: `alpha.example` and, where a test needs it, `bravo.example`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use configuration_management::client::{EffectiveProfileClient, MigrationConfigurationClient};
use configuration_management::config::ConfigurationManagementConfig;
use configuration_management::{Dependencies, SCHEMA, Service};
use mcx_federation::access_token::{AccessTokenClaims, Scope};
use mcx_federation::{
    BreakerSettings, Listener, OwnIdentity, PartnerDirectory, PartnerTerms, PeerService, TrustBundles,
};
use mcx_proto::configuration::v1 as proto;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{FaultProxy, TestTokens, TrustDomain, any_port, authorized};
use mcx_types::{Entity, SystemClock, Validity};
use proto::bootstrap_service_client::BootstrapServiceClient;
use proto::configuration_service_client::ConfigurationServiceClient;
use proto::initial_ue_configuration_service_client::InitialUeConfigurationServiceClient;
use proto::profile_sharing_service_client::ProfileSharingServiceClient;
use proto::service_configuration_service_client::ServiceConfigurationServiceClient;
use proto::ue_configuration_service_client::UeConfigurationServiceClient;
use proto::user_profile_service_client::UserProfileServiceClient;
use proto::visitor_policy_service_client::VisitorPolicyServiceClient;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Request;
use tonic::transport::Channel;

use crate::samples::{alice_as_target, alice_as_visitor, user_id};
pub(crate) use mcx_testkit::{Engine, fields, reason, refusal};

/// One MC system with its configuration management server.
pub(crate) struct System {
    pub(crate) own: TrustDomain,
    pub(crate) tokens: TestTokens,
    pub(crate) partners: PartnerDirectory,
    pub(crate) bundles: TrustBundles,
    pub(crate) config: ConfigurationManagementConfig,
    identity: OwnIdentity,
    database_url: String,
    running: Option<Running>,
    /// Before its peer listener; partners know its address only.
    pub(crate) proxy: FaultProxy,
    _directory: TempDir,
}

pub(crate) struct Running {
    grpc: SocketAddr,
    peer: SocketAddr,
    client: SocketAddr,
    shutdown: CancellationToken,
    _guard: DropGuard,
    served: tokio::task::JoinHandle<()>,
}

/// Quick where production is patient.
fn quick() -> ConfigurationManagementConfig {
    ConfigurationManagementConfig {
        partner_timeout: Duration::from_secs(2),
        share_retry_min: Duration::from_millis(20),
        share_retry_max: Duration::from_millis(40),
        ..Default::default()
    }
}

impl System {
    /// `alpha.example`, which has an agreement with `bravo.example`, whom nobody can reach.
    pub(crate) async fn new(engine: Engine) -> Self {
        let system = Self::start(engine, "alpha.example", quick()).await;
        let neighbour = TrustDomain::new("bravo.example");
        system.know(&[terms(&neighbour, SocketAddr::from(([127, 0, 0, 1], 1)))]);
        system
    }

    pub(crate) async fn start(engine: Engine, name: &str, config: ConfigurationManagementConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database_url = engine.database_url(directory.path());
        let own = TrustDomain::new(name);
        let identity = own.entity(Entity::ConfigurationManagement);
        let bundles = TrustBundles::new(identity.clone());
        let dialer = TrustDomain::dialer(identity.clone(), bundles.clone());
        // No test waits for a breaker.
        let breaker = BreakerSettings { failures_to_open: u32::MAX, ..Default::default() };
        let partners = PartnerDirectory::new(dialer, bundles.clone(), breaker, Arc::new(SystemClock));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut system = Self {
            tokens: own.tokens(),
            own,
            partners,
            bundles,
            config,
            identity,
            database_url,
            running: None,
            proxy: FaultProxy::start(nowhere).await,
            _directory: directory,
        };
        system.run().await;
        system
    }

    /// Starts another replica, and calls that one from now on. The one before it goes on for as long as what is returned.
    pub(crate) async fn go_to_another_replica(&mut self) -> Option<Running> {
        let former = self.running.take();
        self.run().await;
        former
    }

    /// Runs the server on the database as it is.
    async fn run(&mut self) {
        let database = Database::open(&DatabaseConfig::from_url(self.database_url.clone()), &SCHEMA).unwrap();
        database.migrate().await.unwrap();
        let dependencies = Dependencies {
            own: self.own.mc_system_id().clone(),
            database,
            cache: SharedCache::open(&CacheConfig::from_url("memory:"), self.id()).unwrap(),
            partners: self.partners.clone(),
            clock: Arc::new(SystemClock),
        };
        let service = Service::build(self.config.clone(), dependencies).unwrap();
        let server = self
            .own
            .server_for_users(self.identity.clone(), self.bundles.clone(), &self.tokens)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = |listener| bound.address(listener).unwrap();
        let (grpc, peer, client) =
            (address(Listener::Internal), address(Listener::Peer), address(Listener::Client));
        self.proxy.redirect(peer);
        let shutdown = CancellationToken::new();
        let serving = bound.serve(shutdown.clone());
        let served = tokio::spawn(async move {
            serving.await;
        });
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(service.upkeep()));
        let guard = shutdown.clone().drop_guard();
        self.running = Some(Running { grpc, peer, client, shutdown, _guard: guard, served });
    }

    /// Stops the server.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.shutdown.cancel();
        running.served.await.unwrap();
    }

    /// Begins to stop the server, and does not wait for it.
    pub(crate) fn begin_stop(&self) {
        self.running().shutdown.cancel();
    }

    /// Starts a server that was stopped, on the same database.
    pub(crate) async fn start_again(&mut self) {
        self.run().await;
    }

    pub(crate) fn database_url(&self) -> String {
        self.database_url.clone()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.own.mc_system_id().as_str()
    }

    /// Makes the agreements exactly these.
    pub(crate) fn know(&self, partners: &[PartnerTerms]) {
        let refused = self.partners.replace(partners.to_vec());
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// The agreement with this system, as a partner has it.
    pub(crate) fn terms(&self) -> PartnerTerms {
        terms(&self.own, self.proxy.address())
    }

    fn operator(&self) -> Channel {
        let entity = Entity::ConfigurationManagement;
        self.own.channel(self.own.operator(), entity, self.running().grpc)
    }

    pub(crate) fn as_entity(&self, caller: Entity) -> Channel {
        let identity = self.own.entity(caller);
        self.own.channel(identity, Entity::ConfigurationManagement, self.running().grpc)
    }

    pub(crate) fn profiles(&self) -> UserProfileServiceClient<Channel> {
        UserProfileServiceClient::new(self.operator())
    }

    pub(crate) fn initial(&self) -> InitialUeConfigurationServiceClient<Channel> {
        InitialUeConfigurationServiceClient::new(self.operator())
    }

    pub(crate) fn ue_configurations(&self) -> UeConfigurationServiceClient<Channel> {
        UeConfigurationServiceClient::new(self.operator())
    }

    pub(crate) fn service_configurations(&self) -> ServiceConfigurationServiceClient<Channel> {
        ServiceConfigurationServiceClient::new(self.operator())
    }

    pub(crate) fn policies(&self) -> VisitorPolicyServiceClient<Channel> {
        VisitorPolicyServiceClient::new(self.operator())
    }

    pub(crate) fn effective(&self) -> EffectiveProfileClient {
        EffectiveProfileClient::new(self.as_entity(Entity::McService))
    }

    pub(crate) fn migration(&self) -> MigrationConfigurationClient {
        MigrationConfigurationClient::new(self.as_entity(Entity::MigrationManagement))
    }

    pub(crate) fn bootstrap(&self) -> BootstrapServiceClient<Channel> {
        BootstrapServiceClient::new(self.own.user_channel(self.running().client))
    }

    /// What a UE calls; see [`System::as_user`].
    pub(crate) fn ue(&self) -> ConfigurationServiceClient<Channel> {
        ConfigurationServiceClient::new(self.own.user_channel(self.running().client))
    }

    /// What the configuration management server of a partner calls.
    pub(crate) fn as_partner(&self, partner: &TrustDomain) -> ProfileSharingServiceClient<Channel> {
        self.as_entity_of_partner(partner, Entity::ConfigurationManagement)
    }

    pub(crate) fn as_entity_of_partner(
        &self,
        partner: &TrustDomain,
        caller: Entity,
    ) -> ProfileSharingServiceClient<Channel> {
        let caller = partner.entity(caller);
        let entity = Entity::ConfigurationManagement;
        ProfileSharingServiceClient::new(self.own.channel(caller, entity, self.running().peer))
    }

    /// Good claims of a user who is `sip:<name>@<system>` in MCPTT, and nobody in the other MC services.
    pub(crate) fn claims(&self, name: &str) -> AccessTokenClaims {
        let mut claims = self.tokens.claims(name, &[Scope::ConfigurationManagement]);
        claims.mcptt_id = Some(user_id(name, self.id()));
        claims.mcvideo_id = None;
        claims.mcdata_id = None;
        claims
    }

    /// A request of that user.
    pub(crate) fn as_user<T>(&self, name: &str, message: T) -> Request<T> {
        authorized(message, &self.tokens.sign(&self.claims(name)))
    }

    pub(crate) async fn create(&self, profile: proto::UserProfile) -> proto::UserProfile {
        let request = proto::CreateUserProfileRequest { user_profile: Some(profile), ..Default::default() };
        self.profiles().create_user_profile(request).await.unwrap().into_inner().user_profile.unwrap()
    }

    pub(crate) async fn update(&self, profile: proto::UserProfile) -> proto::UserProfile {
        let request = proto::UpdateUserProfileRequest { user_profile: Some(profile), ..Default::default() };
        self.profiles().update_user_profile(request).await.unwrap().into_inner().user_profile.unwrap()
    }

    pub(crate) async fn allow_visitors(&self, policy: proto::VisitorPolicy) -> proto::VisitorPolicy {
        let request =
            proto::UpdateVisitorPolicyRequest { visitor_policy: Some(policy), ..Default::default() };
        self.policies().update_visitor_policy(request).await.unwrap().into_inner().visitor_policy.unwrap()
    }

    pub(crate) async fn profiles_of(&self, name: &str) -> Vec<proto::UserProfile> {
        let request = self.as_user(name, proto::GetUserProfilesRequest::default());
        self.ue().get_user_profiles(request).await.unwrap().into_inner().user_profiles
    }
}

fn terms(system: &TrustDomain, address: SocketAddr) -> PartnerTerms {
    let presents = Entity::ConfigurationManagement;
    let service = PeerService { endpoints: vec![address.into()], presents };
    PartnerTerms {
        mc_system_id: system.mc_system_id().clone(),
        trust_bundle_pem: system.bundle_pem().to_owned(),
        is_suspended: false,
        validity: Validity::default(),
        services: HashMap::from([(Entity::ConfigurationManagement, service)]),
    }
}

/// `alpha.example` and `bravo.example`, who have agreed.
pub(crate) struct Pair {
    pub(crate) alpha: System,
    pub(crate) bravo: System,
}

impl Pair {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with_config(engine, quick()).await
    }

    /// The partner keeps what it got for no time at all.
    pub(crate) async fn forgetful(engine: Engine) -> Self {
        let config = ConfigurationManagementConfig {
            visitor_profile_max_age: Duration::from_micros(1),
            visitor_profile_retry: Duration::from_micros(1),
            ..quick()
        };
        Self::with_config(engine, config).await
    }

    async fn with_config(engine: Engine, config: ConfigurationManagementConfig) -> Self {
        let alpha = System::start(engine, "alpha.example", config.clone()).await;
        let bravo = System::start(engine, "bravo.example", config).await;
        alpha.know(&[bravo.terms()]);
        bravo.know(&[alpha.terms()]);
        Self { alpha, bravo }
    }

    /// Bravo expects Alice as `sip:alice@bravo.example`; Alpha does not let her go yet.
    pub(crate) async fn expect_alice(&self) {
        self.bravo.migration().put_visitors(vec![alice_as_visitor()]).await.unwrap();
    }

    /// Alpha lets Alice go.
    pub(crate) async fn let_alice_go(&self) {
        self.alpha.migration().put_migration_targets(vec![alice_as_target(&self.bravo)]).await.unwrap();
    }
}

/// The migration of Alice from Alpha to Bravo.
pub(crate) const MIGRATION: uuid::Uuid = uuid::Uuid::from_u128(0x11);

/// Makes each test once per engine; the argument of each is made by `$made::new`.
macro_rules! on_every_database {
    ($made:ty: $($names:tt)*) => { mcx_testkit::on_every_database!(<$made>::new; $($names)*); };
}
pub(crate) use on_every_database;
