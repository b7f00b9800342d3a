//! The TCP and TLS listeners.

use super::edge::{Reception, SipEdge};
use super::guard::ConnectionPermit;
use crate::domain::request::{RequestSource, SipTransport};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use mcx_sip::{Frame, StreamFraming};
use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

/// Responses that wait for a peer that does not read.
const WRITE_QUEUE: usize = 64;

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionTimeouts {
    /// From the first to the last message of the TLS handshake.
    pub handshake: Duration,
    /// Without a whole message or a keep-alive.
    pub idle: Duration,
    /// For a response to be taken by the peer.
    pub write: Duration,
}

/// What distinguishes the two stream listeners.
pub(super) struct StreamListener {
    pub(super) listener: TcpListener,
    /// `None` for TCP.
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) timeouts: ConnectionTimeouts,
    /// Makes the name of a connection.
    pub(super) connection_name: Arc<dyn Fn() -> String + Send + Sync>,
}

impl StreamListener {
    /// Accepts connections until `draining`, and then waits until requests on them that are being decided have their answers. Connections
    /// end with it at the latest.
    pub(super) async fn serve(self, edge: Arc<SipEdge>, draining: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = draining.cancelled() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the peer was gone already: give the system a moment.
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(permit) = edge.guard().admit_connection(address.ip()) else {
                metrics::counter!("mcx_sip_core_connections_refused_total").increment(1);
                tracing::debug!(source = %address, "connection refused: too many");
                continue;
            };
            let connection = Connection {
                edge: Arc::clone(&edge),
                address,
                name: (self.connection_name)(),
                timeouts: self.timeouts,
                draining: draining.clone(),
                _permit: permit,
            };
            let acceptor = self.acceptor.clone();
            connections.spawn(async move { connection.run(stream, acceptor).await });
        }
        // Whoever comes now shall find another replica, not a queue that nobody serves.
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

struct Connection {
    edge: Arc<SipEdge>,
    address: SocketAddr,
    name: String,
    timeouts: ConnectionTimeouts,
    draining: CancellationToken,
    _permit: ConnectionPermit,
}

/// Why nothing more is read.
#[derive(PartialEq, Eq)]
enum Read {
    /// The peer ended the connection, or has to be rid of.
    Ended,
    /// This process is about to end.
    Draining,
}

impl Connection {
    async fn run(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = acceptor else { return self.exchange(stream, SipTransport::Tcp).await };
        match tokio::time::timeout(self.timeouts.handshake, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.exchange(stream, SipTransport::Tls).await,
            Ok(Err(error)) => tracing::debug!(source = %self.address, %error, "handshake failed"),
            Err(_) => tracing::debug!(source = %self.address, "handshake took too long"),
        }
    }

    async fn exchange(self, stream: impl AsyncRead + AsyncWrite + Send + 'static, transport: SipTransport) {
        let (reader, mut writer) = tokio::io::split(stream);
        let mut frames = FramedRead::new(reader, StreamFraming::new(self.edge.message_limits()));
        let (responses, mut queue) = mpsc::channel::<Bytes>(WRITE_QUEUE);
        let write_timeout = self.timeouts.write;
        let writing = async move {
            while let Some(bytes) = queue.recv().await {
                let written = async {
                    writer.write_all(&bytes).await?;
                    writer.flush().await
                };
                if !matches!(tokio::time::timeout(write_timeout, written).await, Ok(Ok(()))) {
                    return;
                }
            }
        };
        let connection = &self;
        let reading = async move {
            let ended = connection.read(&mut frames, transport, &responses).await;
            // Only requests that are being decided can answer from now on.
            drop(responses);
            ended
        };
        let mut writing = pin!(writing);
        // Either side's end is the end of the connection; requests still being decided have nowhere to answer.
        let ended = tokio::select! {
            ended = reading => ended,
            () = &mut writing => Read::Ended,
        };
        if ended == Read::Draining {
            writing.await;
        }
    }

    async fn read(
        &self,
        frames: &mut (impl Stream<Item = Result<Frame, impl Display>> + Unpin),
        transport: SipTransport,
        responses: &mpsc::Sender<Bytes>,
    ) -> Read {
        loop {
            // One message, however slowly its bytes drip, has to be whole within the idle time.
            let frame = tokio::select! {
                () = self.draining.cancelled() => return Read::Draining,
                frame = tokio::time::timeout(self.timeouts.idle, frames.next()) => frame,
            };
            match frame {
                Ok(Some(Ok(Frame::Ping))) => {
                    if responses.try_send(Bytes::from_static(b"\r\n")).is_err() {
                        return Read::Ended;
                    }
                }
                Ok(Some(Ok(Frame::Message(message)))) => self.message(&message, transport, responses).await,
                Ok(Some(Err(error))) => {
                    tracing::debug!(source = %self.address, %error, "stream cannot be read");
                    return Read::Ended;
                }
                Ok(None) | Err(_) => return Read::Ended,
            }
        }
    }

    async fn message(&self, message: &Bytes, transport: SipTransport, responses: &mpsc::Sender<Bytes>) {
        let source = RequestSource { address: self.address, transport, connection: Some(self.name.clone()) };
        match self.edge.receive(message, source) {
            Reception::Silence => {}
            Reception::Reply(reply) => drop(responses.send(reply.bytes).await),
            Reception::Decide(deciding) => {
                let responses = responses.clone();
                // Bounded by the permit that the request holds; a proxy sends requests of many users on one connection.
                tokio::spawn(async move { drop(responses.send(deciding.decide().await.bytes).await) });
            }
        }
    }
}
