//! What the layers answer instead of the handler.

use std::time::Duration;

use mcx_types::Violation;
use tonic::Code;

use crate::error::ErrorFacts;

/// Why a call did not get as far as its handler, or did not get its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The time that the caller gave, or the most that the server takes, is over.
    #[error("the deadline of the call is over")]
    DeadlineExceeded,
    /// The header `grpc-timeout` is not of the form of the gRPC specification.
    #[error("the deadline of the call cannot be read")]
    MalformedDeadline(Vec<Violation>),
    /// As many calls as the server takes are under way.
    #[error("the server has as many calls under way as it takes")]
    Overloaded {
        /// How long to wait before asking again.
        retry_after: Duration,
    },
    /// The connection does not prove who calls.
    #[error("the connection does not prove who calls")]
    NoIdentity,
    /// Calls on this listener need an access token, and this one has none.
    #[error("the call carries no access token")]
    AccessTokenMissing,
    /// The access token is not one of ours, or not for us. The log has the cause; the caller is not told.
    #[error("the access token is not accepted")]
    AccessTokenInvalid,
    /// The access token has expired.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// The access token was revoked.
    #[error("the access token was revoked")]
    AccessTokenRevoked,
    /// The server has not learnt yet whose access tokens to believe.
    #[error("access tokens cannot be verified yet")]
    AccessTokenTrustUnknown,
    /// The access token has none of the scopes that would do.
    #[error("the access token lacks the scope for this method")]
    ScopeMissing {
        /// Any of these would do; separated by spaces.
        scopes: String,
    },
    /// A handler asked for the user of a call that no access token came with.
    #[error("the call is not that of a user")]
    NoUser,
    /// The policy table does not let this caller call this method here.
    #[error("{caller} may not call {method} on the {listener} listener")]
    MethodNotAllowed {
        /// The caller, in the form of a SPIFFE ID.
        caller: String,
        /// The path of the method.
        method: String,
        /// The listener.
        listener: &'static str,
    },
    /// A handler asked for the context of its call, but the call did not come through the layers.
    #[error("the call did not come through the layers")]
    NoContext,
}

impl ErrorFacts for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::MalformedDeadline(_) => Code::InvalidArgument,
            Self::Overloaded { .. } => Code::ResourceExhausted,
            Self::NoIdentity
            | Self::AccessTokenMissing
            | Self::AccessTokenInvalid
            | Self::AccessTokenExpired
            | Self::AccessTokenRevoked
            | Self::NoUser => Code::Unauthenticated,
            Self::AccessTokenTrustUnknown => Code::Unavailable,
            Self::ScopeMissing { .. } => Code::PermissionDenied,
            Self::MethodNotAllowed { .. } => Code::PermissionDenied,
            Self::NoContext => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::MalformedDeadline(_) => "MALFORMED_DEADLINE",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::NoIdentity => "NO_IDENTITY",
            Self::AccessTokenMissing | Self::NoUser => "ACCESS_TOKEN_MISSING",
            Self::AccessTokenInvalid => "ACCESS_TOKEN_INVALID",
            Self::AccessTokenExpired => "ACCESS_TOKEN_EXPIRED",
            Self::AccessTokenRevoked => "ACCESS_TOKEN_REVOKED",
            Self::AccessTokenTrustUnknown => "ACCESS_TOKEN_TRUST_UNKNOWN",
            Self::ScopeMissing { .. } => "SCOPE_MISSING",
            Self::MethodNotAllowed { .. } => "METHOD_NOT_ALLOWED",
            Self::NoContext => "NO_CALL_CONTEXT",
        }
    }

    fn domain(&self) -> &'static str {
        crate::DOMAIN
    }

    fn metadata(&self) -> Vec<(String, String)> {
        match self {
            Self::MethodNotAllowed { caller, method, listener } => vec![
                ("caller".to_owned(), caller.clone()),
                ("method".to_owned(), method.clone()),
                ("listener".to_owned(), (*listener).to_owned()),
            ],
            Self::ScopeMissing { scopes } => vec![("scope".to_owned(), scopes.clone())],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => Some(*retry_after),
            Self::AccessTokenTrustUnknown => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::MalformedDeadline(violations) => violations,
            _ => &[],
        }
    }
}
