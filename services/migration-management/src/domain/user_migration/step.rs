//! What is done for a user migration, and in which order.

use super::{MigrationRole, UserMigrationState, stored_names};

stored_names! {
    /// One thing to be done at another entity or at the other MC system. Each can be repeated.
    Step {
        /// Primary: ask the partner.
        Offer = "OFFER",
        /// Primary: let the user exchange her tokens for security tokens for the partner.
        PutExchangeTargets = "PUT_EXCHANGE_TARGETS",
        /// Primary: put the access information into her user profiles, and let the partner have them (CSC-17).
        PutMigrationTargets = "PUT_MIGRATION_TARGETS",
        /// Primary: let the partner have her groups (CSC-16).
        PutSharedUsers = "PUT_SHARED_USERS",
        /// Partner: map her security tokens to her MC service IDs here.
        PutVisitorIdentities = "PUT_VISITOR_IDENTITIES",
        /// Partner: take and serve her user profiles.
        PutVisitorConfiguration = "PUT_VISITOR_CONFIGURATION",
        /// Partner: make her a member of groups.
        PutVisitorGroups = "PUT_VISITOR_GROUPS",
        /// Primary: undo [`Step::PutExchangeTargets`].
        DeleteExchangeTargets = "DELETE_EXCHANGE_TARGETS",
        /// Primary: undo [`Step::PutMigrationTargets`].
        DeleteMigrationTargets = "DELETE_MIGRATION_TARGETS",
        /// Primary: undo [`Step::PutSharedUsers`].
        DeleteSharedUsers = "DELETE_SHARED_USERS",
        /// Partner: undo [`Step::PutVisitorIdentities`], and refuse the tokens that she has.
        DeleteVisitorIdentities = "DELETE_VISITOR_IDENTITIES",
        /// Partner: end her registration.
        Deregister = "DEREGISTER",
        /// Both: end the authorizations of her clients.
        EndMigrations = "END_MIGRATIONS",
        /// Partner: undo [`Step::PutVisitorConfiguration`].
        DeleteVisitorConfiguration = "DELETE_VISITOR_CONFIGURATION",
        /// Partner: undo [`Step::PutVisitorGroups`].
        DeleteVisitorGroups = "DELETE_VISITOR_GROUPS",
        /// Both: tell the other MC system what became of it.
        Report = "REPORT",
    }
}

/// The steps of a state, in their order. What is revoked without ever having been accepted (`is_granted`) left nothing to undo.
///
/// While it is undone, first what lets the user in, then what she was told; the other MC system last, so that its being away holds up
/// nothing here.
pub(super) fn plan(role: MigrationRole, state: UserMigrationState, is_granted: bool) -> &'static [Step] {
    use MigrationRole::{Partner, Primary};
    use UserMigrationState as State;
    match (role, state) {
        (Primary, State::Requested) => &[Step::Offer],
        (Primary, State::Accepted) => {
            &[Step::PutExchangeTargets, Step::PutMigrationTargets, Step::PutSharedUsers]
        }
        (Partner, State::Accepted) => {
            &[Step::PutVisitorIdentities, Step::PutVisitorConfiguration, Step::PutVisitorGroups, Step::Report]
        }
        (Primary, State::Revoking) if is_granted => &[
            Step::DeleteExchangeTargets,
            Step::EndMigrations,
            Step::DeleteMigrationTargets,
            Step::DeleteSharedUsers,
            Step::Report,
        ],
        (Partner, State::Revoking) if is_granted => &[
            Step::DeleteVisitorIdentities,
            Step::Deregister,
            Step::EndMigrations,
            Step::DeleteVisitorConfiguration,
            Step::DeleteVisitorGroups,
            Step::Report,
        ],
        (_, State::Revoking) | (Partner, State::Refused) => &[Step::Report],
        (Primary, State::Refused)
        | (Partner, State::Requested)
        | (_, State::PendingAtPartner | State::Pending | State::InForce | State::Revoked) => &[],
    }
}
