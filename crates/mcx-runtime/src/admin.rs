//! The plain HTTP listener for probes, metrics and operators inside of the pod's network: no user data, no TLS.
//!
//! | path | answers |
//! | --- | --- |
//! | `GET /livez` | 200 as long as the process runs its tasks |
//! | `GET /readyz` | 200 where every service is serving, otherwise 503; the latches of each as JSON |
//! | `GET /metrics` | the metrics of the process in the text format of Prometheus |
//! | `GET /loglevel` | the directives in force |
//! | `PUT /loglevel` | puts those in the body in force |

mod recorder;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use recorder::install as install_recorder;

use crate::readiness::{LatchState, Readiness, Weight};
use crate::telemetry::LogLevel;

/// How long requests under way may take when the listener ends.
const DRAIN: Duration = Duration::from_secs(1);

/// The admin listener cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for probes and metrics: {source}")]
pub struct AdminError {
    /// The address.
    pub address: SocketAddr,
    /// Why not.
    pub source: io::Error,
}

/// The admin listener, open but not answering yet.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
    state: AdminState,
}

#[derive(Debug, Clone)]
struct AdminState {
    services: Vec<Readiness>,
    log_level: Option<LogLevel>,
}

impl Admin {
    /// Opens the listener; port 0 lets the operating system choose.
    ///
    /// # Errors
    /// [`AdminError`] where the address cannot be listened on.
    pub async fn bind(address: SocketAddr, services: Vec<Readiness>) -> Result<Self, AdminError> {
        install_recorder();
        let bind_error = |source| AdminError { address, source };
        let socket = TcpListener::bind(address).await.map_err(bind_error)?;
        let address = socket.local_addr().map_err(bind_error)?;
        tracing::info!(%address, "listening for probes and metrics");
        Ok(Self { socket, address, state: AdminState { services, log_level: None } })
    }

    /// Lets operators change what is logged.
    #[must_use]
    pub fn log_level(mut self, log_level: LogLevel) -> Self {
        self.state.log_level = Some(log_level);
        self
    }

    /// The address, with the port that it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`; requests under way then have a second.
    ///
    /// # Errors
    /// Where accepting fails for good.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/loglevel", get(log_level).put(set_log_level))
            .with_state(self.state);
        let serving = axum::serve(self.socket, router)
            .with_graceful_shutdown(shutdown.clone().cancelled_owned())
            .into_future();
        tokio::select! {
            outcome = serving => outcome,
            () = recorder::upkeep() => Ok(()),
            () = bound(shutdown) => Ok(()),
        }
    }
}

async fn bound(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let states: Vec<_> = state.services.iter().map(|service| (service.name(), service.state())).collect();
    let is_serving = states.iter().all(|(_, state)| state.is_serving());
    let services: serde_json::Map<String, Value> = states
        .iter()
        .map(|(name, state)| {
            let latches: serde_json::Map<String, Value> =
                state.latches.iter().map(|(name, latch)| ((*name).to_owned(), latch_json(latch))).collect();
            let service = json!({
                "serving": state.is_serving(),
                "draining": state.draining,
                "latches": latches,
            });
            ((*name).to_owned(), service)
        })
        .collect();
    let code = if is_serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "serving": is_serving, "services": services });
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn latch_json(latch: &LatchState) -> Value {
    json!({
        "up": latch.down.is_none(),
        "required": latch.weight == Weight::Required,
        "reason": latch.down,
    })
}

async fn metrics() -> Response {
    match recorder::render() {
        Some(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "metrics of this process are recorded elsewhere\n").into_response(),
    }
}

const NO_LOG_LEVEL: (StatusCode, &str) =
    (StatusCode::NOT_FOUND, "the log level of this process cannot be changed\n");

async fn log_level(State(state): State<AdminState>) -> Response {
    match state.log_level {
        Some(log_level) => format!("{}\n", log_level.get()).into_response(),
        None => NO_LOG_LEVEL.into_response(),
    }
}

async fn set_log_level(State(state): State<AdminState>, directives: String) -> Response {
    let Some(log_level) = state.log_level else { return NO_LOG_LEVEL.into_response() };
    match log_level.set(directives.trim()) {
        Ok(()) => {
            tracing::info!(directives = directives.trim(), "log level changed");
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}
