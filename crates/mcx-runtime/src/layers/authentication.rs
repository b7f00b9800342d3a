//! Who calls: taken from the connection, never from the request.

use std::future::Future;

use mcx_federation::ConnectionInfo;

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::error::status;
use crate::{CallContext, Deadline, Refusal, RequestId};

#[derive(Clone)]
pub(crate) struct Authentication;

impl Middleware for Authentication {
    fn handle<S: Next>(
        &self,
        mut request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let extensions = request.extensions_mut();
        let context = extensions.get::<ConnectionInfo>().cloned().map(|connection| CallContext {
            caller: connection.peer,
            certificate_sha256: connection.certificate_sha256,
            remote_address: connection.remote_address,
            listener: connection.listener,
            request_id: extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::random),
            deadline: extensions.get::<Deadline>().copied(),
        });
        async move {
            match context {
                Some(context) => {
                    request.extensions_mut().insert(context.clone());
                    context.scope(next.run(request)).await
                }
                None => refuse(status(&Refusal::NoIdentity)),
            }
        }
    }
}
