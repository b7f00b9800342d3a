//! Logs and traces: set up once per process, flushed when the process ends.
//!
//! A line of the log carries the `trace_id` and `span_id` of the span it was written in, so that a log line leads to
//! its trace in Jaeger and back. Spans go out as OTLP over gRPC where an endpoint is configured.

mod json;
mod propagation;
mod sampling;

use std::future::Future;
use std::io::{self, IsTerminal};
use std::time::Duration;

use mcx_types::Violations;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Sampler, SdkTracerProvider};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tracing::{Dispatch, Instrument};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

pub use propagation::{current_trace_id, extract_trace_context, inject_trace_context};

use self::sampling::{ErrorsToo, RecordEverything};
use crate::config::{Settings, duration_schema};

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text where the output is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The section `telemetry` of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// What is logged: a level, or directives such as `info,sip_core=debug`.
    pub log_level: String,
    /// The form of a line.
    pub log_format: LogFormat,
    /// Where spans go, such as `http://jaeger:4317`; nowhere where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Which part of the traces that begin here is kept, 0 to 1; a trace that began elsewhere is kept as its
    /// beginner decided. Spans that end in an error are kept always.
    pub sampling_ratio: f64,
    /// How long the end of the process may wait for the last spans to go out.
    #[serde(with = "humantime_serde")]
    #[schemars(schema_with = "duration_schema")]
    pub flush_timeout: Duration,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log_level: "info".to_owned(),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
            sampling_ratio: 1.0,
            flush_timeout: Duration::from_secs(5),
        }
    }
}

impl Settings for TelemetryConfig {
    fn validate(&self, violations: &mut Violations) {
        if let Err(error) = EnvFilter::try_new(&self.log_level) {
            violations.add("log_level", format_args!("must be a level or directives: {error}"));
        }
        if !(0.0..=1.0).contains(&self.sampling_ratio) {
            violations.add("sampling_ratio", "must be from 0 to 1");
        }
        if let Some(endpoint) = &self.otlp_endpoint {
            let is_http = endpoint
                .parse::<http::Uri>()
                .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
            if !is_http {
                violations.add("otlp_endpoint", "must be a URL such as http://jaeger:4317");
            }
        }
    }
}

/// Who writes the spans and lines of this process.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The OpenTelemetry `service.name`, such as `migration-management`.
    pub service_name: String,
    /// The OpenTelemetry `service.instance.id`, such as the name of the pod.
    pub instance: String,
    /// The OpenTelemetry `service.namespace`: the MC system, such as `alpha.example`.
    pub mc_system: String,
}

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be made.
    #[error("cannot export traces to {endpoint}: {source}")]
    Exporter {
        /// The configured endpoint.
        endpoint: String,
        /// Why not.
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// The directives are not understood.
    #[error("cannot understand the log level {directives:?}: {reason}")]
    LogLevel {
        /// What was asked for.
        directives: String,
        /// Why not.
        reason: String,
    },
    /// Telemetry of this process is set up already.
    #[error("the process writes its log already")]
    AlreadyInstalled,
}

/// A layer of `tracing` that hears of spans and events beside the log and the traces.
pub type ObserverLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Keeps telemetry going; dropping it sends the last spans, for no longer than the configured bound.
#[derive(Debug)]
#[must_use = "dropping it ends telemetry"]
pub struct Telemetry {
    provider: SdkTracerProvider,
    log_level: LogLevel,
    flush_timeout: Duration,
}

impl Telemetry {
    /// Sets up logs on standard error and, where an endpoint is configured, the export of traces.
    ///
    /// # Errors
    /// [`TelemetryError`] where the exporter or the log level cannot be had, or where this was done before.
    pub fn install(config: &TelemetryConfig, origin: &Origin) -> Result<Self, TelemetryError> {
        Self::install_with(config, origin, None)
    }

    /// As [`Telemetry::install`], with a layer of the caller that hears of every span and event of level INFO and above, whatever
    /// the log level is.
    ///
    /// # Errors
    /// As [`Telemetry::install`].
    pub fn install_with(
        config: &TelemetryConfig,
        origin: &Origin,
        observer: Option<ObserverLayer>,
    ) -> Result<Self, TelemetryError> {
        let provider = tracer_provider(config, origin)?;
        let is_terminal = io::stderr().is_terminal();
        let (dispatch, telemetry) = Self::build(config, provider, io::stderr, is_terminal, observer)?;
        tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::AlreadyInstalled)?;
        Ok(telemetry)
    }

    /// Telemetry that is not yet anybody's default, with a tracer provider and a writer of the caller; for tests,
    /// and for programs that have their own.
    ///
    /// # Errors
    /// [`TelemetryError::LogLevel`].
    pub fn with_provider<W>(
        config: &TelemetryConfig,
        provider: SdkTracerProvider,
        writer: W,
        is_terminal: bool,
    ) -> Result<(Dispatch, Self), TelemetryError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        Self::build(config, provider, writer, is_terminal, None)
    }

    fn build<W>(
        config: &TelemetryConfig,
        provider: SdkTracerProvider,
        writer: W,
        is_terminal: bool,
        observer: Option<ObserverLayer>,
    ) -> Result<(Dispatch, Self), TelemetryError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let (filter, handle) = reload::Layer::new(filter(&config.log_level)?);
        let is_text = match config.log_format {
            LogFormat::Auto => is_terminal,
            LogFormat::Text => true,
            LogFormat::Json => false,
        };
        let lines = if is_text {
            tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_terminal).boxed()
        } else {
            json::JsonLines::new(writer).boxed()
        };
        // Spans are exported whatever the log level is: the level decides what is written, not what is traced.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("crossband"))
            .with_location(false)
            .with_threads(false)
            .with_filter(LevelFilter::INFO);
        let lines = lines.with_filter(filter);
        // Not a `Vec` of layers, which does not tell them of the dispatch, where lines of the log get their trace ids from.
        let heard = match observer {
            Some(observer) => lines.and_then(observer.with_filter(LevelFilter::INFO)).boxed(),
            None => lines.boxed(),
        };
        let dispatch = Dispatch::new(Registry::default().with(heard).with(spans));
        let log_level = LogLevel { handle };
        Ok((dispatch, Self { provider, log_level, flush_timeout: config.flush_timeout }))
    }

    /// The handle that changes what is logged while the process runs.
    pub fn log_level(&self) -> LogLevel {
        self.log_level.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(self.flush_timeout) {
            tracing::warn!(%error, "the last spans are lost");
        }
    }
}

/// The provider that a configuration asks for. To be called inside a tokio run time of more than one thread, on which the
/// export runs.
///
/// # Errors
/// [`TelemetryError::Exporter`] where the endpoint is not one.
pub fn tracer_provider(
    config: &TelemetryConfig,
    origin: &Origin,
) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource(origin));
    let Some(endpoint) = config.otlp_endpoint.as_deref() else {
        // Without anywhere to send spans to there are still ids, for the log and for those whom we call.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sampling_ratio)));
        return Ok(builder.with_sampler(sampler).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(config.flush_timeout)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    Ok(builder
        .with_sampler(RecordEverything::sampling(config.sampling_ratio))
        .with_span_processor(ErrorsToo(BatchSpanProcessor::builder(exporter).build()))
        .build())
}

/// The OpenTelemetry resource that stands for a process.
fn resource(origin: &Origin) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", origin.service_name.clone()),
            KeyValue::new("service.instance.id", origin.instance.clone()),
            KeyValue::new("service.namespace", origin.mc_system.clone()),
        ])
        .build()
}

fn filter(directives: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(directives).map_err(|error| TelemetryError::LogLevel {
        directives: directives.to_owned(),
        reason: error.to_string(),
    })
}

/// Changes what is logged while the process runs; behind `/loglevel`.
#[derive(Debug, Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogLevel {
    /// The directives in force.
    pub fn get(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Puts other directives in force, such as `info,sip_core=debug`.
    ///
    /// # Errors
    /// [`TelemetryError::LogLevel`] where they are not understood, or telemetry has ended.
    pub fn set(&self, directives: &str) -> Result<(), TelemetryError> {
        self.handle.reload(filter(directives)?).map_err(|error| TelemetryError::LogLevel {
            directives: directives.to_owned(),
            reason: error.to_string(),
        })
    }
}

/// Starts a task in the span of the caller, which `tokio::spawn` alone loses.
pub fn spawn_in_span<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task.in_current_span())
}
