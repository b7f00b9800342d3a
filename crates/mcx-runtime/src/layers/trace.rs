//! One span and one request id per call: taken from the caller where it gives them, and told to whoever we call.

use std::future::Future;
use std::sync::Arc;

use mcx_federation::Listener;
use tonic::Code;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{HttpRequest, HttpResponse, Middleware, Next};
use crate::RequestId;
use crate::context::X_REQUEST_ID;
use crate::error::code_name;
use crate::outcome::{Outcome, follow};
use crate::server::MethodTable;
use crate::telemetry::extract_trace_context;

#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) system: Arc<str>,
    pub(crate) listener: Listener,
    pub(crate) methods: Arc<MethodTable>,
}

impl Middleware for Trace {
    fn handle<S: Next>(
        &self,
        mut request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let request_id = RequestId::of(request.headers());
        let span = self.span(&request, &request_id);
        request.extensions_mut().insert(request_id.clone());
        let outcome = Outcome::new({
            let span = span.clone();
            move |code| record_code(&span, code)
        });
        let of_call = span.clone();
        async move {
            let mut response = next.run(request).await;
            response.headers_mut().insert(X_REQUEST_ID, request_id.header_value());
            follow(response, outcome, span)
        }
        .instrument(of_call)
    }
}

impl Trace {
    fn span(&self, request: &HttpRequest, request_id: &RequestId) -> Span {
        // A name that callers could choose freely would be another span name for each of their mistakes.
        let method = self.methods.name_of(request.uri().path());
        let (rpc_service, rpc_method) = method.split_once('/').unwrap_or((method, ""));
        macro_rules! span_at {
            ($level:expr) => {
                tracing::span!(
                    $level,
                    "rpc",
                    otel.name = method,
                    otel.kind = "server",
                    otel.status_code = tracing::field::Empty,
                    rpc.system = "grpc",
                    rpc.service = rpc_service,
                    rpc.method = rpc_method,
                    rpc.grpc.status_code = tracing::field::Empty,
                    system = %self.system,
                    listener = %self.listener,
                    request_id = %request_id,
                )
            };
        }
        // Probes and reflection would drown the traces of users.
        let span = if rpc_service.starts_with("grpc.") {
            span_at!(tracing::Level::DEBUG)
        } else {
            span_at!(tracing::Level::INFO)
        };
        // Refused only where no traces are collected at all.
        let _ = span.set_parent(extract_trace_context(request.headers()));
        span
    }
}

/// Notes on a server's span how its call ended; by the conventions of OpenTelemetry for rpcs, only a mistake of the
/// server makes it an error.
fn record_code(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    let is_our_mistake = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if is_our_mistake {
        span.record("otel.status_code", "ERROR");
        tracing::debug!(parent: span, code = code_name(code), "call failed");
    }
}
