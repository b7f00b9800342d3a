//! Everything that the MC service server answers instead of what was asked. One variant per cause; the gRPC code, the reason and the
//! metadata of each are decided here and nowhere else.

use std::time::Duration;

use mcx_federation::PartnerRefusal;
use mcx_proto::mcservice::v1::ErrorReason;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_store::changes::SubscribeError;
use mcx_types::{Entity, FunctionalAlias, McService, McSystemId, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

use crate::domain::{Rule, rule_name};

/// How long a caller is asked to wait where something of ours or of another MC system is away.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Another entity on the way, in this or in another MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The MC system of the entity.
    pub mc_system_id: McSystemId,
    /// What the entity is, for example `mc-service`.
    pub entity: Entity,
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
    /// The access token gives no identity in the MC service, or not its scope.
    #[error("the access token is not good for the mc service {0}")]
    ServiceNotInToken(McService),
    /// The user is not authorized for the MC service.
    #[error("service authorization is refused: {}", rule_name(*.0))]
    ServiceAuthorizationRefused(Rule),
    /// This client is not authorized for the MC service now.
    #[error("the client is not authorized for the mc service {0}")]
    NotAuthorized(McService),
    /// The visitor may not be served here.
    #[error("migration is not permitted: {}", rule_name(*.0))]
    MigrationNotPermitted(Rule),
    /// An own user may not be served by the partner that asks, or is not known; the partner is not told which.
    #[error("the user may not migrate to this partner")]
    NotPermittedToPartner(Rule),
    /// The primary MC system does not permit the visitor to be served here.
    #[error("{} does not permit the user to migrate here", .0.mc_system_id)]
    MigrationRefusedByPrimary(Hop),
    /// The functional alias is not activated.
    #[error("{alias} is not activated: {}", rule_name(*rule))]
    ActivationRefused {
        /// The functional alias.
        alias: FunctionalAlias,
        /// The rule that refuses.
        rule: Rule,
    },
    /// No agreement lets the two MC systems talk now.
    #[error(transparent)]
    Partner(#[from] PartnerRefusal),
    /// Another MC system refuses to talk to us.
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
    /// Another MC system answered something else than what was asked.
    #[error("the answer of {} was thrown away: {mismatch}", hop.mc_system_id)]
    PartnerAnswerInvalid {
        /// Who answered.
        hop: Hop,
        /// How the answer differs.
        mismatch: &'static str,
    },
    /// An entity of this MC system did not answer in time: configuration, group or functional alias management.
    #[error("{} did not answer in time", .0.entity)]
    SourceUnreachable(Hop),
    /// What came after the resume token cannot be told.
    #[error("the resume token cannot be used: {cause}")]
    ResumeTokenUnusable {
        /// Why: `COMPACTED`, `FOREIGN`, `FUTURE`.
        cause: &'static str,
    },
    /// The access token expired while a stream was open.
    #[error("the access token has expired")]
    AccessTokenExpired,
    /// This replica is being stopped.
    #[error("this replica is being stopped")]
    ShuttingDown,
    /// The `request_id` was used for another request.
    #[error("the request_id was used for another request")]
    RequestIdReused(Uuid),
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
            Self::ServiceNotInToken(_) => ErrorReason::ServiceNotInToken,
            Self::ServiceAuthorizationRefused(_) => ErrorReason::ServiceAuthorizationRefused,
            Self::NotAuthorized(_) => ErrorReason::NotAuthorized,
            Self::MigrationNotPermitted(_) | Self::NotPermittedToPartner(_) => {
                ErrorReason::MigrationNotPermitted
            }
            Self::MigrationRefusedByPrimary(_) => ErrorReason::MigrationRefusedByPrimary,
            Self::ActivationRefused { .. } => ErrorReason::ActivationRefused,
            Self::Partner(refusal) => match refusal {
                PartnerRefusal::NotYetKnown => ErrorReason::AgreementsNotKnown,
                PartnerRefusal::Unknown(_) => ErrorReason::AgreementUnknown,
                PartnerRefusal::Suspended(_) => ErrorReason::AgreementSuspended,
                PartnerRefusal::NotYetValid { .. } => ErrorReason::AgreementNotYetValid,
                PartnerRefusal::Expired { .. } => ErrorReason::AgreementExpired,
                PartnerRefusal::NotReachable { .. } => ErrorReason::PartnerHasNoEndpoint,
            },
            Self::PartnerRefusedUs { .. } => ErrorReason::PartnerRefusedUs,
            Self::PrimarySystemUnreachable { .. } => ErrorReason::PrimarySystemUnreachable,
            Self::PartnerAnswerInvalid { .. } => ErrorReason::PartnerAnswerInvalid,
            Self::SourceUnreachable(hop) => match hop.entity {
                Entity::GroupManagement => ErrorReason::GroupManagementUnreachable,
                Entity::FunctionalAliasManagement => ErrorReason::FunctionalAliasManagementUnreachable,
                _ => ErrorReason::ConfigurationManagementUnreachable,
            },
            Self::ResumeTokenUnusable { .. } => ErrorReason::ResumeTokenUnusable,
            Self::AccessTokenExpired => ErrorReason::AccessTokenExpired,
            Self::ShuttingDown => ErrorReason::ShuttingDown,
            Self::RequestIdReused(_) => ErrorReason::RequestIdReused,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::Internal(_) => ErrorReason::Internal,
        }
    }

    /// The name of the reason, as `google.rpc.ErrorInfo` carries it.
    pub fn reason_name(&self) -> &'static str {
        let name = self.error_reason().as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    /// The rule that refuses, where it is one.
    pub fn rule(&self) -> Option<Rule> {
        match self {
            Self::ServiceAuthorizationRefused(rule)
            | Self::MigrationNotPermitted(rule)
            | Self::NotPermittedToPartner(rule)
            | Self::ActivationRefused { rule, .. } => Some(*rule),
            _ => None,
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
            SubscribeError::Compacted { .. } => Self::ResumeTokenUnusable { cause: "COMPACTED" },
            SubscribeError::Foreign => Self::ResumeTokenUnusable { cause: "FOREIGN" },
            SubscribeError::Future { .. } => Self::ResumeTokenUnusable { cause: "FUTURE" },
            SubscribeError::Malformed(_) => Self::ResumeTokenUnusable { cause: "MALFORMED" },
            SubscribeError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl ErrorFacts for Error {
    fn code(&self) -> Code {
        match self.error_reason() {
            ErrorReason::InvalidRequest => Code::InvalidArgument,
            ErrorReason::ServiceNotInToken
            | ErrorReason::ServiceAuthorizationRefused
            | ErrorReason::MigrationNotPermitted
            | ErrorReason::MigrationRefusedByPrimary
            | ErrorReason::ActivationRefused => Code::PermissionDenied,
            ErrorReason::RequestIdReused => Code::AlreadyExists,
            ErrorReason::ResumeTokenUnusable => Code::OutOfRange,
            ErrorReason::AccessTokenExpired => Code::Unauthenticated,
            ErrorReason::AgreementsNotKnown
            | ErrorReason::PrimarySystemUnreachable
            | ErrorReason::PartnerAnswerInvalid
            | ErrorReason::ConfigurationManagementUnreachable
            | ErrorReason::GroupManagementUnreachable
            | ErrorReason::FunctionalAliasManagementUnreachable
            | ErrorReason::ShuttingDown
            | ErrorReason::StoreUnavailable => Code::Unavailable,
            ErrorReason::Internal | ErrorReason::Unspecified => Code::Internal,
            _ => Code::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason_name()
    }

    fn domain(&self) -> &'static str {
        "mcx.mcservice.v1"
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pairs: Vec<(&str, String)> = match self {
            Self::ServiceNotInToken(service) | Self::NotAuthorized(service) => {
                vec![("mc_service", service.to_string())]
            }
            Self::ServiceAuthorizationRefused(rule) | Self::MigrationNotPermitted(rule) => {
                vec![("rule", rule_name(*rule).to_owned())]
            }
            Self::ActivationRefused { alias, rule } => {
                vec![("rule", rule_name(*rule).to_owned()), ("functional_alias", alias.to_string())]
            }
            Self::Partner(refusal) => partner_metadata(refusal),
            Self::MigrationRefusedByPrimary(hop) | Self::PrimarySystemUnreachable { hop, .. } => {
                hop_metadata(hop)
            }
            Self::PartnerRefusedUs { hop, peer_reason } => {
                with(hop_metadata(hop), ("peer_reason", peer_reason.clone()))
            }
            Self::PartnerAnswerInvalid { hop, mismatch } => {
                with(hop_metadata(hop), ("mismatch", (*mismatch).to_owned()))
            }
            Self::SourceUnreachable(hop) => vec![("hop", hop.to_string())],
            Self::ResumeTokenUnusable { cause } => vec![("cause", (*cause).to_owned())],
            Self::RequestIdReused(id) => vec![("request_id", id.to_string())],
            Self::Invalid(_)
            | Self::NotPermittedToPartner(_)
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
            Self::SourceUnreachable(_)
            | Self::ShuttingDown
            | Self::StoreUnavailable
            | Self::Partner(PartnerRefusal::NotYetKnown) => Some(RETRY_AFTER),
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

fn partner_metadata(refusal: &PartnerRefusal) -> Vec<(&'static str, String)> {
    match refusal {
        PartnerRefusal::NotYetKnown => vec![("hop", Entity::MigrationManagement.to_string())],
        PartnerRefusal::Unknown(id) | PartnerRefusal::Suspended(id) => {
            vec![("mc_system_id", id.to_string())]
        }
        PartnerRefusal::NotYetValid { mc_system_id, valid_from } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("valid_from", valid_from.to_string())]
        }
        PartnerRefusal::Expired { mc_system_id, valid_until } => {
            vec![("mc_system_id", mc_system_id.to_string()), ("valid_until", valid_until.to_string())]
        }
        PartnerRefusal::NotReachable { mc_system_id, .. } => {
            vec![("mc_system_id", mc_system_id.to_string())]
        }
    }
}

fn hop_metadata(hop: &Hop) -> Vec<(&'static str, String)> {
    vec![("mc_system_id", hop.mc_system_id.to_string()), ("hop", hop.to_string())]
}

fn with(mut pairs: Vec<(&'static str, String)>, pair: (&'static str, String)) -> Vec<(&'static str, String)> {
    pairs.push(pair);
    pairs
}
