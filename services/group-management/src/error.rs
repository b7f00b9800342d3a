//! Everything that group management answers instead of what was asked. One variant per cause; the gRPC code, the reason and the metadata
//! of each are decided here and nowhere else.

use std::time::Duration;

use mcx_federation::PartnerRefusal;
use mcx_proto::group::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_store::changes::SubscribeError;
use mcx_types::{McServiceGroupId, McSystemId, Violation, Violations};
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
    /// No group has this identifier here.
    #[error("no group has the identifier {0}")]
    GroupUnknown(McServiceGroupId),
    /// A group has this identifier already.
    #[error("there is a group {0} already")]
    GroupExists(McServiceGroupId),
    /// The group's home is another MC system, which alone changes it.
    #[error("the home of {group} is {home}")]
    GroupOfAnotherSystem {
        /// Which group.
        group: McServiceGroupId,
        /// Its home.
        home: McSystemId,
    },
    /// The group would have more members than it may.
    #[error("{group} would have {member_count} members and may have {max_members}")]
    TooManyMembers {
        /// Which group.
        group: McServiceGroupId,
        /// How many it would have.
        member_count: i64,
        /// How many it may have.
        max_members: i64,
    },
    /// The resource was changed since its `etag` was read.
    #[error("the group was changed since its etag was read")]
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
    /// Nothing may be exchanged with the MC system that calls.
    #[error(transparent)]
    Partner(#[from] PartnerRefusal),
    /// The MC system that calls is not the home of the group.
    #[error("{caller} is not the home of {group}")]
    ForeignGroup {
        /// Which group.
        group: McServiceGroupId,
        /// Who calls.
        caller: McSystemId,
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
            Self::GroupUnknown(_) => ErrorReason::GroupUnknown,
            Self::GroupExists(_) => ErrorReason::GroupExists,
            Self::GroupOfAnotherSystem { .. } => ErrorReason::GroupOfAnotherSystem,
            Self::TooManyMembers { .. } => ErrorReason::TooManyMembers,
            Self::EtagMismatch => ErrorReason::EtagMismatch,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::ResumeTokenCompacted => ErrorReason::ResumeTokenCompacted,
            Self::ResumeTokenForeign => ErrorReason::ResumeTokenForeign,
            Self::AccessTokenExpired => ErrorReason::AccessTokenExpired,
            Self::Draining => ErrorReason::Draining,
            Self::Partner(PartnerRefusal::NotYetKnown) => ErrorReason::AgreementsNotKnown,
            Self::Partner(PartnerRefusal::Unknown(_)) => ErrorReason::AgreementUnknown,
            Self::Partner(_) => ErrorReason::AgreementNotInForce,
            Self::ForeignGroup { .. } => ErrorReason::ForeignGroup,
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
            // A foreign key speaks only where a group or a migration is removed at the same time: trying again finds it gone.
            StoreError::Unavailable
            | StoreError::Conflict
            | StoreError::SchemaBehind { .. }
            | StoreError::ForeignKeyViolation { .. } => Self::StoreUnavailable,
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
            ErrorReason::GroupUnknown => Code::NotFound,
            ErrorReason::GroupExists | ErrorReason::RequestIdReused => Code::AlreadyExists,
            ErrorReason::EtagMismatch => Code::Aborted,
            ErrorReason::AccessTokenExpired => Code::Unauthenticated,
            ErrorReason::ForeignGroup => Code::PermissionDenied,
            ErrorReason::AgreementsNotKnown | ErrorReason::Draining | ErrorReason::StoreUnavailable => {
                Code::Unavailable
            }
            ErrorReason::ResumeTokenCompacted => Code::OutOfRange,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
            _ => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        let name = self.error_reason().as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    fn domain(&self) -> &'static str {
        "mcx.group.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self {
            Self::GroupUnknown(group) | Self::GroupExists(group) => vec![("group_id", group.to_string())],
            Self::GroupOfAnotherSystem { group, home } => {
                vec![("group_id", group.to_string()), ("mc_system_id", home.to_string())]
            }
            Self::TooManyMembers { group, member_count, max_members } => vec![
                ("group_id", group.to_string()),
                ("member_count", member_count.to_string()),
                ("max_members", max_members.to_string()),
            ],
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::ForeignGroup { group, caller } => {
                vec![("mc_system_id", caller.to_string()), ("group_id", group.to_string())]
            }
            Self::Partner(refusal) => match refusal {
                PartnerRefusal::NotYetKnown => Vec::new(),
                PartnerRefusal::Unknown(partner) | PartnerRefusal::Suspended(partner) => {
                    vec![("mc_system_id", partner.to_string())]
                }
                PartnerRefusal::NotYetValid { mc_system_id, .. }
                | PartnerRefusal::Expired { mc_system_id, .. }
                | PartnerRefusal::NotReachable { mc_system_id, .. } => {
                    vec![("mc_system_id", mc_system_id.to_string())]
                }
            },
            Self::Invalid(_)
            | Self::EtagMismatch
            | Self::ResumeTokenCompacted
            | Self::ResumeTokenForeign
            | Self::AccessTokenExpired
            | Self::Draining
            | Self::StoreUnavailable
            | Self::Internal(_) => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
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
