//! Bodies that end before their time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Which end of the call reads the body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// A body that ends with a status as soon as there is one, whatever was still to come.
///
/// A server's body ends with trailers that say so; a client's ends with the status as its error.
pub(crate) struct EndingBody {
    inner: Body,
    end: BoxFuture<'static, Status>,
    side: Side,
    is_over: bool,
}

impl EndingBody {
    pub(crate) fn wrap(inner: Body, end: impl Future<Output = Status> + Send + 'static, side: Side) -> Body {
        if http_body::Body::is_end_stream(&inner) {
            return inner;
        }
        Body::new(Self { inner, end: Box::pin(end), side, is_over: false })
    }
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // First, so that a stream which always has something to say ends too.
        let Poll::Ready(status) = self.end.as_mut().poll(context) else {
            return Pin::new(&mut self.inner).poll_frame(context);
        };
        self.is_over = true;
        // Lets go of the handler's stream at once, not only when the connection has written the trailers.
        self.inner = Body::empty();
        Poll::Ready(Some(match self.side {
            Side::Server => Ok(Frame::trailers(crate::outcome::trailers(&status))),
            Side::Client => Err(status),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
