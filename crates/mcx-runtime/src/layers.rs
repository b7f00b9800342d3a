//! What every call passes through, in this order; built once, here.
//!
//! | layer | does | answers itself with |
//! | --- | --- | --- |
//! | [`panic`] | catches panics of everything below, logs and counts them | INTERNAL |
//! | [`trace`] | request id, trace context of W3C, one span per call | |
//! | [`metrics`] | counts and times calls by method and code | |
//! | [`deadline`] | ends the call when nobody waits for it any more | DEADLINE_EXCEEDED, INVALID_ARGUMENT |
//! | [`concurrency`] | sheds what the server cannot take | RESOURCE_EXHAUSTED with `RetryInfo` |
//! | [`authentication`] | who calls, from the certificate of the connection or the access token of the call | UNAUTHENTICATED |
//! | [`policy`] | whether he may | PERMISSION_DENIED |
//!
//! Rate limits and audit records need to know the request, and are the services' own.

pub(crate) mod authentication;
pub(crate) mod concurrency;
pub(crate) mod deadline;
pub(crate) mod metrics;
pub(crate) mod panic;
pub(crate) mod policy;
pub(crate) mod trace;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_federation::{Listener, PolicyTable};
use mcx_types::McSystemId;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::Service;
use tower::util::BoxCloneSyncService;

use crate::server::{MethodTable, ServerConfig};

/// A call on its way in.
pub(crate) type HttpRequest = http::Request<Body>;
/// An answer on its way out.
pub(crate) type HttpResponse = http::Response<Body>;
/// All layers around the handlers of one listener.
pub(crate) type Stack = BoxCloneSyncService<HttpRequest, HttpResponse, Infallible>;

/// What a layer does with a call; the layers below are `next`.
pub(crate) trait Middleware: Clone + Send + Sync + 'static {
    fn handle<S: Next>(
        &self,
        request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static;
}

/// The rest of the way to the handler and back.
pub(crate) trait Next:
    Service<HttpRequest, Response = HttpResponse, Error = Infallible, Future: Send> + Send + 'static
{
    fn run(mut self, request: HttpRequest) -> impl Future<Output = HttpResponse> + Send + 'static
    where
        Self: Sized,
    {
        async move {
            let Ok(response) = self.call(request).await;
            response
        }
    }
}

impl<S> Next for S where
    S: Service<HttpRequest, Response = HttpResponse, Error = Infallible, Future: Send> + Send + 'static
{
}

/// A layer around the ones below it.
#[derive(Clone)]
pub(crate) struct Around<M, S> {
    middleware: M,
    below: S,
}

impl<M: Middleware, S: Next + Clone> Around<M, S> {
    pub(crate) fn new(middleware: M, below: S) -> Self {
        Self { middleware, below }
    }
}

impl<M: Middleware, S: Next + Clone> Service<HttpRequest> for Around<M, S> {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpResponse, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.below.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        // The one that was asked whether it is ready must be the one that is called.
        let clone = self.below.clone();
        let ready = std::mem::replace(&mut self.below, clone);
        let response = self.middleware.handle(request, ready);
        Box::pin(async move { Ok(response.await) })
    }
}

/// What the layers of one listener need to know.
pub(crate) struct Settings {
    pub(crate) system: Arc<str>,
    pub(crate) listener: Listener,
    pub(crate) limits: ServerConfig,
    pub(crate) concurrency: concurrency::Concurrency,
    pub(crate) policy: Arc<PolicyTable>,
    pub(crate) methods: Arc<MethodTable>,
    pub(crate) own_system: McSystemId,
    pub(crate) access_tokens: Option<AccessTokenVerifier>,
    pub(crate) shutdown: CancellationToken,
}

/// All layers around the handlers.
pub(crate) fn stack<S>(settings: Settings, handlers: S) -> Stack
where
    S: Next + Clone + Sync,
{
    let Settings { system, listener, limits, concurrency, policy, methods, .. } = settings;
    let handlers = Around::new(policy::Policy { table: Arc::clone(&policy) }, handlers);
    let authentication = authentication::Authentication {
        own_system: settings.own_system,
        policy,
        access_tokens: settings.access_tokens,
        shutdown: settings.shutdown,
        methods: Arc::clone(&methods),
    };
    let handlers = Around::new(authentication, handlers);
    let handlers = Around::new(concurrency, handlers);
    let handlers = Around::new(
        deadline::DeadlineLimit { most: limits.max_call_duration, methods: Arc::clone(&methods) },
        handlers,
    );
    let handlers = Around::new(metrics::Metrics::new(&system, listener, Arc::clone(&methods)), handlers);
    let handlers = Around::new(trace::Trace { system: Arc::clone(&system), listener, methods }, handlers);
    BoxCloneSyncService::new(Around::new(panic::CatchPanic::new(system, listener), handlers))
}

/// The answer of a layer that does not let a call through.
pub(crate) fn refuse(status: Status) -> HttpResponse {
    status.into_http()
}

#[cfg(test)]
mod tests;
