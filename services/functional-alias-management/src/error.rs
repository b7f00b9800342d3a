//! Everything that functional alias management answers instead of what was asked. One variant per cause; the gRPC code, the reason and the
//! metadata of each are decided here and nowhere else.

use std::time::Duration;

use mcx_proto::functionalalias::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_store::changes::SubscribeError;
use mcx_types::{FunctionalAlias, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

/// How long a caller is asked to wait where something of ours is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request was not answered with what it asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("the request has {} invalid field(s)", .0.as_slice().len())]
    Invalid(Violations),
    /// There is no such functional alias.
    #[error("there is no functional alias {0}")]
    AliasUnknown(FunctionalAlias),
    /// There is such a functional alias already.
    #[error("there is a functional alias {0} already")]
    AliasExists(FunctionalAlias),
    /// The resource was changed since its `etag` was read.
    #[error("the functional alias was changed since its etag was read")]
    EtagMismatch,
    /// The `request_id` was used for another request.
    #[error("the request_id was used for another request")]
    RequestIdReused(Uuid),
    /// Changes since the resume token are no longer kept.
    #[error("changes since the resume token are no longer kept")]
    ResumeTokenCompacted,
    /// The resume token is not of this change log.
    #[error("the resume token is not of this change log")]
    ResumeTokenForeign,
    /// The access token that the stream was opened with has expired.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// This replica is about to stop.
    #[error("the server is about to stop")]
    Draining,
    /// The database is away.
    #[error("the database is away")]
    StoreUnavailable,
    /// A fault of this service.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// The reason in the protocol.
    pub fn error_reason(&self) -> ErrorReason {
        match self {
            Self::Invalid(_) => ErrorReason::InvalidRequest,
            Self::AliasUnknown(_) => ErrorReason::FunctionalAliasUnknown,
            Self::AliasExists(_) => ErrorReason::FunctionalAliasExists,
            Self::EtagMismatch => ErrorReason::EtagMismatch,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::ResumeTokenCompacted => ErrorReason::ResumeTokenCompacted,
            Self::ResumeTokenForeign => ErrorReason::ResumeTokenForeign,
            Self::AccessTokenExpired => ErrorReason::AccessTokenExpired,
            Self::Draining => ErrorReason::Draining,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::Internal(_) => ErrorReason::Internal,
        }
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable | StoreError::Conflict | StoreError::SchemaBehind { .. } => {
                Self::StoreUnavailable
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<SubscribeError> for Error {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Compacted { .. } => Self::ResumeTokenCompacted,
            SubscribeError::Foreign | SubscribeError::Future { .. } => Self::ResumeTokenForeign,
            SubscribeError::Malformed(malformed) => {
                let mut violations = Violations::new();
                violations.add("resume_token", malformed);
                Self::Invalid(violations)
            }
            SubscribeError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl ErrorFacts for Error {
    fn code(&self) -> Code {
        match self.error_reason() {
            ErrorReason::InvalidRequest => Code::InvalidArgument,
            ErrorReason::FunctionalAliasUnknown => Code::NotFound,
            ErrorReason::FunctionalAliasExists | ErrorReason::RequestIdReused => Code::AlreadyExists,
            ErrorReason::EtagMismatch => Code::Aborted,
            ErrorReason::AccessTokenExpired => Code::Unauthenticated,
            ErrorReason::Draining | ErrorReason::StoreUnavailable => Code::Unavailable,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
            ErrorReason::ResumeTokenCompacted => Code::OutOfRange,
            ErrorReason::ResumeTokenForeign => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        let name = self.error_reason().as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    fn domain(&self) -> &'static str {
        "mcx.functionalalias.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        match self {
            Self::AliasUnknown(alias) | Self::AliasExists(alias) => {
                vec![("functional_alias".to_owned(), alias.to_string())]
            }
            Self::RequestIdReused(id) => vec![("request_id".to_owned(), id.to_string())],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self.code(), Code::Unavailable).then_some(RETRY_AFTER)
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations.as_slice(),
            _ => &[],
        }
    }
}
