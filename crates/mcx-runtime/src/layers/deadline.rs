//! Ends a call when nobody waits for its answer any more.
//!
//! The deadline is the caller's, and no later than the server's own limit. The limit is for single answers: a stream
//! of requests or responses goes on for as long as the caller waits. tonic's own time-out is not used, because it
//! answers CANCELLED.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mcx_types::Violations;

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::deadline::{GRPC_TIMEOUT, MalformedTimeout, grpc_timeout, until};
use crate::ending::Side;
use crate::error::status;
use crate::server::{MethodKind, MethodTable};
use crate::{Deadline, Refusal};

#[derive(Clone)]
pub(crate) struct DeadlineLimit {
    pub(crate) most: Duration,
    pub(crate) methods: Arc<MethodTable>,
}

impl Middleware for DeadlineLimit {
    fn handle<S: Next>(
        &self,
        mut request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let kind = self.methods.kind_of(request.uri().path());
        let deadlines =
            grpc_timeout(request.headers()).map(|timeout| Deadlines::new(timeout, self.most, kind));
        async move {
            let deadlines = match deadlines {
                Ok(deadlines) => deadlines,
                Err(malformed) => return refuse(status(&malformed_deadline(malformed))),
            };
            if let Some(deadline) = deadlines.of_call {
                request.extensions_mut().insert(deadline);
            }
            let Some(until_headers) = deadlines.until_headers else { return next.run(request).await };
            if until_headers.is_over() {
                return refuse(status(&Refusal::DeadlineExceeded));
            }
            match tokio::time::timeout_at(until_headers.at(), next.run(request)).await {
                Ok(response) => match deadlines.of_call {
                    Some(deadline) => response.map(|body| until(deadline, body, Side::Server)),
                    _ => response,
                },
                Err(_) => refuse(status(&Refusal::DeadlineExceeded)),
            }
        }
    }
}

/// Until when the parts of a call may go on.
struct Deadlines {
    /// Until the response begins.
    until_headers: Option<Deadline>,
    /// Until the response ends, which is also what the handler is told.
    of_call: Option<Deadline>,
}

impl Deadlines {
    fn new(caller_waits: Option<Duration>, most: Duration, kind: MethodKind) -> Self {
        let capped = Deadline::after(caller_waits.unwrap_or(most).min(most));
        let as_long_as_the_caller_waits = caller_waits.map(Deadline::after);
        match kind {
            MethodKind::Unary => Self { until_headers: Some(capped), of_call: Some(capped) },
            MethodKind::ServerStreaming => {
                Self { until_headers: Some(capped), of_call: as_long_as_the_caller_waits }
            }
            MethodKind::ClientStreaming => {
                Self { until_headers: as_long_as_the_caller_waits, of_call: as_long_as_the_caller_waits }
            }
        }
    }
}

fn malformed_deadline(malformed: MalformedTimeout) -> Refusal {
    let mut violations = Violations::new();
    violations.add(GRPC_TIMEOUT, malformed);
    Refusal::MalformedDeadline(violations.as_slice().to_vec())
}
