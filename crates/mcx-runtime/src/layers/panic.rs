//! A handler that panics takes down neither the connection nor the process, and tells the caller nothing of why.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use http_body::{Frame, SizeHint};
use mcx_federation::Listener;
use metrics::Counter;
use tonic::Status;
use tonic::body::Body;
use uuid::Uuid;

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::error::panic_status;

#[derive(Clone)]
pub(crate) struct CatchPanic {
    system: Arc<str>,
    listener: Listener,
}

impl CatchPanic {
    pub(crate) fn new(system: Arc<str>, listener: Listener) -> Self {
        let layer = Self { system, listener };
        // There from the start: of a counter that appears with its first panic, Prometheus sees no increase.
        layer.panics().increment(0);
        layer
    }

    fn panics(&self) -> Counter {
        let (system, listener) = (self.system.to_string(), self.listener.as_str());
        metrics::counter!("mcx_grpc_panics_total", "system" => system, "listener" => listener)
    }
}

impl Middleware for CatchPanic {
    fn handle<S: Next>(
        &self,
        request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let catcher = Catcher { layer: self.clone(), method: request.uri().path().to_owned() };
        async move {
            // Nothing that was unwound is looked at again: the call's own state ends with the call.
            match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) if http_body::Body::is_end_stream(response.body()) => response,
                Ok(response) => {
                    response.map(|inner| Body::new(CatchingBody { inner, catcher, has_panicked: false }))
                }
                Err(panic) => refuse(catcher.report(panic.as_ref())),
            }
        }
    }
}

struct Catcher {
    layer: CatchPanic,
    method: String,
}

impl Catcher {
    /// Logs and counts a panic; the status is what the caller hears.
    fn report(&self, panic: &(dyn Any + Send)) -> Status {
        let error_id = Uuid::new_v4();
        let message = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("of a kind without text");
        let CatchPanic { system, listener } = &self.layer;
        tracing::error!(
            %error_id, %system, %listener, method = self.method, panic = message, "handler panicked"
        );
        self.layer.panics().increment(1);
        panic_status(error_id)
    }
}

/// Catches the panics of a stream of responses, whose code runs while the body is read.
struct CatchingBody {
    inner: Body,
    catcher: Catcher,
    has_panicked: bool,
}

impl http_body::Body for CatchingBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_panicked {
            return Poll::Ready(None);
        }
        let inner = AssertUnwindSafe(|| Pin::new(&mut self.inner).poll_frame(context));
        match std::panic::catch_unwind(inner) {
            Ok(frame) => frame,
            Err(panic) => {
                self.has_panicked = true;
                let status = self.catcher.report(panic.as_ref());
                Poll::Ready(Some(Ok(Frame::trailers(crate::outcome::trailers(&status)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_panicked || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The size of what a panic may cut short is not known.
        SizeHint::default()
    }
}
