//! A SIP database behind its real listener, and clients with real certificates.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mcx_aka::isim::{Isim, IsimAnswer, IsimFailure};
use mcx_aka::{AuthenticationVector, Milenage, Opc, OperatorKey, SubscriberKey};
use mcx_federation::{
    CertificateAuthority, CertificateValidity, ChannelSettings, Dialer, Listener, OwnIdentity, PolicyTable,
    TrustBundles, policy,
};
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::PostgresServer;
use mcx_types::{Clock, Entity, McSystemId, SipIdentities, SpiffeId, SystemClock, Timestamp};
use sip_database::client::{NewSubscriber, SipAuthenticationClient, SubscriberClient};
use sip_database::{Dependencies, SCHEMA, Service, SipDatabaseConfig, SystemRandom, create_key_file};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

/// Where a system of a test keeps its durable state.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// The MC system `alpha.example`: its certificates, its stores and its key file, which all replicas share.
pub(crate) struct System {
    pub(crate) directory: TempDir,
    authority: CertificateAuthority,
    database: DatabaseConfig,
    cache: SharedCache,
    clock: Arc<dyn Clock>,
}

/// One running replica; it ends with this value.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) service: Service,
    _shutdown: tokio_util::sync::DropGuard,
}

pub(crate) fn system_id(text: &str) -> McSystemId {
    text.parse().unwrap()
}

pub(crate) fn own_system() -> McSystemId {
    system_id("alpha.example")
}

fn validity(clock: &dyn Clock) -> CertificateValidity {
    CertificateValidity::starting(clock.now(), Duration::from_secs(3600))
}

impl System {
    pub(crate) async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", directory.path().display()),
            Engine::Postgres => PostgresServer::shared().create_database(),
        };
        Self::with(directory, DatabaseConfig::from_url(url)).await
    }

    /// On a server of its own, which the test may stop.
    pub(crate) async fn on(server: &PostgresServer) -> Self {
        let mut database = DatabaseConfig::from_url(server.create_database());
        database.acquire_timeout = Duration::from_millis(500);
        Self::with(tempfile::tempdir().unwrap(), database).await
    }

    async fn with(directory: TempDir, database: DatabaseConfig) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authority = CertificateAuthority::create(own_system(), validity(&*clock)).unwrap();
        create_key_file(&directory.path().join("keys.toml"), "2026-01", &SystemRandom).unwrap();
        let cache =
            SharedCache::open(&CacheConfig::from_url("memory:"), "alpha.example/sip-database").unwrap();
        let system = Self { directory, authority, database, cache, clock };
        system.open().migrate().await.unwrap();
        system
    }

    /// Another handle on the durable state.
    pub(crate) fn open(&self) -> Database {
        Database::open(&self.database, &SCHEMA).unwrap()
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.path().join("keys.toml")
    }

    pub(crate) fn config(&self) -> SipDatabaseConfig {
        SipDatabaseConfig { key_file: self.key_file(), ..SipDatabaseConfig::default() }
    }

    pub(crate) fn dependencies(&self) -> Dependencies {
        Dependencies {
            own_system: own_system(),
            database: self.open(),
            cache: self.cache.clone(),
            clock: Arc::clone(&self.clock),
            random: Arc::new(SystemRandom),
        }
    }

    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(self.config(), self.dependencies()).await
    }

    pub(crate) async fn replica_with(&self, config: SipDatabaseConfig, with: Dependencies) -> Replica {
        let service = Service::build(config, with).unwrap();
        let identity = self.identity(SpiffeId::entity(own_system(), Entity::SipDatabase));
        let bundles = TrustBundles::new(identity.clone());
        let policy = Arc::new(PolicyTable::new(own_system(), &policy::RULES).unwrap());
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::builder(identity, bundles, policy).listener(Listener::Internal, any_port);
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = bound.address(Listener::Internal).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        tokio::spawn(token.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        Replica { address, service, _shutdown: token.drop_guard() }
    }

    fn identity(&self, id: SpiffeId) -> OwnIdentity {
        let issued = self.authority.issue(&id, &[], validity(&*self.clock)).unwrap();
        let key = issued.key_pem.expose().as_bytes().to_vec();
        OwnIdentity::from_pem(issued.certificate_pem, &key, self.authority.certificate_pem()).unwrap()
    }

    /// A channel to a replica, as whoever this is.
    pub(crate) fn channel(&self, replica: &Replica, caller: SpiffeId) -> Channel {
        let own = self.identity(caller);
        let bundles = TrustBundles::new(own.clone());
        let dialer = Dialer::new(own, bundles, ChannelSettings::default(), Arc::clone(&self.clock));
        let database = SpiffeId::entity(own_system(), Entity::SipDatabase);
        dialer.channel(database, vec![replica.address.into()]).unwrap()
    }

    pub(crate) fn operator_channel(&self, replica: &Replica) -> Channel {
        self.channel(replica, SpiffeId::operator(own_system(), "duty").unwrap())
    }

    /// Provisions as an operator.
    pub(crate) fn operator(&self, replica: &Replica) -> SubscriberClient {
        SubscriberClient::new(self.operator_channel(replica))
    }

    /// Asks as the own SIP core.
    pub(crate) fn sip_core(&self, replica: &Replica) -> SipAuthenticationClient {
        self.authentication(replica, Entity::SipCore)
    }

    /// Asks as the own migration management server.
    pub(crate) fn migration_management(&self, replica: &Replica) -> SipAuthenticationClient {
        self.authentication(replica, Entity::MigrationManagement)
    }

    fn authentication(&self, replica: &Replica, entity: Entity) -> SipAuthenticationClient {
        let channel = self.channel(replica, SpiffeId::entity(own_system(), entity));
        SipAuthenticationClient::new(channel).with_timeout(Duration::from_secs(20))
    }
}

/// A user with her ISIM.
pub(crate) struct User {
    pub(crate) new: NewSubscriber,
    pub(crate) isim: Isim,
}

impl User {
    /// A user with keys of her own.
    pub(crate) fn named(name: &str) -> Self {
        let mut octets = [0x55; 16];
        for (octet, byte) in octets.iter_mut().zip(name.bytes()) {
            *octet ^= byte;
        }
        let key = SubscriberKey::from_octets(octets);
        let opc = Opc::derive(&key, &OperatorKey::from_octets([0xcd; 16]));
        let isim = Isim::new(&key, &opc);
        let identities = SipIdentities {
            impi: format!("{name}@alpha.example").parse().unwrap(),
            impus: vec![format!("sip:{name}@alpha.example").parse().unwrap()],
        };
        Self { new: NewSubscriber::new(identities, key, opc), isim }
    }

    /// A user who is provisioned.
    pub(crate) async fn provisioned(name: &str, operator: &SubscriberClient) -> Self {
        let user = Self::named(name);
        operator.create(&user.new, Uuid::new_v4()).await.unwrap();
        user
    }

    pub(crate) fn identities(&self) -> &SipIdentities {
        &self.new.identities
    }

    pub(crate) fn milenage(&self) -> Milenage {
        Milenage::new(&self.new.key, &self.new.opc)
    }

    /// Answers a challenge, and checks that the answer is the one expected.
    pub(crate) fn answer(&mut self, vector: &AuthenticationVector) -> Result<IsimAnswer, IsimFailure> {
        let answer = self.isim.authenticate(&vector.rand, &vector.autn)?;
        assert!(vector.xres.matches(&answer.res), "the answer is not the one expected");
        assert_eq!((&answer.ck, &answer.ik), (&vector.ck, &vector.ik));
        Ok(answer)
    }
}

/// Makes each test once per engine: `sqlite::name` and `postgres::name`.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::fixture::System::new(crate::fixture::Engine::Sqlite).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::fixture::System::new(crate::fixture::Engine::Postgres).await).await;
            })*
        }
    };
}
pub(crate) use on_every_database;

/// A moment for tests that move the clock.
pub(crate) const SOME_DAY: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);
