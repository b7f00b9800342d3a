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
    /// The policy table does not let this caller call this method here.
    #[error("{caller} may not call {method} on the {listener} listener")]
    MethodNotAllowed {
        /// The SPIFFE ID of the caller.
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
            Self::NoIdentity => Code::Unauthenticated,
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
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => Some(*retry_after),
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
