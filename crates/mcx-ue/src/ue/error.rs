//! Why a UE did not get further.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use mcx_proto::mcservice::v1::DecisionRule;
use mcx_types::{McService, McSystemId};

use super::settings::BearerFailure;
use crate::identity::IdentityError;
use crate::servers::ServerError;
use crate::signalling::SignallingError;
use crate::state::{FailureKind, OutOfOrder, Step, UeState};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum UeError {
    /// An identity management server did not do its part.
    #[error("{mc_system_id}: {source}")]
    Identity {
        /// Whose it is.
        mc_system_id: McSystemId,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// Another application plane server did not do its part.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The SIP core did not do its part.
    #[error("{mc_system_id}: {source}")]
    Signalling {
        /// Whose it is.
        mc_system_id: McSystemId,
        /// Why.
        #[source]
        source: SignallingError,
    },
    /// The modem did not do its part.
    #[error(transparent)]
    Bearers(#[from] BearerFailure),
    /// What an MC system says of itself cannot be used.
    #[error("{mc_system_id} cannot be reached with what is known of it: {what}")]
    Unusable {
        /// The MC system.
        mc_system_id: McSystemId,
        /// What is wrong.
        what: String,
    },
    /// The user has to log in, with [`McServiceUe::authenticate`](super::McServiceUe::authenticate).
    #[error("the user has to log in")]
    LoginRequired,
    /// The UE knows no MC system yet.
    #[error("the ue has no initial ue configuration")]
    NotBootstrapped,
    /// The MC system gave no user profile for these MC services, or for none at all.
    #[error("{mc_system_id} gave no user profile ({})", listed(.mc_services))]
    NoUserProfile {
        /// The MC system.
        mc_system_id: McSystemId,
        /// The MC services; empty: no user profile at all.
        mc_services: BTreeSet<McService>,
    },
    /// No user profile names the partner, or the partner has not accepted the user yet.
    #[error("no user profile has the access information of {0}")]
    PartnerNotOffered(McSystemId),
    /// The user may not migrate to the partner for these MC services.
    #[error("{partner} is not offered for {}", listed(.mc_services))]
    ServicesNotOffered {
        /// The partner.
        partner: McSystemId,
        /// The MC services asked for beyond what is offered.
        mc_services: BTreeSet<McService>,
    },
    /// The user is on her way to another partner, or there already; she has to return first.
    #[error("{0} is selected already")]
    AlreadySelected(McSystemId),
    /// There is no partner to return from, or to go on with.
    #[error("no partner is selected")]
    NoPartnerSelected,
    /// The user is authorized for the MC service neither at home nor in a partner.
    #[error("the user is not authorized for {0}")]
    NotAuthorized(McService),
    /// Whether the user may be affiliated could not be asked: whoever has to say so is away.
    #[error("{mc_system_id} could not affiliate the user to {}", undecided(.groups))]
    AffiliationUndecided {
        /// The MC system that serves her.
        mc_system_id: McSystemId,
        /// The groups, each with the rule that says who is away.
        groups: Vec<(String, DecisionRule)>,
    },
    /// What is stored cannot be read or written.
    #[error("{}: {source}", .path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// That cannot be done now.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

fn listed(services: &BTreeSet<McService>) -> String {
    let names: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
    if names.is_empty() { "any mc service".to_owned() } else { names.join(", ") }
}

fn undecided(groups: &[(String, DecisionRule)]) -> String {
    let name = |rule: &DecisionRule| rule.as_str_name().trim_start_matches("DECISION_RULE_");
    groups.iter().map(|(group, rule)| format!("{group} ({})", name(rule))).collect::<Vec<_>>().join(", ")
}

impl UeError {
    /// What the error says about what the UE thought it had.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Server(error) => error.kind(),
            Self::Identity { source, .. } if source.may_pass() => FailureKind::Unreachable,
            Self::Signalling {
                source:
                    SignallingError::Connection(_)
                    | SignallingError::TimedOut(_)
                    | SignallingError::ServerUnavailable { .. },
                ..
            }
            | Self::Bearers(_)
            | Self::AffiliationUndecided { .. }
            | Self::Storage { .. } => FailureKind::Unreachable,
            Self::LoginRequired => FailureKind::UserNotAuthenticated,
            _ => FailureKind::Refused,
        }
    }
}

/// A step failed; the same call tries it again.
#[derive(Debug, thiserror::Error)]
#[error("{step} failed: {cause}")]
pub struct StepFailed {
    /// The step.
    pub step: Step,
    /// Where the UE is now.
    pub state: UeState,
    /// Why.
    #[source]
    pub cause: Box<UeError>,
}

/// Why a goal was not reached.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// On the way.
    #[error(transparent)]
    Step(#[from] StepFailed),
    /// It was not begun.
    #[error(transparent)]
    NotBegun(#[from] UeError),
}
