//! Calls through tonic: which server is accepted, and what a caller learns where none is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcx_types::{Clock, Entity, ManualClock, SpiffeId, SystemClock, Timestamp};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::fixtures::*;
use crate::{
    BreakerSettings, BreakerState, CertificateAuthority, ChannelSettings, ConnectFailure, Connection,
    ConnectionInfo, Dialer, HandshakeLimits, Listener, OwnIdentity, PeerCallError, PeerEndpoint, TlsIncoming,
    TrustBundles, connect_failure, server_config,
};

/// A health service behind a peer listener, which remembers its callers.
struct PeerServer {
    address: SocketAddr,
    callers: Arc<Mutex<Vec<ConnectionInfo>>>,
    _serving: AbortOnDropHandle<()>,
}

async fn serve(own: &OwnIdentity, bundles: &TrustBundles) -> PeerServer {
    serve_at((Ipv4Addr::LOCALHOST, 0).into(), own, bundles).await
}

async fn serve_at(address: SocketAddr, own: &OwnIdentity, bundles: &TrustBundles) -> PeerServer {
    let socket = TcpListener::bind(address).await.unwrap();
    let address = socket.local_addr().unwrap();
    let config = server_config(own, bundles, Listener::Peer);
    let limits = HandshakeLimits::default();
    let incoming = TlsIncoming::new(socket, config, Listener::Peer, limits, Arc::new(SystemClock));
    let callers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&callers);
    let remember = move |request: Request<()>| {
        let connection = request.extensions().get::<Connection>().and_then(Connection::certified).cloned();
        seen.lock().unwrap().push(connection.expect("every request tells of its certificate"));
        Ok(request)
    };
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(InterceptedService::new(health, remember));
    let serving = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    PeerServer { address, callers, _serving: AbortOnDropHandle::new(serving) }
}

/// `alpha.example` calls `bravo.example`, each the other's partner.
struct Federation {
    alpha: CertificateAuthority,
    bravo: CertificateAuthority,
    alpha_bundles: TrustBundles,
    bravo_bundles: TrustBundles,
    dialer: Dialer,
}

impl Federation {
    fn new() -> Self {
        let (alpha, bravo) = (authority("alpha.example"), authority("bravo.example"));
        let own = mms_identity(&alpha);
        let alpha_bundles = TrustBundles::new(own.clone());
        alpha_bundles.replace_partner(bravo.mc_system_id(), bravo.certificate_pem().as_bytes()).unwrap();
        let bravo_bundles = TrustBundles::new(mms_identity(&bravo));
        bravo_bundles.replace_partner(alpha.mc_system_id(), alpha.certificate_pem().as_bytes()).unwrap();
        let settings = ChannelSettings::default();
        let dialer = Dialer::new(own, alpha_bundles.clone(), settings, Arc::new(SystemClock));
        Self { alpha, bravo, alpha_bundles, bravo_bundles, dialer }
    }

    async fn bravo_mms(&self) -> PeerServer {
        serve(&mms_identity(&self.bravo), &self.bravo_bundles).await
    }

    async fn call(&self, addresses: &[SocketAddr]) -> Result<(), Status> {
        let endpoints = addresses.iter().copied().map(PeerEndpoint::from).collect();
        check(self.dialer.channel(mms("bravo.example"), endpoints).unwrap()).await
    }
}

async fn check(channel: Channel) -> Result<(), Status> {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.map(|_| ())
}

/// An address at which nobody listens.
async fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn server_that_proves_the_expected_identity_is_called_and_knows_the_caller() {
    let federation = Federation::new();
    let server = federation.bravo_mms().await;
    federation.call(&[server.address]).await.unwrap();
    let callers = server.callers.lock().unwrap();
    assert_eq!(callers.len(), 1);
    assert_eq!(callers[0].peer, mms("alpha.example"));
    assert_eq!(callers[0].listener, Listener::Peer);
}

#[tokio::test]
async fn server_with_another_identity_is_a_mismatch() {
    let federation = Federation::new();
    let sip_core = SpiffeId::entity(system_id("bravo.example"), Entity::SipCore);
    let another_entity = serve(&identity(&federation.bravo, &sip_core), &federation.bravo_bundles).await;
    let another_system = serve(&mms_identity(&federation.alpha), &federation.alpha_bundles).await;
    for server in [another_entity, another_system] {
        let status = federation.call(&[server.address]).await.unwrap_err();
        assert_eq!(connect_failure(&status), Some(ConnectFailure::PeerIdentityMismatch), "{status:?}");
        assert!(server.callers.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn server_that_claims_the_identity_with_another_authority_fails_the_handshake() {
    let federation = Federation::new();
    let forged = serve(&mms_identity(&authority("bravo.example")), &federation.bravo_bundles).await;
    let status = federation.call(&[forged.address]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::HandshakeFailed), "{status:?}");
}

#[tokio::test]
async fn server_with_an_expired_certificate_fails_the_handshake() {
    let federation = Federation::new();
    let issued = federation.bravo.issue(&mms("bravo.example"), &[], expired()).unwrap();
    let server = serve(&own_identity(&issued, &federation.bravo), &federation.bravo_bundles).await;
    let status = federation.call(&[server.address]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::HandshakeFailed), "{status:?}");
}

#[tokio::test]
async fn server_of_a_system_without_a_bundle_fails_the_handshake() {
    let federation = Federation::new();
    let server = federation.bravo_mms().await;
    federation.alpha_bundles.remove_partner(federation.bravo.mc_system_id());
    let status = federation.call(&[server.address]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::HandshakeFailed), "{status:?}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let federation = Federation::new();
    let status = federation.call(&[dead_address().await]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::Unreachable), "{status:?}");
}

#[tokio::test]
async fn server_that_closes_the_connection_during_the_handshake_is_unreachable() {
    let federation = Federation::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = socket.accept().await {
            drop(connection);
        }
    });
    let status = federation.call(&[address]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::Unreachable), "{status:?}");
}

#[tokio::test]
async fn caller_whose_certificate_is_refused_learns_that() {
    let federation = Federation::new();
    let server = federation.bravo_mms().await;
    federation.bravo_bundles.remove_partner(federation.alpha.mc_system_id());
    let status = federation.call(&[server.address]).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::RefusedByPeer), "{status:?}");
}

#[tokio::test]
async fn next_endpoint_is_tried_where_one_is_dead_or_somebody_else() {
    let federation = Federation::new();
    let server = federation.bravo_mms().await;
    let somebody_else = serve(&mms_identity(&federation.alpha), &federation.alpha_bundles).await;
    let addresses = [dead_address().await, somebody_else.address, server.address];
    federation.call(&addresses).await.unwrap();
    assert_eq!(server.callers.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_worst_finding_of_several_endpoints_is_reported() {
    let federation = Federation::new();
    let somebody_else = serve(&mms_identity(&federation.alpha), &federation.alpha_bundles).await;
    let addresses = [dead_address().await, somebody_else.address, dead_address().await];
    let status = federation.call(&addresses).await.unwrap_err();
    assert_eq!(connect_failure(&status), Some(ConnectFailure::PeerIdentityMismatch), "{status:?}");
}

#[tokio::test]
async fn answer_of_the_peer_itself_is_no_connect_failure_and_keeps_the_breaker_closed() {
    let federation = Federation::new();
    let server = federation.bravo_mms().await;
    let settings = BreakerSettings { failures_to_open: 1, open_for: HOUR };
    let endpoints = vec![server.address.into()];
    let peer = federation.dialer.peer_channel(mms("bravo.example"), endpoints, settings).unwrap();
    let unknown_service = HealthCheckRequest { service: "unheard.of".to_owned() };
    let answer = peer
        .call(HOUR, |channel| async move { HealthClient::new(channel).check(unknown_service).await })
        .await;
    let Err(PeerCallError::Status(status)) = answer else { panic!("{answer:?}") };
    assert_eq!(status.code(), tonic::Code::NotFound);
    assert_eq!(connect_failure(&status), None);
    assert_eq!(peer.breaker().state(), BreakerState::Closed);
}

#[tokio::test]
async fn dead_peer_opens_the_breaker_and_a_probe_finds_it_back() {
    let federation = Federation::new();
    let clock = Arc::new(ManualClock::starting_at(Timestamp::from_micros(0)));
    let dialer = Dialer::new(
        mms_identity(&federation.alpha),
        federation.alpha_bundles.clone(),
        ChannelSettings::default(),
        Arc::clone(&clock) as Arc<dyn Clock>,
    );
    let server = federation.bravo_mms().await;
    let endpoints = vec![server.address.into()];
    let settings = BreakerSettings { failures_to_open: 2, open_for: Duration::from_secs(10) };
    let peer = dialer.peer_channel(mms("bravo.example"), endpoints, settings).unwrap();

    // The partner has forgotten us, and remembers later: the same address, away and back.
    federation.bravo_bundles.remove_partner(federation.alpha.mc_system_id());
    for _ in 0..2 {
        assert!(matches!(peer.call(HOUR, check).await, Err(PeerCallError::Status(_))));
    }
    let Err(PeerCallError::BreakerOpen(open)) = peer.call(HOUR, check).await else { panic!("not open") };
    assert_eq!(open.retry_after, Duration::from_secs(10));

    let alpha = &federation.alpha;
    federation
        .bravo_bundles
        .replace_partner(alpha.mc_system_id(), alpha.certificate_pem().as_bytes())
        .unwrap();
    clock.advance(Duration::from_secs(10));
    peer.call(HOUR, check).await.unwrap();
    assert_eq!(peer.breaker().state(), BreakerState::Closed);
}

#[tokio::test]
async fn peer_that_accepts_and_says_nothing_counts_as_failed_after_the_deadline() {
    let federation = Federation::new();
    // Accepts connections and never says anything.
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = BreakerSettings { failures_to_open: 1, open_for: HOUR };
    let endpoints = vec![socket.local_addr().unwrap().into()];
    let peer = federation.dialer.peer_channel(mms("bravo.example"), endpoints, settings).unwrap();
    let answer = peer.call(Duration::from_millis(20), check).await;
    assert!(matches!(answer, Err(PeerCallError::TimedOut)), "{answer:?}");
    assert_eq!(peer.breaker().state(), BreakerState::Open);
}

#[tokio::test]
async fn call_after_one_that_was_given_up_learns_how_the_peer_is_now() {
    let federation = Federation::new();
    // A process that has just begun: it has bound its port, and does not serve yet.
    let begun = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = begun.local_addr().unwrap();
    let channel = federation.dialer.channel(mms("bravo.example"), vec![address.into()]).unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), check(channel.clone())).await;
    assert!(given_up.is_err(), "somebody answered: {given_up:?}");
    // It dies, with the connection of that call, and its successor serves.
    drop(begun);
    let _server = serve_at(address, &mms_identity(&federation.bravo), &federation.bravo_bundles).await;
    check(channel).await.unwrap();
}

#[tokio::test]
async fn peer_that_is_replaced_while_it_is_called_is_found() {
    let federation = Federation::new();
    let address = dead_address().await;
    let channel = federation.dialer.channel(mms("bravo.example"), vec![address.into()]).unwrap();
    let call = tokio::spawn(check(channel));
    let _server = serve_at(address, &mms_identity(&federation.bravo), &federation.bravo_bundles).await;
    call.await.unwrap().unwrap();
}

#[test]
fn peer_endpoints_are_a_host_and_a_port() {
    for text in ["mms.bravo.example:7443", "192.0.2.1:7443", "[2001:db8::1]:7443"] {
        assert_eq!(text.parse::<PeerEndpoint>().map(|endpoint| endpoint.to_string()).as_deref(), Ok(text));
    }
    for text in
        ["", "bravo.example", ":7443", "bravo.example:0", "bravo.example:70000", "a@b.example:1", "a:1/x"]
    {
        assert!(text.parse::<PeerEndpoint>().is_err(), "{text:?} was taken for an endpoint");
    }
}
