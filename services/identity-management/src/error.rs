//! Everything that identity management answers over gRPC instead of what was asked. One variant per cause; the gRPC code, the reason and
//! the metadata of each are decided here and nowhere else. What HTTPS answers is decided in `https::error`.

use std::time::Duration;

use mcx_proto::identity::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_types::{McId, McServiceId, McSystemId, Subject, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

/// How long a caller is asked to wait where something is away or too busy.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why a request was not answered with what it asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("the request has {} invalid field(s)", .0.as_slice().len())]
    Invalid(Violations),
    /// No account has this MC ID.
    #[error("no account has this mc id")]
    AccountNotFound(McId),
    /// No account has this subject.
    #[error("no account has this subject")]
    SubjectNotFound(Subject),
    /// An exchange target names a subject that no account has.
    #[error("no account has the subject of the exchange target")]
    TargetSubjectUnknown(Subject),
    /// No client has this identifier.
    #[error("no client has this identifier")]
    ClientNotFound(String),
    /// The identity management server of this MC system is not trusted.
    #[error("the identity management server of {0} is not trusted")]
    PartnerTrustNotFound(McSystemId),
    /// A visitor comes from an MC system whose identity management server is not trusted.
    #[error("a visitor is of {0}, whose identity management server is not trusted")]
    VisitorOfUntrusted(McSystemId),
    /// A visitor does not fit the trust in her primary MC system.
    #[error("a visitor of {mc_system_id} does not fit the trust in it: {mismatch}")]
    PartnerTrustMismatch {
        /// Her primary MC system.
        mc_system_id: McSystemId,
        /// What does not fit: `issuer` or `scopes`.
        mismatch: &'static str,
    },
    /// Visitors are still mapped by this trust.
    #[error("visitors of {0} are still mapped")]
    PartnerTrustInUse(McSystemId),
    /// No signing key has this identifier.
    #[error("no signing key has this identifier")]
    SigningKeyNotFound(String),
    /// The key that a signing key is sealed under is not in the key file.
    #[error("the key-encryption key {key_id} is missing")]
    KeyEncryptionKeyMissing {
        /// The identifier of the key.
        key_id: String,
    },
    /// Another account, visitor, client or trust has one of the identities.
    #[error("an identity is taken: {constraint}")]
    IdentityTaken {
        /// The rule of the store that was hit.
        constraint: String,
        /// The MC service ID that is taken, where it is one.
        mc_service_id: Option<McServiceId>,
    },
    /// The resource was changed since its `etag` was read.
    #[error("the resource was changed since its etag was read")]
    EtagMismatch,
    /// The `request_id` was used for another request.
    #[error("the request_id was used for another request")]
    RequestIdReused(Uuid),
    /// Too many passwords are being checked or set.
    #[error("too many passwords are being checked")]
    Overloaded,
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
            Self::AccountNotFound(_) | Self::SubjectNotFound(_) | Self::TargetSubjectUnknown(_) => {
                ErrorReason::AccountUnknown
            }
            Self::ClientNotFound(_) => ErrorReason::ClientUnknown,
            Self::PartnerTrustNotFound(_) | Self::VisitorOfUntrusted(_) => ErrorReason::PartnerTrustUnknown,
            Self::PartnerTrustMismatch { .. } => ErrorReason::PartnerTrustMismatch,
            Self::PartnerTrustInUse(_) => ErrorReason::PartnerTrustInUse,
            Self::SigningKeyNotFound(_) => ErrorReason::SigningKeyUnknown,
            Self::KeyEncryptionKeyMissing { .. } => ErrorReason::KeyEncryptionKeyMissing,
            Self::IdentityTaken { .. } => ErrorReason::IdentityTaken,
            Self::EtagMismatch => ErrorReason::EtagMismatch,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::Overloaded => ErrorReason::Overloaded,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::Internal(_) => ErrorReason::Internal,
        }
    }

    /// Whether it is about the service and not about what was asked.
    pub(crate) fn is_fault(&self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::Internal(_) | Self::Overloaded)
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
            StoreError::UniqueViolation { constraint } => {
                Self::IdentityTaken { constraint, mc_service_id: None }
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl ErrorFacts for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::AccountNotFound(_)
            | Self::SubjectNotFound(_)
            | Self::ClientNotFound(_)
            | Self::PartnerTrustNotFound(_)
            | Self::SigningKeyNotFound(_) => Code::NotFound,
            Self::TargetSubjectUnknown(_)
            | Self::VisitorOfUntrusted(_)
            | Self::PartnerTrustMismatch { .. }
            | Self::PartnerTrustInUse(_)
            | Self::KeyEncryptionKeyMissing { .. } => Code::FailedPrecondition,
            Self::IdentityTaken { .. } | Self::RequestIdReused(_) => Code::AlreadyExists,
            Self::EtagMismatch => Code::Aborted,
            Self::Overloaded | Self::StoreUnavailable => Code::Unavailable,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        let name = self.error_reason().as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    fn domain(&self) -> &'static str {
        "mcx.identity.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self {
            Self::AccountNotFound(id) => vec![("mc_id", id.to_string())],
            Self::SubjectNotFound(subject) | Self::TargetSubjectUnknown(subject) => {
                vec![("subject", subject.to_string())]
            }
            Self::ClientNotFound(id) => vec![("client_id", id.clone())],
            Self::PartnerTrustNotFound(id) | Self::VisitorOfUntrusted(id) | Self::PartnerTrustInUse(id) => {
                vec![("mc_system_id", id.to_string())]
            }
            Self::PartnerTrustMismatch { mc_system_id, mismatch } => {
                vec![("mc_system_id", mc_system_id.to_string()), ("mismatch", (*mismatch).to_owned())]
            }
            Self::SigningKeyNotFound(kid) => vec![("kid", kid.clone())],
            Self::KeyEncryptionKeyMissing { key_id } => vec![("key_id", key_id.clone())],
            Self::IdentityTaken { constraint, mc_service_id } => {
                let id = mc_service_id.iter().map(|id| ("mc_service_id", id.to_string()));
                std::iter::once(("constraint", constraint.clone())).chain(id).collect()
            }
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::Invalid(_)
            | Self::EtagMismatch
            | Self::Overloaded
            | Self::StoreUnavailable
            | Self::Internal(_) => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Overloaded | Self::StoreUnavailable).then_some(RETRY_AFTER)
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations.as_slice(),
            _ => &[],
        }
    }
}
