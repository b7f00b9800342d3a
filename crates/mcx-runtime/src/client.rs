//! Calls to others: with the trace, the request id and what is left of the deadline of the call that they serve.

use std::error::Error;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tonic::body::Body;
use tonic::{Code, TimeoutExpired};
use tower::{Layer, Service};
use tracing::{Instrument, Span};

use crate::context::X_REQUEST_ID;
use crate::deadline::{GRPC_TIMEOUT, grpc_timeout, grpc_timeout_value, until};
use crate::ending::Side;
use crate::error::status;
use crate::outcome::{Outcome, follow};
use crate::telemetry::inject_trace_context;
use crate::unsent::send;
use crate::{CallContext, Deadline, Refusal, RequestId};

/// A channel whose calls take along what belongs to the call that is being answered.
///
/// - the trace context of the current span, under a span of its own (`otel.kind` `client`);
/// - the request id of the current [`CallContext`], or a new one;
/// - `grpc-timeout`: what the request itself asks for (`tonic::Request::set_timeout`), but no more than what is left of
///   the current call's deadline, less a share that leaves us time to answer our own caller.
///
/// A call that a connection which is closing has not taken is made again on another one.
///
/// When the time is over the call ends with DEADLINE_EXCEEDED, where tonic alone would say CANCELLED; a call for which
/// nothing is left is not even begun.
///
/// Use: `MigrationServiceClient::new(Outgoing::new(channel))`.
#[derive(Debug, Clone)]
pub struct Outgoing<S> {
    inner: S,
}

impl<S> Outgoing<S> {
    /// Wraps a channel.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// [`Outgoing`] as a layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutgoingLayer;

impl<S> Layer<S> for OutgoingLayer {
    type Service = Outgoing<S>;

    fn layer(&self, inner: S) -> Outgoing<S> {
        Outgoing::new(inner)
    }
}

impl<S> Service<http::Request<Body>> for Outgoing<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let context = CallContext::current();
        let asked = grpc_timeout(request.headers()).ok().flatten();
        let left = context.as_ref().and_then(|context| context.deadline).map(left_for_others);
        let timeout = [asked, left].into_iter().flatten().min();
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Box::pin(async { Ok(status(&Refusal::DeadlineExceeded).into_http()) });
        }
        let span = span_of(&request);
        let headers = request.headers_mut();
        if let Some(timeout) = timeout {
            headers.insert(GRPC_TIMEOUT, grpc_timeout_value(timeout));
        }
        let request_id = context.map_or_else(RequestId::random, |context| context.request_id);
        headers.insert(X_REQUEST_ID, request_id.header_value());
        inject_trace_context(&span, headers);

        let deadline = timeout.map(Deadline::after);
        let outcome = Outcome::new({
            let span = span.clone();
            move |code| record_code(&span, code)
        });
        let of_call = span.clone();
        // The one that was asked whether it is ready must be the one that is called.
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        let response = send(ready, request);
        Box::pin(
            async move {
                let response = within(deadline, response).await?;
                let response = match deadline {
                    Some(deadline) => response.map(|body| until(deadline, body, Side::Client)),
                    None => response,
                };
                Ok(follow(response, outcome, span))
            }
            .instrument(of_call),
        )
    }
}

/// What is left of a deadline for whoever we call: less a twentieth, at most 50 ms, to answer our own caller with.
fn left_for_others(deadline: Deadline) -> Duration {
    let remaining = deadline.remaining();
    remaining - (remaining / 20).min(Duration::from_millis(50))
}

/// The response, or DEADLINE_EXCEEDED, which is a response too; other failures of the transport stay errors.
async fn within<E: Into<Box<dyn Error + Send + Sync>>>(
    deadline: Option<Deadline>,
    response: impl Future<Output = Result<http::Response<Body>, E>>,
) -> Result<http::Response<Body>, Box<dyn Error + Send + Sync>> {
    let outcome = match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.at(), response).await.ok(),
        None => Some(response.await),
    };
    match outcome.map(|outcome| outcome.map_err(Into::into)) {
        None => Ok(status(&Refusal::DeadlineExceeded).into_http()),
        // The channel's own timer, started a moment after ours, may be seen first.
        Some(Err(error)) if is_time_out(error.as_ref()) => Ok(status(&Refusal::DeadlineExceeded).into_http()),
        Some(outcome) => outcome,
    }
}

fn is_time_out(error: &(dyn Error + 'static)) -> bool {
    error.is::<TimeoutExpired>() || error.source().is_some_and(is_time_out)
}

fn span_of(request: &http::Request<Body>) -> Span {
    let method = request.uri().path().trim_start_matches('/');
    let (rpc_service, rpc_method) = method.split_once('/').unwrap_or((method, ""));
    tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        rpc.system = "grpc",
        rpc.service = rpc_service,
        rpc.method = rpc_method,
        rpc.grpc.status_code = tracing::field::Empty,
    )
}

/// By the conventions of OpenTelemetry for rpcs, every code but OK makes a client's span an error.
fn record_code(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}
