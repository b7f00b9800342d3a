//! Sheds what the server cannot take, at once, instead of letting it wait until it is of no use to anybody.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::sync::Semaphore;

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::Refusal;
use crate::error::status;

/// How many calls may be with their handlers; shared by all listeners of a server.
///
/// A stream of responses counts until it begins, not until it ends: streams are bounded by connection instead
/// (`max_concurrent_streams`).
#[derive(Clone)]
pub(crate) struct Concurrency {
    permits: Arc<Semaphore>,
    retry_after: Duration,
    shed: Counter,
}

impl Concurrency {
    pub(crate) fn new(system: &str, most: usize, retry_after: Duration) -> Self {
        let shed = metrics::counter!("mcx_grpc_requests_shed_total", "system" => system.to_owned());
        Self { permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), retry_after, shed }
    }
}

impl Middleware for Concurrency {
    fn handle<S: Next>(
        &self,
        request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        if permit.is_err() {
            self.shed.increment(1);
        }
        let retry_after = self.retry_after;
        async move {
            match permit {
                Ok(_held_until_the_response_begins) => next.run(request).await,
                Err(_) => refuse(status(&Refusal::Overloaded { retry_after })),
            }
        }
    }
}
