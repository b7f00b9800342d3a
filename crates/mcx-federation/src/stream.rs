//! A connection that does not outlive the certificate that opened it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

use crate::Connection;

/// The longest that any connection lives, well within what the timer of the run time can count.
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 365);

/// An accepted connection whose handshake is over. On the listener for UEs it has no certificate to expire.
pub type AcceptedStream = ExpiringStream<tokio_rustls::server::TlsStream<tokio::net::TcpStream>, Connection>;

/// Reads and writes `S` until the peer's certificate has expired; reads then fail with [`io::ErrorKind::TimedOut`].
///
/// HTTP/2 always has a read pending, so that the end is noticed on an idle connection too. `C` is what is known about the
/// connection.
pub struct ExpiringStream<S, C> {
    stream: S,
    expiry: Pin<Box<Sleep>>,
    connection: C,
}

impl<S, C> ExpiringStream<S, C> {
    /// Reads and writes `stream` for `life`, one year at most.
    pub(crate) fn new(stream: S, connection: C, life: Duration) -> Self {
        let expiry = Box::pin(tokio::time::sleep_until(Instant::now() + life.min(LONGEST_LIFE)));
        Self { stream, expiry, connection }
    }

    /// What is known about the connection: on an accepted one, who is at the other end.
    pub fn connection(&self) -> &C {
        &self.connection
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.expiry.as_mut().poll(context) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the certificate of the peer has expired"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

/// The kind of error with which a stream says that the peer refused our certificate. HTTP/2 keeps the kind and the text of
/// an error and loses what it wraps; nothing else makes reading an established connection fail with this kind.
pub(crate) const REFUSED_BY_PEER: io::ErrorKind = io::ErrorKind::PermissionDenied;

/// With TLS 1.3 a client learns only from its first read that its certificate was refused (RFC 8446 4.4.2.4).
fn mark_refusal(error: io::Error) -> io::Error {
    use rustls::AlertDescription as Alert;
    let Some(rustls::Error::AlertReceived(alert)) = error.get_ref().and_then(|inner| inner.downcast_ref())
    else {
        return error;
    };
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::CertificateRequired
        | Alert::UnknownCA
        | Alert::AccessDenied => io::Error::new(REFUSED_BY_PEER, error),
        _ => error,
    }
}

impl<S: AsyncRead + Unpin, C: Unpin> AsyncRead for ExpiringStream<S, C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer).map_err(mark_refusal)
    }
}

impl<S: AsyncWrite + Unpin, C: Unpin> AsyncWrite for ExpiringStream<S, C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S, C: Clone + Send + Sync + 'static> Connected for ExpiringStream<S, C> {
    type ConnectInfo = C;

    fn connect_info(&self) -> C {
        self.connection.clone()
    }
}
