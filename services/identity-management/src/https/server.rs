//! The HTTPS listener: TLS 1.2 or 1.3 with the certificate of the entity, HTTP/1.1 or HTTP/2.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper::{Request, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use mcx_types::SourceNetwork;
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::config::LimitConfig;

/// How long a request may take from its head to its answer. A password may wait for its turn.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a client on HTTP/2 is asked whether it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// The most requests at once on one HTTP/2 connection.
const STREAM_LIMIT: u32 = 64;

/// How long is waited after an accept that failed, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener that does not answer yet.
pub(crate) struct HttpsServer {
    socket: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    limits: LimitConfig,
}

impl HttpsServer {
    pub(crate) async fn bind(
        address: SocketAddr,
        tls: &ServerConfig,
        limits: LimitConfig,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let mut tls = tls.clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { socket, address, tls: TlsAcceptor::from(Arc::new(tls)), limits })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` completes; then requests under way are answered and connections ended, within the drain timeout.
    pub(crate) async fn run(self, router: Router, shutdown: impl Future<Output = ()>) {
        let Self { socket, tls, limits, .. } = self;
        let places = Arc::new(Semaphore::new(limits.connections));
        let sources = Sources::default();
        let draining = CancellationToken::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&socket, &places) => accepted,
            };
            let (stream, peer, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "https connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let source = SourceNetwork::of(peer.ip());
            let Some(guard) = sources.enter(source, limits.connections_per_source) else {
                counter!("mcx_identity_management_connections_refused_total").increment(1);
                continue;
            };
            let connection = Connection {
                tls: tls.clone(),
                router: router.clone(),
                source,
                receive_timeout: limits.receive_timeout,
                draining: draining.clone(),
            };
            tokio::spawn(async move {
                connection.serve(stream).await;
                drop((guard, place));
            });
        }
        drop(socket);
        draining.cancel();
        let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        if timeout(limits.drain_timeout, places.acquire_many(all)).await.is_err() {
            tracing::warn!("https connections did not end in time");
        }
    }
}

/// Waits for a place first, so that connections beyond the limit wait in the backlog of the operating system.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, place))
}

struct Connection {
    tls: TlsAcceptor,
    router: Router,
    source: SourceNetwork,
    receive_timeout: Duration,
    draining: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small and are sent at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "https connection has no TCP_NODELAY");
        }
        let stream = match timeout(self.receive_timeout, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, source = %self.source, "https handshake failed"),
            Err(_) => return tracing::debug!(source = %self.source, "https handshake took too long"),
        };
        let router = TowerToHyperService::new(self.router);
        let source = self.source;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(source);
            let answer = router.call(request);
            async move {
                let answer: Result<Response, Infallible> = match timeout(REQUEST_TIMEOUT, answer).await {
                    Ok(answer) => answer,
                    Err(_) => Ok(StatusCode::REQUEST_TIMEOUT.into_response()),
                };
                answer.map(|answer| answer.map(Body::new))
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(self.receive_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .max_concurrent_streams(STREAM_LIMIT);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.draining.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, source = %self.source, "https connection broke");
        }
    }
}

/// How many connections each source has.
#[derive(Debug, Clone, Default)]
struct Sources(Arc<Mutex<HashMap<SourceNetwork, usize>>>);

struct SourceGuard {
    sources: Sources,
    source: SourceNetwork,
}

impl Sources {
    /// Counts a connection until the guard is dropped; `None`: there are too many.
    fn enter(&self, source: SourceNetwork, limit: usize) -> Option<SourceGuard> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        gauge!("mcx_identity_management_https_connections").increment(1);
        Some(SourceGuard { sources: self.clone(), source })
    }
}

impl Drop for SourceGuard {
    fn drop(&mut self) {
        gauge!("mcx_identity_management_https_connections").decrement(1);
        let mut counts = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_all_connections() {
        let sources = Sources::default();
        let source = SourceNetwork::of([192, 0, 2, 1].into());
        let first = sources.enter(source, 1).unwrap();
        assert!(sources.enter(source, 1).is_none());
        assert!(sources.enter(SourceNetwork::of([192, 0, 2, 2].into()), 1).is_some());
        drop(first);
        assert!(sources.enter(source, 1).is_some());
    }
}
