//! Requests that no server has taken are made again.
//!
//! A server that is replaced closes its connections in good order. A request that is handed to one of them at that moment is given back by
//! hyper, and tonic calls it CANCELLED; nobody has read it. One that is written at that moment is not among those that the server says it will
//! still answer (GOAWAY, RFC 9113 6.8), and tonic calls it INTERNAL. Either can be made on another connection whatever it asks for.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tower::{Service, ServiceExt};

/// How often a request is made at most. More than two connections that close in a row are not bad luck.
const ATTEMPTS: usize = 3;

/// How much of a body is kept for another attempt, in bytes: all of nearly every message. A longer one that was begun is sent once.
const KEPT_LENGTH: usize = 64 * 1024;

/// Makes a request with a service that is ready, again where no server has taken it.
pub(crate) async fn send<S>(
    mut service: S,
    request: Request<Body>,
) -> Result<Response<Body>, Box<dyn Error + Send + Sync>>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let body = Arc::new(Mutex::new(Shared::new(body)));
    for _ in 1..ATTEMPTS {
        let request = Request::from_parts(head.clone(), Body::new(Lent::again(&body)));
        let error = match service.call(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error.into(),
        };
        let is_untaken = match locked(&body).standing() {
            Standing::Unread => is_of_the_connection(error.as_ref()),
            Standing::Kept => is_declined(error.as_ref()),
            Standing::TooLong => false,
        };
        if !is_untaken {
            return Err(error);
        }
        tracing::debug!(error, "no server has taken the request, it is made again");
        service.ready().await.map_err(Into::into)?;
    }
    service.call(Request::from_parts(head, Body::new(Lent::again(&body)))).await.map_err(Into::into)
}

/// Whether HTTP/2 failed, rather than connecting, or the peer's answering its pings.
fn is_of_the_connection(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) => !error.is_timeout(),
        None => error.source().is_some_and(is_of_the_connection),
    }
}

/// Whether the server said that it has not processed the request, and will not: RFC 9113 8.7.
fn is_declined(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<h2::Error>() {
        Some(error) => {
            let is_closing = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
            let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            error.is_remote() && (is_closing || is_refused)
        }
        None => error.source().is_some_and(is_declined),
    }
}

/// How much of a body an attempt has read.
enum Standing {
    /// It has not asked for the first part.
    Unread,
    /// What was read is kept.
    Kept,
    /// More was read than is kept.
    TooLong,
}

/// The body of a request, lent to one attempt after the other.
struct Shared {
    body: Body,
    /// The attempt that has it now, counted from 1.
    attempt: usize,
    /// That attempt has asked for the first part.
    is_begun: bool,
    /// What was read, until it is too long.
    kept: Option<Vec<Bytes>>,
    kept_length: usize,
}

impl Shared {
    fn new(body: Body) -> Self {
        Self { body, attempt: 0, is_begun: false, kept: Some(Vec::new()), kept_length: 0 }
    }

    fn standing(&self) -> Standing {
        match (&self.kept, self.is_begun) {
            (Some(_), false) => Standing::Unread,
            (Some(_), true) => Standing::Kept,
            (None, _) => Standing::TooLong,
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        match (frame.data_ref(), &mut self.kept) {
            (Some(data), Some(kept)) if self.kept_length + data.len() <= KEPT_LENGTH => {
                self.kept_length += data.len();
                kept.push(data.clone());
            }
            _ => self.kept = None,
        }
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body, for one attempt: first what earlier ones have read, then the rest.
struct Lent {
    shared: Arc<Mutex<Shared>>,
    attempt: usize,
    /// How many parts of what is kept this attempt has had.
    had: usize,
}

impl Lent {
    /// For the next attempt; those before have had their time.
    fn again(shared: &Arc<Mutex<Shared>>) -> Self {
        let mut of_all = locked(shared);
        of_all.attempt += 1;
        of_all.is_begun = false;
        Self { attempt: of_all.attempt, had: 0, shared: Arc::clone(shared) }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let own = &mut *self;
        let mut shared = locked(&own.shared);
        if shared.attempt != own.attempt {
            return Poll::Ready(Some(Err("the request is made on another connection".into())));
        }
        shared.is_begun = true;
        if let Some(part) = shared.kept.as_ref().and_then(|kept| kept.get(own.had)) {
            own.had += 1;
            return Poll::Ready(Some(Ok(Frame::data(part.clone()))));
        }
        let frame = ready!(Pin::new(&mut shared.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            shared.keep(frame);
            own.had += 1;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = locked(&self.shared);
        let has_had_all = shared.kept.as_ref().is_none_or(|kept| kept.len() == self.had);
        has_had_all && shared.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let shared = locked(&self.shared);
        // What is left of a body that was read from is not all that an attempt sends.
        let is_whole = shared.kept.as_ref().is_some_and(Vec::is_empty);
        if is_whole { shared.body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tonic::Status;
    use tower::service_fn;

    use super::*;

    type Failure = Box<dyn Error + Send + Sync>;

    /// What becomes of an attempt.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Attempt {
        /// The connection has closed and gives the request back.
        NotTaken,
        /// The body is sent; then the server says that it answers earlier requests only.
        Declined,
        /// The body is sent; then the server says that it answers earlier requests only, for a reason.
        DeclinedWith(Reason),
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

    /// The error of hyper for a request of which the server has everything when it sends a GOAWAY that does not name its stream.
    async fn declined(request: Request<Body>, reason: Reason) -> hyper::Error {
        const WINDOW: [u8; 4] = (1_u32 << 20).to_be_bytes();
        let settings = [&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4][..], &WINDOW].concat();
        let window_update = [&[0, 0, 4, 8, 0, 0, 0, 0, 0][..], &WINDOW].concat();
        let (stream, mut peer) = tokio::io::duplex(1 << 20);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = tokio::spawn(async move { sender.send_request(request).await });
        peer.write_all(&[settings, window_update].concat()).await.unwrap();
        let mut preface = [0; 24];
        peer.read_exact(&mut preface).await.unwrap();
        loop {
            let mut head = [0; 9];
            peer.read_exact(&mut head).await.unwrap();
            let [a, b, c, kind, flags, ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            peer.read_exact(&mut payload).await.unwrap();
            // The end of the stream, on DATA.
            if kind == 0 && flags & 1 == 1 {
                break;
            }
        }
        let mut go_away = vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        go_away.extend(u32::from(reason).to_be_bytes());
        peer.write_all(&go_away).await.unwrap();
        let error = answer.await.unwrap().unwrap_err();
        connection.abort();
        error
    }

    /// Whether a call with a body of these parts, that goes so, is answered, and what each attempt that ended otherwise than by GOAWAY read.
    async fn call(attempts: &[Attempt], parts: &[&'static [u8]]) -> (bool, Vec<Bytes>) {
        let left = Mutex::new(attempts.iter().copied().collect::<VecDeque<_>>());
        let read = Mutex::new(Vec::new());
        let service = service_fn(|request: Request<Body>| {
            let attempt = left.lock().unwrap().pop_front().expect("there are no more attempts");
            let read = &read;
            async move {
                assert_eq!(request.headers()["x-request-id"], "7", "every attempt has the head");
                match attempt {
                    Attempt::NotTaken => Err(Failure::from(closed().await)),
                    Attempt::Declined => Err(declined(request, Reason::NO_ERROR).await.into()),
                    Attempt::DeclinedWith(reason) => Err(declined(request, reason).await.into()),
                    Attempt::NotConnected => Err("refused".into()),
                    Attempt::Answered | Attempt::BrokenAfterwards => {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        read.lock().unwrap().push(body);
                        match attempt {
                            Attempt::Answered => Ok(Response::new(Body::empty())),
                            _ => Err(closed().await.into()),
                        }
                    }
                }
            }
        });
        let parts = parts.iter().map(|part| Ok::<_, Status>(Frame::data(Bytes::from_static(part))));
        let body = Body::new(StreamBody::new(futures::stream::iter(parts.collect::<Vec<_>>())));
        let request = Request::builder().uri("http://bravo.example/").header("x-request-id", "7");
        let is_answered = send(service, request.body(body).unwrap()).await.is_ok();
        assert!(left.lock().unwrap().is_empty(), "there were fewer attempts");
        (is_answered, read.into_inner().unwrap())
    }

    const PARTS: [&[u8]; 2] = [b"mess", b"age"];

    fn message() -> Vec<Bytes> {
        vec![Bytes::from_static(b"message")]
    }

    #[tokio::test]
    async fn request_that_was_not_taken_is_made_on_another_connection() {
        assert_eq!(call(&[Attempt::Answered], &PARTS).await, (true, message()));
        assert_eq!(call(&[Attempt::NotTaken, Attempt::Answered], &PARTS).await, (true, message()));
        let twice = [Attempt::NotTaken, Attempt::NotTaken, Attempt::Answered];
        assert_eq!(call(&twice, &PARTS).await, (true, message()));
    }

    #[tokio::test]
    async fn request_that_the_server_declined_is_made_again_with_all_of_its_body() {
        assert_eq!(call(&[Attempt::Declined, Attempt::Answered], &PARTS).await, (true, message()));
        let changing = [Attempt::Declined, Attempt::NotTaken, Attempt::Answered];
        assert_eq!(call(&changing, &PARTS).await, (true, message()), "each attempt by itself");
        let broken = [Attempt::Declined, Attempt::BrokenAfterwards];
        assert_eq!(
            call(&broken, &PARTS).await,
            (false, message()),
            "what another server read is not sent again"
        );
        let twice = [Attempt::Declined, Attempt::Declined, Attempt::Answered];
        assert_eq!(call(&twice, &PARTS).await, (true, message()));
    }

    #[tokio::test]
    async fn request_of_a_connection_that_ends_for_a_reason_is_made_once() {
        let broken = [Attempt::DeclinedWith(Reason::INTERNAL_ERROR)];
        assert_eq!(call(&broken, &PARTS).await, (false, Vec::new()));
    }

    #[tokio::test]
    async fn declined_request_is_made_again_while_its_body_is_kept() {
        const PART: &[u8] = &[7; KEPT_LENGTH / 2];
        let kept = call(&[Attempt::Declined, Attempt::Answered], &[PART, PART]).await;
        assert_eq!((kept.0, kept.1[0].len()), (true, KEPT_LENGTH));
        let too_long = call(&[Attempt::Declined], &[PART, PART, b"7"]).await;
        assert_eq!(too_long, (false, Vec::new()));
    }

    #[tokio::test]
    async fn request_that_was_read_or_never_connected_is_made_once_and_none_for_ever() {
        assert_eq!(call(&[Attempt::BrokenAfterwards], &PARTS).await, (false, message()));
        assert_eq!(call(&[Attempt::NotConnected], &PARTS).await, (false, Vec::new()));
        assert_eq!(call(&[Attempt::NotTaken; ATTEMPTS], &PARTS).await, (false, Vec::new()));
        assert_eq!(call(&[Attempt::Declined; ATTEMPTS], &PARTS).await, (false, Vec::new()));
    }
}
