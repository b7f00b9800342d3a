//! Whether the caller may call the method here, by the one table.

use std::future::Future;
use std::sync::Arc;

use mcx_federation::access_token::Scope;
use mcx_federation::{Connection, Decision, Denial, PolicyTable};

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::error::status;
use crate::{CallContext, Refusal};

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
        let extensions = request.extensions();
        let (Some(connection), Some(context)) =
            (extensions.get::<Connection>(), extensions.get::<CallContext>())
        else {
            return Some(Refusal::NoIdentity);
        };
        let method = request.uri().path();
        match self.table.decide(method, connection, context.user.as_ref()) {
            Decision::Allow => None,
            Decision::Deny(denial) => {
                let caller = context.caller.to_string();
                let remote_address = context.remote_address;
                tracing::warn!(caller, %remote_address, method, %denial, "call denied by policy");
                Some(match denial {
                    Denial::ScopeMissing => Refusal::ScopeMissing { scopes: self.scopes_of(method) },
                    Denial::NoRule | Denial::WrongListener | Denial::CallerNotAllowed => {
                        let listener = context.listener.as_str();
                        Refusal::MethodNotAllowed { caller, method: method.to_owned(), listener }
                    }
                })
            }
        }
    }

    fn scopes_of(&self, method: &str) -> String {
        let scopes = self.table.scopes_of(method);
        scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }
}
