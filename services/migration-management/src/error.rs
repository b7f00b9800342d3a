//! Everything that migration management answers instead of what was asked. One variant per cause; the gRPC code, the reason and the
//! metadata of each are decided here and nowhere else.

use std::time::Duration;

use mcx_proto::migration::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_types::{McSystemId, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

use crate::domain::admission::Mismatch;
use crate::domain::refusal::Refusal;

/// How long a caller is asked to wait where something of ours or of the primary is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Another entity on the way, in this or in the primary MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The MC system of the entity.
    pub mc_system_id: McSystemId,
    /// What the entity is, for example `migration-management`.
    pub entity: mcx_types::Entity,
}

impl std::fmt::Display for Hop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.mc_system_id, self.entity)
    }
}

/// Why a request was not answered with what it asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("the request has {} invalid field(s)", .0.as_slice().len())]
    Invalid(Violations),
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No binding has this identifier.
    #[error("no binding has this identifier")]
    BindingNotFound(Uuid),
    /// No permit has this identifier.
    #[error("no permit has this identifier")]
    PermitNotFound(Uuid),
    /// There is no agreement with this MC system.
    #[error("there is no agreement with {0}")]
    AgreementNotFound(McSystemId),
    /// Bindings or permits still name the partner.
    #[error("bindings or permits still name {0}")]
    AgreementInUse(McSystemId),
    /// Another binding, permit or agreement has one of the identities.
    #[error("an identity is taken: {constraint}")]
    IdentityTaken {
        /// The rule of the store that was hit.
        constraint: String,
    },
    /// The resource was changed since its `etag` was read.
    #[error("the resource was changed since its etag was read")]
    EtagMismatch,
    /// The `request_id` was used for another request.
    #[error("the request_id was used for another request")]
    RequestIdReused(Uuid),
    /// The primary MC system does not know the user, or does not permit her to migrate here.
    #[error("{} does not know the user or does not permit her to migrate here", hop.mc_system_id)]
    UserUnknownAtPrimary {
        /// Who said so.
        hop: Hop,
    },
    /// The primary MC system refuses to talk to us.
    #[error("{} refuses this mc system: {peer_reason}", hop.mc_system_id)]
    PartnerRefusedUs {
        /// Who refuses.
        hop: Hop,
        /// The reason that it gave.
        peer_reason: String,
    },
    /// The primary MC system did not answer in time.
    #[error("{} did not answer in time", hop.mc_system_id)]
    PrimarySystemUnreachable {
        /// Who did not answer.
        hop: Hop,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The primary MC system answered something else than what was asked.
    #[error("the answer of {} was thrown away: {}", hop.mc_system_id, mismatch.as_str())]
    PrimarySystemAnswerInvalid {
        /// Who answered.
        hop: Hop,
        /// How the answer differs.
        mismatch: Mismatch,
    },
    /// The own SIP database did not answer in time.
    #[error("the sip database did not answer in time")]
    SipDatabaseUnreachable {
        /// Who did not answer.
        hop: Hop,
    },
    /// No user migration has this identifier.
    #[error("no user migration has this identifier")]
    UserMigrationNotFound(Uuid),
    /// No request for user migrations has this identifier.
    #[error("no request for user migrations has this identifier")]
    UserMigrationRequestNotFound(Uuid),
    /// A user migration keeps the binding or permit.
    #[error("the user migration {0} keeps it: revoke that")]
    KeptByUserMigration(Uuid),
    /// There is no admission policy for this MC system.
    #[error("there is no admission policy for {0}")]
    AdmissionPolicyNotFound(McSystemId),
    /// The partner MC system did not answer in time.
    #[error("{} did not answer in time", hop.mc_system_id)]
    PartnerUnreachable {
        /// Who did not answer.
        hop: Hop,
        /// When to ask again.
        retry_after: Duration,
    },
    /// Another entity of this MC system did not answer in time.
    #[error("{} did not answer in time", hop.entity)]
    EntityUnreachable {
        /// Who did not answer.
        hop: Hop,
    },
    /// Another entity of this MC system refused what a user migration needs.
    #[error("{} refuses: {peer_reason}", hop.entity)]
    EntityRefused {
        /// Who refuses.
        hop: Hop,
        /// The reason that it gave.
        peer_reason: String,
    },
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
            Self::Refused(refusal) => refusal_reason(refusal),
            Self::BindingNotFound(_) => ErrorReason::BindingUnknown,
            Self::PermitNotFound(_) => ErrorReason::PermitUnknown,
            Self::AgreementNotFound(_) => ErrorReason::AgreementUnknown,
            Self::AgreementInUse(_) => ErrorReason::AgreementInUse,
            Self::IdentityTaken { .. } => ErrorReason::IdentityTaken,
            Self::EtagMismatch => ErrorReason::EtagMismatch,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::UserUnknownAtPrimary { .. } => ErrorReason::UserUnknownAtPrimary,
            Self::PartnerRefusedUs { .. } => ErrorReason::PartnerRefusedUs,
            Self::PrimarySystemUnreachable { .. } => ErrorReason::PrimarySystemUnreachable,
            Self::PrimarySystemAnswerInvalid { .. } => ErrorReason::PrimarySystemAnswerInvalid,
            Self::SipDatabaseUnreachable { .. } => ErrorReason::SipDatabaseUnreachable,
            Self::UserMigrationNotFound(_) => ErrorReason::UserMigrationUnknown,
            Self::UserMigrationRequestNotFound(_) => ErrorReason::UserMigrationRequestUnknown,
            Self::KeptByUserMigration(_) => ErrorReason::KeptByUserMigration,
            Self::AdmissionPolicyNotFound(_) => ErrorReason::AdmissionPolicyUnknown,
            Self::PartnerUnreachable { .. } => ErrorReason::PartnerUnreachable,
            Self::EntityUnreachable { .. } => ErrorReason::EntityUnreachable,
            Self::EntityRefused { .. } => ErrorReason::EntityRefused,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::Internal(_) => ErrorReason::Internal,
        }
    }

    /// The name of the reason, as records and `google.rpc.ErrorInfo` carry it.
    pub fn reason_name(&self) -> &'static str {
        reason_name(self.error_reason())
    }

    /// Whether a rule forbids what was asked; otherwise it could not be done, or the caller erred.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::UserUnknownAtPrimary { .. } | Self::PartnerRefusedUs { .. })
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
            StoreError::UniqueViolation { constraint } => Self::IdentityTaken { constraint },
            other => Self::Internal(other.to_string()),
        }
    }
}

impl ErrorFacts for Error {
    fn code(&self) -> Code {
        match self.error_reason() {
            ErrorReason::InvalidRequest | ErrorReason::VectorCountExceeded => Code::InvalidArgument,
            ErrorReason::BindingUnknown
            | ErrorReason::PermitUnknown
            | ErrorReason::UserMigrationUnknown
            | ErrorReason::UserMigrationRequestUnknown
            | ErrorReason::AdmissionPolicyUnknown
            | ErrorReason::UserUnknownAtPrimary => Code::NotFound,
            ErrorReason::AgreementUnknown if matches!(self, Self::AgreementNotFound(_)) => Code::NotFound,
            ErrorReason::NotAgreed | ErrorReason::MigrationNotPermitted => Code::PermissionDenied,
            ErrorReason::RateLimited | ErrorReason::PendingOffersExceeded => Code::ResourceExhausted,
            ErrorReason::IdentityTaken | ErrorReason::RequestIdReused => Code::AlreadyExists,
            ErrorReason::EtagMismatch => Code::Aborted,
            ErrorReason::PrimarySystemUnreachable
            | ErrorReason::PrimarySystemAnswerInvalid
            | ErrorReason::SipDatabaseUnreachable
            | ErrorReason::PartnerUnreachable
            | ErrorReason::EntityUnreachable
            | ErrorReason::StoreUnavailable => Code::Unavailable,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
            _ => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason_name()
    }

    fn domain(&self) -> &'static str {
        "mcx.migration.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self {
            Self::Refused(refusal) => refusal_metadata(refusal),
            Self::BindingNotFound(id) => vec![("binding_id", id.to_string())],
            Self::PermitNotFound(id) => vec![("permit_id", id.to_string())],
            Self::AgreementNotFound(id) | Self::AgreementInUse(id) => vec![("mc_system_id", id.to_string())],
            Self::IdentityTaken { constraint } => vec![("constraint", constraint.clone())],
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::UserUnknownAtPrimary { hop }
            | Self::PrimarySystemUnreachable { hop, .. }
            | Self::PartnerUnreachable { hop, .. } => hop_metadata(hop),
            Self::SipDatabaseUnreachable { hop } | Self::EntityUnreachable { hop } => {
                vec![("hop", hop.to_string())]
            }
            Self::EntityRefused { hop, peer_reason } => {
                vec![("hop", hop.to_string()), ("peer_reason", peer_reason.clone())]
            }
            Self::UserMigrationNotFound(id) | Self::KeptByUserMigration(id) => {
                vec![("migration_id", id.to_string())]
            }
            Self::UserMigrationRequestNotFound(id) => vec![("user_migration_request_id", id.to_string())],
            Self::AdmissionPolicyNotFound(id) => vec![("mc_system_id", id.to_string())],
            Self::PartnerRefusedUs { hop, peer_reason } => {
                with(hop_metadata(hop), ("peer_reason", peer_reason.clone()))
            }
            Self::PrimarySystemAnswerInvalid { hop, mismatch } => {
                with(hop_metadata(hop), ("mismatch", mismatch.as_str().to_owned()))
            }
            Self::Invalid(_) | Self::EtagMismatch | Self::StoreUnavailable | Self::Internal(_) => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::PrimarySystemUnreachable { retry_after, .. }
            | Self::PartnerUnreachable { retry_after, .. } => Some(*retry_after),
            Self::SipDatabaseUnreachable { .. } | Self::EntityUnreachable { .. } | Self::StoreUnavailable => {
                Some(RETRY_AFTER)
            }
            Self::Refused(Refusal::RateLimited { .. }) => Some(Duration::from_secs(60)),
            _ => None,
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Invalid(violations) => violations.as_slice(),
            _ => &[],
        }
    }
}

/// The name of a reason without the prefix of its enumeration.
pub(crate) fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The reason that a stored name means, as that name.
pub(crate) fn reason_by_name(name: &str) -> Option<&'static str> {
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}")).map(reason_name)
}

fn refusal_reason(refusal: &Refusal) -> ErrorReason {
    match refusal {
        Refusal::BindingUnknown { .. } => ErrorReason::BindingUnknown,
        Refusal::IdentitiesDoNotMatch { .. } => ErrorReason::IdentitiesDoNotMatch,
        Refusal::BindingSuspended { .. } => ErrorReason::BindingSuspended,
        Refusal::BindingNotYetValid { .. } => ErrorReason::BindingNotYetValid,
        Refusal::BindingExpired { .. } => ErrorReason::BindingExpired,
        Refusal::LocalCredentials { .. } => ErrorReason::LocalCredentials,
        Refusal::AgreementUnknown { .. } => ErrorReason::AgreementUnknown,
        Refusal::AgreementSuspended { .. } => ErrorReason::AgreementSuspended,
        Refusal::AgreementNotYetValid { .. } => ErrorReason::AgreementNotYetValid,
        Refusal::AgreementExpired { .. } => ErrorReason::AgreementExpired,
        Refusal::NotAgreed { .. } => ErrorReason::NotAgreed,
        Refusal::MigrationNotPermitted { .. } => ErrorReason::MigrationNotPermitted,
        Refusal::SubscriberBarred { .. } => ErrorReason::SubscriberBarred,
        Refusal::SchemeNotSupported { .. } => ErrorReason::SchemeNotSupported,
        Refusal::VectorCountExceeded { .. } => ErrorReason::VectorCountExceeded,
        Refusal::RateLimited { .. } => ErrorReason::RateLimited,
        Refusal::ResynchronisationRefused => ErrorReason::ResynchronisationRefused,
    }
}

fn refusal_metadata(refusal: &Refusal) -> Vec<(&'static str, String)> {
    match refusal {
        Refusal::BindingUnknown { partner_impi } => vec![("partner_impi", partner_impi.to_string())],
        Refusal::IdentitiesDoNotMatch { impi, impu } => {
            vec![("impi", impi.to_string()), ("impu", impu.to_string())]
        }
        Refusal::BindingSuspended { binding_id } | Refusal::LocalCredentials { binding_id } => {
            vec![("binding_id", binding_id.to_string())]
        }
        Refusal::BindingNotYetValid { binding_id, valid_from } => {
            vec![("binding_id", binding_id.to_string()), ("valid_from", valid_from.to_string())]
        }
        Refusal::BindingExpired { binding_id, valid_until } => {
            vec![("binding_id", binding_id.to_string()), ("valid_until", valid_until.to_string())]
        }
        Refusal::AgreementUnknown { mc_system_id }
        | Refusal::AgreementSuspended { mc_system_id }
        | Refusal::MigrationNotPermitted { mc_system_id, .. }
        | Refusal::SubscriberBarred { mc_system_id } => vec![("mc_system_id", mc_system_id.to_string())],
        Refusal::AgreementNotYetValid { mc_system_id, valid_from } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("valid_from", valid_from.to_string())]
        }
        Refusal::AgreementExpired { mc_system_id, valid_until } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("valid_until", valid_until.to_string())]
        }
        Refusal::NotAgreed { mc_system_id, capability } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("capability", capability.as_str().to_owned())]
        }
        Refusal::SchemeNotSupported { scheme } => {
            scheme.iter().map(|scheme| ("scheme", scheme.to_string())).collect()
        }
        Refusal::VectorCountExceeded { vector_count } => vec![("vector_count", vector_count.to_string())],
        Refusal::RateLimited { mc_system_id, limit } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("limit", limit.as_str().to_owned())]
        }
        Refusal::ResynchronisationRefused => Vec::new(),
    }
}

fn hop_metadata(hop: &Hop) -> Vec<(&'static str, String)> {
    vec![("mc_system_id", hop.mc_system_id.to_string()), ("hop", hop.to_string())]
}

fn with(mut pairs: Vec<(&'static str, String)>, pair: (&'static str, String)) -> Vec<(&'static str, String)> {
    pairs.push(pair);
    pairs
}
