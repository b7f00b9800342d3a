//! The calling side: a connection to one server, accepted only if that server proves who it is.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use mcx_types::{Clock, McSystemId, SpiffeId};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use tower_service::Service;

use crate::attempts::connect_to_any;
use crate::certificate::{HandshakeRefusal, Leaf};
use crate::stream::REFUSED_BY_PEER;
use crate::verifier::ServerVerifier;
use crate::{CONNECT_AGAIN_AFTER, ChannelSettings, ExpiringStream, OwnIdentity, TrustBundles};

/// Why a text is not the address of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be host:port, where the host is a dns name or an ip address (ipv6 in brackets)")]
pub struct PeerEndpointError;

/// Where a peer listens: `host:port`, such as `mms.bravo.example:7443` or `[::1]:7443`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerEndpoint {
    uri: Uri,
    server_name: ServerName<'static>,
}

impl FromStr for PeerEndpoint {
    type Err = PeerEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = format!("https://{text}").parse().map_err(|_| PeerEndpointError)?;
        let authority = uri.authority().ok_or(PeerEndpointError)?;
        let is_whole = authority.as_str() == text && authority.port_u16().is_some_and(|port| port != 0);
        if !is_whole || text.contains('@') {
            return Err(PeerEndpointError);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let server_name = ServerName::try_from(host).map_err(|_| PeerEndpointError)?;
        Ok(Self { uri, server_name })
    }
}

impl TryFrom<String> for PeerEndpoint {
    type Error = PeerEndpointError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PeerEndpoint> for String {
    fn from(endpoint: PeerEndpoint) -> Self {
        endpoint.to_string()
    }
}

impl From<std::net::SocketAddr> for PeerEndpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        let uri = format!("https://{address}").parse().expect("a socket address is an authority");
        Self { uri, server_name: ServerName::from(address.ip()) }
    }
}

impl fmt::Display for PeerEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.uri.authority().map_or("", |authority| authority.as_str()))
    }
}

/// A peer without any endpoint cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no endpoint is known of {expected}")]
pub struct NoEndpoint {
    /// The peer.
    pub expected: ExpectedServer,
}

/// Who is to be at the other end of a connection that we open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedServer {
    /// Exactly this entity.
    Entity(SpiffeId),
    /// Any entity of this MC system, as UEs call it.
    AnyEntityOf(McSystemId),
}

impl ExpectedServer {
    /// The MC system that it is of.
    pub fn mc_system_id(&self) -> &McSystemId {
        match self {
            Self::Entity(spiffe_id) => spiffe_id.mc_system_id(),
            Self::AnyEntityOf(mc_system_id) => mc_system_id,
        }
    }
}

impl fmt::Display for ExpectedServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity(spiffe_id) => write!(formatter, "{spiffe_id}"),
            Self::AnyEntityOf(mc_system_id) => write!(formatter, "any entity of {mc_system_id}"),
        }
    }
}

/// Why a peer could not be connected to; the worst finding where it has several endpoints.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Another one answered: a wrong agreement, a wrong address, or an attack.
    #[error("{endpoint} is {presented} instead of {expected}")]
    PeerIdentityMismatch {
        /// Where.
        endpoint: PeerEndpoint,
        /// Who was called.
        expected: SpiffeId,
        /// Who answered.
        presented: SpiffeId,
    },
    /// Nobody answered: no address, no route, refused, or not in time.
    #[error("{endpoint} is unreachable")]
    Unreachable {
        /// Where.
        endpoint: PeerEndpoint,
        /// What the connector found.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Somebody answered and could not prove that he is the one, or did not speak TLS as we do.
    #[error("the handshake with {endpoint} failed")]
    HandshakeFailed {
        /// Where.
        endpoint: PeerEndpoint,
        /// What was wrong.
        source: HandshakeRefusal,
    },
}

impl ConnectError {
    pub(crate) fn kind(&self) -> ConnectFailure {
        match self {
            Self::PeerIdentityMismatch { .. } => ConnectFailure::PeerIdentityMismatch,
            Self::Unreachable { .. } => ConnectFailure::Unreachable,
            // Nobody has said anything about a certificate: a proxy without a server behind it looks like this, or a server that dies.
            Self::HandshakeFailed {
                source: HandshakeRefusal::TimedOut | HandshakeRefusal::Closed, ..
            } => ConnectFailure::Unreachable,
            Self::HandshakeFailed { source: HandshakeRefusal::RefusedByPeer { .. }, .. } => {
                ConnectFailure::RefusedByPeer
            }
            Self::HandshakeFailed { source: HandshakeRefusal::NotAnEntityOf { .. }, .. } => {
                ConnectFailure::PeerIdentityMismatch
            }
            Self::HandshakeFailed { .. } => ConnectFailure::HandshakeFailed,
        }
    }
}

/// Why a call did not get through to the peer; ordered, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectFailure {
    /// See [`ConnectError::Unreachable`]; or somebody accepted the connection and closed it or fell silent.
    Unreachable,
    /// The peer refused *our* certificate: no agreement on its side, or our certificate has expired.
    RefusedByPeer,
    /// See [`ConnectError::HandshakeFailed`].
    HandshakeFailed,
    /// See [`ConnectError::PeerIdentityMismatch`].
    PeerIdentityMismatch,
}

/// Finds, in an error or a [`tonic::Status`] made from it, why the peer could not be connected to.
///
/// None where the call got through, or failed on an established connection.
pub fn connect_failure(error: &(dyn Error + 'static)) -> Option<ConnectFailure> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<ConnectError>() {
            return Some(found.kind());
        }
        let io_error = error.downcast_ref::<io::Error>();
        if io_error.is_some_and(|error| error.kind() == REFUSED_BY_PEER) {
            return Some(ConnectFailure::RefusedByPeer);
        }
        // An io::Error hides what it wraps from the chain of sources.
        next = match io_error.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// After a failure, so long a call that finds no connection does not wait for the peer to come back: of the calls that queue for one
/// channel, each would wait for those before it.
const IMPATIENT_FOR: Duration = Duration::from_secs(1);

/// How long a failure is told to calls that come after it: those that queued while it was found.
const FAILURE_VALID_FOR: Duration = Duration::from_millis(200);

/// How long a connection waits for a call; the peer gives up one on which nothing is said.
const CONNECTION_VALID_FOR: Duration = Duration::from_secs(2);

/// Connects to one peer, trying its endpoints in order, for [`tonic::transport::Endpoint::connect_with_connector_lazy`].
///
/// An endpoint that does not answer does not keep the next one from being tried, and one that refuses is given a moment to be replaced:
/// nothing has been sent, so nothing is done twice.
///
/// The URI of the request is not used: the endpoints are those of the agreement, and the identity is what counts.
#[derive(Clone)]
pub struct Connector {
    expected: ExpectedServer,
    endpoints: Arc<[PeerEndpoint]>,
    tcp: HttpConnector,
    tls: TlsConnector,
    handshake_timeout: Duration,
    clock: Arc<dyn Clock>,
    /// When connecting has failed last; none after a success.
    last_failure: Arc<Mutex<Option<Instant>>>,
}

impl Connector {
    pub(crate) fn new(
        tls: ClientConfig,
        clock: Arc<dyn Clock>,
        settings: &ChannelSettings,
        expected: ExpectedServer,
        endpoints: Vec<PeerEndpoint>,
    ) -> Result<Self, NoEndpoint> {
        if endpoints.is_empty() {
            return Err(NoEndpoint { expected });
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(settings.tcp_keep_alive));
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        let tls = TlsConnector::from(Arc::new(tls));
        let handshake_timeout = settings.connect_timeout;
        let last_failure = Arc::default();
        Ok(Self { expected, endpoints: endpoints.into(), tcp, tls, handshake_timeout, clock, last_failure })
    }

    /// Connects, and says when it was found that we can or cannot.
    async fn connect(self) -> (Result<Connection, ConnectError>, Instant) {
        let pauses = if self.has_failed_lately() { &[] } else { CONNECT_AGAIN_AFTER };
        let found = connect_to_any(&self.endpoints, pauses, |endpoint| {
            let mut connector = self.clone();
            async move {
                let connected = connector.connect_to(&endpoint).await;
                if let Err(error) = &connected {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(expected = %connector.expected, %error, cause, "cannot connect to peer");
                }
                connected
            }
        })
        .await;
        let now = Instant::now();
        *self.last_failure() = found.is_err().then_some(now);
        (found, now)
    }

    fn has_failed_lately(&self) -> bool {
        self.last_failure().is_some_and(|failure| failure.elapsed() < IMPATIENT_FOR)
    }

    fn last_failure(&self) -> MutexGuard<'_, Option<Instant>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect_to(&mut self, endpoint: &PeerEndpoint) -> Result<Connection, ConnectError> {
        let failed = |source| ConnectError::HandshakeFailed { endpoint: endpoint.clone(), source };
        let tcp = self.tcp.call(endpoint.uri.clone()).await.map_err(|error| ConnectError::Unreachable {
            endpoint: endpoint.clone(),
            source: error.into(),
        })?;
        let handshake = self.tls.connect(endpoint.server_name.clone(), tcp.into_inner());
        let mut stream = tokio::time::timeout(self.handshake_timeout, handshake)
            .await
            .map_err(|_| failed(HandshakeRefusal::TimedOut))?
            .map_err(|error| match HandshakeRefusal::of_io(&error) {
                HandshakeRefusal::IdentityMismatch { expected, presented } => {
                    ConnectError::PeerIdentityMismatch { endpoint: endpoint.clone(), expected, presented }
                }
                other => failed(other),
            })?;
        self.await_admission(&mut stream).await.map_err(failed)?;
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let leaf = certificate
            .ok_or(HandshakeRefusal::NoCertificate)
            .and_then(|leaf| Leaf::parse(leaf))
            .map_err(failed)?;
        let life = leaf.not_after.saturating_since(self.clock.now());
        Ok(TokioIo::new(ExpiringStream::new(stream, (), life)))
    }

    /// Waits for the first bytes of the server, its HTTP/2 settings (RFC 9113 3.4), and leaves them to be read.
    ///
    /// With TLS 1.3 our handshake is over before the server has looked at our certificate. A refusal that came when HTTP/2 writes
    /// already would at times be lost behind the failed writing. A server that speaks only after us is given the benefit of the
    /// doubt: if it refuses us, the first call tells.
    async fn await_admission(&self, stream: &mut TlsStream<TcpStream>) -> Result<(), HandshakeRefusal> {
        match tokio::time::timeout(self.handshake_timeout, stream.fill_buf()).await {
            Ok(Ok([])) => Err(HandshakeRefusal::Closed),
            Ok(Err(error)) => Err(HandshakeRefusal::of_io(&error)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}

type Connection = TokioIo<ExpiringStream<TlsStream<TcpStream>, ()>>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// The connecting goes on when nobody waits for it: its caller may have given up, and a channel asks for the outcome only when the
    /// next call comes. What is found too long before that is not told: it says how things were.
    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            loop {
                let connecting = AbortOnDropHandle::new(tokio::spawn(connector.clone().connect()));
                let (found, at) = connecting.await.map_err(|error| ConnectError::Unreachable {
                    endpoint: connector.endpoints[0].clone(),
                    source: error.into(),
                })?;
                let valid_for = if found.is_ok() { CONNECTION_VALID_FOR } else { FAILURE_VALID_FOR };
                if at.elapsed() < valid_for {
                    return found;
                }
            }
        })
    }
}

/// The TLS settings of a caller that shows its own certificate, and takes exactly the expected server.
pub(crate) fn certified_client_config(
    own: &OwnIdentity,
    bundles: &TrustBundles,
    expected: SpiffeId,
) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(crate::TLS_VERSIONS)
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { bundles: bundles.clone(), expected }))
        .with_client_cert_resolver(Arc::new(own.clone()));
    config.alpn_protocols = vec![crate::ALPN_HTTP2.to_vec()];
    // A resumed session is not verified again.
    config.resumption = Resumption::disabled();
    config
}
