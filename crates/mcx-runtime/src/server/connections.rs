//! Serving connections one by one.
//!
//! tonic's own server is not used for this, for three reasons: its time-out sits outside of every layer and answers
//! CANCELLED; a connection that has reached its age with a grace period is cut without having been asked to end; and it
//! waits for ever for a connection that is half open when it ends, without a way to cut it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mcx_federation::{AcceptedStream, Listener, TlsIncoming};
use tokio_stream::StreamExt;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::ServiceExt;

use super::{Drained, ServerConfig};
use crate::layers::Stack;

/// The connections of a server.
#[derive(Clone)]
pub(super) struct Connections {
    config: ServerConfig,
    accepted: Arc<AtomicUsize>,
    tasks: TaskTracker,
    /// Asks every connection to end when its calls have ended.
    finish: CancellationToken,
    /// Ends every connection at once.
    cut: CancellationToken,
}

impl Connections {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self {
            config,
            accepted: Arc::default(),
            tasks: TaskTracker::new(),
            finish: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Starts to serve what comes in on a listener, until `no_more` closes it.
    pub(super) fn accept(
        &self,
        listener: Listener,
        mut incoming: TlsIncoming,
        stack: Stack,
        no_more: CancellationToken,
    ) {
        let connections = self.clone();
        self.tasks.spawn(async move {
            while let Some(Some(stream)) = no_more.run_until_cancelled(incoming.next()).await {
                match stream {
                    Ok(stream) => connections.serve(stream, stack.clone()),
                    Err(error) => tracing::debug!(%listener, %error, "connection failed before it began"),
                }
            }
        });
    }

    fn serve(&self, stream: AcceptedStream, stack: Stack) {
        let connection = stream.connection().clone();
        let remote_address = connection.remote_address();
        let service = tower::service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(connection.clone());
            stack.clone().oneshot(request)
        });
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(self.config.max_concurrent_streams)
            .max_header_list_size(self.config.max_header_bytes)
            .keep_alive_interval(self.config.keepalive_interval)
            .keep_alive_timeout(self.config.keepalive_timeout);
        let age = self.age_of_next();
        let Self { config, finish, cut, .. } = self.clone();
        self.tasks.spawn(async move {
            let mut serving =
                std::pin::pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
            let outcome = tokio::select! {
                outcome = &mut serving => outcome,
                () = cut.cancelled() => return,
                grace = finish_or_age(&finish, age, config.max_connection_age_grace) => {
                    serving.as_mut().graceful_shutdown();
                    tokio::select! {
                        outcome = &mut serving => outcome,
                        () = cut.cancelled() => return,
                        () = sleep_or_forever(grace) => {
                            tracing::debug!(%remote_address, "connection did not end when it was old, and is cut");
                            return;
                        }
                    }
                }
            };
            if let Err(error) = outcome {
                tracing::debug!(%remote_address, %error, "connection failed");
            }
        });
    }

    /// The age at which the next connection is asked to end: within a tenth of the configured one, so that those that
    /// began together do not all come back together.
    fn age_of_next(&self) -> Duration {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        // Steps of 7 visit every residue of 20: -10 % to +9 %, spread evenly.
        let percent = 90 + u32::try_from(number.wrapping_mul(7) % 20).unwrap_or(0);
        self.config.max_connection_age * percent / 100
    }

    /// Ends every connection at once when the guard is dropped.
    pub(super) fn cut_on_drop(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }

    /// Asks every connection to end, waits for no longer than `bound`, and cuts what is left.
    pub(super) async fn drain(&self, bound: Duration) -> Drained {
        self.finish.cancel();
        self.tasks.close();
        if tokio::time::timeout(bound, self.tasks.wait()).await.is_ok() {
            tracing::info!("drained");
            return Drained::Completely;
        }
        let left = self.tasks.len();
        tracing::warn!(connections = left, ?bound, "connections did not end in time and are cut");
        self.cut.cancel();
        self.tasks.wait().await;
        Drained::Cut(left)
    }
}

/// Waits until a connection is to end; returns how long it may take to do so, if that is bounded here.
async fn finish_or_age(finish: &CancellationToken, age: Duration, grace: Duration) -> Option<Duration> {
    tokio::select! {
        // The end of the server has its own bound.
        () = finish.cancelled() => None,
        () = tokio::time::sleep(age) => Some(grace),
    }
}

async fn sleep_or_forever(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
