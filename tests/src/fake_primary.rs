//! A migration management server that answers partners whatever a test wants.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossband::dev::DevSystem;
use mcx_federation::policy::RULES;
use mcx_federation::{Listener, OwnIdentity, PolicyTable, TrustBundles};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::federation_service_server::{FederationService, FederationServiceServer};
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status};

type Asked = proto::FederationServiceGetSipAuthenticationInformationRequest;
type Answered = proto::FederationServiceGetSipAuthenticationInformationResponse;
type Answer = Arc<dyn Fn(Asked) -> Answered + Send + Sync>;

/// The server; it ends with this value.
pub struct FakePrimary {
    /// Where it listens for partners.
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
    _running: DropGuard,
}

struct Handler {
    answer: Answer,
    calls: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl FederationService for Handler {
    async fn get_sip_authentication_information(
        &self,
        request: Request<Asked>,
    ) -> Result<Response<Answered>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new((self.answer)(request.into_inner())))
    }

    async fn resynchronise(
        &self,
        _: Request<proto::FederationServiceResynchroniseRequest>,
    ) -> Result<Response<proto::FederationServiceResynchroniseResponse>, Status> {
        panic!("no test resynchronises with a fake primary")
    }

    async fn offer_user_migrations(
        &self,
        _: Request<proto::OfferUserMigrationsRequest>,
    ) -> Result<Response<proto::OfferUserMigrationsResponse>, Status> {
        panic!("no test offers users to a fake primary")
    }

    async fn report_user_migrations(
        &self,
        _: Request<proto::ReportUserMigrationsRequest>,
    ) -> Result<Response<proto::ReportUserMigrationsResponse>, Status> {
        panic!("no test reports users to a fake primary")
    }
}

impl FakePrimary {
    /// Serves as `own`, lets the partner in, and gives it `answer`.
    pub async fn start(
        own: OwnIdentity,
        partner: &DevSystem,
        answer: impl Fn(Asked) -> Answered + Send + Sync + 'static,
    ) -> Self {
        let bundles = TrustBundles::new(own.clone());
        let bundle = partner.certificates.authority_pem.as_bytes();
        bundles.replace_partner(&partner.system.id, bundle).expect("the bundle can be used");
        let policy = PolicyTable::new(own.mc_system_id().clone(), &RULES).expect("the table is well-formed");
        let calls = Arc::new(AtomicUsize::new(0));
        let handler = Handler { answer: Arc::new(answer), calls: Arc::clone(&calls) };
        let service = limited!(FederationServiceServer::new(handler), ServerConfig::default());
        let server = Server::builder(own, bundles, Arc::new(policy))
            .listener(Listener::Peer, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
            .add_service(Listener::Peer, service, &Readiness::new("fake-primary"));
        let server = server.bind().await.expect("a local port is free");
        let address = server.address(Listener::Peer).expect("the listener is bound");
        let running = CancellationToken::new();
        tokio::spawn(server.serve(running.clone()));
        Self { address, calls, _running: running.drop_guard() }
    }

    /// How many requests reached it.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}
