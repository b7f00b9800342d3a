//! User migrations: the migration of one user to one partner MC system, as each of the two systems sees it. TS 23.280 10.17.5.
//!
//! The state in the database is the outbox: [`Progress::next_step`] says what is still to be done, and every step can be repeated.

mod decision;
mod step;

use std::collections::BTreeMap;
use std::time::Duration;

use mcx_types::{
    McId, McService, McServiceGroupId, McServiceId, McSystemId, SipIdentities, Subject, Timestamp,
};
use uuid::Uuid;

pub use decision::{Decision, Verdict};
pub use step::Step;
use step::plan;

use super::audit::stored_names;

/// The migration of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMigration {
    /// The identifier, the same in both MC systems; it grows with time (UUID version 7).
    pub id: Uuid,
    /// The request that it belongs to, the same in both MC systems.
    pub request_id: Uuid,
    /// The role of this MC system.
    pub role: MigrationRole,
    /// The other MC system.
    pub peer: McSystemId,
    /// The MC ID of the user; the primary's only.
    pub mc_id: Option<McId>,
    /// The issuer of the primary's identity management server; the partner's only.
    pub primary_issuer: Option<String>,
    /// The `sub` of the user at the primary's identity management server.
    pub primary_subject: Subject,
    /// Her SIP identities in the primary MC system.
    pub primary_identities: SipIdentities,
    /// Who she is in the primary MC system, in each MC service that was asked for.
    pub primary_mc_service_ids: BTreeMap<McService, McServiceId>,
    /// What the partner allotted to her, once it accepted her.
    pub grant: Option<Grant>,
    /// The first moment at which the migration is no longer valid.
    pub valid_until: Option<Timestamp>,
    /// How far it is.
    pub progress: Progress,
    /// When it was requested, or offered here.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a partner allots to a user whom it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The SIP identities of the visitor.
    pub visitor_identities: SipIdentities,
    /// Who she is at the partner in each MC service for which she is accepted.
    pub mc_service_ids: BTreeMap<McService, McServiceId>,
    /// The scopes that she may ask there.
    pub scopes: Vec<String>,
    /// Groups of the partner of which she becomes a member; the partner's only.
    pub granted_group_ids: Vec<McServiceGroupId>,
    /// What every UE needs to reach the partner, by its digest: at the primary what it was told last, by which the store finds it; at the
    /// partner what the primary was told last.
    pub ue_configuration: Option<String>,
}

impl Grant {
    /// Whether the partner allots the same as before, and only what UEs need to reach it may be something else.
    pub fn is_same_but_for_ue_configuration(&self, other: &Self) -> bool {
        let ue_configuration = other.ue_configuration.clone();
        Self { ue_configuration, ..self.clone() } == *other
    }
}

/// How far a user migration is in this MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The state.
    pub state: UserMigrationState,
    /// What is to be done next; `None`: nothing, until somebody decides or reports.
    pub next_step: Option<Step>,
    /// Whether the other MC system knows the end of it already, so that it need not be told.
    pub is_peer_told: bool,
    /// Why it was refused.
    pub reason: Option<RefusedBecause>,
    /// What whoever refused or revoked gave as the cause.
    pub cause: String,
    /// How often the next step was tried in vain.
    pub failed_attempts: u32,
    /// When it is tried, or tried again.
    pub next_attempt_at: Timestamp,
    /// What went wrong the last time; empty: nothing did.
    pub last_error: String,
}

stored_names! {
    /// The role of an MC system in a migration.
    MigrationRole {
        /// The user is an own one.
        Primary = "PRIMARY",
        /// The user is a visitor.
        Partner = "PARTNER",
    }
}

stored_names! {
    /// How far a user migration is in one MC system.
    UserMigrationState {
        /// Primary: not yet offered to the partner.
        Requested = "REQUESTED",
        /// Primary: the partner has it and has not reported.
        PendingAtPartner = "PENDING_AT_PARTNER",
        /// Partner: not decided yet.
        Pending = "PENDING",
        /// Accepted, and being put in place.
        Accepted = "ACCEPTED",
        /// Everything is in place here, and the other system knows all that it needs.
        InForce = "IN_FORCE",
        /// Refused by the partner.
        Refused = "REFUSED",
        /// Revoked, and being undone.
        Revoking = "REVOKING",
        /// Revoked; nothing is left in place here, and the other system knows.
        Revoked = "REVOKED",
    }
}

stored_names! {
    /// Why a partner refuses a user, by the name of the reason in the protocol.
    RefusedBecause {
        /// Its admission policy does not let her in.
        NotAdmitted = "NOT_ADMITTED",
        /// Its operator refused her.
        RefusedByOperator = "REFUSED_BY_OPERATOR",
        /// She has a binding there, or another migration to it goes on.
        IdentityTaken = "IDENTITY_TAKEN",
    }
}

impl UserMigrationState {
    /// Whether nothing more happens by itself.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::InForce | Self::Refused | Self::Revoked)
    }

    /// Whether it goes on: neither refused nor revoked to its end.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Refused | Self::Revoked)
    }
}

/// How long to wait before a failed step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure; doubled with each further one.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

impl Backoff {
    fn after(self, failed_attempts: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(failed_attempts.saturating_sub(1)));
        doubled.min(self.longest)
    }
}

impl Progress {
    /// Progress at its beginning.
    pub fn beginning(state: UserMigrationState, next_step: Option<Step>, now: Timestamp) -> Self {
        Self {
            state,
            next_step,
            is_peer_told: false,
            reason: None,
            cause: String::new(),
            failed_attempts: 0,
            next_attempt_at: now,
            last_error: String::new(),
        }
    }

    fn go(&mut self, state: UserMigrationState, next_step: Option<Step>, now: Timestamp) {
        self.state = state;
        self.next_step = next_step;
        self.failed_attempts = 0;
        self.last_error.clear();
        self.next_attempt_at = now;
    }
}

impl UserMigration {
    /// The partner accepts the user: everything is put in place from here.
    pub fn accept(&mut self, grant: Grant, now: Timestamp) {
        self.grant = Some(grant);
        self.enter(UserMigrationState::Accepted, now);
    }

    /// The partner refuses the user.
    pub fn refuse(&mut self, reason: RefusedBecause, cause: &str, now: Timestamp) {
        self.progress.reason = Some(reason);
        cause.clone_into(&mut self.progress.cause);
        self.enter(UserMigrationState::Refused, now);
    }

    /// Somebody revokes the migration: everything is undone from here. `by_peer`: the other MC system did, and need not be told.
    pub fn revoke(&mut self, cause: &str, by_peer: bool, now: Timestamp) {
        self.progress.is_peer_told |= by_peer;
        if matches!(self.progress.state, UserMigrationState::Revoking | UserMigrationState::Revoked) {
            return;
        }
        cause.clone_into(&mut self.progress.cause);
        self.enter(UserMigrationState::Revoking, now);
    }

    /// Partner: what UEs need to reach this MC system has changed since the primary was told of it, so that it is told again. Until it
    /// knows, the migration is not in force as far as this MC system can say; for the visitor nothing changes here.
    pub fn tell_again(&mut self, now: Timestamp) {
        if self.role == MigrationRole::Partner && self.progress.state == UserMigrationState::InForce {
            self.progress.go(UserMigrationState::Accepted, Some(Step::Report), now);
            self.updated_at = now;
        }
    }

    /// Partner: the primary was told what UEs need, by its digest.
    pub fn told(&mut self, ue_configuration: &str) {
        if let Some(grant) = self.grant.as_mut().filter(|_| self.role == MigrationRole::Partner) {
            grant.ue_configuration = Some(ue_configuration.to_owned());
        }
    }

    /// Primary: what UEs need to reach the partner has changed, and is put in place once more. What is permitted stays as it is.
    pub fn renew(&mut self, ue_configuration: Option<String>, now: Timestamp) {
        if let Some(grant) = &mut self.grant {
            grant.ue_configuration = ue_configuration;
            self.enter(UserMigrationState::Accepted, now);
        }
    }

    fn enter(&mut self, state: UserMigrationState, now: Timestamp) {
        let first = plan(self.role, state, self.grant.is_some()).first().copied();
        self.progress.go(state, first, now);
        self.updated_at = now;
    }

    /// A step succeeded. Does nothing where another step has become the next one in the meantime.
    pub fn step_done(&mut self, step: Step, now: Timestamp) {
        let state = self.progress.state;
        if self.progress.next_step != Some(step) {
            return;
        }
        let steps = plan(self.role, state, self.grant.is_some());
        let next = steps.iter().skip_while(|planned| **planned != step).nth(1).copied();
        let state = match (state, next) {
            (UserMigrationState::Accepted, None) => UserMigrationState::InForce,
            (UserMigrationState::Revoking, None) => UserMigrationState::Revoked,
            (state, _) => state,
        };
        self.progress.go(state, next, now);
        self.updated_at = now;
    }

    /// A step failed, and is tried again later.
    pub fn step_failed(&mut self, step: Step, error: &str, backoff: Backoff, now: Timestamp) {
        if self.progress.next_step != Some(step) {
            return;
        }
        self.progress.failed_attempts = self.progress.failed_attempts.saturating_add(1);
        self.progress.next_attempt_at = now.saturating_add(backoff.after(self.progress.failed_attempts));
        error.clone_into(&mut self.progress.last_error);
        self.updated_at = now;
    }

    /// The other MC system answered an offer or a report.
    pub fn answered(&mut self, step: Step, answer: &PeerAnswer, now: Timestamp) {
        use UserMigrationState::{
            Accepted, InForce, Pending, PendingAtPartner, Refused, Requested, Revoked, Revoking,
        };
        if self.progress.next_step != Some(step) {
            return;
        }
        match (self.progress.state, answer.state) {
            // An offer. Whatever the partner decided by itself, it reports.
            (Requested, Pending | Accepted | InForce) => self.enter(PendingAtPartner, now),
            (Requested, Refused) => {
                let reason = answer.reason.unwrap_or(RefusedBecause::NotAdmitted);
                self.refuse(reason, &answer.cause, now);
            }
            // What is in place here is known there.
            (Accepted, Accepted | InForce) => self.step_done(step, now),
            (Refused | Revoking | Revoked, _) => self.step_done(step, now),
            // It is over there, or was never known.
            (Requested | Accepted, Revoking | Revoked | Refused) => self.revoke(&answer.cause, true, now),
            (Requested | Accepted, Requested | PendingAtPartner) | (Accepted, Pending) => {}
            (PendingAtPartner | Pending | InForce, _) => {}
        }
    }
}

/// In which state a migration is in the other MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAnswer {
    /// The state there; revoked also where it is not known there.
    pub state: UserMigrationState,
    /// Why it is refused.
    pub reason: Option<RefusedBecause>,
    /// What whoever refused or revoked it gave as the cause.
    pub cause: String,
}

#[cfg(test)]
mod tests;
