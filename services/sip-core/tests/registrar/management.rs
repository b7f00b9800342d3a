//! The whole service: SIP on one side, mutual TLS gRPC to operators and from migration management on the other.

use crate::home::{Home, isim, milenage};
use crate::rig::{OWN_IMPI, OWN_IMPU, VISITOR_IMPI, VISITOR_IMPU, randomness};
use futures::StreamExt;
use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{Amf, Rand, Sqn};
use mcx_federation::{
    CertificateAuthority, CertificateValidity, ChannelSettings, Dialer, Listener, OwnIdentity, PolicyTable,
    TrustBundles, policy,
};
use mcx_proto::migration::v1 as migration;
use mcx_proto::migration::v1::sip_authentication_service_server::{
    SipAuthenticationService, SipAuthenticationServiceServer,
};
use mcx_proto::sipcore::v1::{RegistrationChange, WatchRegistrationsResponse};
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{Server, ServerConfig};
use mcx_store::{CacheConfig, SharedCache};
use mcx_types::wire::AuthenticationInformation;
use mcx_types::{Clock, Entity, McSystemId, SpiffeId, SystemClock};
use mcx_ue::{SignallingSettings, SignallingTransport, SignallingUserAgent};
use sip_core::client::{SipCoreClient, SipCoreError};
use sip_core::{Dependencies, MigrationManagementSource, Service, SipCoreConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn own_system() -> McSystemId {
    "bravo.example".parse().unwrap()
}

/// Certificates of the MC system `bravo.example`.
struct System {
    authority: CertificateAuthority,
    clock: Arc<dyn Clock>,
}

impl System {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authority = CertificateAuthority::create(own_system(), Self::validity(&*clock)).unwrap();
        Self { authority, clock }
    }

    fn validity(clock: &dyn Clock) -> CertificateValidity {
        CertificateValidity::starting(clock.now(), Duration::from_secs(3600))
    }

    fn identity(&self, id: &SpiffeId) -> OwnIdentity {
        let issued = self.authority.issue(id, &[], Self::validity(&*self.clock)).unwrap();
        let key = issued.key_pem.expose().as_bytes().to_vec();
        OwnIdentity::from_pem(issued.certificate_pem, &key, self.authority.certificate_pem()).unwrap()
    }

    fn server(&self, entity: Entity) -> Server {
        let identity = self.identity(&SpiffeId::entity(own_system(), entity));
        let bundles = TrustBundles::new(identity.clone());
        let policy = Arc::new(PolicyTable::new(own_system(), &policy::RULES).unwrap());
        Server::builder(identity, bundles, policy).listener(Listener::Internal, ANY)
    }

    fn channel(&self, caller: &SpiffeId, callee: Entity, address: SocketAddr) -> Channel {
        let own = self.identity(caller);
        let bundles = TrustBundles::new(own.clone());
        let dialer = Dialer::new(own, bundles, ChannelSettings::default(), Arc::clone(&self.clock));
        dialer.channel(SpiffeId::entity(own_system(), callee), vec![address.into()]).unwrap()
    }

    async fn serve(&self, server: Server) -> (SocketAddr, DropGuard) {
        let bound = server.bind().await.unwrap();
        let address = bound.address(Listener::Internal).unwrap();
        let token = CancellationToken::new();
        tokio::spawn(bound.serve(token.clone()));
        (address, token.drop_guard())
    }
}

/// A migration management server with one binding.
struct MigrationManagement;

#[tonic::async_trait]
impl SipAuthenticationService for MigrationManagement {
    async fn get_sip_authentication_information(
        &self,
        request: Request<migration::GetSipAuthenticationInformationRequest>,
    ) -> Result<Response<migration::GetSipAuthenticationInformationResponse>, Status> {
        let identities = request.into_inner().partner_identities;
        let vector = milenage().authentication_vector(
            Rand([3; 16]),
            Sqn::from_octets([0, 0, 0, 0, 1, 0]),
            Amf([0, 0]),
        );
        let information =
            AuthenticationInformation { scheme: DigestAlgorithm::AkaV1Md5, vectors: vec![vector] };
        Ok(Response::new(migration::GetSipAuthenticationInformationResponse {
            partner_identities: identities,
            authentication_information: Some(information.into()),
        }))
    }

    async fn resynchronise(
        &self,
        _request: Request<migration::ResynchroniseRequest>,
    ) -> Result<Response<migration::ResynchroniseResponse>, Status> {
        Err(Status::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied)))
    }
}

struct Running {
    system: System,
    sip: SocketAddr,
    grpc: SocketAddr,
    _guards: Vec<DropGuard>,
}

async fn start() -> Running {
    let system = System::new();
    let ready = Readiness::new("migration-management");
    let server = system
        .server(Entity::MigrationManagement)
        .file_descriptor_set(mcx_proto::FILE_DESCRIPTOR_SET)
        .add_service(Listener::Internal, SipAuthenticationServiceServer::new(MigrationManagement), &ready);
    let (migration_management, guard) = system.serve(server).await;

    let sip_core = SpiffeId::entity(own_system(), Entity::SipCore);
    let channel = system.channel(&sip_core, Entity::MigrationManagement, migration_management);
    let config = SipCoreConfig {
        realm: "bravo.example".to_owned(),
        visitor_realm: "visitors.bravo.example".to_owned(),
        udp_address: Some(ANY),
        ..SipCoreConfig::default()
    };
    let dependencies = Dependencies {
        cache: SharedCache::open(&CacheConfig::from_url("memory:"), "bravo.example/sip-core").unwrap(),
        own_users: Arc::new(Home::new(OWN_IMPI, &[OWN_IMPU], DigestAlgorithm::AkaV2Sha256)),
        visitors: Arc::new(MigrationManagementSource::new(channel, Duration::from_secs(4))),
        tls: None,
        clock: Arc::clone(&system.clock),
        randomness: randomness(),
    };
    let service = Service::build(config, dependencies).await.unwrap();
    let sip = service.bound().udp.unwrap();
    let server = service.add_to(system.server(Entity::SipCore), &ServerConfig::default());
    let readiness = service.readiness().clone();
    let (grpc, grpc_guard) = system.serve(server).await;
    let token = CancellationToken::new();
    tokio::spawn(service.run(token.clone().cancelled_owned()));
    readiness.wait_until_serving().await;
    Running { system, sip, grpc, _guards: vec![guard, grpc_guard, token.drop_guard()] }
}

impl Running {
    fn client(&self, caller: &SpiffeId) -> SipCoreClient {
        SipCoreClient::new(self.system.channel(caller, Entity::SipCore, self.grpc), Duration::from_secs(5))
    }

    fn operator(&self) -> SipCoreClient {
        self.client(&SpiffeId::operator(own_system(), "duty").unwrap())
    }

    async fn agent(&self, impi: &str, impu: &str) -> SignallingUserAgent {
        let settings = SignallingSettings::new(
            impi.parse().unwrap(),
            impu.parse().unwrap(),
            self.sip,
            SignallingTransport::Udp,
        );
        SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap()
    }
}

#[tokio::test]
async fn operators_see_watch_and_end_registrations_of_own_users_and_visitors() {
    let running = start().await;
    let operator = running.operator();
    let impu = VISITOR_IMPU.parse().unwrap();
    assert_eq!(operator.registration(&impu).await, Err(SipCoreError::NotRegistered));
    running.agent(OWN_IMPI, OWN_IMPU).await.register().await.unwrap();
    let mut watch = operator.watch(None, true).await.unwrap();
    let mut next = async || -> WatchRegistrationsResponse { watch.next().await.unwrap().unwrap() };
    assert_eq!(next().await.change(), RegistrationChange::Current);

    let mut visitor = running.agent(VISITOR_IMPI, VISITOR_IMPU).await;
    visitor.register().await.unwrap();
    let registered = next().await;
    assert_eq!(registered.change(), RegistrationChange::Registered);
    let registration = operator.registration(&impu).await.unwrap();
    assert_eq!(registered.registration.as_ref(), Some(&registration));
    assert!(registration.visitor);
    assert_eq!(registration.contacts[0].uri, visitor.contact());
    assert_eq!(registration.contacts[0].user_agent, "crossband-ue/0.1.0");

    let page = operator.registrations(1, String::new()).await.unwrap();
    let rest = operator.registrations(1, page.next_page_token).await.unwrap();
    let listed = [&page.registrations[..], &rest.registrations[..]].concat();
    let listed: Vec<&str> = listed.iter().map(|registration| registration.impu.as_str()).collect();
    assert_eq!(listed, [VISITOR_IMPU, OWN_IMPU]);

    assert_eq!(
        operator.deregister(&impu, Some("sip:nobody@192.0.2.1")).await,
        Err(SipCoreError::NotRegistered)
    );
    assert_eq!(operator.deregister(&impu, None).await, Ok(1));
    assert_eq!(next().await.change(), RegistrationChange::Deregistered);
    assert_eq!(operator.registration(&impu).await, Err(SipCoreError::NotRegistered));
}

#[tokio::test]
async fn malformed_requests_and_strangers_are_refused() {
    let running = start().await;
    let Err(SipCoreError::Failed(refused)) =
        running.operator().registrations(5000, "not an impu".to_owned()).await
    else {
        panic!("not refused");
    };
    let fields: Vec<&str> = refused.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((refused.reason.as_str(), fields), ("INVALID_REQUEST", vec!["page_size", "page_token"]));
    let stranger = running.client(&SpiffeId::entity(own_system(), Entity::SipDatabase));
    let Err(SipCoreError::Failed(refused)) = stranger.registrations(0, String::new()).await else {
        panic!("not refused");
    };
    assert_eq!(refused.code, tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn a_migration_management_server_that_refuses_resynchronisation_without_a_reason_is_unavailable() {
    let running = start().await;
    let mut visitor = running.agent(VISITOR_IMPI, VISITOR_IMPU).await;
    visitor.register().await.unwrap();
    // It hands out the same vector again, which the ISIM calls stale.
    let refused = visitor.register().await.unwrap_err();
    assert!(matches!(refused, mcx_ue::SignallingError::ServerUnavailable { status: 503, .. }), "{refused}");
}
