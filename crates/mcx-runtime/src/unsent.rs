//! Requests that no connection has taken are made again.
//!
//! A server that is replaced closes its connections in good order; a request that is handed to one of them at that moment is given back by
//! hyper, and tonic calls it CANCELLED. Nobody has read it, so that it can be made on another connection whatever it asks for.

use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tower::{Service, ServiceExt};

/// How often a request is made at most. More than two connections that close in a row are not bad luck.
const ATTEMPTS: usize = 3;

/// Makes a request with a service that is ready, again where the connection has not taken it.
pub(crate) async fn send<S>(
    mut service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Box<dyn Error + Send + Sync>>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let body = Arc::new(Shared { body: Mutex::new(body), is_begun: AtomicBool::new(false) });
    for _ in 1..ATTEMPTS {
        let request = Request::from_parts(head.clone(), Body::new(Lent(Arc::clone(&body))));
        let error = match service.call(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error.into(),
        };
        if body.is_begun.load(Ordering::Acquire) || !is_of_the_connection(error.as_ref()) {
            return Err(error);
        }
        tracing::debug!(error, "the connection has not taken the request, it is made again");
        service.ready().await.map_err(Into::into)?;
    }
    service.call(Request::from_parts(head, Body::new(Lent(body)))).await.map_err(Into::into)
}

/// Whether HTTP/2 failed, rather than connecting, or the peer's answering its pings.
fn is_of_the_connection(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) => !error.is_timeout(),
        None => error.source().is_some_and(is_of_the_connection),
    }
}

/// The body of a request, lent to one attempt after the other.
struct Shared {
    body: Mutex<Body>,
    /// Somebody has asked for the first part.
    is_begun: AtomicBool,
}

struct Lent(Arc<Shared>);

impl Lent {
    fn with<T>(&self, look: impl FnOnce(&mut Body) -> T) -> T {
        look(&mut self.0.body.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.is_begun.store(true, Ordering::Release);
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tower::service_fn;

    use super::*;

    /// What becomes of an attempt.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Attempt {
        /// The connection has closed and gives the request back.
        NotTaken,
        /// The connection breaks when the body has been read.
        BrokenAfterwards,
        /// No connection could be opened.
        NotConnected,
        Answered,
    }

    /// The error of hyper for a request that a closed connection was handed.
    async fn closed() -> hyper::Error {
        let (stream, _peer) = tokio::io::duplex(1_024);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        drop(connection);
        sender.send_request(Request::new(Full::new(Bytes::new()))).await.unwrap_err()
    }

    /// Whether a call that goes so is answered, and what each attempt read.
    async fn call(attempts: &[Attempt]) -> (bool, Vec<Bytes>) {
        let left = Mutex::new(attempts.iter().copied().collect::<VecDeque<_>>());
        let read = Mutex::new(Vec::new());
        let service = service_fn(|request: Request<Body>| {
            let attempt = left.lock().unwrap().pop_front().expect("there are no more attempts");
            let read = &read;
            async move {
                assert_eq!(request.headers()["x-request-id"], "7", "every attempt has the head");
                if matches!(attempt, Attempt::Answered | Attempt::BrokenAfterwards) {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    read.lock().unwrap().push(body);
                }
                match attempt {
                    Attempt::NotTaken | Attempt::BrokenAfterwards => {
                        Err(Box::<dyn Error + Send + Sync>::from(closed().await))
                    }
                    Attempt::NotConnected => Err("refused".into()),
                    Attempt::Answered => Ok(Response::new(Body::empty())),
                }
            }
        });
        let body = Body::new(Full::new(Bytes::from_static(b"message")));
        let request = Request::builder().header("x-request-id", "7").body(body).unwrap();
        let is_answered = send(service, request).await.is_ok();
        assert!(left.lock().unwrap().is_empty(), "there were fewer attempts");
        (is_answered, read.into_inner().unwrap())
    }

    #[tokio::test]
    async fn request_that_was_not_taken_is_made_on_another_connection() {
        let message = || vec![Bytes::from_static(b"message")];
        assert_eq!(call(&[Attempt::Answered]).await, (true, message()));
        assert_eq!(call(&[Attempt::NotTaken, Attempt::Answered]).await, (true, message()));
        assert_eq!(call(&[Attempt::NotTaken, Attempt::NotTaken, Attempt::Answered]).await, (true, message()));
    }

    #[tokio::test]
    async fn request_that_was_read_or_never_connected_is_made_once_and_none_for_ever() {
        assert_eq!(call(&[Attempt::BrokenAfterwards]).await, (false, vec![Bytes::from_static(b"message")]));
        assert_eq!(call(&[Attempt::NotConnected]).await, (false, Vec::new()));
        assert_eq!(call(&[Attempt::NotTaken; ATTEMPTS]).await, (false, Vec::new()));
    }
}
