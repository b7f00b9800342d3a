//! One trace and one request id over two servers, and a deadline that shrinks on its way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcx_runtime::CallContext;
use mcx_runtime::server::ServerConfig;
use mcx_runtime::telemetry::{Telemetry, TelemetryConfig, spawn_in_span};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tonic::Request;
use tracing::Instrument;

use crate::harness::{System, TestService, text};

/// Keeps the spans instead of sending them.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// A log that is kept instead of written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The line with that message.
    fn line_of(&self, message: &str) -> serde_json::Value {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON"))
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("no {message:?} in {text}"))
    }
}

#[tokio::test]
async fn trace_request_id_and_deadline_go_through_two_servers() {
    let (kept, lines) = (Kept::default(), Lines::default());
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let writer = lines.clone();
    let (dispatch, telemetry) =
        Telemetry::with_provider(&TelemetryConfig::default(), provider, move || writer.clone(), false)
            .unwrap();
    let _default = tracing::dispatcher::set_default(&dispatch);

    let system = System::new();
    let far = TestService::new(|request| async move {
        let context = CallContext::of(&request)?;
        // In a task of its own, which keeps the span.
        let logged = spawn_in_span(async { tracing::info!(step = 4, "at the far end") });
        logged.await.unwrap();
        let left = context.deadline.unwrap().remaining();
        Ok(text(format!("{} {}", context.request_id, left.as_micros())))
    });
    let far_server = system.serve(far, ServerConfig::default()).await;
    let far_client = system.client(far_server.address);
    let near = TestService::new(move |_| {
        let mut client = far_client.clone();
        async move {
            let left = CallContext::current().unwrap().deadline.unwrap().remaining();
            let answer = client.ask("far").await?.into_inner().text;
            Ok(text(format!("{answer} {}", left.as_micros())))
        }
    });
    let near_server = system.serve(near, ServerConfig::default()).await;

    let mut request = Request::new(text("near"));
    request.set_timeout(Duration::from_secs(20));
    let mut client = system.client(near_server.address);
    let answer = client.ask_with(request).instrument(tracing::info_span!("migration")).await.unwrap();
    let request_id = answer.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let answer = answer.into_inner().text;
    let [far_request_id, far_left, near_left] = answer.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(far_request_id, request_id);
    let (far_left, near_left): (u64, u64) = (far_left.parse().unwrap(), near_left.parse().unwrap());
    assert!(far_left < near_left && near_left <= 20_000_000, "{far_left} {near_left}");

    drop((near_server, far_server, client));
    drop(telemetry);
    let spans = kept.0.lock().unwrap().clone();
    let by_id: HashMap<_, _> = spans.iter().map(|span| (span.span_context.span_id(), span)).collect();
    let far_span = spans
        .iter()
        .find(|span| span.span_kind == SpanKind::Server && is_child_of_a_server(span, &by_id))
        .expect("the far server has a span");
    let mut kinds = Vec::new();
    let mut next = Some(far_span);
    while let Some(span) = next {
        assert_eq!(span.span_context.trace_id(), far_span.span_context.trace_id());
        kinds.push((span.name.to_string(), span.span_kind.clone()));
        next = by_id.get(&span.parent_span_id).copied();
    }
    let ask = "mcx.test.v1.TestService/Ask".to_owned();
    assert_eq!(
        kinds,
        [
            (ask.clone(), SpanKind::Server),
            (ask.clone(), SpanKind::Client),
            (ask.clone(), SpanKind::Server),
            (ask, SpanKind::Client),
            ("migration".to_owned(), SpanKind::Internal),
        ]
    );

    let line = lines.line_of("at the far end");
    assert_eq!(line["trace_id"], far_span.span_context.trace_id().to_string());
    assert_eq!(line["span_id"], far_span.span_context.span_id().to_string());
    assert_eq!((&line["request_id"], &line["step"]), (&request_id.into(), &4.into()));
}

fn is_child_of_a_server(span: &SpanData, by_id: &HashMap<opentelemetry::trace::SpanId, &SpanData>) -> bool {
    std::iter::successors(by_id.get(&span.parent_span_id), |parent| by_id.get(&parent.parent_span_id))
        .any(|ancestor| ancestor.span_kind == SpanKind::Server)
}

#[tokio::test]
async fn what_is_not_logged_at_a_level_is_logged_once_the_level_is_changed() {
    let lines = Lines::default();
    let writer = lines.clone();
    let without_export = SdkTracerProvider::builder().build();
    let (dispatch, telemetry) =
        Telemetry::with_provider(&TelemetryConfig::default(), without_export, move || writer.clone(), false)
            .unwrap();
    let _default = tracing::dispatcher::set_default(&dispatch);
    tracing::debug!("too quiet");
    telemetry.log_level().set("debug").unwrap();
    tracing::info_span!("migration").in_scope(|| tracing::debug!(answer = 42, "loud enough"));
    assert!(lines.line_of("loud enough")["trace_id"].is_string(), "there are ids without export, too");
    assert_eq!(lines.line_of("loud enough")["answer"], 42);
    assert!(!String::from_utf8_lossy(&lines.0.lock().unwrap()).contains("too quiet"));
    assert!(telemetry.log_level().set("mcx=[").is_err());
    assert_eq!(telemetry.log_level().get(), "debug");
}
