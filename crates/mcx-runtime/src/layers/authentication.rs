//! Who calls: from the certificate of the connection, or on the listener for UEs from the access token of the call; never from the
//! request itself.
//!
//! A stream ends when the access token is revoked that it was begun with.

use std::future::Future;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use mcx_federation::access_token::{AccessTokenVerifier, AuthenticatedUser, TokenRefusal, TokenWatch};
use mcx_federation::{Connection, Listener, PolicyTable};
use mcx_types::{McSystemId, SpiffeId};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{HttpRequest, HttpResponse, Middleware, Next, refuse};
use crate::ending::{EndingBody, Side};
use crate::error::status;
use crate::server::{MethodKind, MethodTable};
use crate::{CallContext, Deadline, Refusal, RequestId};

#[derive(Clone)]
pub(crate) struct Authentication {
    pub(crate) own_system: McSystemId,
    pub(crate) policy: Arc<PolicyTable>,
    /// For the listener of UEs, which is not opened without.
    pub(crate) access_tokens: Option<AccessTokenVerifier>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) methods: Arc<MethodTable>,
}

impl Middleware for Authentication {
    fn handle<S: Next>(
        &self,
        mut request: HttpRequest,
        next: S,
    ) -> impl Future<Output = HttpResponse> + Send + 'static {
        let context = self.context(&request);
        let watch = context.as_ref().ok().and_then(|context| self.watch(request.uri().path(), context));
        // Nothing below needs the token: what is not there can neither be logged nor passed on.
        request.headers_mut().remove(AUTHORIZATION);
        async move {
            match context {
                Ok(context) => {
                    request.extensions_mut().insert(context.clone());
                    let response = context.scope(next.run(request)).await;
                    match watch {
                        Some(watch) => {
                            response.map(|body| EndingBody::wrap(body, revoked(watch), Side::Server))
                        }
                        None => response,
                    }
                }
                Err(refusal) => refuse(status(&refusal)),
            }
        }
    }
}

/// Completes when the token is revoked by which the call goes on.
async fn revoked(watch: TokenWatch) -> Status {
    watch.revoked().await;
    status(&Refusal::AccessTokenRevoked)
}

impl Authentication {
    /// A stream of responses goes on for long after its token was verified.
    fn watch(&self, path: &str, context: &CallContext) -> Option<TokenWatch> {
        if self.methods.kind_of(path) == MethodKind::Unary {
            return None;
        }
        context.user.as_ref().zip(self.access_tokens.as_ref()).map(|(user, verifier)| verifier.watch(user))
    }

    fn context(&self, request: &HttpRequest) -> Result<CallContext, Refusal> {
        let extensions = request.extensions();
        let connection = extensions.get::<Connection>().ok_or(Refusal::NoIdentity)?;
        let (caller, user) = match connection {
            Connection::Certified(connection) => (connection.peer.clone(), None),
            Connection::Client(_) => {
                let user = self.user(request, connection)?;
                let caller = match &user {
                    Some(user) => SpiffeId::user(self.own_system.clone(), user.subject.clone()),
                    None => SpiffeId::anonymous(self.own_system.clone()),
                };
                (caller, user)
            }
        };
        Ok(CallContext {
            caller,
            certificate_sha256: connection.certified().map(|connection| connection.certificate_sha256),
            user,
            remote_address: connection.remote_address(),
            listener: connection.listener(),
            request_id: extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::random),
            deadline: extensions.get::<Deadline>().copied(),
            shutdown: self.shutdown.clone(),
        })
    }

    /// The user of a call on the listener for UEs; none where the method is for everybody, whose tokens are not even looked at.
    fn user(
        &self,
        request: &HttpRequest,
        connection: &Connection,
    ) -> Result<Option<AuthenticatedUser>, Refusal> {
        let method = request.uri().path();
        if self.policy.is_for_anyone(method, Listener::Client) {
            return Ok(None);
        }
        let verifier = self.access_tokens.as_ref().ok_or(Refusal::AccessTokenTrustUnknown)?;
        let remote_address = connection.remote_address();
        let Some(token) = bearer_token(request.headers()) else {
            tracing::debug!(%remote_address, method, "call without an access token");
            return Err(Refusal::AccessTokenMissing);
        };
        let verified = token.ok_or(TokenRefusal::Malformed { reason: "no single bearer token" });
        verified.and_then(|token| verifier.verify(token)).map(Some).map_err(|cause| {
            match cause {
                // As happens to everybody in the end.
                TokenRefusal::Expired { .. } => {
                    tracing::debug!(%remote_address, method, %cause, "access token refused");
                }
                _ => tracing::warn!(%remote_address, method, %cause, "access token refused"),
            }
            match cause {
                TokenRefusal::TrustNotYetKnown => Refusal::AccessTokenTrustUnknown,
                TokenRefusal::Expired { .. } => Refusal::AccessTokenExpired,
                TokenRefusal::Revoked { .. } => Refusal::AccessTokenRevoked,
                _ => Refusal::AccessTokenInvalid,
            }
        })
    }
}

/// The token of `authorization: Bearer …` (RFC 6750 2.1): outside none where there is no such header, inside none where it is another
/// scheme or more than one.
fn bearer_token(headers: &HeaderMap) -> Option<Option<&str>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(None);
    }
    let of_scheme = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = of_scheme
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_start_matches(' '));
    Some(token)
}
