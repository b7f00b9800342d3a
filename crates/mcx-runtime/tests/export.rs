//! Spans on their way to a collector.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::time::Duration;

use mcx_runtime::telemetry::{Origin, Telemetry, TelemetryConfig, tracer_provider};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn telemetry_to(
    listener: &TcpListener,
    sampling_ratio: f64,
    flush_timeout: Duration,
) -> (tracing::Dispatch, Telemetry) {
    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        sampling_ratio,
        flush_timeout,
        ..TelemetryConfig::default()
    };
    let origin = Origin {
        service_name: "sip-core".to_owned(),
        instance: "sip-core-0".to_owned(),
        mc_system: "alpha.example".to_owned(),
    };
    let provider = tracer_provider(&config, &origin).unwrap();
    Telemetry::with_provider(&config, provider, std::io::sink, false).unwrap()
}

/// What reaches a collector that listens here.
fn collect_from(listener: TcpListener) -> mpsc::UnboundedReceiver<ExportTraceServiceRequest> {
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector(sender)))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_trace_that_is_not_sampled_the_path_of_the_error_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dispatch, telemetry) = telemetry_to(&listener, 0.0, Duration::from_secs(60));
    let mut received = collect_from(listener);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("went well").in_scope(|| ());
        tracing::info_span!("request", otel.status_code = "ERROR").in_scope(|| {
            tracing::info_span!("read the cache").in_scope(|| ());
            tracing::info_span!("ask the primary", otel.status_code = "ERROR").in_scope(|| ());
        });
    });
    drop(dispatch);
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();

    let export = received.recv().await.unwrap();
    let spans: Vec<_> = export
        .resource_spans
        .iter()
        .flat_map(|group| &group.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["ask the primary", "request"]);
    assert_eq!(spans[0].parent_span_id, spans[1].span_id, "the path is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_spans_reach_the_collector_when_telemetry_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dispatch, telemetry) = telemetry_to(&listener, 1.0, Duration::from_secs(60));
    let mut received = collect_from(listener);
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info_span!("step", mcx.clause = "10.1.6.2", mcx.step = 4).in_scope(|| ());
    });
    drop(dispatch);
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();

    let export = received.recv().await.unwrap();
    let text = format!("{export:?}");
    for expected in ["sip-core-0", "alpha.example", "mcx.clause", "10.1.6.2", "\"step\""] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_does_not_hold_up_the_end() {
    // Connections are taken by the operating system, and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dispatch, telemetry) = telemetry_to(&listener, 1.0, Duration::from_millis(50));
    tracing::dispatcher::with_default(&dispatch, || tracing::info_span!("lost").in_scope(|| ()));
    tokio::task::spawn_blocking(move || drop(telemetry)).await.unwrap();
}
