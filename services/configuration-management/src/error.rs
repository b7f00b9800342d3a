//! Everything that configuration management answers instead of what was asked. One variant per cause; the gRPC code, the reason and
//! the metadata of each are decided here and nowhere else.

use std::time::Duration;

use mcx_federation::PartnerRefusal;
use mcx_proto::configuration::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_types::{Entity, McService, McSystemId, ProfileIndex, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

use crate::domain::user_profile::ServiceUser;
use crate::domain::user_profiles::ProfileRefusal;

/// The domain of the error reasons.
pub(crate) const DOMAIN: &str = "mcx.configuration.v1";

/// How long a caller is asked to wait where something of ours is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Another entity on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The MC system of the entity.
    pub mc_system_id: McSystemId,
    /// What the entity is.
    pub entity: Entity,
}

impl Hop {
    /// The configuration management server of an MC system.
    pub(crate) fn configuration_management(mc_system_id: &McSystemId) -> Self {
        Self { mc_system_id: mc_system_id.clone(), entity: Entity::ConfigurationManagement }
    }
}

impl std::fmt::Display for Hop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.mc_system_id, self.entity)
    }
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Attempts to fetch the initial UE configuration, of all UEs together.
    BootstrapsPerMinute,
    /// Attempts from one source.
    BootstrapsPerSourcePerMinute,
    /// Attempts from one source in the name of one UE.
    BootstrapsPerUePerMinute,
    /// Requests of one partner for user profiles.
    ProfileRequestsPerPartnerPerMinute,
}

impl Limit {
    /// The name in metadata and metrics; it is that of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BootstrapsPerMinute => "bootstraps_per_minute",
            Self::BootstrapsPerSourcePerMinute => "bootstraps_per_source_per_minute",
            Self::BootstrapsPerUePerMinute => "bootstraps_per_ue_per_minute",
            Self::ProfileRequestsPerPartnerPerMinute => "profile_requests_per_partner_per_minute",
        }
    }
}

/// Why a request was not answered with what it asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Fields are missing or malformed.
    #[error("the request has {} invalid field(s)", .0.as_slice().len())]
    Invalid(Violations),
    /// The resource was changed since its `etag` was read.
    #[error("the resource was changed since its etag was read")]
    EtagMismatch,
    /// The `request_id` was used for another request.
    #[error("the request_id was used for another request")]
    RequestIdReused(Uuid),
    /// The user's profiles do not allow it.
    #[error("{refusal}")]
    Profile {
        /// The user.
        user: ServiceUser,
        /// Why not.
        refusal: ProfileRefusal,
    },
    /// The user has no user profile that could be in force.
    #[error("{user} has no user profile")]
    NoUserProfile {
        /// The user.
        user: ServiceUser,
    },
    /// The user is a visitor, whose profiles are changed in her primary MC system.
    #[error("the user is a visitor from {0}")]
    UserIsVisitor(McSystemId),
    /// The access token names no MC service ID of that MC service.
    #[error("the access token names no identity of {0}")]
    McServiceNotOfToken(McService),
    /// Nobody has written the initial UE configuration yet.
    #[error("there is no initial ue configuration yet")]
    InitialUeConfigurationUnknown,
    /// There is no such UE configuration.
    #[error("there is no ue configuration for {mc_service} of {}", if ue_id.is_empty() { "all ues" } else { ue_id })]
    UeConfigurationUnknown {
        /// The MC service.
        mc_service: McService,
        /// The UE.
        ue_id: String,
    },
    /// There is such a UE configuration already.
    #[error("there is a ue configuration for {mc_service} of {}", if ue_id.is_empty() { "all ues" } else { ue_id })]
    UeConfigurationExists {
        /// The MC service.
        mc_service: McService,
        /// The UE.
        ue_id: String,
    },
    /// Nobody has written the service configuration of that MC service yet.
    #[error("there is no service configuration of {0} yet")]
    ServiceConfigurationUnknown(McService),
    /// The UE has no enrolment.
    #[error("the ue has no enrolment")]
    UeEnrolmentUnknown(String),
    /// The enrolment code is not good.
    #[error("the enrolment code cannot be used")]
    UeEnrolmentRefused,
    /// Too many requests.
    #[error("too many requests: {}", .0.as_str())]
    RateLimited(Limit),
    /// The changes since the resume token are not kept any more.
    #[error("the changes since the resume token are not kept any more")]
    ResumeTokenCompacted,
    /// The access token expired while the stream was open.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// This replica is being stopped.
    #[error("the server is being stopped")]
    ShuttingDown,
    /// The user may not migrate to that partner, or is not known; the partner is not told which.
    #[error("the user may not migrate to {0}")]
    MigrationNotPermitted(McSystemId),
    /// Nothing can be exchanged with the partner now.
    #[error("{refusal}")]
    PartnerNotUsable {
        /// The partner.
        mc_system_id: McSystemId,
        /// Why not.
        refusal: PartnerRefusal,
    },
    /// The primary MC system does not let this one have the visitor's user profiles.
    #[error("{} does not give the user profiles: {peer_reason}", hop.mc_system_id)]
    PrimaryRefused {
        /// Who refuses.
        hop: Hop,
        /// The reason that it gave.
        peer_reason: String,
    },
    /// The primary MC system could not be asked.
    #[error("{} did not answer", hop.mc_system_id)]
    PrimarySystemUnreachable {
        /// Who did not answer.
        hop: Hop,
        /// When to ask again.
        retry_after: Duration,
    },
    /// No visitor of that primary MC system is expected with this MC service ID.
    #[error("no such visitor of {0} is expected")]
    VisitorUnknown(McSystemId),
    /// Another migration has an MC service ID of the request, or the migration is another's.
    #[error("migration {0} conflicts with another one")]
    MigrationConflict(Uuid),
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
            Self::EtagMismatch => ErrorReason::EtagMismatch,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::Profile { refusal, .. } => match refusal {
                ProfileRefusal::Exists(_) => ErrorReason::UserProfileExists,
                ProfileRefusal::Unknown(_) => ErrorReason::UserProfileUnknown,
                ProfileRefusal::Disabled(_) => ErrorReason::UserProfileDisabled,
                ProfileRefusal::ForMigration(_) => ErrorReason::UserProfileIsForMigration,
            },
            Self::NoUserProfile { .. } => ErrorReason::UserProfileUnknown,
            Self::UserIsVisitor(_) => ErrorReason::UserIsVisitor,
            Self::McServiceNotOfToken(_) => ErrorReason::McServiceNotOfToken,
            Self::InitialUeConfigurationUnknown => ErrorReason::InitialUeConfigurationUnknown,
            Self::UeConfigurationUnknown { .. } => ErrorReason::UeConfigurationUnknown,
            Self::UeConfigurationExists { .. } => ErrorReason::UeConfigurationExists,
            Self::ServiceConfigurationUnknown(_) => ErrorReason::ServiceConfigurationUnknown,
            Self::UeEnrolmentUnknown(_) => ErrorReason::UeEnrolmentUnknown,
            Self::UeEnrolmentRefused => ErrorReason::UeEnrolmentRefused,
            Self::RateLimited(_) => ErrorReason::RateLimited,
            Self::ResumeTokenCompacted => ErrorReason::ResumeTokenCompacted,
            Self::AccessTokenExpired => ErrorReason::AccessTokenExpired,
            Self::ShuttingDown => ErrorReason::ShuttingDown,
            Self::MigrationNotPermitted(_) => ErrorReason::MigrationNotPermitted,
            Self::PartnerNotUsable { .. } => ErrorReason::PartnerNotUsable,
            Self::PrimaryRefused { .. } => ErrorReason::PrimaryRefused,
            Self::PrimarySystemUnreachable { .. } => ErrorReason::PrimarySystemUnreachable,
            Self::VisitorUnknown(_) => ErrorReason::VisitorUnknown,
            Self::MigrationConflict(_) => ErrorReason::MigrationConflict,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::Internal(_) => ErrorReason::Internal,
        }
    }

    /// What is wrong, in one line for people: of a request all its fields.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Invalid(violations) => {
                let lines = violations.as_slice().iter();
                let lines = lines.map(|violation| format!("{} {}", violation.field, violation.description));
                lines.collect::<Vec<_>>().join("; ")
            }
            other => other.to_string(),
        }
    }

    /// Whether it is about the state of this service rather than about what was asked.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::Internal(_))
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

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Self::Internal(format!("a stored document cannot be decoded: {error}"))
    }
}

impl ErrorFacts for Error {
    fn code(&self) -> Code {
        match self.error_reason() {
            ErrorReason::InvalidRequest => Code::InvalidArgument,
            ErrorReason::EtagMismatch => Code::Aborted,
            ErrorReason::RequestIdReused
            | ErrorReason::UserProfileExists
            | ErrorReason::UeConfigurationExists
            | ErrorReason::MigrationConflict => Code::AlreadyExists,
            ErrorReason::UserProfileUnknown
            | ErrorReason::InitialUeConfigurationUnknown
            | ErrorReason::UeConfigurationUnknown
            | ErrorReason::ServiceConfigurationUnknown
            | ErrorReason::UeEnrolmentUnknown => Code::NotFound,
            ErrorReason::McServiceNotOfToken
            | ErrorReason::MigrationNotPermitted
            | ErrorReason::VisitorUnknown => Code::PermissionDenied,
            ErrorReason::UeEnrolmentRefused | ErrorReason::AccessTokenExpired => Code::Unauthenticated,
            ErrorReason::RateLimited => Code::ResourceExhausted,
            ErrorReason::ResumeTokenCompacted => Code::OutOfRange,
            ErrorReason::ShuttingDown
            | ErrorReason::PrimarySystemUnreachable
            | ErrorReason::StoreUnavailable => Code::Unavailable,
            ErrorReason::UserProfileDisabled
            | ErrorReason::UserProfileIsForMigration
            | ErrorReason::UserIsVisitor
            | ErrorReason::PartnerNotUsable
            | ErrorReason::PrimaryRefused => Code::FailedPrecondition,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        reason_name(self.error_reason())
    }

    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self {
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::Profile { user, refusal } => {
                let mut pairs = user_metadata(user);
                pairs.push(("profile_index", index_of(*refusal).to_string()));
                pairs
            }
            Self::NoUserProfile { user } => user_metadata(user),
            Self::UserIsVisitor(primary) => vec![("primary_mc_system_id", primary.to_string())],
            Self::McServiceNotOfToken(service) | Self::ServiceConfigurationUnknown(service) => {
                vec![("mc_service", service.to_string())]
            }
            Self::UeConfigurationUnknown { mc_service, ue_id }
            | Self::UeConfigurationExists { mc_service, ue_id } => {
                vec![("mc_service", mc_service.to_string()), ("ue_id", ue_id.clone())]
            }
            Self::UeEnrolmentUnknown(ue_id) => vec![("ue_id", ue_id.clone())],
            Self::RateLimited(limit) => vec![("limit", limit.as_str().to_owned())],
            Self::MigrationNotPermitted(id)
            | Self::VisitorUnknown(id)
            | Self::PartnerNotUsable { mc_system_id: id, .. } => vec![("mc_system_id", id.to_string())],
            Self::PrimaryRefused { hop, .. } | Self::PrimarySystemUnreachable { hop, .. } => {
                vec![("mc_system_id", hop.mc_system_id.to_string()), ("hop", hop.to_string())]
            }
            Self::MigrationConflict(id) => vec![("migration_id", id.to_string())],
            Self::Invalid(_)
            | Self::EtagMismatch
            | Self::InitialUeConfigurationUnknown
            | Self::UeEnrolmentRefused
            | Self::ResumeTokenCompacted
            | Self::AccessTokenExpired
            | Self::ShuttingDown
            | Self::StoreUnavailable
            | Self::Internal(_) => Vec::new(),
        };
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::PrimarySystemUnreachable { retry_after, .. } => Some(*retry_after),
            Self::StoreUnavailable | Self::ShuttingDown => Some(RETRY_AFTER),
            Self::RateLimited(_) => Some(Duration::from_secs(60)),
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

fn user_metadata(user: &ServiceUser) -> Vec<(&'static str, String)> {
    vec![("mc_service", user.mc_service.to_string()), ("mc_service_id", user.id.to_string())]
}

fn index_of(refusal: ProfileRefusal) -> ProfileIndex {
    match refusal {
        ProfileRefusal::Exists(index)
        | ProfileRefusal::Unknown(index)
        | ProfileRefusal::Disabled(index)
        | ProfileRefusal::ForMigration(index) => index,
    }
}
