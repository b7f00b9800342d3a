//! `alpha.example` and `bravo.example`: two MC service servers behind their real listeners. Alice of alpha may migrate to bravo for MCPTT
//! and MCVideo; Bob is at home in bravo, Carol in alpha.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mc_service::config::McServiceConfig;
use mc_service::domain::user::{User, Visitor};
use mc_service::{Dependencies, SCHEMA, Service};
use mcx_federation::access_token::{AccessTokenClaims, PrimaryClaim, Scope};
use mcx_federation::{BreakerSettings, Listener, PartnerDirectory, PartnerTerms, PeerService, TrustBundles};
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::migrated_user_service_client::MigratedUserServiceClient;
use mcx_proto::types::v1 as types;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{FaultProxy, TestTokens, TrustDomain, any_port};
use mcx_types::{
    Clock, Entity, ManualClock, McService, McServiceGroupId, McServiceId, McSystemId, SystemClock, Validity,
};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;

pub(crate) use crate::caller::Caller;
use crate::sources::{Sources, group, profile, visitor_profile};

pub(crate) use mcx_testkit::{Engine, fields, refusal};

/// The UE that Alice uses unless a test says otherwise.
pub(crate) const UE: Uuid = Uuid::from_u128(1);
/// Her other one.
pub(crate) const OTHER_UE: Uuid = Uuid::from_u128(2);
/// The migration of Alice.
pub(crate) const MIGRATION: Uuid = Uuid::from_u128(0x71);

/// One MC system with its MC service server.
pub(crate) struct System {
    pub(crate) own: TrustDomain,
    pub(crate) id: McSystemId,
    pub(crate) internal: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) peer: SocketAddr,
    /// What partners reach it by.
    pub(crate) network: FaultProxy,
    pub(crate) sources: Arc<Sources>,
    pub(crate) partners: PartnerDirectory,
    pub(crate) database: Database,
    /// Stops the server when it is cancelled.
    pub(crate) stop: CancellationToken,
    tokens: TestTokens,
    parts: Parts,
    _directory: TempDir,
    _shutdown: DropGuard,
}

/// What the replicas of one system's MC service server share.
#[derive(Clone)]
struct Parts {
    database: Database,
    cache: SharedCache,
    sources: Arc<Sources>,
    partners: PartnerDirectory,
    clock: Arc<ManualClock>,
}

impl Parts {
    fn service(&self, own: &McSystemId) -> Service {
        let config = McServiceConfig {
            upkeep_interval: Duration::from_millis(10),
            partner_timeout: Duration::from_secs(5),
            ..McServiceConfig::default()
        };
        let dependencies = Dependencies {
            own: own.clone(),
            database: self.database.clone(),
            cache: self.cache.clone(),
            profiles: self.sources.clone(),
            groups: self.sources.clone(),
            aliases: self.sources.clone(),
            partners: self.partners.clone(),
            clock: self.clock.clone(),
        };
        Service::build(config, dependencies)
    }
}

/// Another replica of a system's MC service server, which UEs reach.
pub(crate) struct Replica {
    client: SocketAddr,
    _shutdown: DropGuard,
}

/// Both systems, with an agreement between them.
pub(crate) struct Systems {
    pub(crate) alpha: System,
    pub(crate) bravo: System,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) engine: Engine,
}

impl System {
    pub(crate) async fn new(engine: Engine, name: &str, clock: &Arc<ManualClock>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        let own = TrustDomain::new(name);
        let identity = own.entity(Entity::McService);
        let bundles = TrustBundles::new(identity.clone());
        let database = Database::open(&DatabaseConfig::from_url(url), &SCHEMA).unwrap();
        database.migrate().await.unwrap();
        let sources = Sources::shared();
        let system_clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let breaker = BreakerSettings { failures_to_open: 1_000, open_for: Duration::from_millis(1) };
        let dialer = TrustDomain::dialer(identity.clone(), bundles.clone());
        let partners = PartnerDirectory::new(dialer, bundles.clone(), breaker, system_clock);
        let cache = SharedCache::open(&CacheConfig::from_url("memory:"), name).unwrap();
        let parts = Parts {
            database: database.clone(),
            cache,
            sources: sources.clone(),
            partners: partners.clone(),
            clock: clock.clone(),
        };
        let service = parts.service(own.mc_system_id());
        let tokens = own.tokens();
        let server = own
            .server_for_users(identity, bundles, &tokens)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = |listener| bound.address(listener).unwrap();
        let (internal, peer, client) =
            (address(Listener::Internal), address(Listener::Peer), address(Listener::Client));
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        tokio::spawn(token.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        let network = FaultProxy::start(peer).await;
        let id = own.mc_system_id().clone();
        Self {
            own,
            id,
            internal,
            client,
            peer,
            network,
            sources,
            partners,
            database,
            stop: token.clone(),
            tokens,
            parts,
            _directory: directory,
            _shutdown: token.drop_guard(),
        }
    }

    /// Starts another replica.
    pub(crate) async fn replica(&self) -> Replica {
        let identity = self.own.entity(Entity::McService);
        let bundles = TrustBundles::new(identity.clone());
        let service = self.parts.service(&self.id);
        let server = self
            .own
            .server_for_users(identity, bundles, &self.tokens)
            .listener(Listener::Internal, any_port())
            .listener(Listener::Peer, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let client = bound.address(Listener::Client).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        tokio::spawn(token.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        Replica { client, _shutdown: token.drop_guard() }
    }

    /// A user at home here who calls another replica.
    pub(crate) fn user_at(&self, replica: &Replica, subject: &str) -> Caller {
        Caller { channel: self.own.user_channel(replica.client), ..self.user(subject) }
    }

    /// What an agreement says of this system.
    pub(crate) fn terms(&self) -> PartnerTerms {
        let endpoints = vec![self.network.address().into()];
        let service = PeerService { endpoints, presents: Entity::McService };
        PartnerTerms {
            mc_system_id: self.id.clone(),
            trust_bundle_pem: self.own.bundle_pem().to_owned(),
            is_suspended: false,
            validity: Validity::default(),
            services: HashMap::from([(Entity::McService, service)]),
        }
    }

    /// The claims of a token with the scopes of all MC services.
    pub(crate) fn claims(&self, subject: &str) -> AccessTokenClaims {
        self.tokens.claims(subject, &[Scope::PttService, Scope::VideoService, Scope::DataService])
    }

    /// A user at home here.
    pub(crate) fn user(&self, subject: &str) -> Caller {
        self.with_claims(&self.claims(subject))
    }

    pub(crate) fn with_claims(&self, claims: &AccessTokenClaims) -> Caller {
        Caller { channel: self.own.user_channel(self.client), token: self.tokens.sign(claims) }
    }

    /// A visitor from another system.
    pub(crate) fn visitor(&self, subject: &str, primary: &System) -> Caller {
        let primary = PrimaryClaim { iss: primary.tokens.issuer(), mc_system_id: primary.id.clone() };
        self.with_claims(&AccessTokenClaims { primary: Some(primary), mc_id: None, ..self.claims(subject) })
    }

    pub(crate) fn operator(&self) -> MigratedUserServiceClient<Channel> {
        let channel = self.own.channel(self.own.operator(), Entity::McService, self.internal);
        MigratedUserServiceClient::new(channel)
    }

    /// A channel of another entity of this system.
    pub(crate) fn entity(&self, entity: Entity) -> Channel {
        self.own.channel(self.own.entity(entity), Entity::McService, self.internal)
    }
}

/// Who a user is, as test tokens say.
pub(crate) fn user(mc_service: McService, subject: &str, system: &McSystemId) -> User {
    User { mc_service, id: service_id(mc_service, subject, system) }
}

pub(crate) fn service_id(mc_service: McService, subject: &str, system: &McSystemId) -> McServiceId {
    format!("sip:{subject}@{mc_service}.{system}").parse().unwrap()
}

/// The group of alpha that Alice needs when she is away.
pub(crate) fn rescue() -> McServiceGroupId {
    "sip:rescue@alpha.example".parse().unwrap()
}

/// A group of bravo.
pub(crate) fn border() -> McServiceGroupId {
    "sip:border@bravo.example".parse().unwrap()
}

impl Systems {
    pub(crate) async fn new(engine: Engine) -> Self {
        let clock = Arc::new(ManualClock::starting_at(SystemClock.now()));
        let alpha = System::new(engine, "alpha.example", &clock).await;
        let bravo = System::new(engine, "bravo.example", &clock).await;
        let systems = Self { alpha, bravo, clock, engine };
        systems.agree();
        systems.provision();
        systems
    }

    /// Agrees with each other.
    pub(crate) fn agree(&self) {
        assert!(self.alpha.partners.replace(vec![self.bravo.terms()]).is_empty());
        assert!(self.bravo.partners.replace(vec![self.alpha.terms()]).is_empty());
    }

    fn provision(&self) {
        let (alpha, bravo) = (&self.alpha, &self.bravo);
        let (rescue, border) = (rescue(), border());
        for service in [McService::Ptt, McService::Video] {
            let there = service_id(service, "alice.alpha", &bravo.id);
            alpha.sources.permit(&user(service, "alice", &alpha.id), &bravo.id, &there, MIGRATION);
        }
        for service in McService::ALL {
            alpha.sources.put_profile(&user(service, "alice", &alpha.id), profile(1, &[&rescue]));
            alpha.sources.put_profile(&user(service, "carol", &alpha.id), profile(1, &[&rescue]));
            bravo.sources.put_profile(&user(service, "bob", &bravo.id), profile(1, &[&border]));
            let visitor = Visitor {
                primary: alpha.id.clone(),
                primary_id: service_id(service, "alice", &alpha.id),
                migration_id: MIGRATION,
            };
            let visiting = visitor_profile(1, &[&rescue, &border], visitor);
            bravo.sources.put_profile(&user(service, "alice.alpha", &bravo.id), visiting);
        }
        let id = |subject: &str, system: &System| service_id(McService::Ptt, subject, &system.id);
        let (alice, carol) = (id("alice", alpha), id("carol", alpha));
        let (bob, visitor) = (id("bob", bravo), id("alice.alpha", bravo));
        alpha.sources.put_group(group(&rescue, &alpha.id), &[(&alice, &alpha.id), (&carol, &alpha.id)]);
        bravo.sources.put_group(group(&rescue, &alpha.id), &[(&visitor, &alpha.id)]);
        bravo.sources.put_group(group(&border, &bravo.id), &[(&visitor, &alpha.id), (&bob, &bravo.id)]);
    }

    /// Alice in her primary MC system.
    pub(crate) fn alice(&self) -> Caller {
        self.alpha.user("alice")
    }

    /// Alice in the partner MC system.
    pub(crate) fn visitor(&self) -> Caller {
        self.bravo.visitor("alice.alpha", &self.alpha)
    }

    /// What Alice asks of the partner.
    pub(crate) fn migrate(
        &self,
        mc_service: McService,
        client: Uuid,
    ) -> proto::AuthorizeMigrationServiceRequest {
        proto::AuthorizeMigrationServiceRequest {
            mc_service: wire(mc_service),
            primary_mc_service_id: service_id(mc_service, "alice", &self.alpha.id).to_string(),
            profile_index: None,
            client_instance: client.to_string(),
        }
    }

    /// Alice is served by the partner with MCPTT on one UE.
    pub(crate) async fn migrated(&self) -> proto::ServiceAuthorization {
        let request = self.migrate(McService::Ptt, UE);
        let answer = self.visitor().migrate(request).await.unwrap().into_inner();
        answer.authorization.unwrap()
    }

    /// Where alpha takes Alice to be served with MCPTT.
    pub(crate) async fn served_by(&self) -> Vec<proto::ServedBy> {
        let identity = types::McServiceIdentity {
            mc_service: wire(McService::Ptt),
            mc_service_id: service_id(McService::Ptt, "alice", &self.alpha.id).to_string(),
        };
        let request = proto::GetServingSystemRequest { identity: Some(identity) };
        self.alpha.operator().get_serving_system(request).await.unwrap().into_inner().served_by
    }
}

pub(crate) fn wire(service: McService) -> i32 {
    types::McService::from(service).into()
}

/// The reason of a refusal, and the rule that it names.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, Status>) -> (String, String) {
    let refused = refusal(outcome);
    (refused.reason, refused.metadata.get("rule").cloned().unwrap_or_default())
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::fixture::Systems::new; $($names)*); };
}
pub(crate) use on_every_database;
