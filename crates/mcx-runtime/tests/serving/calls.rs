//! Calls from one end to the other.

use std::time::Duration;

use mcx_federation::Listener;
use mcx_runtime::CallContext;
use mcx_runtime::error::{ErrorFacts, VIOLATIONS_LEFT_OUT, decode_status, status};
use mcx_runtime::limited;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{ServerConfig, ServerError};
use mcx_types::{Entity, Violation};
use tonic::body::Body;
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tower::ServiceExt;

use crate::harness::{SERVICE, System, TestService, text};

#[tokio::test]
async fn the_handler_learns_from_the_certificate_who_calls() {
    let system = System::new();
    let who = TestService::new(|request| async move {
        let context = CallContext::of(&request)?;
        Ok(text(format!("{} on {}", context.caller, context.listener)))
    });
    let server = system.serve(who, ServerConfig::default()).await;
    let answer = system.client(server.address).ask("who am I?").await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap().len(), 36);
    assert_eq!(answer.into_inner().text, "spiffe://alpha.example/sip-core on internal");
}

#[tokio::test]
async fn a_panic_does_not_end_the_connection() {
    let system = System::new();
    let fragile = TestService::new(|request| async move {
        let question = request.into_inner();
        assert_ne!(question.text, "break", "secret words");
        Ok(question)
    });
    let server = system.serve(fragile, ServerConfig::default()).await;
    let mut client = system.client(server.address);
    let broken = client.ask("break").await.unwrap_err();
    assert_eq!((broken.code(), decode_status(&broken).reason.as_str()), (Code::Internal, "PANIC"));
    assert!(!format!("{broken:?}").contains("secret words"));
    assert_eq!(client.ask("go on").await.unwrap().into_inner().text, "go on");
}

/// A request with very many wrong fields.
#[derive(Debug, thiserror::Error)]
#[error("the request has many invalid fields")]
struct ManyViolations(Vec<Violation>);

impl ErrorFacts for ManyViolations {
    fn code(&self) -> Code {
        Code::InvalidArgument
    }

    fn reason(&self) -> &'static str {
        "INVALID_REQUEST"
    }

    fn domain(&self) -> &'static str {
        "mcx.test.v1"
    }

    fn violations(&self) -> &[Violation] {
        &self.0
    }
}

#[tokio::test]
async fn ten_thousand_wrong_fields_reach_the_caller_as_many_as_there_is_room_for() {
    let system = System::new();
    let refusing = TestService::new(|_| async {
        let wrong = |number| Violation {
            field: format!("users[{number}].primary_identities.impus[0]"),
            description: "must be a sip or tel uri".to_owned(),
        };
        Err(status(&ManyViolations((0..10_000).map(wrong).collect())))
    });
    let server = system.serve(refusing, ServerConfig::default()).await;
    let refused = decode_status(&system.client(server.address).ask("?").await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let left_out: usize = refused.metadata[VIOLATIONS_LEFT_OUT].parse().unwrap();
    assert_eq!(refused.violations.len() + left_out, 10_000);
    assert!(refused.violations.len() > 30, "{}", refused.violations.len());
    assert_eq!(refused.violations[29].field, "users[29].primary_identities.impus[0]");
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_deadline_exceeded_and_never_cancelled() {
    let system = System::new();
    let slow = || TestService::new(|_| std::future::pending());

    let config = ServerConfig { max_call_duration: Duration::from_millis(10), ..ServerConfig::default() };
    let impatient_server = system.serve(slow(), config).await;
    let by_server = system.client(impatient_server.address).ask("well?").await.unwrap_err();
    assert_eq!(by_server.code(), Code::DeadlineExceeded);

    let patient_server = system.serve(slow(), ServerConfig::default()).await;
    let mut client = system.client(patient_server.address);
    for millis in [1, 2, 5, 20] {
        let mut request = Request::new(text("well?"));
        request.set_timeout(Duration::from_millis(millis));
        let by_caller = client.ask_with(request).await.unwrap_err();
        assert_eq!(by_caller.code(), Code::DeadlineExceeded, "{by_caller:?}");
    }
}

#[tokio::test]
async fn a_caller_that_is_not_in_the_row_is_denied_and_one_that_is_everybody_is_not() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let channel = system.channel(Entity::SipDatabase, server.address);
    let health = HealthClient::new(channel.clone())
        .check(tonic_health::pb::HealthCheckRequest { service: SERVICE.to_owned() })
        .await;
    assert!(health.is_ok(), "{health:?}");

    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<crate::harness::Text, crate::harness::Text>::default();
    let path = "/mcx.test.v1.TestService/Ask".parse().unwrap();
    let denied = grpc.unary(Request::new(text("?")), path, codec).await.unwrap_err();
    let denied = decode_status(&denied);
    assert_eq!((denied.code, denied.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    assert_eq!(denied.metadata["caller"], "spiffe://alpha.example/sip-database");
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_and_the_connection_lives() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let mut client = system.client(server.address);
    let refused = client.ask(&"x".repeat(5 * 1024 * 1024)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    assert_eq!(client.ask("small").await.unwrap().into_inner().text, "small");
}

#[tokio::test]
async fn a_limited_service_refuses_messages_that_are_larger_than_its_settings_say() {
    let config = ServerConfig { max_request_bytes: 8, ..ServerConfig::default() };
    let health = HealthServer::new(HealthService::from_health_reporter(HealthReporter::new()));
    let service = limited!(health, config);
    let answer_to = async |length: u8| {
        // A message in gRPC's framing: not compressed, its length in four bytes, then field 1 as bytes.
        let mut frame = vec![0, 0, 0, 0, length, 0x0a, length - 2];
        frame.resize(5 + usize::from(length), b'x');
        let body = Body::new(http_body_util::Full::from(frame));
        let mut request = http::Request::new(body);
        *request.uri_mut() = "/grpc.health.v1.Health/Check".parse().unwrap();
        let Ok(response) = service.clone().oneshot(request).await;
        tonic::Status::from_header_map(response.headers()).unwrap().code()
    };
    assert_eq!(answer_to(9).await, Code::OutOfRange);
    assert_eq!(answer_to(8).await, Code::NotFound, "it was read, and names no service");
}

#[tokio::test]
async fn an_address_in_use_is_named_in_the_error() {
    let system = System::new();
    let taken = system.server().bind().await.unwrap();
    let address = taken.address(Listener::Internal).unwrap();
    let error = system.server().listener(Listener::Internal, address).bind().await.err().unwrap();
    assert!(matches!(error, ServerError::Bind { .. }));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_service_without_a_listener_or_a_descriptor_is_a_mistake_that_is_named() {
    let system = System::new();
    let readiness = Readiness::new("test");
    let server = system.server().add_service(Listener::Peer, TestService::echo(), &readiness);
    let error = server.bind().await.err().unwrap().to_string();
    assert!(error.contains(SERVICE) && error.contains("peer"), "{error}");
}
