//! What a call to configuration management can fail with.

use std::time::Duration;

use mcx_runtime::error::{RemoteError, decode_status};
use tonic::{Code, Status};

/// The reasons of `mcx.configuration.v1.ErrorReason`.
pub use mcx_proto::configuration::v1::ErrorReason as Reason;

/// Why a call to configuration management has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// It refused.
    #[error("configuration management refused: {remote}")]
    Refused {
        /// Why.
        reason: Reason,
        /// Everything it told, for metadata and field violations.
        remote: Box<RemoteError>,
    },
    /// It did not answer in time, could not be reached, is overloaded, has no database at present, or could not ask a primary MC system.
    /// The same call may succeed later.
    #[error("configuration management is unavailable: {remote}")]
    Unavailable {
        /// How long to wait, where it says so.
        retry_after: Option<Duration>,
        /// Everything that is known about it.
        remote: Box<RemoteError>,
    },
    /// It answered with something else: it does not know us, or one of the two is at fault.
    #[error("configuration management answered unexpectedly: {remote}")]
    Unexpected {
        /// Everything that is known about it.
        remote: Box<RemoteError>,
    },
    /// It answered with something that is no answer to the request.
    #[error("the answer of configuration management has no {field}")]
    MalformedAnswer {
        /// What is missing.
        field: &'static str,
    },
}

impl ClientError {
    /// Why configuration management refused, where it did.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let remote = Box::new(decode_status(&status));
        let reason = match remote.domain == crate::error::DOMAIN {
            true => Reason::from_str_name(&format!("ERROR_REASON_{}", remote.reason)),
            false => None,
        };
        match (remote.code, reason) {
            (Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled, _) => {
                Self::Unavailable { retry_after: remote.retry_after, remote }
            }
            (_, Some(reason)) if reason != Reason::Internal => Self::Refused { reason, remote },
            _ => Self::Unexpected { remote },
        }
    }
}
