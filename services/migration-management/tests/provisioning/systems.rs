//! `alpha.example`, which is primary, and `bravo.example`, its partner. Each can be stopped at any moment and started again on its database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcx_federation::{Listener, OwnIdentity, TrustBundles};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::migration::v1::admission_policy_service_client::AdmissionPolicyServiceClient;
use mcx_proto::migration::v1::agreement_service_client::AgreementServiceClient;
use mcx_proto::migration::v1::audit_service_client::AuditServiceClient;
use mcx_proto::migration::v1::binding_service_client::BindingServiceClient;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_proto::migration::v1::permit_service_client::PermitServiceClient;
use mcx_proto::migration::v1::user_migration_service_client::UserMigrationServiceClient;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{FaultProxy, TrustDomain, any_port};
use mcx_types::{Entity, SpiffeId, SystemClock};
use migration_management::config::MigrationManagementConfig;
use migration_management::{Dependencies, SCHEMA, Service};
use sip_database::client::SipAuthenticationClient;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::entities::Entities;
pub(crate) use crate::messages::{count, identities, of_request, request, these, user_to_migrate};

pub(crate) use mcx_testkit::{Engine, fields, refusal};

/// Both systems, with agreements in both directions.
pub(crate) struct Systems {
    pub(crate) alpha: System,
    pub(crate) bravo: System,
}

impl Systems {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with_claims_of(engine, Duration::from_secs(20)).await
    }

    /// Systems that go on with what a dead process had begun after `claim_lifetime`.
    pub(crate) async fn with_claims_of(engine: Engine, claim_lifetime: Duration) -> Self {
        let alpha = System::new("alpha.example", engine, claim_lifetime).await;
        let bravo = System::new("bravo.example", engine, claim_lifetime).await;
        alpha.agree_with(&bravo).await;
        bravo.agree_with(&alpha).await;
        Self { alpha, bravo }
    }

    /// The operator of alpha requests that users may migrate to bravo; returns the request.
    pub(crate) async fn request(&self, users: &[&str]) -> String {
        let users = users.iter().map(|user| user_to_migrate(user)).collect();
        self.request_users(users).await
    }

    pub(crate) async fn request_users(&self, users: Vec<proto::UserToMigrate>) -> String {
        let answer = self.alpha.migrations().request_user_migration(request(users)).await;
        answer.unwrap().into_inner().user_migration_request_id
    }

    /// Waits until all users of a request are in a state in alpha, and in one in bravo.
    pub(crate) async fn wait(&self, request_id: &str, in_alpha: State, in_bravo: State) {
        self.alpha.wait(request_id, in_alpha).await;
        self.bravo.wait(request_id, in_bravo).await;
    }

    /// Users who wait for the decision of bravo's operator.
    pub(crate) async fn pending(&self, users: &[&str]) -> String {
        let request_id = self.request(users).await;
        self.wait(&request_id, State::PendingAtPartner, State::Pending).await;
        request_id
    }

    /// Users whom bravo's operator accepts, until everything is in place on both sides.
    pub(crate) async fn in_force(&self, users: &[&str]) -> String {
        let request_id = self.pending(users).await;
        self.bravo.accept(of_request(&request_id)).await;
        self.wait(&request_id, State::InForce, State::InForce).await;
        request_id
    }
}

/// One system.
pub(crate) struct System {
    pub(crate) domain: TrustDomain,
    pub(crate) entities: Arc<Entities>,
    /// Between it and its partners.
    pub(crate) proxy: FaultProxy,
    identity: OwnIdentity,
    url: String,
    pub(crate) claim_lifetime: Duration,
    /// See [`ProvisioningConfig::ue_configuration_interval`].
    ///
    /// [`ProvisioningConfig::ue_configuration_interval`]: migration_management::config::ProvisioningConfig::ue_configuration_interval
    pub(crate) ue_configuration_interval: Duration,
    /// How long a step that failed waits before it is tried again.
    pub(crate) first_retry: Duration,
    running: Option<Running>,
    _directory: TempDir,
}

struct Running {
    grpc: SocketAddr,
    peer: SocketAddr,
    database: Database,
    token: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl System {
    async fn new(name: &str, engine: Engine, claim_lifetime: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        let domain = TrustDomain::new(name);
        let identity = domain.entity(Entity::MigrationManagement);
        let entities = Entities::new(domain.mc_system_id().clone());
        let proxy = FaultProxy::start(any_port()).await;
        let _directory = directory;
        let running = None;
        // Looked at once at the start and then never again, so that a test that counts calls counts its own.
        let ue_configuration_interval = Duration::from_secs(24 * 3_600);
        let mut system = Self {
            domain,
            entities,
            proxy,
            identity,
            url,
            claim_lifetime,
            ue_configuration_interval,
            first_retry: Duration::from_millis(20),
            running,
            _directory,
        };
        system.start().await;
        system
    }

    /// Starts it on its database.
    pub(crate) async fn start(&mut self) {
        // Many systems share the server of the tests, and the machine. Few connections show too whether work waits for itself.
        let config = DatabaseConfig {
            max_connections: 4,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            ..DatabaseConfig::from_url(self.url.clone())
        };
        let database = Database::open(&config, &SCHEMA).unwrap();
        database.migrate().await.unwrap();
        let bundles = TrustBundles::new(self.identity.clone());
        let service = self.service(&bundles, database.clone()).await;
        let server = self
            .domain
            .server(self.identity.clone(), bundles)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let grpc = bound.address(Listener::Internal).unwrap();
        let peer = bound.address(Listener::Peer).unwrap();
        let token = CancellationToken::new();
        let serving = bound.serve(token.clone());
        let upkeep = service.upkeep();
        let tasks = vec![
            tokio::spawn(async move {
                let _ = serving.await;
            }),
            tokio::spawn(upkeep),
        ];
        service.readiness().wait_until_serving().await;
        self.proxy.redirect(peer);
        self.running = Some(Running { grpc, peer, database, token, tasks });
    }

    /// Ends it in the middle of whatever it does: nothing is finished, nothing is released.
    pub(crate) async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.token.cancel();
        for task in running.tasks {
            task.abort();
            let _ = task.await;
        }
        running.database.close().await;
    }

    async fn service(&self, bundles: &TrustBundles, database: Database) -> Service {
        let mut config = MigrationManagementConfig::default();
        config.provisioning.first_retry = self.first_retry;
        config.provisioning.longest_retry = self.first_retry * 10;
        config.provisioning.claim_lifetime = self.claim_lifetime;
        config.provisioning.ue_configuration_interval = self.ue_configuration_interval;
        config.breaker_pause = Duration::from_millis(50);
        config.agreement_refresh_interval = Duration::from_millis(200);
        // Nobody listens there: the SIP database is away.
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let sip_database = self.domain.channel(self.identity.clone(), Entity::SipDatabase, nowhere);
        let dependencies = Dependencies {
            own: self.domain.mc_system_id().clone(),
            database,
            cache: SharedCache::open(&CacheConfig::from_url("memory:"), self.name()).unwrap(),
            sip_database: SipAuthenticationClient::new(sip_database),
            collaborators: self.entities.collaborators(),
            dialer: TrustDomain::dialer(self.identity.clone(), bundles.clone()),
            bundles: bundles.clone(),
            clock: Arc::new(SystemClock),
        };
        Service::build(config, dependencies).await.unwrap()
    }

    pub(crate) fn name(&self) -> &str {
        self.domain.mc_system_id().as_str()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    fn operator(&self) -> Channel {
        self.operator_named("duty")
    }

    fn operator_named(&self, name: &str) -> Channel {
        let id = SpiffeId::operator(self.domain.mc_system_id().clone(), name).unwrap();
        self.domain.channel(self.domain.identity(&id), Entity::MigrationManagement, self.running().grpc)
    }

    pub(crate) fn migrations(&self) -> UserMigrationServiceClient<Channel> {
        UserMigrationServiceClient::new(self.operator())
    }

    pub(crate) fn migrations_as(&self, operator: &str) -> UserMigrationServiceClient<Channel> {
        UserMigrationServiceClient::new(self.operator_named(operator))
    }

    pub(crate) fn agreements(&self) -> AgreementServiceClient<Channel> {
        AgreementServiceClient::new(self.operator())
    }

    pub(crate) fn policies(&self) -> AdmissionPolicyServiceClient<Channel> {
        AdmissionPolicyServiceClient::new(self.operator())
    }

    pub(crate) fn bindings(&self) -> BindingServiceClient<Channel> {
        BindingServiceClient::new(self.operator())
    }

    pub(crate) fn permits(&self) -> PermitServiceClient<Channel> {
        PermitServiceClient::new(self.operator())
    }

    /// The migration management of another system calls this one.
    pub(crate) fn called_by(&self, peer: &System) -> FederationServiceClient<Channel> {
        let caller = peer.domain.entity(Entity::MigrationManagement);
        let address = self.running().peer;
        FederationServiceClient::new(self.domain.channel(caller, Entity::MigrationManagement, address))
    }

    async fn agree_with(&self, other: &System) {
        let agreement = proto::Agreement {
            partner_mc_system_id: other.name().to_owned(),
            peer_endpoints: vec![other.proxy.address().to_string()],
            trust_bundle_pem: other.domain.bundle_pem().to_owned(),
            partner_may_ask: vec![proto::PartnerCapability::SipAuthenticationInformation.into()],
            ..Default::default()
        };
        let request = proto::CreateAgreementRequest { agreement: Some(agreement), ..Default::default() };
        self.agreements().create_agreement(request).await.unwrap();
    }

    /// Writes the agreement with the other system anew.
    pub(crate) async fn renew_agreement_with(&self, other: &System) {
        let key = proto::GetAgreementRequest { partner_mc_system_id: other.name().to_owned() };
        let agreement = self.agreements().get_agreement(key).await.unwrap().into_inner().agreement;
        let request = proto::UpdateAgreementRequest { agreement, ..Default::default() };
        self.agreements().update_agreement(request).await.unwrap();
    }

    /// Sets the admission policy for the other system.
    pub(crate) async fn admit(&self, policy: proto::AdmissionPolicy) {
        let request =
            proto::UpdateAdmissionPolicyRequest { admission_policy: Some(policy), ..Default::default() };
        self.policies().update_admission_policy(request).await.unwrap();
    }

    pub(crate) async fn accept(
        &self,
        selection: proto::UserMigrationSelection,
    ) -> Vec<proto::UserMigrationResult> {
        let request = proto::AcceptUserMigrationsRequest { selection: Some(selection), dry_run: false };
        self.migrations().accept_user_migrations(request).await.unwrap().into_inner().results
    }

    pub(crate) async fn refuse(
        &self,
        selection: proto::UserMigrationSelection,
    ) -> Vec<proto::UserMigrationResult> {
        let request = proto::RefuseUserMigrationsRequest {
            selection: Some(selection),
            cause: "no radio to spare".to_owned(),
            dry_run: false,
        };
        self.migrations().refuse_user_migrations(request).await.unwrap().into_inner().results
    }

    pub(crate) async fn revoke(
        &self,
        selection: proto::UserMigrationSelection,
    ) -> Vec<proto::UserMigrationResult> {
        let request = proto::RevokeUserMigrationsRequest {
            selection: Some(selection),
            cause: "the exercise is over".to_owned(),
            dry_run: false,
        };
        self.migrations().revoke_user_migrations(request).await.unwrap().into_inner().results
    }

    pub(crate) async fn watch(
        &self,
        request_id: &str,
    ) -> Result<Streaming<proto::WatchUserMigrationRequestResponse>, Status> {
        let request =
            proto::WatchUserMigrationRequestRequest { user_migration_request_id: request_id.to_owned() };
        self.migrations().watch_user_migration_request(request).await.map(tonic::Response::into_inner)
    }

    /// Waits until all users of a request are in a state: by the stream of its progress, begun anew where it ended before.
    pub(crate) async fn wait(&self, request_id: &str, state: State) {
        loop {
            let Ok(mut stream) = self.watch(request_id).await else {
                tokio::task::yield_now().await;
                continue;
            };
            while let Ok(Some(progress)) = stream.message().await {
                if count(&progress, state) == progress.user_count {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a request shows an obstacle, and returns it.
    pub(crate) async fn wait_for_obstacle(&self, request_id: &str) -> proto::UserMigrationObstacle {
        let mut stream = self.watch(request_id).await.unwrap();
        loop {
            let progress = stream.message().await.unwrap().unwrap();
            if let Some(obstacle) = progress.obstacles.into_iter().next() {
                return obstacle;
            }
        }
    }

    /// The user migrations of a request.
    pub(crate) async fn list(&self, request_id: &str) -> Vec<proto::UserMigration> {
        let request = proto::ListUserMigrationsRequest {
            page_size: 1_000,
            user_migration_request_id: request_id.to_owned(),
            ..Default::default()
        };
        self.migrations().list_user_migrations(request).await.unwrap().into_inner().user_migrations
    }

    pub(crate) async fn get(&self, migration_id: &str) -> proto::UserMigration {
        let request = proto::GetUserMigrationRequest { migration_id: migration_id.to_owned() };
        let answer = self.migrations().get_user_migration(request).await.unwrap();
        answer.into_inner().user_migration.unwrap()
    }

    /// The audit records of a user migration, the first one first: action, decision, and who decided.
    pub(crate) async fn audit(&self, migration_id: &str) -> Vec<(String, String, String)> {
        let mut client = AuditServiceClient::new(self.operator());
        let request =
            proto::ListAuditRecordsRequest { migration_id: migration_id.to_owned(), ..Default::default() };
        let records = client.list_audit_records(request).await.unwrap().into_inner().audit_records;
        let told = |record: proto::AuditRecord| {
            let action = record.action().as_str_name().trim_start_matches("AUDITED_ACTION_").to_owned();
            let decision = record.decision().as_str_name().trim_start_matches("AUDIT_DECISION_").to_owned();
            (action, decision, record.decided_by)
        };
        records.into_iter().rev().map(told).collect()
    }

    pub(crate) async fn binding_count(&self) -> usize {
        let request = proto::ListBindingsRequest { page_size: 1_000, ..Default::default() };
        self.bindings().list_bindings(request).await.unwrap().into_inner().bindings.len()
    }

    pub(crate) async fn permit_count(&self) -> usize {
        self.permit_ids().await.len()
    }

    pub(crate) async fn permit_ids(&self) -> Vec<String> {
        let request = proto::ListPermitsRequest { page_size: 1_000, ..Default::default() };
        let permits = self.permits().list_permits(request).await.unwrap().into_inner().permits;
        permits.into_iter().map(|permit| permit.permit_id).collect()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.token.cancel();
            running.tasks.iter().for_each(JoinHandle::abort);
        }
    }
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::systems::Systems::new; $($names)*); };
}
pub(crate) use on_every_database;
