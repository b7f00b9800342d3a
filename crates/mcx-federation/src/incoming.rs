//! The accepting side: TLS on a listener, with what the connection proves on every request.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use mcx_types::{Clock, SpiffeId, Timestamp};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use crate::certificate::{HandshakeRefusal, Leaf};
use crate::verifier::ClientVerifier;
use crate::{AcceptedStream, Listener, OwnIdentity, TrustBundles};

/// The SHA-256 fingerprint of a certificate in DER; displayed in lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Fingerprint(pub [u8; 32]);

impl fmt::Display for Sha256Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What is known about the other end of a connection; in the extensions of every request that came over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// A certificate proved who it is.
    Certified(ConnectionInfo),
    /// A UE, which has proved nothing yet.
    Client(ClientConnection),
}

impl Connection {
    /// From where.
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Certified(connection) => connection.remote_address,
            Self::Client(connection) => connection.remote_address,
        }
    }

    /// At which listener.
    pub fn listener(&self) -> Listener {
        match self {
            Self::Certified(connection) => connection.listener,
            Self::Client(_) => Listener::Client,
        }
    }

    /// What the certificate proved, where one was shown.
    pub fn certified(&self) -> Option<&ConnectionInfo> {
        match self {
            Self::Certified(connection) => Some(connection),
            Self::Client(_) => None,
        }
    }
}

/// A connection on [`Listener::Client`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConnection {
    /// From where.
    pub remote_address: SocketAddr,
}

/// What a certificate proves about the caller at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Who calls.
    pub peer: SpiffeId,
    /// Which certificate proved it, for audit records.
    pub certificate_sha256: Sha256Fingerprint,
    /// The last moment of that certificate's validity, after which the connection is closed.
    pub not_after: Timestamp,
    /// From where.
    pub remote_address: SocketAddr,
    /// At which listener.
    pub listener: Listener,
}

/// The TLS settings of a listener: TLS 1.3, HTTP/2, and a client certificate required, except on [`Listener::Client`], where none
/// is asked for.
///
/// The certificate must carry exactly one URI name, one of our SPIFFE identities, and chain to the bundle of exactly that
/// trust domain: on [`Listener::Internal`] the own one, on [`Listener::Peer`] a partner's. Later changes of `own` and
/// `bundles` hold from the next handshake on.
pub fn server_config(own: &OwnIdentity, bundles: &TrustBundles, listener: Listener) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(crate::TLS_VERSIONS)
        .expect("the provider speaks TLS 1.3");
    let config = match listener {
        Listener::Client => config.with_no_client_auth(),
        Listener::Internal | Listener::Peer => {
            config.with_client_cert_verifier(Arc::new(ClientVerifier { bundles: bundles.clone(), listener }))
        }
    };
    let mut config = config.with_cert_resolver(Arc::new(own.clone()));
    config.alpn_protocols = vec![crate::ALPN_HTTP2.to_vec()];
    // A resumed session is not verified again: it would outlive a removed partner and an expired certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// The TLS settings of a listener whose clients prove themselves otherwise, such as SIP over TLS, where a UE answers an AKA
/// challenge: TLS 1.2 or 1.3, the own certificate, none asked of the client.
pub fn unauthenticated_server_config(own: &OwnIdentity) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(own.clone()));
    Arc::new(config)
}

/// What clients that have not proved anything yet may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// How long a handshake may take.
    pub timeout: Duration,
    /// How many may be under way; further connections wait in the backlog of the operating system.
    pub max_pending: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_pending: 1024 }
    }
}

/// The connections of a listener that have passed the handshake. Dropping it closes the listening socket.
pub struct TlsIncoming {
    connections: mpsc::Receiver<AcceptedStream>,
    _accepting: AbortOnDropHandle<()>,
}

impl TlsIncoming {
    /// Starts to accept. Handshakes run side by side, so that a client that connects and says nothing delays nobody.
    ///
    /// Each refusal is logged once with its cause and the peer's address, and counted in
    /// `mcx_federation_handshakes_total{listener, outcome}`.
    pub fn new(
        socket: TcpListener,
        config: Arc<ServerConfig>,
        listener: Listener,
        limits: HandshakeLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        // Accepted connections are taken at once by the server; a small queue is enough.
        let (sender, connections) = mpsc::channel(16);
        let acceptor =
            Acceptor { tls: TlsAcceptor::from(config), listener, timeout: limits.timeout, clock, sender };
        let accepting = tokio::spawn(acceptor.run(socket, limits.max_pending).in_current_span());
        Self { connections, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

impl Stream for TlsIncoming {
    type Item = Result<AcceptedStream, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(context).map(|connection| connection.map(Ok))
    }
}

/// Does the handshakes of one listener.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) tls: TlsAcceptor,
    pub(crate) listener: Listener,
    pub(crate) timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sender: mpsc::Sender<AcceptedStream>,
}

impl Acceptor {
    async fn run(self, socket: TcpListener, max_pending: usize) {
        let pending = Arc::new(Semaphore::new(max_pending));
        loop {
            let Ok(permit) = Arc::clone(&pending).acquire_owned().await else { return };
            let (stream, remote_address) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly out of file descriptors, which only the end of other connections heals.
                    tracing::warn!(listener = %self.listener, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let acceptor = self.clone();
            let handshake = async move {
                match acceptor.handshake(stream, remote_address).await {
                    Ok(connection) => {
                        acceptor.count("accepted");
                        // The permit is held until the server takes the connection: a stalled server stops the accepting.
                        // A server that has gone needs no connection.
                        let _ = acceptor.sender.send(connection).await;
                    }
                    Err(refusal) => acceptor.report(&refusal, remote_address),
                }
                drop(permit);
            };
            tokio::spawn(handshake.in_current_span());
        }
    }

    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        remote_address: SocketAddr,
    ) -> Result<AcceptedStream, HandshakeRefusal> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote_address, %error, "cannot set TCP_NODELAY");
        }
        let accepted = tokio::time::timeout(self.timeout, self.tls.accept(stream).into_fallible())
            .await
            .map_err(|_| HandshakeRefusal::TimedOut)?;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, stream)) => {
                linger(stream).await;
                return Err(HandshakeRefusal::of_io(&error));
            }
        };
        if self.listener == Listener::Client {
            let connection = Connection::Client(ClientConnection { remote_address });
            return Ok(AcceptedStream::new(stream, connection, Duration::MAX));
        }
        let (_, session) = stream.get_ref();
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .ok_or(HandshakeRefusal::NoCertificate)?;
        let leaf = Leaf::parse(certificate)?;
        let connection = ConnectionInfo {
            peer: leaf.spiffe_id,
            certificate_sha256: Sha256Fingerprint(Sha256::digest(certificate).into()),
            not_after: leaf.not_after,
            remote_address,
            listener: self.listener,
        };
        let life = leaf.not_after.saturating_since(self.clock.now());
        Ok(AcceptedStream::new(stream, Connection::Certified(connection), life))
    }

    fn report(&self, cause: &HandshakeRefusal, remote_address: SocketAddr) {
        self.count(cause.label());
        match cause {
            // What a TCP health probe looks like.
            HandshakeRefusal::Closed => {
                tracing::debug!(listener = %self.listener, %remote_address, %cause, "handshake refused");
            }
            _ => tracing::warn!(listener = %self.listener, %remote_address, %cause, "handshake refused"),
        }
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!(
            "mcx_federation_handshakes_total", "listener" => self.listener.as_str(), "outcome" => outcome
        )
        .increment(1);
    }
}

/// Lets a refused client read the alert that tells it why. Closing at once, with what it has sent since unread, would
/// reset the connection, and its operator would see only that.
async fn linger(mut stream: TcpStream) {
    const AT_MOST: Duration = Duration::from_secs(1);
    const BYTES_AT_MOST: u64 = 64 * 1024;
    let until_closed = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(BYTES_AT_MOST), &mut tokio::io::sink()).await
    };
    // The refusal stands, however the client takes it.
    let _ = tokio::time::timeout(AT_MOST, until_closed).await;
}
