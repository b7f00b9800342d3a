//! Calls of a UE: which server it takes, without any certificate of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use mcx_types::{Entity, SpiffeId, SystemClock};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Server;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::fixtures::*;
use crate::{
    CertificateAuthority, ChannelSettings, ConnectFailure, HandshakeLimits, Listener, OwnIdentity,
    TlsIncoming, TrustBundles, UserDialer, connect_failure, server_config, spiffe_server_client_config,
};

/// A health service behind a client listener.
async fn serve(own: &OwnIdentity) -> (SocketAddr, AbortOnDropHandle<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let config = server_config(own, &TrustBundles::new(own.clone()), Listener::Client);
    let limits = HandshakeLimits::default();
    let incoming = TlsIncoming::new(socket, config, Listener::Client, limits, Arc::new(SystemClock));
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(health);
    let serving = tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
    (address, AbortOnDropHandle::new(serving))
}

/// What comes of calling `address` as a UE of the authority's system.
async fn call(system: &CertificateAuthority, address: SocketAddr) -> Result<(), Option<ConnectFailure>> {
    let bundle = system.certificate_pem().as_bytes();
    let clock = Arc::new(SystemClock);
    let dialer =
        UserDialer::new(system.mc_system_id().clone(), bundle, ChannelSettings::default(), clock).unwrap();
    let channel = dialer.channel(vec![address.into()]).unwrap();
    let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    answer.map(|_| ()).map_err(|status| connect_failure(&status))
}

#[tokio::test]
async fn any_entity_of_the_system_is_taken() {
    let alpha = authority("alpha.example");
    for entity in [Entity::McService, Entity::GroupManagement] {
        let own = identity(&alpha, &SpiffeId::entity(system_id("alpha.example"), entity));
        let (address, _serving) = serve(&own).await;
        assert_eq!(call(&alpha, address).await, Ok(()), "{entity}");
    }
}

#[tokio::test]
async fn operator_and_entity_of_another_system_are_not_taken() {
    let (alpha, bravo) = (authority("alpha.example"), authority("bravo.example"));
    let operator = SpiffeId::operator(system_id("alpha.example"), "duty").unwrap();
    for own in [identity(&alpha, &operator), mms_identity(&bravo)] {
        let (address, _serving) = serve(&own).await;
        assert_eq!(call(&alpha, address).await, Err(Some(ConnectFailure::PeerIdentityMismatch)));
    }
}

#[tokio::test]
async fn entity_that_another_authority_vouches_for_is_not_taken() {
    let (alpha, impostor) = (authority("alpha.example"), authority("alpha.example"));
    let (address, _serving) = serve(&mms_identity(&impostor)).await;
    assert_eq!(call(&alpha, address).await, Err(Some(ConnectFailure::HandshakeFailed)));
}

#[tokio::test]
async fn server_with_an_expired_certificate_is_not_taken() {
    let alpha = authority("alpha.example");
    let issued = alpha.issue(&mms("alpha.example"), &[], expired()).unwrap();
    let (address, _serving) = serve(&own_identity(&issued, &alpha)).await;
    assert_eq!(call(&alpha, address).await, Err(Some(ConnectFailure::HandshakeFailed)));
}

#[tokio::test]
async fn https_client_verifies_the_same() {
    let (alpha, bravo) = (authority("alpha.example"), authority("bravo.example"));
    for (server, is_taken) in [(&alpha, true), (&bravo, false)] {
        let (address, _serving) = serve(&mms_identity(server)).await;
        let config =
            spiffe_server_client_config(alpha.certificate_pem().as_bytes(), &system_id("alpha.example"));
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config.unwrap()));
        let connected = connector.connect("idms.example".try_into().unwrap(), tcp).await;
        assert_eq!(connected.is_ok(), is_taken);
        if let Ok(connected) = connected {
            assert_eq!(connected.get_ref().1.alpn_protocol(), Some(crate::ALPN_HTTP2));
        }
    }
}
