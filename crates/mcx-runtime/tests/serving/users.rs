//! Calls of UEs, which show no certificate and prove their users with access tokens.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcx_federation::access_token::{AccessTokenVerifier, RevokedTokens, Scope};
use mcx_federation::{ConnectFailure, Listener, connect_failure, spiffe_server_client_config};
use mcx_runtime::CallContext;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_runtime::server::{Drained, ServerConfig, ServerError};
use mcx_testkit::{TestTokens, authorized, bearer};
use mcx_types::{Clock, Entity, SystemClock};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Service;

use crate::harness::{Running, SYSTEM, System, TestService, Text, text};

/// A system with a running server that believes its tokens.
struct World {
    system: System,
    tokens: TestTokens,
    verifier: AccessTokenVerifier,
    server: Running,
}

impl World {
    async fn new(service: TestService) -> Self {
        Self::with(service, ServerConfig::default()).await
    }

    async fn with(service: TestService, config: ServerConfig) -> Self {
        let system = System::new();
        let tokens = TestTokens::new(SYSTEM.parse().unwrap());
        let verifier = tokens.verifier();
        let server = system.serve_users(service, config, verifier.clone()).await;
        Self { system, tokens, verifier, server }
    }

    fn address(&self) -> SocketAddr {
        self.server.client_address.unwrap()
    }

    async fn ask(&self, request: Request<Text>) -> Result<String, RemoteError> {
        let answer = self.system.user_client(self.address()).ask_with(request).await;
        answer.map(|answer| answer.into_inner().text).map_err(|status| decode_status(&status))
    }

    async fn refusal(&self, request: Request<Text>) -> (Code, String) {
        let refusal = self.ask(request).await.unwrap_err();
        assert!(refusal.metadata.is_empty(), "tells more than its reason: {refusal:?}");
        (refusal.code, refusal.reason)
    }
}

/// Answers with what the context says about the caller.
fn who() -> TestService {
    TestService::new(|request: Request<Text>| async move {
        assert!(request.metadata().get("authorization").is_none(), "the token came through to the handler");
        let context = CallContext::of(&request)?;
        let user = CallContext::user_of(&request).ok();
        let subject = user.as_ref().map_or("nobody", |user| user.subject.as_str());
        assert_eq!(context.certificate().is_ok(), context.listener != Listener::Client);
        Ok(text(format!("{} for {subject} on {}", context.caller, context.listener)))
    })
}

fn unauthenticated(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.to_owned())
}

#[tokio::test]
async fn user_with_a_good_token_is_known_to_the_handler() {
    let world = World::new(who()).await;
    let token = world.tokens.token("alice", &[Scope::OpenId, Scope::DataService]);
    let answer = world.ask(authorized(text("who am I?"), &token)).await;
    assert_eq!(answer.as_deref(), Ok("spiffe://alpha.example/user/alice for alice on client"));
}

#[tokio::test]
async fn call_without_a_token_is_refused() {
    let world = World::new(who()).await;
    assert_eq!(world.refusal(Request::new(text("?"))).await, unauthenticated("ACCESS_TOKEN_MISSING"));
}

#[tokio::test]
async fn certificate_is_no_token() {
    let world = World::new(who()).await;
    let channel = world.system.channel(Entity::SipCore, world.address());
    let mut client = crate::harness::Client::over(channel);
    let refused = decode_status(&client.ask("?").await.unwrap_err());
    assert_eq!((refused.code, refused.reason), unauthenticated("ACCESS_TOKEN_MISSING"));
}

#[tokio::test]
async fn token_without_the_scope_is_refused_with_those_that_would_do() {
    let world = World::new(who()).await;
    let token = world.tokens.token("alice", &[Scope::OpenId, Scope::VideoService]);
    let refused = world.ask(authorized(text("?"), &token)).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "SCOPE_MISSING"));
    assert_eq!(refused.metadata["scope"], "3gpp:mc:ptt_service 3gpp:mc:data_service");
}

#[tokio::test]
async fn bad_tokens_are_refused_by_their_kind_and_no_more_is_said() {
    let world = World::new(who()).await;
    let claims = world.tokens.claims("alice", &[Scope::PttService]);
    let good = world.tokens.sign(&claims);
    let mut expired = claims.clone();
    expired.exp -= 3600;
    let mut elsewhere = claims.clone();
    elsewhere.aud = vec!["bravo.example".to_owned()];
    let stranger = TestTokens::new(SYSTEM.parse().unwrap());
    let cases = [
        (world.tokens.sign(&expired), "ACCESS_TOKEN_EXPIRED"),
        (world.tokens.sign(&elsewhere), "ACCESS_TOKEN_INVALID"),
        (stranger.sign(&claims), "ACCESS_TOKEN_INVALID"),
        (stranger.sign(&expired), "ACCESS_TOKEN_INVALID"),
        (good[..good.len() / 2].to_owned(), "ACCESS_TOKEN_INVALID"),
        (String::new(), "ACCESS_TOKEN_INVALID"),
    ];
    for (token, reason) in cases {
        let refused = world.refusal(authorized(text("?"), &token)).await;
        assert_eq!(refused, unauthenticated(reason), "{token}");
    }

    let mut basic = Request::new(text("?"));
    basic.metadata_mut().insert("authorization", format!("Basic {good}").parse().unwrap());
    assert_eq!(world.refusal(basic).await, unauthenticated("ACCESS_TOKEN_INVALID"));
    let mut two = authorized(text("?"), &good);
    two.metadata_mut().append("authorization", bearer(&good));
    assert_eq!(world.refusal(two).await, unauthenticated("ACCESS_TOKEN_INVALID"));

    assert!(world.ask(authorized(text("?"), &good)).await.is_ok());
    let revoked = RevokedTokens { token_ids: [claims.jti].into(), ..RevokedTokens::default() };
    world.verifier.replace_trust(world.tokens.trust_without(revoked));
    assert_eq!(world.refusal(authorized(text("?"), &good)).await, unauthenticated("ACCESS_TOKEN_REVOKED"));
}

#[tokio::test]
async fn stream_ends_when_the_token_is_revoked_that_it_was_begun_with() {
    let world = World::new(who()).await;
    let follow = async |subject: &str| {
        let claims = world.tokens.claims(subject, &[Scope::PttService]);
        let request = authorized(text("?"), &world.tokens.sign(&claims));
        let mut stream = world.system.user_client(world.address()).follow(request).await.unwrap();
        assert!(stream.message().await.unwrap().is_some());
        (claims, stream)
    };
    let (of_alice, mut alice) = follow("alice").await;
    let (_, mut bob) = follow("bob").await;
    world.verifier.revoke(RevokedTokens { token_ids: [of_alice.jti].into(), ..RevokedTokens::default() });
    let ended = decode_status(&alice.message().await.unwrap_err());
    assert_eq!((ended.code, ended.reason), unauthenticated("ACCESS_TOKEN_REVOKED"));

    // Read again, with more than was told.
    let now = SystemClock.now();
    let subjects = [("bob".parse().unwrap(), now)].into();
    let revoked = RevokedTokens { subjects, ..RevokedTokens::default() };
    world.verifier.replace_trust(world.tokens.trust_without(revoked));
    let ended = decode_status(&bob.message().await.unwrap_err());
    assert_eq!((ended.code, ended.reason), unauthenticated("ACCESS_TOKEN_REVOKED"));
}

#[tokio::test]
async fn users_are_asked_to_come_back_while_no_key_is_known() {
    let system = System::new();
    let tokens = TestTokens::new(SYSTEM.parse().unwrap());
    let verifier = AccessTokenVerifier::new(SYSTEM.parse().unwrap(), Arc::new(SystemClock));
    let server = system.serve_users(who(), ServerConfig::default(), verifier.clone()).await;
    let world = World { system, tokens, verifier, server };
    let token = world.tokens.token("alice", &[Scope::PttService]);
    let refused = world.ask(authorized(text("?"), &token)).await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "ACCESS_TOKEN_TRUST_UNKNOWN"));
    assert!(refused.retry_after.is_some());
    world.verifier.replace_trust(world.tokens.trust());
    assert!(world.ask(authorized(text("?"), &token)).await.is_ok());
}

#[tokio::test]
async fn what_is_for_everybody_needs_no_token_and_looks_at_none() {
    let world = World::new(who()).await;
    let requests = [
        Request::new(HealthCheckRequest::default()),
        authorized(HealthCheckRequest::default(), "not a token"),
    ];
    for request in requests {
        let answer = HealthClient::new(world.system.user_channel(world.address())).check(request).await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    let mut stream = world.system.user_client(world.address()).watch("who am I?").await.unwrap();
    let answer = stream.message().await.unwrap().unwrap();
    assert_eq!(answer.text, "spiffe://alpha.example/anonymous for nobody on client");
}

#[tokio::test]
async fn token_on_the_internal_listener_is_ignored() {
    let world = World::new(who()).await;
    let token = world.tokens.token("alice", &[Scope::PttService]);
    for token in [token.as_str(), "not a token"] {
        let answer =
            world.system.client(world.server.address).ask_with(authorized(text("?"), token)).await.unwrap();
        assert_eq!(answer.into_inner().text, "spiffe://alpha.example/sip-core for nobody on internal");
    }
}

#[tokio::test]
async fn ue_without_a_certificate_is_not_let_in_at_the_internal_listener() {
    let world = World::new(who()).await;
    let token = world.tokens.token("alice", &[Scope::PttService]);
    let refused =
        world.system.user_client(world.server.address).ask_with(authorized(text("?"), &token)).await;
    assert_eq!(connect_failure(&refused.unwrap_err()), Some(ConnectFailure::RefusedByPeer));
}

#[tokio::test]
async fn token_is_not_passed_on_to_others() {
    let passed_on = Arc::new(Mutex::new(None));
    let service = {
        let passed_on = Arc::clone(&passed_on);
        TestService::new(move |request: Request<Text>| {
            let passed_on = Arc::clone(&passed_on);
            async move {
                let other = tower::service_fn(move |request: http::Request<Body>| {
                    *passed_on.lock().unwrap() = Some(request.headers().clone());
                    async move { Ok::<_, Infallible>(http::Response::new(Body::empty())) }
                });
                let _ = Outgoing::new(other).call(http::Request::new(Body::empty())).await;
                Ok(request.into_inner())
            }
        })
    };
    let world = World::new(service).await;
    let token = world.tokens.token("alice", &[Scope::PttService]);
    let mut request = authorized(text("?"), &token);
    request.metadata_mut().insert("x-request-id", "call-7".parse().unwrap());
    world.ask(request).await.unwrap();
    let headers = passed_on.lock().unwrap().take().unwrap();
    assert!(!format!("{headers:?}").contains("uthorization"), "{headers:?}");
    assert!(headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn handler_that_waits_learns_that_the_server_ends() {
    let entered = Arc::new(Notify::new());
    let service = {
        let entered = Arc::clone(&entered);
        TestService::new(move |request: Request<Text>| {
            let entered = Arc::clone(&entered);
            async move {
                let context = CallContext::of(&request)?;
                entered.notify_one();
                context.shutdown.cancelled().await;
                Ok(text("good night"))
            }
        })
    };
    let mut world = World::new(service).await;
    let token = world.tokens.token("alice", &[Scope::PttService]);
    let mut client = world.system.user_client(world.address());
    let call = tokio::spawn(async move { client.ask_with(authorized(text("?"), &token)).await });
    entered.notified().await;
    world.server.shutdown.cancel();
    assert_eq!(call.await.unwrap().unwrap().into_inner().text, "good night");
    assert_eq!((&mut world.server.serving).await.unwrap(), Drained::Completely);
}

#[tokio::test]
async fn connection_of_a_ue_ends_when_it_is_old() {
    let config = ServerConfig {
        max_connection_age: Duration::from_millis(20),
        max_connection_age_grace: Duration::from_millis(20),
        // Nothing else is to end it.
        keepalive_interval: Duration::from_hours(1),
        ..ServerConfig::default()
    };
    let world = World::with(who(), config).await;
    let system = SYSTEM.parse().unwrap();
    let tls = spiffe_server_client_config(world.system.bundle_pem().as_bytes(), &system).unwrap();
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let mut connection =
        TlsConnector::from(Arc::new(tls)).connect("ue.example".try_into().unwrap(), tcp).await.unwrap();
    let mut everything = Vec::new();
    // Cut or closed, it ends; one that goes on would keep this waiting.
    let _ = connection.read_to_end(&mut everything).await;
}

#[tokio::test]
async fn client_listener_is_not_opened_without_anything_to_verify_tokens_with() {
    let server = System::new().server().listener(Listener::Client, ([127, 0, 0, 1], 0).into());
    assert!(matches!(server.bind().await.err(), Some(ServerError::NoAccessTokens)));
}
