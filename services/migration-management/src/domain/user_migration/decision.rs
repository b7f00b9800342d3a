//! Who may decide what, and when it is too late.

use super::{MigrationRole, UserMigration, UserMigrationState};

/// What an operator decides on a user migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The partner lets the user in.
    Accept,
    /// The partner does not.
    Refuse,
    /// Either system takes it back.
    Revoke,
}

/// Whether a decision can be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can.
    Open,
    /// It was decided so before.
    DecidedSo,
    /// It was decided otherwise before, or is not for this MC system to decide.
    DecidedOtherwise,
}

impl UserMigration {
    /// Whether the decision can be carried out now. Of two who decide the first one wins; whoever decides the same is content.
    pub fn verdict(&self, decision: Decision) -> Verdict {
        use UserMigrationState::{
            Accepted, InForce, Pending, PendingAtPartner, Refused, Requested, Revoked, Revoking,
        };
        match (decision, self.role, self.progress.state) {
            (Decision::Accept | Decision::Refuse, MigrationRole::Primary, _) => Verdict::DecidedOtherwise,
            (Decision::Accept | Decision::Refuse, MigrationRole::Partner, Pending) => Verdict::Open,
            (Decision::Accept, MigrationRole::Partner, Accepted | InForce) => Verdict::DecidedSo,
            (Decision::Refuse, MigrationRole::Partner, Refused) => Verdict::DecidedSo,
            (Decision::Accept | Decision::Refuse, MigrationRole::Partner, _) => Verdict::DecidedOtherwise,
            (Decision::Revoke, _, Requested | PendingAtPartner | Pending | Accepted | InForce) => {
                Verdict::Open
            }
            (Decision::Revoke, _, Revoking | Revoked) => Verdict::DecidedSo,
            (Decision::Revoke, _, Refused) => Verdict::DecidedOtherwise,
        }
    }
}
