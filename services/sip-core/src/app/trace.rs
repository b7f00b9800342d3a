//! Spans of a registration. One trace covers both REGISTERs of TS 23.280 10.1.6.2: its context is kept with the challenge.

use crate::domain::request::RegisterRequest;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The clause that the spans of visitors name.
const CLAUSE: &str = "10.1.6.2";

/// The span of one REGISTER. `parent` is the context of the REGISTER whose challenge this one answers.
pub(super) fn register(request: &RegisterRequest, visitor: bool, parent: Option<&str>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "REGISTER",
        otel.kind = "server",
        mcx.clause = tracing::field::Empty,
        mcx.step = tracing::field::Empty,
        sip.impi = %request.impi,
        sip.impu = %request.impu,
        sip.call_id = %request.call_id,
        sip.transport = request.source.transport.as_str(),
        network.peer.address = %request.source.address,
        sip.status_code = tracing::field::Empty,
    );
    if visitor {
        span.record("mcx.clause", CLAUSE);
        // The answer to a challenge is part of the SIP authentication procedure, step 10.
        span.record("mcx.step", if parent.is_some() { "10" } else { "1" });
    }
    if let Some(parent) = parent {
        let context = TraceContextPropagator::new().extract(&TraceParent(Some(parent.to_owned())));
        // Without an exporter there is no trace to join.
        let _ = span.set_parent(context);
    }
    span
}

/// The span of one step within a REGISTER.
pub(super) fn step(name: &'static str, visitor: bool, step: &'static str) -> Span {
    let span = tracing::info_span!(
        "step",
        otel.name = name,
        mcx.clause = tracing::field::Empty,
        mcx.step = tracing::field::Empty
    );
    if visitor {
        span.record("mcx.clause", CLAUSE);
        span.record("mcx.step", step);
    }
    span
}

/// The W3C trace context of a span; `None` when it is not traced.
pub(super) fn parent_of_next(span: &Span) -> Option<String> {
    let mut carrier = TraceParent(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.0
}

/// Carries the `traceparent` field and nothing else.
struct TraceParent(Option<String>);

impl Injector for TraceParent {
    fn set(&mut self, key: &str, value: String) {
        if key == "traceparent" {
            self.0 = Some(value);
        }
    }
}

impl Extractor for TraceParent {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}
