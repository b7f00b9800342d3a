//! How a call ended: its status, wherever on its way it shows.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::layers::HttpResponse;

const GRPC_STATUS: &str = "grpc-status";

/// The trailers that end a body with a status.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Fails only for metadata that are no header values, and a status of ours has none.
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(GRPC_STATUS, http::HeaderValue::from(status.code() as i32));
    }
    trailers
}

/// The code in headers or trailers.
fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// Reports once how a call ended, even where nobody waits for the end any more.
pub(crate) struct Outcome<F: FnOnce(Code)>(Option<F>);

impl<F: FnOnce(Code)> Outcome<F> {
    pub(crate) fn new(report: F) -> Self {
        Self(Some(report))
    }

    pub(crate) fn is(&mut self, code: Code) {
        if let Some(report) = self.0.take() {
            report(code);
        }
    }
}

impl<F: FnOnce(Code)> Drop for Outcome<F> {
    fn drop(&mut self) {
        // A call that is dropped unfinished was given up by the caller, or by the panic that is passing through.
        self.is(if std::thread::panicking() { Code::Internal } else { Code::Cancelled });
    }
}

/// Follows a response until its status shows: in the headers, or in the trailers behind the body.
///
/// The body is polled inside of `span`.
pub(crate) fn follow<F>(response: HttpResponse, mut outcome: Outcome<F>, span: Span) -> HttpResponse
where
    F: FnOnce(Code) + Send + Unpin + 'static,
{
    if let Some(code) = code_in(response.headers()) {
        outcome.is(code);
        return response;
    }
    response.map(|inner| Body::new(FollowedBody { inner, outcome, span }))
}

struct FollowedBody<F: FnOnce(Code)> {
    inner: Body,
    outcome: Outcome<F>,
    span: Span,
}

impl<F: FnOnce(Code) + Unpin> http_body::Body for FollowedBody<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let frame = std::task::ready!(Pin::new(&mut this.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    this.outcome.is(code);
                }
            }
            Some(Err(status)) => this.outcome.is(status.code()),
            None => this.outcome.is(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
