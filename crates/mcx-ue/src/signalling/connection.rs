//! One way to the SIP core and the client transaction on it (RFC 3261 17.1.2).

use super::error::SignallingError;
use super::settings::{SignallingSettings, SignallingTransport};
use crate::connecting::{connected, first_of_rivals};
use bytes::Bytes;
use futures::StreamExt;
use mcx_sip::{Frame, FrameError, Message, MessageLimits, Response, StreamFraming, TIMER_T1, TIMER_T2};
use rustls_pki_types::ServerName;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::codec::FramedRead;

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// An open way to the SIP core.
pub(super) struct Connection {
    kind: Kind,
    local: SocketAddr,
}

enum Kind {
    Datagrams {
        socket: UdpSocket,
        buffer: Vec<u8>,
    },
    Stream {
        frames: FramedRead<ReadHalf<Box<dyn Stream>>, StreamFraming>,
        writer: WriteHalf<Box<dyn Stream>>,
    },
}

async fn connect(registrar: SocketAddr) -> io::Result<TcpStream> {
    let was_refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    connected(|| first_of_rivals(|| TcpStream::connect(registrar)), was_refused).await
}

impl Connection {
    /// Opens the way, within the time that an answer is waited for.
    pub(super) async fn open(settings: &SignallingSettings) -> Result<Self, SignallingError> {
        let deadline = settings.response_deadline;
        match timeout(deadline, Self::open_to(&settings.transport, settings.registrar)).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(SignallingError::TimedOut(deadline)),
        }
    }

    async fn open_to(transport: &SignallingTransport, registrar: SocketAddr) -> io::Result<Self> {
        match transport {
            SignallingTransport::Udp => {
                let any: SocketAddr = match registrar {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any).await?;
                // A connected socket takes nothing from anybody else, and knows its local address.
                socket.connect(registrar).await?;
                let local = socket.local_addr()?;
                Ok(Self { kind: Kind::Datagrams { socket, buffer: vec![0; 65_535] }, local })
            }
            SignallingTransport::Tcp => {
                let stream = connect(registrar).await?;
                let local = stream.local_addr()?;
                Ok(Self::stream(Box::new(stream), local))
            }
            SignallingTransport::Tls { config, server_name } => {
                let stream = connect(registrar).await?;
                let local = stream.local_addr()?;
                let connector = TlsConnector::from(Arc::clone(config));
                let server_name: ServerName<'static> = server_name.clone();
                Ok(Self::stream(Box::new(connector.connect(server_name, stream).await?), local))
            }
        }
    }

    fn stream(stream: Box<dyn Stream>, local: SocketAddr) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let frames = FramedRead::new(reader, StreamFraming::new(MessageLimits::default()));
        Self { kind: Kind::Stream { frames, writer }, local }
    }

    /// The address that the SIP core can reach us at.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends a request and waits for its final response. Over UDP the request is sent again after T1, 2·T1, … up to T2
    /// until an answer comes (Timer E), and given up after `deadline` (Timer F).
    pub(super) async fn exchange(
        &mut self,
        request: &Bytes,
        branch: &str,
        deadline: Duration,
        mut retransmitted: impl FnMut(),
    ) -> Result<(Response, Bytes), SignallingError> {
        let give_up = Instant::now() + deadline;
        let mut interval = TIMER_T1;
        self.send(request).await?;
        let mut again = Instant::now() + interval;
        loop {
            let until = if self.is_reliable() { give_up } else { again.min(give_up) };
            match timeout_at(until, self.receive()).await {
                Ok(received) => {
                    let (response, bytes) = received?;
                    // Anything else is late, for an earlier request, or not for us (RFC 3261 17.1.3).
                    if response.mandatory.branch() != branch
                        || response.mandatory.sequence_method != "REGISTER"
                    {
                        continue;
                    }
                    if response.status < 200 {
                        interval = TIMER_T2;
                        continue;
                    }
                    return Ok((response, bytes));
                }
                Err(_) if Instant::now() >= give_up => return Err(SignallingError::TimedOut(deadline)),
                Err(_) => {
                    self.send(request).await?;
                    retransmitted();
                    interval = (interval * 2).min(TIMER_T2);
                    again = Instant::now() + interval;
                }
            }
        }
    }

    fn is_reliable(&self) -> bool {
        matches!(self.kind, Kind::Stream { .. })
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Datagrams { socket, .. } => match socket.send(bytes).await {
                // Nobody listens yet (ICMP): as good as a lost datagram, Timer E tries again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                sent => sent.map(drop),
            },
            Kind::Stream { writer, .. } => {
                writer.write_all(bytes).await?;
                writer.flush().await
            }
        }
    }

    /// The next response, whatever it answers. What is no response is dropped.
    async fn receive(&mut self) -> io::Result<(Response, Bytes)> {
        loop {
            let bytes = match &mut self.kind {
                Kind::Datagrams { socket, buffer } => match socket.recv(buffer).await {
                    Ok(length) => Bytes::copy_from_slice(&buffer[..length]),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Err(error) => return Err(error),
                },
                Kind::Stream { frames, writer } => match frames.next().await {
                    Some(Ok(Frame::Message(bytes))) => bytes,
                    Some(Ok(Frame::Ping)) => {
                        writer.write_all(b"\r\n").await?;
                        continue;
                    }
                    Some(Err(FrameError::Connection(error))) => return Err(error),
                    Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
            };
            if let Ok(Message::Response(response)) = Message::parse(&bytes, &MessageLimits::default()) {
                return Ok((response, bytes));
            }
        }
    }
}
