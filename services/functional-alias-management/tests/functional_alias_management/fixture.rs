//! The functional alias management server of `alpha.example` behind its real listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use functional_alias_management::config::FunctionalAliasManagementConfig;
use functional_alias_management::{Dependencies, SCHEMA, Service};
use mcx_federation::access_token::{AccessTokenClaims, PrimaryClaim, Scope};
use mcx_federation::{Listener, TrustBundles};
use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_client::FunctionalAliasConfigurationServiceClient;
use mcx_proto::functionalalias::v1::functional_alias_service_client::FunctionalAliasServiceClient;
use mcx_proto::functionalalias::v1::watch_functional_aliases_response::Event;
use mcx_runtime::server::ServerConfig;
use mcx_store::{CacheConfig, Database, DatabaseConfig, SharedCache};
use mcx_testkit::{TestTokens, TrustDomain, any_port, authorized};
use mcx_types::{Entity, SystemClock};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub(crate) use mcx_testkit::{Engine, fields, reason, refusal};

/// What outlives the processes of the system.
pub(crate) struct Home {
    pub(crate) own: TrustDomain,
    pub(crate) tokens: TestTokens,
    url: String,
    _directory: TempDir,
}

impl Home {
    pub(crate) fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = engine.database_url(directory.path());
        let own = TrustDomain::new("alpha.example");
        let tokens = own.tokens();
        Self { own, tokens, url, _directory: directory }
    }

    fn database(&self) -> Database {
        Database::open(&DatabaseConfig::from_url(self.url.clone()), &SCHEMA).unwrap()
    }

    /// Removes all changes from the log, as time does.
    pub(crate) async fn forget_changes(&self) {
        let removed = mcx_store::changes::compact(&self.database(), i64::MAX).await.unwrap();
        assert!(removed > 0, "there was something to forget");
    }

    /// Starts a process of the system.
    pub(crate) async fn start(&self) -> System<'_> {
        let identity = self.own.entity(Entity::FunctionalAliasManagement);
        let bundles = TrustBundles::new(identity.clone());
        let database = self.database();
        database.migrate().await.unwrap();
        let dependencies = Dependencies {
            own: self.own.mc_system_id().clone(),
            database,
            cache: SharedCache::open(&CacheConfig::from_url("memory:"), "alpha.example").unwrap(),
            clock: Arc::new(SystemClock),
        };
        let service = Service::build(FunctionalAliasManagementConfig::default(), dependencies);
        let server = self
            .own
            .server_for_users(identity, bundles, &self.tokens)
            .listener(Listener::Internal, any_port());
        let bound = service.add_to(server, &ServerConfig::default()).bind().await.unwrap();
        let address = |listener| bound.address(listener).unwrap();
        let (grpc, client) = (address(Listener::Internal), address(Listener::Client));
        let shutdown = CancellationToken::new();
        tokio::spawn(bound.serve(shutdown.clone()));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(service.upkeep()));
        service.readiness().wait_until_serving().await;
        System { home: self, grpc, client, shutdown: shutdown.drop_guard() }
    }
}

/// A process of the system; dropping it ends the process.
pub(crate) struct System<'home> {
    pub(crate) home: &'home Home,
    pub(crate) grpc: SocketAddr,
    pub(crate) client: SocketAddr,
    pub(crate) shutdown: DropGuard,
}

impl System<'_> {
    pub(crate) fn channel_of(&self, entity: Entity) -> Channel {
        let caller = self.home.own.entity(entity);
        self.home.own.channel(caller, Entity::FunctionalAliasManagement, self.grpc)
    }

    pub(crate) fn aliases(&self) -> FunctionalAliasServiceClient<Channel> {
        let operator = self.home.own.operator();
        let channel = self.home.own.channel(operator, Entity::FunctionalAliasManagement, self.grpc);
        FunctionalAliasServiceClient::new(channel)
    }

    pub(crate) fn users(&self) -> FunctionalAliasConfigurationServiceClient<Channel> {
        FunctionalAliasConfigurationServiceClient::new(self.home.own.user_channel(self.client))
    }

    /// Good claims of a user who has `sip:<name>@alpha.example` in each MC service.
    pub(crate) fn claims(&self, name: &str) -> AccessTokenClaims {
        let id = Some(id(name).parse().unwrap());
        AccessTokenClaims {
            mcptt_id: id.clone(),
            mcvideo_id: id.clone(),
            mcdata_id: id,
            ..self.home.tokens.claims(name, &[Scope::FunctionalAliasManagement])
        }
    }

    pub(crate) fn token(&self, name: &str) -> String {
        self.home.tokens.sign(&self.claims(name))
    }

    /// The token of a visitor from `bravo.example`.
    pub(crate) fn visitor_token(&self, name: &str) -> String {
        let primary = PrimaryClaim {
            iss: "https://idms.bravo.example".to_owned(),
            mc_system_id: "bravo.example".parse().unwrap(),
        };
        let claims = AccessTokenClaims { mc_id: None, primary: Some(primary), ..self.claims(name) };
        self.home.tokens.sign(&claims)
    }

    /// What the bearer of a token may activate.
    pub(crate) async fn allowed(&self, token: &str) -> Vec<proto::FunctionalAlias> {
        let request = authorized(proto::GetFunctionalAliasesRequest::default(), token);
        self.users().get_functional_aliases(request).await.unwrap().into_inner().functional_aliases
    }

    pub(crate) async fn watch(&self, token: &str, resume_token: &str) -> Result<Watcher, Status> {
        let request = proto::WatchFunctionalAliasesRequest { resume_token: resume_token.to_owned() };
        let events = self.users().watch_functional_aliases(authorized(request, token)).await?.into_inner();
        Ok(Watcher { events, resume_token: resume_token.to_owned() })
    }

    pub(crate) async fn create(&self, alias: proto::FunctionalAlias) -> proto::FunctionalAlias {
        let request =
            proto::CreateFunctionalAliasRequest { functional_alias: Some(alias), ..Default::default() };
        let made = self.aliases().create_functional_alias(request).await.unwrap();
        made.into_inner().functional_alias.unwrap()
    }

    pub(crate) async fn update(&self, alias: proto::FunctionalAlias) -> proto::FunctionalAlias {
        let request =
            proto::UpdateFunctionalAliasRequest { functional_alias: Some(alias), ..Default::default() };
        let changed = self.aliases().update_functional_alias(request).await.unwrap();
        changed.into_inner().functional_alias.unwrap()
    }

    pub(crate) async fn delete(&self, alias: &proto::FunctionalAlias) {
        let functional_alias = alias.functional_alias.clone();
        let request = proto::DeleteFunctionalAliasRequest { functional_alias, ..Default::default() };
        self.aliases().delete_functional_alias(request).await.unwrap();
    }
}

/// A user's stream of changes.
#[derive(Debug)]
pub(crate) struct Watcher {
    events: Streaming<proto::WatchFunctionalAliasesResponse>,
    /// The last one told.
    pub(crate) resume_token: String,
}

impl Watcher {
    /// The next event that says something.
    pub(crate) async fn next(&mut self) -> Result<Event, Status> {
        loop {
            let told = self.events.message().await?.expect("a watch ends with a status");
            if !told.resume_token.is_empty() {
                self.resume_token = told.resume_token;
            }
            if let Some(event) = told.event {
                return Ok(event);
            }
        }
    }

    /// What there is, up to the end of the snapshot.
    pub(crate) async fn snapshot(&mut self) -> Vec<proto::FunctionalAlias> {
        let mut aliases = Vec::new();
        loop {
            match self.next().await.unwrap() {
                Event::FunctionalAlias(alias) => aliases.push(alias),
                Event::SnapshotComplete(_) => return aliases,
                other => panic!("{other:?} in a snapshot"),
            }
        }
    }

    pub(crate) async fn next_alias(&mut self) -> proto::FunctionalAlias {
        match self.next().await.unwrap() {
            Event::FunctionalAlias(alias) => alias,
            other => panic!("expected a functional alias, not {other:?}"),
        }
    }

    pub(crate) async fn next_removed(&mut self) -> String {
        match self.next().await.unwrap() {
            Event::RemovedFunctionalAlias(alias) => alias,
            other => panic!("expected a removed functional alias, not {other:?}"),
        }
    }
}

pub(crate) fn id(name: &str) -> String {
    format!("sip:{name}@alpha.example")
}

/// A functional alias that these users may activate.
pub(crate) fn alias(name: &str, users: &[&str]) -> proto::FunctionalAlias {
    proto::FunctionalAlias {
        functional_alias: id(name),
        display_name: "Incident commander".to_owned(),
        allowed_users: users.iter().map(|user| id(user)).collect(),
        ..Default::default()
    }
}

/// As users are told of it.
pub(crate) fn told(alias: &proto::FunctionalAlias) -> proto::FunctionalAlias {
    proto::FunctionalAlias { allowed_users: Vec::new(), ..alias.clone() }
}

/// Makes each test once per engine.
macro_rules! on_every_database {
    ($($names:tt)*) => { mcx_testkit::on_every_database!(|engine| std::future::ready(crate::fixture::Home::new(engine)); $($names)*); };
}
pub(crate) use on_every_database;
