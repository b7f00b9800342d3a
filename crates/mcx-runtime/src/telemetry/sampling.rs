//! Which spans are kept: those of sampled traces, and those that end in an error, always.
//!
//! An error travels back through the hops, and each span on its way ends in it. So what is kept of a trace that was not sampled
//! is the path of its error, through both MC systems; what went well beside it is not there.

use std::time::Duration;

use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor,
};

/// Samples a part of the traces that begin here, and those that began elsewhere as their beginner decided. What it does not sample
/// is recorded all the same, for [`ErrorsToo`] to see how it ends; others are told that it is not sampled.
#[derive(Debug, Clone)]
pub(super) struct RecordEverything(Sampler);

impl RecordEverything {
    pub(super) fn sampling(ratio: f64) -> Self {
        Self(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
    }
}

impl ShouldSample for RecordEverything {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent_context, trace_id, name, span_kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}

/// Hands on the spans of sampled traces, and of others those that ended in an error.
#[derive(Debug)]
pub(super) struct ErrorsToo<P>(pub(super) P);

impl<P: SpanProcessor> SpanProcessor for ErrorsToo<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            if !matches!(span.status, Status::Error { .. }) {
                return;
            }
            // Exporters leave out what is not sampled.
            let context = &span.span_context;
            span.span_context = SpanContext::new(
                context.trace_id(),
                context.span_id(),
                context.trace_flags().with_sampled(true),
                context.is_remote(),
                context.trace_state().clone(),
            );
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
