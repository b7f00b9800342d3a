//! Counts and times calls.
//!
//! | metric | labels |
//! | --- | --- |
//! | `mcx_grpc_requests_total` | `system`, `listener`, `method`, `code` |
//! | `mcx_grpc_request_duration_seconds` | `system`, `listener`, `method`, `code` |
//! | `mcx_grpc_requests_in_flight` | `system`, `listener` |

use std::future::Future;
use std::sync::Arc;

use mcx_federation::Listener;
use metrics::{Gauge, Label};
use tokio::time::Instant;
use tonic::Code;
use tracing::Span;

use super::{HttpRequest, HttpResponse, Middleware, Next};
use crate::error::code_name;
use crate::outcome::{Outcome, follow};
use crate::server::MethodTable;

#[derive(Clone)]
pub(crate) struct Metrics {
    labels: Arc<[Label]>,
    in_flight: Gauge,
    methods: Arc<MethodTable>,
}

impl Metrics {
    pub(crate) fn new(system: &str, listener: Listener, methods: Arc<MethodTable>) -> Self {
        let labels = [
            Label::new("system", system.to_owned()),
            Label::from_static_parts("listener", listener.as_str()),
        ];
        let in_flight = metrics::gauge!("mcx_grpc_requests_in_flight", labels.iter());
        Self { labels: Arc::new(labels), in_flight, methods }
    }
}

impl Middleware for Metrics {
    fn handle<S: Next>(
        &self,
        request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let Self { labels, in_flight, methods } = self.clone();
        let began = Instant::now();
        in_flight.increment(1.0);
        let path = request.uri().path().to_owned();
        let outcome = Outcome::new(move |code: Code| {
            in_flight.decrement(1.0);
            let mut labels = labels.to_vec();
            labels.push(Label::new("method", methods.name_of(&path).to_owned()));
            labels.push(Label::from_static_parts("code", code_name(code)));
            metrics::counter!("mcx_grpc_requests_total", labels.clone()).increment(1);
            metrics::histogram!("mcx_grpc_request_duration_seconds", labels).record(began.elapsed());
        });
        async move { follow(next.run(request).await, outcome, Span::none()) }
    }
}
