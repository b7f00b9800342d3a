//! Why a server did not do what was asked.

use std::time::Duration;

use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::{Entity, McSystemId};
use tonic::{Code, Status};

use super::Hop;
use crate::identity::IdentityError;
use crate::state::FailureKind;

/// Why a server was not reached, or said no.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no access token to call with.
    #[error("there is no access token for {mc_system_id}: {source}")]
    NoToken {
        /// The MC system.
        mc_system_id: McSystemId,
        /// Why.
        #[source]
        source: Box<IdentityError>,
    },
    /// It answered with an error, or could not be reached (`UNAVAILABLE`). [`RemoteError::reason`] is of the package's `ErrorReason`.
    #[error("{entity} of {mc_system_id}: {remote}")]
    Answered {
        /// The MC system that was asked.
        mc_system_id: McSystemId,
        /// The entity that was asked.
        entity: Entity,
        /// What it said; where it asked another one, `hop` of the metadata tells which.
        remote: Box<RemoteError>,
    },
    /// It did not answer in time.
    #[error("{entity} of {mc_system_id} did not answer in time")]
    TimedOut {
        /// The MC system that was asked.
        mc_system_id: McSystemId,
        /// The entity that was asked.
        entity: Entity,
    },
    /// Its answer lacks what it must hold.
    #[error("{entity} of {mc_system_id} answered without {what}")]
    Malformed {
        /// The MC system that was asked.
        mc_system_id: McSystemId,
        /// The entity that was asked.
        entity: Entity,
        /// What is missing.
        what: &'static str,
    },
    /// Its address is none.
    #[error("{address} is no address of {entity} of {mc_system_id}")]
    Unusable {
        /// The MC system.
        mc_system_id: McSystemId,
        /// The entity.
        entity: Entity,
        /// The address.
        address: String,
    },
}

impl ServerError {
    pub(super) fn from_status(hop: &Hop, status: &Status) -> Self {
        Self::Answered {
            mc_system_id: hop.mc_system_id.clone(),
            entity: hop.entity,
            remote: Box::new(decode_status(status)),
        }
    }

    /// The reason that the server gave; empty where it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Answered { remote, .. } => &remote.reason,
            _ => "",
        }
    }

    /// Who failed behind the server that was asked, where it says so.
    #[must_use]
    pub fn hop(&self) -> Option<&str> {
        match self {
            Self::Answered { remote, .. } => remote.metadata.get("hop").map(String::as_str),
            _ => None,
        }
    }

    /// How long to wait before asking again, where the server says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered { remote, .. } => remote.retry_after,
            _ => None,
        }
    }

    /// What the error says about what the UE thought it had.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NoToken { source, .. } => match source.as_ref() {
                source if source.may_pass() => FailureKind::Unreachable,
                IdentityError::LoginRequired | IdentityError::InvalidGrant { .. } => {
                    FailureKind::UserNotAuthenticated
                }
                _ => FailureKind::Refused,
            },
            Self::TimedOut { .. } => FailureKind::Unreachable,
            Self::Malformed { .. } | Self::Unusable { .. } => FailureKind::Refused,
            Self::Answered { remote, .. } => match (remote.code, remote.reason.as_str()) {
                (Code::Unauthenticated, _) => FailureKind::UserNotAuthenticated,
                (_, "USER_PROFILE_UNKNOWN" | "USER_PROFILE_DISABLED") => FailureKind::ProfileGone,
                (Code::PermissionDenied, _) if is_about_profile(remote) => FailureKind::ProfileGone,
                (
                    Code::Unavailable
                    // The connection ended before the request was on it.
                    | Code::Cancelled
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::Internal
                    | Code::Unknown,
                    _,
                ) => FailureKind::Unreachable,
                _ => FailureKind::Refused,
            },
        }
    }
}

/// Whether a refused service authorization is about the user profile that was asked for.
fn is_about_profile(remote: &RemoteError) -> bool {
    let rule = remote.metadata.get("rule").map_or("", String::as_str);
    matches!(rule, "PROFILE_UNKNOWN" | "PROFILE_DISABLED" | "PROFILE_GONE" | "PROFILE_IS_FOR_MIGRATION")
}
