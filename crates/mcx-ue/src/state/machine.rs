//! The state machine: events change the evidence, the evidence is the state.

use std::collections::BTreeSet;

use mcx_types::{McService, McSystemId};
use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Selected};
use super::step::{Step, UeState};

/// Where the UE is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Served by the primary MC system: state 4.
    Home,
    /// Served by the partner MC system: state 12.
    ServedByPartner,
}

/// Which comes first at the partner. TS 23.280 10.6.1 leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartnerOrder {
    /// User authentication, then the signalling plane: the order of the text of 10.1.1.2.
    #[default]
    AuthenticateFirst,
    /// The signalling plane, then user authentication.
    RegisterFirst,
}

/// What a failure says about what the UE thought it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The other side is away, or too busy: trying again may help.
    Unreachable,
    /// The other side said no for a reason that lies there: trying again helps once that is put right.
    Refused,
    /// The tokens shown no longer count.
    UserNotAuthenticated,
    /// The SIP core knows the UE no longer.
    NotRegistered,
    /// The user profile that was used is gone or has changed.
    ProfileGone,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step was done. [`Step::Configure`] and [`Step::SelectPartner`] have events of their own.
    Done(Step),
    /// [`Step::Configure`] was done: the primary gave user profiles for these MC services.
    Configured(BTreeSet<McService>),
    /// [`Step::SelectPartner`] was done.
    Selected(Selected),
    /// A step failed.
    Failed(Step, FailureKind),
    /// A step that undoes something in the partner was given up.
    GivenUp(Step),
    /// The user goes home, from wherever she is.
    ReturnBegun,
    /// Either MC system ended the migration for one MC service: ejected, recalled, expired, revoked, or without profile.
    MigrationEnded(McService),
    /// The primary does not have the user authorized for an MC service any more: expired, recalled, or without profile.
    AuthorizationEnded(McService),
}

/// An event that cannot have happened here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen in state {state}")]
pub struct OutOfOrder {
    /// Where the UE is.
    pub state: UeState,
    /// The event.
    pub event: Box<Event>,
}

/// The state machine. It starts factory-new; a stored one goes on where it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateMachine {
    evidence: Evidence,
}

impl StateMachine {
    /// What the UE has in hand.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The partner chosen.
    #[must_use]
    pub fn partner(&self) -> Option<&McSystemId> {
        self.evidence.selected.as_ref().map(|selected| &selected.partner)
    }

    /// Where the UE is.
    #[must_use]
    pub fn state(&self) -> UeState {
        let evidence = &self.evidence;
        if evidence.returning {
            UeState::Returning
        } else if !evidence.bootstrapped {
            UeState::FactoryNew
        } else if !evidence.primary_user_authenticated {
            UeState::Bootstrapped
        } else if !evidence.configured {
            UeState::PrimaryUserAuthenticated
        } else if !evidence.is_primary_complete() {
            UeState::PrimaryConfigured
        } else if evidence.selected.is_none() {
            UeState::PrimaryAuthorized
        } else {
            self.state_at_partner()
        }
    }

    fn state_at_partner(&self) -> UeState {
        let evidence = &self.evidence;
        match (evidence.partner_user_authenticated, evidence.partner_registered) {
            _ if !evidence.partner_bearers => UeState::PartnerSelected,
            (false, false) => UeState::PartnerBearers,
            (true, false) => UeState::PartnerUserAuthenticated,
            (false, true) => UeState::PartnerRegistered,
            (true, true) if !evidence.partner_profiled => UeState::PartnerUserAuthenticatedAndRegistered,
            (true, true) if !evidence.partner_grouped => UeState::PartnerProfiled,
            (true, true) if evidence.unmigrated().is_some() => UeState::PartnerGrouped,
            (true, true) if !evidence.operating => UeState::Migrated,
            (true, true) => UeState::Serving,
        }
    }

    /// The next step towards a goal; none when it is reached. A UE on its way home finishes that first. Home is not reached from a
    /// partner without [`Event::ReturnBegun`].
    #[must_use]
    pub fn next(&self, goal: Goal, order: PartnerOrder) -> Option<Step> {
        if self.evidence.returning {
            return self.next_undoing().or_else(|| self.next_in_primary());
        }
        match goal {
            Goal::Home => self.next_in_primary(),
            Goal::ServedByPartner => self.next_in_primary().or_else(|| self.next_at_partner(order)),
        }
    }

    fn next_in_primary(&self) -> Option<Step> {
        let evidence = &self.evidence;
        if !evidence.bootstrapped {
            Some(Step::Bootstrap)
        } else if !evidence.primary_user_authenticated {
            Some(Step::AuthenticateUser)
        } else if !evidence.configured {
            Some(Step::Configure)
        } else if !evidence.primary_registered {
            Some(Step::RegisterAtPrimary)
        } else {
            evidence.unauthorized().map(Step::AuthorizeService)
        }
    }

    fn next_at_partner(&self, order: PartnerOrder) -> Option<Step> {
        let evidence = &self.evidence;
        match (evidence.partner_user_authenticated, evidence.partner_registered, order) {
            _ if evidence.selected.is_none() => Some(Step::SelectPartner),
            _ if !evidence.partner_bearers => Some(Step::BringUpBearers),
            (false, false, PartnerOrder::AuthenticateFirst) | (false, true, _) => {
                Some(Step::AuthenticateAtPartner)
            }
            (false, false, PartnerOrder::RegisterFirst) | (true, false, _) => Some(Step::RegisterAtPartner),
            _ if !evidence.partner_profiled => Some(Step::DownloadProfiles),
            _ if !evidence.partner_grouped => Some(Step::ObtainGroups),
            _ => match evidence.unmigrated() {
                Some(service) => Some(Step::AuthorizeMigration(service)),
                None => (!evidence.operating).then_some(Step::BeginOperation),
            },
        }
    }

    fn next_undoing(&self) -> Option<Step> {
        let evidence = &self.evidence;
        let migrated = evidence.migrated.first().copied();
        if migrated.is_some() && !evidence.aliases_deactivated {
            Some(Step::DeactivateAliases)
        } else if migrated.is_some() && !evidence.deaffiliated {
            Some(Step::Deaffiliate)
        } else if let Some(service) = migrated {
            Some(Step::DeauthorizeMigration(service))
        } else if evidence.partner_registered {
            Some(Step::DeregisterAtPartner)
        } else {
            evidence.selected.is_some().then_some(Step::DiscardPartner)
        }
    }

    /// Takes note of an event.
    ///
    /// # Errors
    /// [`OutOfOrder`] where the event cannot have happened; nothing changes then.
    pub fn apply(&mut self, event: Event) -> Result<(), OutOfOrder> {
        if !self.admits(&event) {
            return Err(OutOfOrder { state: self.state(), event: Box::new(event) });
        }
        let evidence = &mut self.evidence;
        match event {
            Event::Done(step) | Event::GivenUp(step) => done(evidence, step),
            Event::Configured(services) => {
                evidence.authorized.retain(|service| services.contains(service));
                evidence.services = services;
                evidence.configured = true;
            }
            Event::Selected(selected) => evidence.selected = Some(selected),
            Event::Failed(step, failure) => failed(evidence, step, failure),
            Event::ReturnBegun => {
                evidence.returning = true;
                evidence.operating = false;
                // Where the partner may serve her, the primary has to hear that she is at home.
                for service in std::mem::take(&mut evidence.undecided) {
                    evidence.authorized.remove(&service);
                }
                // The primary may have forgotten the UE while it was away.
                evidence.primary_registered = false;
            }
            Event::MigrationEnded(service) => {
                evidence.migrated.remove(&service);
                evidence.operating = false;
            }
            Event::AuthorizationEnded(service) => {
                evidence.authorized.remove(&service);
            }
        }
        if evidence.returning && evidence.selected.is_none() && evidence.is_primary_complete() {
            evidence.returning = false;
        }
        Ok(())
    }

    fn admits(&self, event: &Event) -> bool {
        let evidence = &self.evidence;
        match event {
            Event::Done(step) => self.admits_step(*step),
            Event::Configured(services) => {
                // Those authorized in the partner stay the user's, whatever her primary says now.
                evidence.bootstrapped
                    && evidence.primary_user_authenticated
                    && !services.is_empty()
                    && evidence.migrated.is_subset(services)
            }
            Event::Selected(selected) => {
                self.state() == UeState::PrimaryAuthorized
                    && !selected.services.is_empty()
                    && selected.services.is_subset(&evidence.services)
            }
            Event::Failed(..) => true,
            Event::GivenUp(step) => step.is_undoing() && self.admits_step(*step),
            Event::ReturnBegun => evidence.selected.is_some() && !evidence.returning,
            Event::MigrationEnded(service) => evidence.migrated.contains(service),
            Event::AuthorizationEnded(service) => evidence.authorized.contains(service),
        }
    }

    fn admits_step(&self, step: Step) -> bool {
        let evidence = &self.evidence;
        let outward = evidence.selected.is_some() && !evidence.returning;
        match step {
            Step::Bootstrap => evidence.selected.is_none(),
            Step::AuthenticateUser | Step::RegisterAtPrimary => evidence.bootstrapped,
            Step::Configure | Step::SelectPartner => false,
            Step::AuthorizeService(service) => {
                evidence.primary_user_authenticated
                    && evidence.primary_registered
                    && evidence.services.contains(&service)
                    && !evidence.migrated.contains(&service)
            }
            Step::BringUpBearers => outward,
            Step::AuthenticateAtPartner => {
                outward && evidence.partner_bearers && evidence.primary_user_authenticated
            }
            Step::RegisterAtPartner => outward && evidence.partner_bearers,
            Step::DownloadProfiles => outward && evidence.is_admitted_by_partner(),
            Step::ObtainGroups => outward && evidence.is_admitted_by_partner() && evidence.partner_profiled,
            Step::AuthorizeMigration(service) => {
                let chosen =
                    evidence.selected.as_ref().is_some_and(|selected| selected.services.contains(&service));
                outward && chosen && evidence.is_ready_to_migrate()
            }
            Step::BeginOperation => {
                outward && evidence.is_ready_to_migrate() && evidence.unmigrated().is_none()
            }
            Step::DeactivateAliases
            | Step::Deaffiliate
            | Step::DeauthorizeMigration(_)
            | Step::DeregisterAtPartner
            | Step::DiscardPartner => evidence.returning && self.next_undoing() == Some(step),
        }
    }
}

fn done(evidence: &mut Evidence, step: Step) {
    match step {
        Step::Bootstrap => *evidence = Evidence { bootstrapped: true, ..Evidence::default() },
        Step::AuthenticateUser => evidence.primary_user_authenticated = true,
        Step::RegisterAtPrimary => evidence.primary_registered = true,
        Step::AuthorizeService(service) => {
            evidence.authorized.insert(service);
        }
        Step::BringUpBearers => evidence.partner_bearers = true,
        Step::AuthenticateAtPartner => evidence.partner_user_authenticated = true,
        Step::RegisterAtPartner => evidence.partner_registered = true,
        Step::DownloadProfiles => evidence.partner_profiled = true,
        Step::ObtainGroups => evidence.partner_grouped = true,
        Step::AuthorizeMigration(service) => {
            evidence.migrated.insert(service);
            evidence.undecided.remove(&service);
            // From now on the primary has her served in the partner.
            evidence.authorized.remove(&service);
        }
        Step::BeginOperation => evidence.operating = true,
        Step::DeactivateAliases => evidence.aliases_deactivated = true,
        Step::Deaffiliate => evidence.deaffiliated = true,
        Step::DeauthorizeMigration(service) => {
            evidence.migrated.remove(&service);
        }
        Step::DeregisterAtPartner => evidence.partner_registered = false,
        Step::DiscardPartner => evidence.discard_partner(),
        Step::Configure | Step::SelectPartner => {}
    }
}

/// A failure takes away what it refutes, and nothing else.
fn failed(evidence: &mut Evidence, step: Step, failure: FailureKind) {
    match failure {
        FailureKind::Unreachable => {
            if let Step::AuthorizeMigration(service) = step {
                evidence.undecided.insert(service);
            }
        }
        FailureKind::Refused => {}
        // The exchange for the security token shows the primary's token.
        FailureKind::UserNotAuthenticated if step == Step::AuthenticateAtPartner || !step.is_at_partner() => {
            evidence.primary_user_authenticated = false;
        }
        FailureKind::UserNotAuthenticated => evidence.partner_user_authenticated = false,
        FailureKind::NotRegistered if step.is_at_partner() => {
            evidence.partner_registered = false;
            evidence.operating = false;
        }
        FailureKind::NotRegistered => evidence.primary_registered = false,
        FailureKind::ProfileGone if step.is_at_partner() => {
            evidence.partner_profiled = false;
            evidence.partner_grouped = false;
            evidence.operating = false;
        }
        FailureKind::ProfileGone => evidence.configured = false,
    }
}
