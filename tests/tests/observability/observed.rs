//! A collector of traces and a log in memory. Both are of the process, so the tests of this program share them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use mcx_runtime::telemetry::{LogFormat, Telemetry, TelemetryConfig, tracer_provider};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span as it reached the collector.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace_id: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    /// Nanoseconds since 1970.
    pub(crate) began: u64,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// Everything that the process tells.
pub(crate) struct Observed {
    pub(crate) runtime: Runtime,
    provider: SdkTracerProvider,
    exports: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    log: Log,
    _telemetry: Telemetry,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What this process tells, from its first use on.
pub(crate) fn observed() -> &'static Observed {
    static OBSERVED: LazyLock<Observed> = LazyLock::new(Observed::begin);
    &OBSERVED
}

impl Observed {
    fn begin() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let config = TelemetryConfig {
            log_level: "trace".to_owned(),
            log_format: LogFormat::Json,
            otlp_endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            ..TelemetryConfig::default()
        };
        let exports: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::default();
        let collector = TraceServiceServer::new(Collector(Arc::clone(&exports)));
        let server = tonic::transport::Server::builder().add_service(collector);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

        let origin = crossband::origin("crossband-tests", &"alpha.example".parse().unwrap());
        let provider = tracer_provider(&config, &origin).unwrap();
        let log = Log::default();
        let written = log.clone();
        let writer = move || written.clone();
        let (dispatch, telemetry) =
            Telemetry::with_provider(&config, provider.clone(), writer, false).unwrap();
        tracing::dispatcher::set_global_default(dispatch).unwrap();
        drop(_inside);
        Self { runtime, provider, exports, log, _telemetry: telemetry }
    }

    /// The spans that have ended so far. Not to be called inside the run time, on which they are exported.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.provider.force_flush().unwrap();
        let exports = self.exports.lock().unwrap();
        let scopes =
            exports.iter().flat_map(|export| &export.resource_spans).flat_map(|spans| &spans.scope_spans);
        scopes.flat_map(|scope| &scope.spans).map(span).collect()
    }

    /// What was logged so far; a copy, because whoever logs waits for the log.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.log.0.lock().unwrap().clone()
    }
}

fn span(span: &opentelemetry_proto::tonic::trace::v1::Span) -> Span {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.iter().filter_map(|attribute| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        Some((attribute.key.clone(), text(value)))
    });
    Span {
        trace_id: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        began: span.start_time_unix_nano,
        name: span.name.clone(),
        attributes: attributes.collect(),
    }
}
