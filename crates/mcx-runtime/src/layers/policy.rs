//! Whether the caller may call the method here, by the one table.

use std::future::Future;
use std::sync::Arc;

use mcx_federation::{ConnectionInfo, Decision, PolicyTable};

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::Refusal;
use crate::error::status;

#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) table: Arc<PolicyTable>,
}

impl Middleware for Policy {
    fn handle<S: Next>(
        &self,
        request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let refusal = self.refusal(&request);
        async move {
            match refusal {
                None => next.run(request).await,
                Some(refusal) => refuse(status(&refusal)),
            }
        }
    }
}

impl Policy {
    fn refusal(&self, request: &HttpRequest) -> Option<Refusal> {
        let Some(connection) = request.extensions().get::<ConnectionInfo>() else {
            return Some(Refusal::NoIdentity);
        };
        let method = request.uri().path();
        match self.table.decide(method, connection) {
            Decision::Allow => None,
            Decision::Deny(denial) => {
                let caller = connection.peer.to_string();
                let remote_address = connection.remote_address;
                tracing::warn!(caller, %remote_address, method, %denial, "call denied by policy");
                let listener = connection.listener.as_str();
                Some(Refusal::MethodNotAllowed { caller, method: method.to_owned(), listener })
            }
        }
    }
}
