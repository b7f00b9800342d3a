//! What each layer answers, and that it lets through what it should.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use mcx_federation::{Caller, Connection, ConnectionInfo, MethodRule, Sha256Fingerprint};
use mcx_types::{Entity, Timestamp};
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};
use tokio::sync::Notify;
use tonic::Code;
use tower::ServiceExt;

use super::*;
use crate::error::{RemoteError, decode_status};
use crate::{CallContext, Deadline};

const ASK: &str = "/mcx.test.v1.TestService/Ask";
const WATCH: &str = "/mcx.test.v1.TestService/Watch";
const UPLOAD: &str = "/mcx.test.v1.TestService/Upload";
const UNLISTED: &str = "/mcx.test.v1.TestService/Unlisted";

const SIP_CORE: &[Caller] = &[Caller::OwnEntity(Entity::SipCore)];
const RULES: &[MethodRule] = &[
    MethodRule { method: ASK, listener: Listener::Internal, callers: SIP_CORE },
    MethodRule { method: WATCH, listener: Listener::Internal, callers: SIP_CORE },
    MethodRule { method: UPLOAD, listener: Listener::Internal, callers: SIP_CORE },
];

fn stack_of<H, F>(config: ServerConfig, handler: H) -> Stack
where
    H: Fn(HttpRequest) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = HttpResponse> + Send + 'static,
{
    let method = |name: &str, client_streaming, server_streaming| MethodDescriptorProto {
        name: Some(name.to_owned()),
        client_streaming: Some(client_streaming),
        server_streaming: Some(server_streaming),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("TestService".to_owned()),
        method: vec![
            method("Ask", false, false),
            method("Watch", false, true),
            method("Upload", true, false),
        ],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("mcx.test.v1".to_owned()),
        service: vec![service],
        ..Default::default()
    };
    let settings = Settings {
        system: "alpha.example".into(),
        listener: Listener::Internal,
        concurrency: concurrency::Concurrency::new(
            "alpha.example",
            config.max_concurrent_calls,
            config.overload_retry_after,
        ),
        limits: config,
        policy: Arc::new(PolicyTable::new("alpha.example".parse().unwrap(), RULES).unwrap()),
        methods: Arc::new(MethodTable::new(&FileDescriptorSet { file: vec![file] })),
        own_system: "alpha.example".parse().unwrap(),
        access_tokens: None,
        shutdown: CancellationToken::new(),
    };
    let handlers = tower::service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    stack(settings, handlers)
}

fn connection() -> ConnectionInfo {
    ConnectionInfo {
        peer: "spiffe://alpha.example/sip-core".parse().unwrap(),
        certificate_sha256: Sha256Fingerprint([7; 32]),
        not_after: Timestamp::from_micros(i64::MAX),
        remote_address: ([192, 0, 2, 1], 4711).into(),
        listener: Listener::Internal,
    }
}

fn call_of(path: &str, headers: &[(&'static str, &str)]) -> HttpRequest {
    let mut request = HttpRequest::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    request.extensions_mut().insert(Connection::Certified(connection()));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// The status of a response that has no body, taken apart.
fn refusal(response: &HttpResponse) -> RemoteError {
    decode_status(&Status::from_header_map(response.headers()).expect("the layers answered"))
}

async fn refused(stack: Stack, request: HttpRequest) -> RemoteError {
    refusal(&stack.oneshot(request).await.unwrap())
}

/// A response as a handler of one answer gives it: a message, then trailers that say OK.
async fn ok(_: HttpRequest) -> HttpResponse {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let frames = [Frame::data(Bytes::from_static(b"message")), Frame::trailers(trailers)];
    HttpResponse::new(Body::new(StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Status>)))))
}

async fn never(_: HttpRequest) -> HttpResponse {
    std::future::pending().await
}

/// The body of a response to its end: how many bytes of messages, and the status in the trailers.
async fn read(response: HttpResponse) -> (usize, Code) {
    let collected = response.into_body().collect().await.unwrap();
    let code = collected.trailers().and_then(|trailers| trailers.get("grpc-status")).unwrap();
    let code = Code::from_bytes(code.as_bytes());
    (collected.to_bytes().len(), code)
}

#[tokio::test]
async fn a_call_that_every_layer_lets_through_reaches_its_handler_and_its_caller() {
    let response = stack_of(ServerConfig::default(), ok).oneshot(call_of(ASK, &[])).await.unwrap();
    assert_eq!(read(response).await, (7, Code::Ok));
}

#[tokio::test]
async fn the_handler_knows_who_calls_and_which_call_it_is() {
    let handler = |request: HttpRequest| async move {
        let given = request.extensions().get::<CallContext>().cloned().unwrap();
        let current = CallContext::current().unwrap();
        assert_eq!(given.caller.to_string(), "spiffe://alpha.example/sip-core");
        assert_eq!(given.remote_address, connection().remote_address);
        assert_eq!(given.certificate().ok(), Some(connection().certificate_sha256));
        assert_eq!(given.user, None);
        assert_eq!(given.request_id.as_str(), "call-7");
        assert_eq!((current.request_id, current.deadline), (given.request_id, given.deadline));
        ok(request).await
    };
    let response = stack_of(ServerConfig::default(), handler)
        .oneshot(call_of(ASK, &[("x-request-id", "call-7")]))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-request-id"], "call-7");
    assert_eq!(read(response).await.1, Code::Ok, "an assertion in the handler failed");
}

#[tokio::test]
async fn a_call_without_a_request_id_gets_one() {
    let response = stack_of(ServerConfig::default(), ok).oneshot(call_of(ASK, &[])).await.unwrap();
    assert_eq!(response.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn a_panicking_handler_is_answered_internal_without_its_words() {
    let handler = |_: HttpRequest| async { panic!("the key is 0xDEADBEEF") };
    let response = stack_of(ServerConfig::default(), handler).oneshot(call_of(ASK, &[])).await.unwrap();
    let refusal = refusal(&response);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Internal, "PANIC"));
    assert!(!format!("{response:?}").contains("DEADBEEF"));
    assert!(refusal.message.ends_with(&refusal.metadata[crate::error::ERROR_ID]));
}

#[tokio::test]
async fn a_stream_that_panics_on_its_way_ends_with_internal() {
    let handler = |_: HttpRequest| async {
        let frames = futures::stream::iter(0..2).map(|number| {
            assert_eq!(number, 0, "the second message panics");
            Ok::<_, Status>(Frame::data(Bytes::from_static(b"one")))
        });
        HttpResponse::new(Body::new(StreamBody::new(frames)))
    };
    let response = stack_of(ServerConfig::default(), handler).oneshot(call_of(WATCH, &[])).await.unwrap();
    assert_eq!(read(response).await, (3, Code::Internal));
}

#[tokio::test]
async fn a_call_whose_deadline_is_over_never_reaches_its_handler() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counting = {
        let handled = Arc::clone(&handled);
        move |request| {
            handled.fetch_add(1, Ordering::SeqCst);
            ok(request)
        }
    };
    let stack = stack_of(ServerConfig::default(), counting);
    let refusal = refused(stack, call_of(ASK, &[("grpc-timeout", "0n")])).await;
    assert_eq!(refusal.code, Code::DeadlineExceeded);
    assert_eq!(handled.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_handler_that_takes_longer_than_its_caller_waits_is_answered_deadline_exceeded() {
    let stack = stack_of(ServerConfig::default(), never);
    let refusal = refused(stack, call_of(ASK, &[("grpc-timeout", "5m")])).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_caller_that_waits_for_ever_waits_no_longer_than_the_server_allows() {
    let config = ServerConfig { max_call_duration: Duration::from_millis(5), ..ServerConfig::default() };
    for headers in [&[] as &[_], &[("grpc-timeout", "99999999H")]] {
        let stack = stack_of(config.clone(), never);
        assert_eq!(refused(stack, call_of(ASK, headers)).await.code, Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused_by_its_field() {
    let refusal =
        refused(stack_of(ServerConfig::default(), ok), call_of(ASK, &[("grpc-timeout", "soon")])).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, "MALFORMED_DEADLINE"));
    assert_eq!(refusal.violations[0].field, "grpc-timeout");
}

/// A stream of responses that goes on until it is dropped.
async fn endless_stream(_: HttpRequest) -> HttpResponse {
    let first = futures::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(b"one")))]);
    HttpResponse::new(Body::new(StreamBody::new(first.chain(futures::stream::pending()))))
}

#[tokio::test]
async fn a_stream_of_responses_is_cut_when_its_caller_no_longer_waits() {
    let stack = stack_of(ServerConfig::default(), endless_stream);
    let response = stack.oneshot(call_of(WATCH, &[("grpc-timeout", "5m")])).await.unwrap();
    assert_eq!(read(response).await, (3, Code::DeadlineExceeded));
}

#[tokio::test]
async fn long_streams_are_not_cut_by_the_limit_for_single_answers() {
    let config = ServerConfig { max_call_duration: Duration::from_millis(5), ..ServerConfig::default() };
    let with_deadline = |request: HttpRequest| async move {
        assert_eq!(request.extensions().get::<Deadline>(), None);
        endless_stream(request).await
    };
    let response = stack_of(config.clone(), with_deadline).oneshot(call_of(WATCH, &[])).await.unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.is_some());
    let next = tokio::time::timeout(Duration::from_millis(20), body.frame()).await;
    assert!(next.is_err(), "the stream went on for longer than one answer may take");

    let upload = stack_of(config, never).oneshot(call_of(UPLOAD, &[]));
    let answer = tokio::time::timeout(Duration::from_millis(20), upload).await;
    assert!(answer.is_err(), "the upload went on for longer than one answer may take");
}

#[tokio::test]
async fn what_the_server_cannot_take_is_shed_at_once_and_told_when_to_come_back() {
    let config = ServerConfig {
        max_concurrent_calls: 1,
        overload_retry_after: Duration::from_secs(3),
        ..ServerConfig::default()
    };
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waiting = {
        let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
        move |request| {
            let (entered, leave) = (Arc::clone(&entered), Arc::clone(&leave));
            async move {
                entered.notify_one();
                leave.notified().await;
                ok(request).await
            }
        }
    };
    let stack = stack_of(config, waiting);
    let first = tokio::spawn(stack.clone().oneshot(call_of(ASK, &[])));
    entered.notified().await;

    let shed = refusal(&stack.clone().oneshot(call_of(ASK, &[])).await.unwrap());
    assert_eq!((shed.code, shed.reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(shed.retry_after, Some(Duration::from_secs(3)));

    leave.notify_one();
    assert_eq!(read(first.await.unwrap().unwrap()).await.1, Code::Ok);
    leave.notify_one();
    let later = stack.oneshot(call_of(ASK, &[])).await.unwrap();
    assert_eq!(read(later).await.1, Code::Ok, "the place was given back");
}

#[tokio::test]
async fn a_connection_without_an_identity_is_unauthenticated() {
    let mut request = call_of(ASK, &[]);
    request.extensions_mut().remove::<Connection>();
    let refusal = refused(stack_of(ServerConfig::default(), ok), request).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::Unauthenticated, "NO_IDENTITY"));
}

#[tokio::test]
async fn a_method_without_a_row_and_a_caller_not_in_it_are_denied() {
    let refusal = refused(stack_of(ServerConfig::default(), ok), call_of(UNLISTED, &[])).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    assert_eq!(refusal.metadata["method"], UNLISTED);

    let mut request = call_of(ASK, &[]);
    let operator =
        ConnectionInfo { peer: "spiffe://alpha.example/operator/o".parse().unwrap(), ..connection() };
    request.extensions_mut().insert(Connection::Certified(operator));
    let refusal = refused(stack_of(ServerConfig::default(), ok), request).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    assert_eq!(refusal.metadata["caller"], "spiffe://alpha.example/operator/o");
}
