//! The end of a replica in good order.

use std::sync::Arc;
use std::time::Duration;

use mcx_federation::spiffe_server_client_config;
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_trust_service_client::TokenTrustServiceClient;
use mcx_types::Entity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::fixture::{Engine, System};

/// Far below what an idle connection would be waited for.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_are_answered_and_idle_connections_ended() {
    let system = System::new(Engine::Sqlite).await;
    // An idle connection and a stream.
    let agent = system.user_agent();
    agent.document("/jwks").await;
    let mut client = TokenTrustServiceClient::new(system.channel(Entity::McService));
    let mut stream = client.watch_token_trust(proto::WatchTokenTrustRequest {}).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    // A request whose body is still to come; that it is under way is told by the server itself.
    let domain = &system.ground.domain;
    let mut tls = spiffe_server_client_config(domain.bundle_pem().as_bytes(), domain.mc_system_id()).unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let authority = system.replica.issuer.strip_prefix("https://").unwrap();
    let socket = TcpStream::connect(authority).await.unwrap();
    let name = "identity-management".try_into().unwrap();
    let mut connection = TlsConnector::from(Arc::new(tls)).connect(name, socket).await.unwrap();
    let head = "POST /token HTTP/1.1\r\nHost: idms\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut line = [0; 25];
    connection.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");

    drop(system.replica.shutdown);
    assert!(!matches!(timeout(SOON, stream.message()).await.unwrap(), Ok(Some(_))), "the stream goes on");
    connection.write_all(b"grant_type=something").await.unwrap();
    let mut answer = String::new();
    timeout(SOON, connection.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("unsupported_grant_type"), "{answer}");
    timeout(SOON, system.replica.running).await.unwrap().unwrap();
    assert!(TcpStream::connect(authority).await.is_err());
}
