//! Binds the SIP listeners and runs them.

use super::edge::SipEdge;
use super::stream::{ConnectionTimeouts, StreamListener};
use super::udp;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long requests that are being decided may take once the server ends: longer than migration management may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What to listen on; nothing where there is no address.
#[derive(Clone, Default)]
pub struct SipListeners {
    /// The UDP address.
    pub udp: Option<SocketAddr>,
    /// The TCP address.
    pub tcp: Option<SocketAddr>,
    /// The TLS address, and the server's side of TLS: its certificate, no certificate asked of UEs.
    pub tls: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
}

/// The addresses that were bound, with the ports that the system chose for zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BoundAddresses {
    /// UDP.
    pub udp: Option<SocketAddr>,
    /// TCP.
    pub tcp: Option<SocketAddr>,
    /// TLS.
    pub tls: Option<SocketAddr>,
}

/// Bound listeners that do not answer yet.
pub struct SipServer {
    udp: Option<UdpSocket>,
    streams: Vec<StreamListener>,
    bound: BoundAddresses,
}

impl SipServer {
    /// Binds all listeners, or none. `instance` is unique for this process, so that connections have names of their own.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub async fn bind(
        listeners: SipListeners,
        timeouts: ConnectionTimeouts,
        instance: u128,
    ) -> io::Result<Self> {
        let counter = Arc::new(AtomicU64::new(0));
        let connection_name: Arc<dyn Fn() -> String + Send + Sync> =
            Arc::new(move || format!("{instance:x}-{}", counter.fetch_add(1, Ordering::Relaxed)));
        let mut bound = BoundAddresses::default();
        let mut streams = Vec::new();
        let udp = match listeners.udp {
            Some(address) => Some(UdpSocket::bind(address).await?),
            None => None,
        };
        bound.udp = udp.as_ref().map(UdpSocket::local_addr).transpose()?;
        if let Some(address) = listeners.tcp {
            let listener = TcpListener::bind(address).await?;
            bound.tcp = Some(listener.local_addr()?);
            let connection_name = Arc::clone(&connection_name);
            streams.push(StreamListener { listener, acceptor: None, timeouts, connection_name });
        }
        if let Some((address, config)) = listeners.tls {
            let listener = TcpListener::bind(address).await?;
            bound.tls = Some(listener.local_addr()?);
            let acceptor = Some(TlsAcceptor::from(config));
            streams.push(StreamListener { listener, acceptor, timeouts, connection_name });
        }
        Ok(Self { udp, streams, bound })
    }

    /// What was bound.
    #[must_use]
    pub fn bound(&self) -> BoundAddresses {
        self.bound
    }

    /// Answers until `shutdown` completes; then requests that came over TCP and TLS and are being decided have [`DRAIN_LIMIT`] for
    /// their answers.
    pub async fn run(self, edge: Arc<SipEdge>, shutdown: impl Future<Output = ()>) {
        let mut tasks = tokio::task::JoinSet::new();
        let mut streams = tokio::task::JoinSet::new();
        let draining = CancellationToken::new();
        if let Some(socket) = self.udp {
            tasks.spawn(udp::serve(Arc::new(socket), Arc::clone(&edge)));
        }
        for listener in self.streams {
            streams.spawn(listener.serve(Arc::clone(&edge), draining.clone()));
        }
        tracing::info!(udp = ?self.bound.udp, tcp = ?self.bound.tcp, tls = ?self.bound.tls, "sip listeners are open");
        shutdown.await;
        // UEs retransmit over UDP and connect again over TCP and TLS; the other replicas answer them.
        draining.cancel();
        let drained = async { while streams.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_LIMIT, drained).await.is_err() {
            tracing::warn!(limit = ?DRAIN_LIMIT, "sip connections did not end in time and are cut");
        }
        streams.shutdown().await;
        tasks.shutdown().await;
    }
}
