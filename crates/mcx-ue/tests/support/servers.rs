//! The application plane servers of one MC system, for one user, on one client listener: they do as they are told and keep a record.

mod configuration;
mod mc_service;
mod watches;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use mcx_federation::{HandshakeLimits, Listener, TlsIncoming, TrustBundles, server_config};
use mcx_proto::configuration::v1::UserProfile;
use mcx_proto::configuration::v1::bootstrap_service_server::BootstrapServiceServer;
use mcx_proto::configuration::v1::configuration_service_server::ConfigurationServiceServer;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_server::FunctionalAliasConfigurationServiceServer;
use mcx_proto::group::v1::MemberGroup;
use mcx_proto::group::v1::group_configuration_service_server::GroupConfigurationServiceServer;
use mcx_proto::mcservice::v1::affiliation_service_server::AffiliationServiceServer;
use mcx_proto::mcservice::v1::communication_service_server::CommunicationServiceServer;
use mcx_proto::mcservice::v1::functional_alias_activation_service_server::FunctionalAliasActivationServiceServer;
use mcx_proto::mcservice::v1::service_authorization_service_server::ServiceAuthorizationServiceServer;
use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_runtime::error::{ErrorFacts, status};
use mcx_testkit::TrustDomain;
use mcx_types::{Entity, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Request, Status};

use super::identity_server::IdentityServer;

pub use watches::GroupLog;

/// What the servers know, do and did.
#[derive(Default)]
pub struct World {
    pub mc_system_id: String,
    pub configuration: Option<InitialUeConfiguration>,
    pub enrolment_code: String,
    /// The ids of the requests with an enrolment code, good or not.
    pub enrolment_requests: Vec<String>,
    pub profiles: Vec<UserProfile>,
    pub groups: Vec<MemberGroup>,
    pub group_log: GroupLog,
    /// The MC service IDs allotted to the user; the key is the number of the MC service.
    pub identities: BTreeMap<i32, String>,
    /// MC service and client instance.
    pub authorized: BTreeSet<(i32, String)>,
    /// MC service, client instance and group.
    pub affiliated: BTreeSet<(i32, String, String)>,
    /// MC service and functional alias.
    pub aliases: BTreeSet<(i32, String)>,
    /// The rpcs that were answered, with what they were about.
    pub log: Vec<String>,
    /// The rpcs that are to be refused next, and how.
    pub refusals: BTreeMap<String, VecDeque<Refused>>,
}

/// A refusal, as a server of any package would make it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("refused")]
pub struct Refused {
    pub code: Code,
    pub reason: &'static str,
}

impl ErrorFacts for Refused {
    fn code(&self) -> Code {
        self.code
    }

    fn reason(&self) -> &'static str {
        self.reason
    }

    fn domain(&self) -> &'static str {
        "mcx.test.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        vec![("hop".to_owned(), "alpha.example".to_owned())]
    }
}

#[derive(Clone)]
pub struct Servers {
    pub address: SocketAddr,
    pub world: Arc<Mutex<World>>,
    /// Wakes the open watches.
    pub news: Arc<Notify>,
    identity: IdentityServer,
    serving: Arc<Mutex<Option<AbortOnDropHandle<()>>>>,
}

impl Servers {
    /// Servers that take the access tokens of `identity`.
    pub async fn start(domain: &TrustDomain, identity: &IdentityServer) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mc_system_id = domain.mc_system_id().to_string();
        let servers = Self {
            address,
            world: Arc::new(Mutex::new(World { mc_system_id, ..World::default() })),
            news: Arc::default(),
            identity: identity.clone(),
            serving: Arc::default(),
        };
        servers.serve(domain, socket);
        servers
    }

    fn serve(&self, domain: &TrustDomain, socket: TcpListener) {
        let own = domain.entity(Entity::McService);
        let tls = server_config(&own, &TrustBundles::new(own.clone()), Listener::Client);
        let limits = HandshakeLimits::default();
        let incoming = TlsIncoming::new(socket, tls, Listener::Client, limits, Arc::new(SystemClock));
        let server = tonic::transport::Server::builder()
            .add_service(BootstrapServiceServer::new(self.clone()))
            .add_service(ConfigurationServiceServer::new(self.clone()))
            .add_service(GroupConfigurationServiceServer::new(self.clone()))
            .add_service(FunctionalAliasConfigurationServiceServer::new(self.clone()))
            .add_service(ServiceAuthorizationServiceServer::new(self.clone()))
            .add_service(AffiliationServiceServer::new(self.clone()))
            .add_service(FunctionalAliasActivationServiceServer::new(self.clone()))
            .add_service(CommunicationServiceServer::new(self.clone()));
        let serving = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        *self.serving.lock().unwrap() = Some(AbortOnDropHandle::new(serving));
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Refuses the next call of an rpc.
    pub fn refuse(&self, rpc: &str, code: Code, reason: &'static str) {
        let mut world = self.world();
        world.refusals.entry(rpc.to_owned()).or_default().push_back(Refused { code, reason });
    }

    /// The record, emptied.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.world().log)
    }

    /// Lets a call of a user in, unless it is to be refused.
    fn admit<T>(&self, rpc: &str, request: &Request<T>) -> Result<MutexGuard<'_, World>, Status> {
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        if !self.identity.state().access_tokens.contains(token) {
            return Err(status(&Refused { code: Code::Unauthenticated, reason: "ACCESS_TOKEN_INVALID" }));
        }
        let mut world = self.world();
        if let Some(refused) = world.refusals.get_mut(rpc).and_then(VecDeque::pop_front) {
            return Err(status(&refused));
        }
        world.log.push(rpc.to_owned());
        Ok(world)
    }
}
