//! Which entities each step needs, and how it shows that one is away.

use std::collections::BTreeSet;

use mcx_types::Entity;
use mcx_ue::SignallingError;
use mcx_ue::servers::ServerError;
use mcx_ue::state::{FailureKind, Step, UeState};
use mcx_ue::ue::UeError;
use tonic::Code;

use crate::federated::Side;
use Side::{Alpha, Bravo};

/// An entity that a step asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Need {
    pub(super) side: Side,
    pub(super) entity: Entity,
    pub(super) away: Away,
}

/// How it shows that an entity is away.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Away {
    /// The UE does not reach it, and names it.
    Unreached,
    /// Another one that the UE asked says so: this reason, and this hop.
    Told { by: Entity, reason: &'static str, hop: &'static str },
    /// The SIP core answers that it cannot serve now, and when to try again.
    SipCoreUnavailable,
    /// The step goes on without it: what it is asked for is made good later.
    GoesOn,
}

fn need(side: Side, entity: Entity, away: Away) -> Need {
    Need { side, entity, away }
}

fn told(by: Entity, reason: &'static str, hop: &'static str) -> Away {
    Away::Told { by, reason, hop }
}

/// The entities that a step asks.
pub(super) fn needs(step: Step) -> Vec<Need> {
    use Away::{GoesOn, SipCoreUnavailable, Unreached};
    use Entity::{
        ConfigurationManagement, FunctionalAliasManagement, GroupManagement, IdentityManagement,
        McService as McServiceServer, MigrationManagement, SipCore, SipDatabase,
    };
    let primary_away = told(McServiceServer, "PRIMARY_SYSTEM_UNREACHABLE", "alpha.example/mc-service");
    match step {
        Step::Bootstrap => vec![need(Alpha, ConfigurationManagement, Unreached)],
        Step::AuthenticateUser => vec![need(Alpha, IdentityManagement, Unreached)],
        Step::Configure => vec![
            need(Alpha, ConfigurationManagement, Unreached),
            need(Alpha, GroupManagement, Unreached),
            need(Alpha, FunctionalAliasManagement, Unreached),
        ],
        Step::RegisterAtPrimary => {
            vec![need(Alpha, SipCore, Unreached), need(Alpha, SipDatabase, SipCoreUnavailable)]
        }
        Step::AuthorizeService(_) => vec![
            need(Alpha, McServiceServer, Unreached),
            need(
                Alpha,
                ConfigurationManagement,
                told(
                    McServiceServer,
                    "CONFIGURATION_MANAGEMENT_UNREACHABLE",
                    "alpha.example/configuration-management",
                ),
            ),
            need(Alpha, GroupManagement, GoesOn),
        ],
        // Inside of the UE.
        Step::SelectPartner | Step::BringUpBearers => Vec::new(),
        Step::AuthenticateAtPartner => {
            vec![need(Alpha, IdentityManagement, Unreached), need(Bravo, IdentityManagement, Unreached)]
        }
        Step::RegisterAtPartner => vec![
            need(Bravo, SipCore, Unreached),
            need(Bravo, MigrationManagement, SipCoreUnavailable),
            need(Alpha, MigrationManagement, SipCoreUnavailable),
            need(Alpha, SipDatabase, SipCoreUnavailable),
        ],
        Step::DownloadProfiles => vec![need(Bravo, ConfigurationManagement, Unreached)],
        Step::ObtainGroups => {
            vec![need(Bravo, GroupManagement, Unreached), need(Bravo, FunctionalAliasManagement, Unreached)]
        }
        Step::AuthorizeMigration(_) => vec![
            need(Bravo, McServiceServer, Unreached),
            need(
                Bravo,
                ConfigurationManagement,
                told(
                    McServiceServer,
                    "CONFIGURATION_MANAGEMENT_UNREACHABLE",
                    "bravo.example/configuration-management",
                ),
            ),
            need(Alpha, McServiceServer, primary_away),
            need(Alpha, ConfigurationManagement, primary_away),
            need(Bravo, GroupManagement, GoesOn),
            need(Alpha, GroupManagement, GoesOn),
        ],
        Step::BeginOperation => vec![need(Bravo, McServiceServer, Unreached)],
        Step::DeactivateAliases | Step::Deaffiliate | Step::DeauthorizeMigration(_) => {
            vec![need(Bravo, McServiceServer, Unreached)]
        }
        Step::DeregisterAtPartner => vec![need(Bravo, SipCore, Unreached)],
        Step::DiscardPartner => vec![need(Bravo, IdentityManagement, Unreached)],
    }
}

/// Whether something that the user wants can fail in a state because an entity is away.
pub(super) fn may_fail_in(state: UeState) -> bool {
    match state {
        UeState::FactoryNew
        | UeState::Bootstrapped
        | UeState::PrimaryUserAuthenticated
        | UeState::PrimaryConfigured
        | UeState::PartnerBearers
        | UeState::PartnerUserAuthenticated
        | UeState::PartnerRegistered
        | UeState::PartnerUserAuthenticatedAndRegistered
        | UeState::PartnerProfiled
        | UeState::PartnerGrouped
        | UeState::Migrated
        | UeState::Serving
        | UeState::Returning => true,
        // What comes next is inside of the UE: the choice of a partner, and its modem.
        UeState::PrimaryAuthorized | UeState::PartnerSelected => false,
    }
}

impl Need {
    /// Checks that an error says who is away, and that trying again may help.
    pub(super) fn check(&self, error: &UeError) {
        assert_eq!(error.kind(), FailureKind::Unreachable, "{self:?}: {error}");
        let is_so = match (self.away, error) {
            (Away::Unreached, UeError::Server(ServerError::Answered { mc_system_id, entity, remote })) => {
                mc_system_id.as_str() == self.side.id()
                    && *entity == self.entity
                    && matches!(remote.code, Code::Unavailable | Code::Cancelled)
            }
            (Away::Unreached, UeError::Identity { mc_system_id, source }) => {
                mc_system_id.as_str() == self.side.id()
                    && self.entity == Entity::IdentityManagement
                    && source.may_pass()
            }
            (Away::Unreached, UeError::Signalling { mc_system_id, source }) => {
                mc_system_id.as_str() == self.side.id()
                    && self.entity == Entity::SipCore
                    && matches!(source, SignallingError::Connection(_))
            }
            (Away::SipCoreUnavailable, UeError::Signalling { source, .. }) => {
                matches!(source, SignallingError::ServerUnavailable { status: 503, retry_after: Some(_) })
            }
            (
                Away::Told { by, reason, hop },
                UeError::Server(error @ ServerError::Answered { entity, .. }),
            ) => {
                assert!(is_documented(reason), "{reason} is on the page of the errors");
                *entity == by
                    && error.reason() == reason
                    && error.hop() == Some(hop)
                    && error.retry_after().is_some()
            }
            _ => false,
        };
        assert!(is_so, "{self:?} is told as: {error} ({error:?})");
    }
}

/// Whether the page of the errors explains a reason.
pub(super) fn is_documented(reason: &str) -> bool {
    let page = include_str!("../../../../../docs/errors.md");
    let rules = include_str!("../../../../../proto/mcx/mcservice/v1/decision_rule.proto");
    page.contains(&format!("`{reason}`")) || rules.contains(&format!("DECISION_RULE_{reason} "))
}

/// The entities that a step asks in one of the systems.
pub(super) fn asked(step: Step, side: Side) -> BTreeSet<Entity> {
    needs(step).into_iter().filter(|need| need.side == side).map(|need| need.entity).collect()
}
