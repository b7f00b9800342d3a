//! What the layers know about a call, for its handler and for the calls that the handler makes.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use mcx_federation::access_token::AuthenticatedUser;
use mcx_federation::{Listener, Sha256Fingerprint};
use mcx_types::SpiffeId;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use uuid::Uuid;

use crate::error::status;
use crate::{Deadline, Refusal};

/// The header that carries a [`RequestId`].
pub(crate) const X_REQUEST_ID: &str = "x-request-id";

/// The id under which every log line of a call can be found, in every service that it passes through.
///
/// Shape: 1 to 128 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `_`, `.`, so that it can stand in a log line as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new one.
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// That of the caller, or a new one where the caller gave none or one of another shape.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|text| (1..=128).contains(&text.len()) && text.bytes().all(is_allowed))
            .map_or_else(Self::random, |text| Self(text.into()))
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("the shape of a request id allows it")
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is known about the call that is being answered.
///
/// Handlers take it from their request. It also accompanies the handler as a task-local, from which
/// [`crate::client::Outgoing`] passes the request id and the deadline on; a task that a handler starts keeps it with
/// [`CallContext::scope`].
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who calls: as the certificate of the connection proves it, or on the listener for UEs as the access token of the call does. A
    /// UE that needs no token here is [`mcx_types::Principal::Anonymous`].
    pub caller: SpiffeId,
    /// The certificate that proved it, for audit records; none on the listener for UEs. See [`CallContext::certificate`].
    pub certificate_sha256: Option<Sha256Fingerprint>,
    /// The user for whom a UE calls; none for entities, operators and calls without an access token. See [`CallContext::user_of`].
    pub user: Option<AuthenticatedUser>,
    /// From where.
    pub remote_address: SocketAddr,
    /// On which listener.
    pub listener: Listener,
    /// The id to find the call by.
    pub request_id: RequestId,
    /// When the caller no longer waits; `None` where it waits for as long as it takes.
    pub deadline: Option<Deadline>,
    /// Cancelled when the server ends: a handler that answers with a long stream ends it then, instead of having it cut.
    pub shutdown: CancellationToken,
}

tokio::task_local! {
    static CURRENT: CallContext;
}

impl CallContext {
    /// The context of a call, as its handler has it.
    ///
    /// # Errors
    /// INTERNAL where the call did not come through the layers.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| status(&Refusal::NoContext))
    }

    /// The user for whom a UE makes this call.
    ///
    /// # Errors
    /// UNAUTHENTICATED where the call is not that of a user, and those of [`CallContext::of`].
    pub fn user_of<T>(request: &Request<T>) -> Result<AuthenticatedUser, Status> {
        let context = request.extensions().get::<Self>().ok_or_else(|| status(&Refusal::NoContext))?;
        context.user.clone().ok_or_else(|| status(&Refusal::NoUser))
    }

    /// The certificate that proved who calls.
    ///
    /// # Errors
    /// UNAUTHENTICATED where none was shown, as on the listener for UEs.
    pub fn certificate(&self) -> Result<Sha256Fingerprint, Status> {
        self.certificate_sha256.ok_or_else(|| status(&Refusal::NoIdentity))
    }

    /// The context of the call that the current task answers; `None` outside of calls.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a part of the work on a call, such as a task of its own, with the call's context.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_could_forge_a_log_line_is_replaced() {
        let id_of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::try_from(text).unwrap());
            RequestId::of(&headers)
        };
        assert_eq!(id_of("alice-7.registration_1").as_str(), "alice-7.registration_1");
        let overlong = "a".repeat(129);
        for text in ["", "a b", "a\tlevel=error", "{\"a\":1}", overlong.as_str()] {
            assert_ne!(id_of(text).as_str(), text);
        }
    }

    #[test]
    fn a_handler_outside_of_the_layers_gets_a_status_and_no_panic() {
        let refused = CallContext::of(&Request::new(())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Internal);
        assert!(CallContext::current().is_none());
    }
}
