//! Who is let in at which listener, and why the others are not.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mcx_types::{Clock, ManualClock, SpiffeId, SystemClock, Timestamp};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::fixtures::*;
use crate::incoming::Acceptor;
use crate::{
    AcceptedStream, CertificateAuthority, ConnectionInfo, HandshakeLimits, HandshakeRefusal, Listener,
    TlsIncoming, TrustBundles, server_config,
};

/// `alpha.example`, with the partner `bravo.example`.
struct Alpha {
    authority: CertificateAuthority,
    bravo: CertificateAuthority,
    bundles: TrustBundles,
    own: crate::OwnIdentity,
}

impl Alpha {
    fn new() -> Self {
        let (authority, bravo) = (authority("alpha.example"), authority("bravo.example"));
        let own = mms_identity(&authority);
        let bundles = TrustBundles::new(own.clone());
        bundles.replace_partner(bravo.mc_system_id(), bravo.certificate_pem().as_bytes()).unwrap();
        Self { authority, bravo, bundles, own }
    }

    /// One handshake; the client then waits until the server closes the connection, or reports its error.
    async fn accept(
        &self,
        client: &Arc<ClientConfig>,
        listener: Listener,
        clock: Arc<dyn Clock>,
    ) -> Result<AcceptedStream, HandshakeRefusal> {
        let tls = TlsAcceptor::from(server_config(&self.own, &self.bundles, listener));
        let acceptor = Acceptor { tls, listener, timeout: HOUR, clock, sender: mpsc::channel(1).0 };
        let (accepted, _) = accept_with(&acceptor, client).await;
        accepted
    }

    async fn knock(
        &self,
        client: ClientConfig,
        listener: Listener,
    ) -> Result<ConnectionInfo, HandshakeRefusal> {
        let accepted = self.accept(&Arc::new(client), listener, Arc::new(SystemClock)).await;
        accepted.map(|stream| stream.connection().certified().cloned().expect("a certificate is required"))
    }

    /// The label of the refusal, or who was let in.
    async fn outcome(&self, client: ClientConfig, listener: Listener) -> String {
        match self.knock(client, listener).await {
            Ok(connection) => connection.peer.to_string(),
            Err(refusal) => refusal.label().to_owned(),
        }
    }
}

async fn accept_with(
    acceptor: &Acceptor,
    client: &Arc<ClientConfig>,
) -> (Result<AcceptedStream, HandshakeRefusal>, JoinHandle<()>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let connector = TlsConnector::from(Arc::clone(client));
    let client = tokio::spawn(async move {
        let tcp = TcpStream::connect(address).await.unwrap();
        // Whether the client sees an alert is not asked here.
        if let Ok(mut tls) = connector.connect(ServerName::try_from("alpha.example").unwrap(), tcp).await {
            let _ = tls.read_u8().await;
        }
    });
    let (tcp, remote_address) = socket.accept().await.unwrap();
    (acceptor.handshake(tcp, remote_address).await, client)
}

fn client(authority: &CertificateAuthority, id: &SpiffeId) -> ClientConfig {
    client_of(&authority.issue(id, &[], valid_now()).unwrap())
}

#[tokio::test]
async fn entity_of_the_own_system_is_let_in_at_the_internal_listener_with_its_identity() {
    let alpha = Alpha::new();
    let issued = alpha.authority.issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    let connection = alpha.knock(client_of(&issued), Listener::Internal).await.unwrap();
    assert_eq!(connection.peer, mms("alpha.example"));
    assert_eq!(connection.listener, Listener::Internal);
    assert!(connection.remote_address.ip().is_loopback());
    let whole_seconds = valid_now().not_after.saturating_since(connection.not_after);
    assert!(whole_seconds < HOUR, "the end of the certificate's validity was not read");
}

#[tokio::test]
async fn operator_is_let_in_at_the_internal_listener() {
    let alpha = Alpha::new();
    let operator = SpiffeId::operator(system_id("alpha.example"), "duty-officer").unwrap();
    let outcome = alpha.outcome(client(&alpha.authority, &operator), Listener::Internal).await;
    assert_eq!(outcome, "spiffe://alpha.example/operator/duty-officer");
}

#[tokio::test]
async fn ue_is_let_in_at_the_client_listener_only_and_nothing_is_believed_of_it() {
    let alpha = Alpha::new();
    let ue = Arc::new(anonymous_client());
    let stream = alpha.accept(&ue, Listener::Client, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(stream.connection().certified(), None);
    assert_eq!(stream.connection().listener(), Listener::Client);
    assert!(stream.connection().remote_address().ip().is_loopback());
    for listener in [Listener::Internal, Listener::Peer] {
        assert_eq!(alpha.outcome(anonymous_client(), listener).await, "no_certificate");
    }
}

#[tokio::test]
async fn certificate_shows_nothing_at_the_client_listener() {
    let alpha = Alpha::new();
    let entity = Arc::new(client(&alpha.authority, &mms("alpha.example")));
    let stream = alpha.accept(&entity, Listener::Client, Arc::new(SystemClock)).await.unwrap();
    assert_eq!(stream.connection().certified(), None);
}

#[tokio::test]
async fn entity_of_a_partner_is_let_in_at_the_peer_listener_only() {
    let alpha = Alpha::new();
    let partner = || client(&alpha.bravo, &mms("bravo.example"));
    let at_peer = alpha.outcome(partner(), Listener::Peer).await;
    assert_eq!(at_peer, "spiffe://bravo.example/migration-management");
    assert_eq!(alpha.outcome(partner(), Listener::Internal).await, "wrong_listener");
}

#[tokio::test]
async fn own_certificate_is_refused_at_the_peer_listener() {
    let alpha = Alpha::new();
    let own = client(&alpha.authority, &mms("alpha.example"));
    let refusal = alpha.knock(own, Listener::Peer).await.unwrap_err();
    let expected = HandshakeRefusal::WrongListener {
        trust_domain: system_id("alpha.example"),
        listener: Listener::Peer,
    };
    assert_eq!(refusal, expected);
}

#[tokio::test]
async fn client_without_a_certificate_is_refused() {
    let alpha = Alpha::new();
    for listener in [Listener::Internal, Listener::Peer] {
        assert_eq!(alpha.knock(anonymous_client(), listener).await, Err(HandshakeRefusal::NoCertificate));
    }
}

#[tokio::test]
async fn expired_certificate_is_refused() {
    let alpha = Alpha::new();
    let issued = alpha.authority.issue(&mms("alpha.example"), &[], expired()).unwrap();
    let refusal = alpha.knock(client_of(&issued), Listener::Internal).await;
    assert_eq!(refusal, Err(HandshakeRefusal::Expired));
}

#[tokio::test]
async fn another_authority_that_claims_a_trusted_domain_is_refused() {
    let alpha = Alpha::new();
    let forged_own = client(&authority("alpha.example"), &mms("alpha.example"));
    assert_eq!(alpha.outcome(forged_own, Listener::Internal).await, "untrusted_chain");
    let forged_partner = client(&authority("bravo.example"), &mms("bravo.example"));
    assert_eq!(alpha.outcome(forged_partner, Listener::Peer).await, "untrusted_chain");
}

#[tokio::test]
async fn partner_cannot_issue_for_another_partner_nor_for_us() {
    let alpha = Alpha::new();
    let charlie = authority("charlie.example");
    alpha.bundles.replace_partner(charlie.mc_system_id(), charlie.certificate_pem().as_bytes()).unwrap();
    let as_charlie = issue_with_uris(&alpha.bravo, &["spiffe://charlie.example/migration-management"]);
    let as_us = issue_with_uris(&alpha.bravo, &["spiffe://alpha.example/migration-management"]);
    let outcome = alpha.outcome(client_with(&as_charlie.0, &as_charlie.1), Listener::Peer).await;
    assert_eq!(outcome, "untrusted_chain");
    let outcome = alpha.outcome(client_with(&as_us.0, &as_us.1), Listener::Internal).await;
    assert_eq!(outcome, "untrusted_chain");
}

#[tokio::test]
async fn system_without_a_bundle_is_refused_by_name() {
    let alpha = Alpha::new();
    let stranger = || client(&authority("charlie.example"), &mms("charlie.example"));
    for listener in [Listener::Internal, Listener::Peer] {
        let refusal = alpha.knock(stranger(), listener).await;
        assert_eq!(refusal, Err(HandshakeRefusal::ForeignTrustDomain(system_id("charlie.example"))));
    }
}

#[tokio::test]
async fn certificate_must_carry_exactly_one_spiffe_identity() {
    let alpha = Alpha::new();
    let own = "spiffe://alpha.example/sip-core";
    let not_ours: [&[&str]; 5] = [
        &[],
        &[own, "spiffe://alpha.example/sip-database"],
        &[own, "https://alpha.example/"],
        &["https://alpha.example/sip-core"],
        &["spiffe://alpha.example/unheard-of"],
    ];
    for uris in not_ours {
        let (certificate, key) = issue_with_uris(&alpha.authority, uris);
        let outcome = alpha.outcome(client_with(&certificate, &key), Listener::Internal).await;
        assert_eq!(outcome, "no_spiffe_id", "{uris:?}");
    }
    let (certificate, key) = issue_with_uris(&alpha.authority, &[own]);
    assert_eq!(alpha.outcome(client_with(&certificate, &key), Listener::Internal).await, own);
}

#[tokio::test]
async fn removed_and_replaced_bundles_hold_from_the_next_handshake_on_even_for_a_client_that_resumes() {
    let alpha = Alpha::new();
    let system = alpha.bravo.mc_system_id();
    // One configuration on each side over all handshakes, as in production: a session could be resumed.
    let client = Arc::new(client(&alpha.bravo, &mms("bravo.example")));
    let tls = TlsAcceptor::from(server_config(&alpha.own, &alpha.bundles, Listener::Peer));
    let (clock, sender) = (Arc::new(SystemClock), mpsc::channel(1).0);
    let acceptor = Acceptor { tls, listener: Listener::Peer, timeout: HOUR, clock, sender };
    let outcome = async || {
        let (accepted, client) = accept_with(&acceptor, &client).await;
        let outcome = accepted.map(drop).map_or_else(|refusal| refusal.label(), |()| "accepted");
        // Only now it has read what a server sends to resume with.
        client.await.unwrap();
        outcome
    };
    assert_eq!(outcome().await, "accepted");
    alpha.bundles.remove_partner(system);
    assert_eq!(outcome().await, "foreign_trust_domain");
    let renewed = authority("bravo.example");
    alpha.bundles.replace_partner(system, renewed.certificate_pem().as_bytes()).unwrap();
    assert_eq!(outcome().await, "untrusted_chain");
    let both = format!("{}{}", renewed.certificate_pem(), alpha.bravo.certificate_pem());
    alpha.bundles.replace_partner(system, both.as_bytes()).unwrap();
    assert_eq!(outcome().await, "accepted");
}

#[tokio::test]
async fn connection_ends_with_the_certificate_that_opened_it() {
    let alpha = Alpha::new();
    let issued = alpha.authority.issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    let not_after = own_identity(&issued, &alpha.authority).not_after();
    let moments_before = Timestamp::from_micros(not_after.as_micros() - 20_000);
    let clock = Arc::new(ManualClock::starting_at(moments_before));
    let client = Arc::new(client_of(&issued));
    let mut connection = alpha.accept(&client, Listener::Internal, clock).await.unwrap();
    // The client says nothing and does not close: only the expiry ends this read.
    let ended = tokio::time::timeout(Duration::from_secs(60), connection.read_u8()).await;
    let ended = ended.expect("the connection goes on").unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn refused_client_can_read_why_although_it_has_already_sent_requests() {
    let alpha = Alpha::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let config = server_config(&alpha.own, &alpha.bundles, Listener::Peer);
    let limits = HandshakeLimits::default();
    let _incoming = TlsIncoming::new(socket, config, Listener::Peer, limits, Arc::new(SystemClock));
    let stranger = Arc::new(client(&authority("charlie.example"), &mms("charlie.example")));
    let tcp = TcpStream::connect(address).await.unwrap();
    let server = ServerName::try_from("alpha.example").unwrap();
    let mut tls = TlsConnector::from(stranger).connect(server, tcp).await.unwrap();
    tls.write_all(&[0; 32 * 1024]).await.unwrap();
    let refused = HandshakeRefusal::of_io(&tls.read_u8().await.unwrap_err());
    assert_eq!(refused, HandshakeRefusal::RefusedByPeer { alert: "CertificateUnknown".to_owned() });
    let closed = tls.get_mut().0.read_u8().await.unwrap_err();
    assert_eq!(closed.kind(), std::io::ErrorKind::UnexpectedEof, "the connection was reset");
}

async fn greet(address: std::net::SocketAddr, client: Arc<ClientConfig>) {
    let tcp = TcpStream::connect(address).await.unwrap();
    let server = ServerName::try_from("alpha.example").unwrap();
    let mut tls = TlsConnector::from(client).connect(server, tcp).await.unwrap();
    tls.write_u8(7).await.unwrap();
}

async fn served_past_a_silent_client(limits: HandshakeLimits) {
    let alpha = Alpha::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let config = server_config(&alpha.own, &alpha.bundles, Listener::Internal);
    let mut incoming = TlsIncoming::new(socket, config, Listener::Internal, limits, Arc::new(SystemClock));
    let silent = TcpStream::connect(address).await.unwrap();
    let client = Arc::new(client(&alpha.authority, &mms("alpha.example")));
    let (mut connection, ()) =
        tokio::join!(async { incoming.next().await.unwrap().unwrap() }, greet(address, client));
    assert_eq!(connection.read_u8().await.unwrap(), 7);
    drop(silent);
}

#[tokio::test]
async fn client_that_connects_and_says_nothing_delays_nobody() {
    served_past_a_silent_client(HandshakeLimits { timeout: HOUR, max_pending: 2 }).await;
}

#[tokio::test]
async fn silent_client_loses_its_place_after_the_handshake_timeout() {
    served_past_a_silent_client(HandshakeLimits { timeout: Duration::from_millis(200), max_pending: 1 })
        .await;
}

#[tokio::test]
async fn dropping_the_incoming_connections_closes_the_listening_socket() {
    let alpha = Alpha::new();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let config = server_config(&alpha.own, &alpha.bundles, Listener::Internal);
    let incoming = TlsIncoming::new(
        socket,
        config,
        Listener::Internal,
        HandshakeLimits::default(),
        Arc::new(SystemClock),
    );
    drop(incoming);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
