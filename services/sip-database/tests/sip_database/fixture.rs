//! A SIP database behind its real listener, and clients with real certificates.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mcx_aka::isim::{Isim, IsimAnswer, IsimFailure};
use mcx_aka::{AuthenticationVector, Milenage, Opc, OperatorKey, SubscriberKey};
use mcx_federation::{Listener, OwnIdentity, TrustBundles};
use mcx_runtime::server::ServerConfig;
use mcx_store::sealing::create_key_file;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{PostgresServer, TrustDomain, any_port};
use mcx_types::{Entity, McSystemId, SipIdentities, SystemClock, Timestamp};
use sip_database::client::{NewSubscriber, SipAuthenticationClient, SubscriberClient};
use sip_database::{Dependencies, SCHEMA, Service, SipDatabaseConfig, SystemRandom};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use uuid::Uuid;

pub(crate) use mcx_testkit::Engine;

/// The MC system `alpha.example`: its certificates, its stores and its key file, which all replicas share.
pub(crate) struct System {
    pub(crate) directory: TempDir,
    pub(crate) own: TrustDomain,
    database: DatabaseConfig,
    cache: SharedCache,
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

impl System {
    pub(crate) async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        Self::with(directory, DatabaseConfig::from_url(url)).await
    }

    /// On a server of its own, which the test may stop.
    pub(crate) async fn on(server: &PostgresServer) -> Self {
        let mut database = DatabaseConfig::from_url(server.create_database());
        database.acquire_timeout = Duration::from_millis(500);
        Self::with(tempfile::tempdir().unwrap(), database).await
    }

    async fn with(directory: TempDir, database: DatabaseConfig) -> Self {
        create_key_file(&directory.path().join("keys.toml"), "2026-01", [0x42; 32]).unwrap();
        let cache =
            SharedCache::open(&CacheConfig::from_url("memory:"), "alpha.example/sip-database").unwrap();
        let system = Self { directory, own: TrustDomain::new("alpha.example"), database, cache };
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
            own_system: self.own.mc_system_id().clone(),
            database: self.open(),
            cache: self.cache.clone(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
        }
    }

    pub(crate) async fn replica(&self) -> Replica {
        self.replica_with(self.config(), self.dependencies()).await
    }

    pub(crate) async fn replica_with(&self, config: SipDatabaseConfig, with: Dependencies) -> Replica {
        let service = Service::build(config, with).unwrap();
        let identity = self.own.entity(Entity::SipDatabase);
        let bundles = TrustBundles::new(identity.clone());
        let server = self.own.server(identity, bundles).listener(Listener::Internal, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = bound.address(Listener::Internal).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        tokio::spawn(token.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        Replica { address, service, _shutdown: token.drop_guard() }
    }

    /// A channel to a replica, as whoever this is.
    pub(crate) fn channel(&self, replica: &Replica, caller: OwnIdentity) -> Channel {
        self.own.channel(caller, Entity::SipDatabase, replica.address)
    }

    pub(crate) fn operator_channel(&self, replica: &Replica) -> Channel {
        self.channel(replica, self.own.operator())
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
        let channel = self.channel(replica, self.own.entity(entity));
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

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(crate::fixture::System::new; $($names)*); };
}
pub(crate) use on_every_database;

/// A moment for tests that move the clock.
pub(crate) const SOME_DAY: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);
