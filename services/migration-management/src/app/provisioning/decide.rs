//! What operators decide on user migrations, and what the end of their validity does.

use std::collections::{BTreeMap, HashMap};

use mcx_proto::migration::v1 as proto;
use mcx_store::Transaction;
use mcx_types::{McSystemId, Timestamp};
use uuid::Uuid;

use super::offers::{agreement_in_force, room};
use super::{BATCH, Decider};
use crate::app::App;
use crate::domain::admission_policy::{AdmissionMode, AdmissionPolicy};
use crate::domain::audit::{AuditRecord, AuditedAction};
use crate::domain::user_migration::{
    Decision, MigrationRole, RefusedBecause, UserMigration, UserMigrationState, Verdict,
};
use crate::error::Error;
use crate::store::user_migrations::MigrationFilter;
use crate::store::{admission_policies, bindings, permits, user_migrations};
use crate::wire::user_migration::{Selection, state_to_wire};

/// A decision of an operator.
#[derive(Debug, Clone)]
pub(crate) struct Decided {
    pub(crate) decision: Decision,
    pub(crate) selection: Selection,
    pub(crate) cause: String,
    pub(crate) is_dry_run: bool,
}

/// Some of the user migrations that are meant.
enum Part<'a> {
    Ids(&'a [Uuid]),
    Behind(&'a MigrationFilter, String),
}

impl App {
    /// Carries a decision out, and says what became of each user. Each batch is durable on its own: a call that fails half-way can be
    /// repeated.
    pub(crate) async fn decide(
        &self,
        decided: &Decided,
        decider: &Decider,
    ) -> Result<Vec<proto::UserMigrationResult>, Error> {
        let mut results = Vec::new();
        match &decided.selection {
            Selection::Ids(ids) => {
                for ids in ids.chunks(BATCH) {
                    results.extend(self.decide_part(decided, Part::Ids(ids), decider).await?.0);
                }
            }
            Selection::All(filter) => {
                let mut after = String::new();
                loop {
                    let part = Part::Behind(filter, after);
                    let (of_part, last) = self.decide_part(decided, part, decider).await?;
                    results.extend(of_part);
                    match last {
                        Some(last) => after = last.to_string(),
                        None => break,
                    }
                }
            }
        }
        Ok(results)
    }

    /// Carries a decision out on a part; says too where the next part begins.
    async fn decide_part(
        &self,
        decided: &Decided,
        part: Part<'_>,
        decider: &Decider,
    ) -> Result<(Vec<proto::UserMigrationResult>, Option<Uuid>), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        if decided.decision == Decision::Accept {
            // In this order everywhere: first the agreements, then the users.
            for peer in peers_of(&mut transaction, &part).await? {
                agreement_in_force(&mut transaction, &peer, now).await?;
            }
        }
        let mut migrations = lock(&mut transaction, &part, decided.decision).await?;
        let last = migrations.last().map(|migration| migration.id);
        let mut results: HashMap<Uuid, proto::UserMigrationResult> = HashMap::new();
        let (open, mut changed): (Vec<UserMigration>, Vec<UserMigration>) = {
            let verdict = |migration: &UserMigration| migration.verdict(decided.decision);
            for migration in migrations.iter().filter(|migration| verdict(migration) != Verdict::Open) {
                results.insert(migration.id, settled(migration, verdict(migration)));
            }
            migrations.retain(|migration| verdict(migration) == Verdict::Open);
            (migrations, Vec::new())
        };
        match decided.decision {
            Decision::Accept => {
                let (accepted, refused) = self.accept(&mut transaction, open, now).await?;
                results.extend(refused.into_iter().map(|result| (id_of(&result), result)));
                changed = accepted;
            }
            Decision::Refuse => {
                for mut migration in open {
                    migration.refuse(RefusedBecause::RefusedByOperator, &decided.cause, now);
                    changed.push(migration);
                }
            }
            Decision::Revoke => {
                for mut migration in open {
                    migration.revoke(&decided.cause, false, now);
                    changed.push(migration);
                }
                withdraw(&mut transaction, &changed).await?;
            }
        }
        results.extend(changed.iter().map(|migration| (migration.id, settled(migration, Verdict::Open))));
        if decided.is_dry_run {
            transaction.rollback().await?;
        } else {
            let action = match decided.decision {
                Decision::Accept | Decision::Refuse => AuditedAction::AdmitUserMigration,
                Decision::Revoke => AuditedAction::RevokeUserMigration,
            };
            let record = |migration: &UserMigration| Self::record_of(migration, action, decider, now);
            let records: Vec<AuditRecord> = changed.iter().map(record).collect();
            user_migrations::put(&mut transaction, &changed).await?;
            self.conclude(transaction, records).await?;
        }
        let results = match &part {
            Part::Ids(ids) => {
                ids.iter().map(|id| results.get(id).cloned().unwrap_or_else(|| unknown(*id))).collect()
            }
            Part::Behind(..) => {
                let ordered: BTreeMap<Uuid, _> = results.into_iter().collect();
                ordered.into_values().collect()
            }
        };
        Ok((results, last))
    }

    /// Lets users in, as far as the policies of their systems do. The agreements are locked.
    async fn accept(
        &self,
        transaction: &mut Transaction,
        open: Vec<UserMigration>,
        now: Timestamp,
    ) -> Result<(Vec<UserMigration>, Vec<proto::UserMigrationResult>), Error> {
        let mut by_peer: BTreeMap<McSystemId, Vec<UserMigration>> = BTreeMap::new();
        for migration in open {
            by_peer.entry(migration.peer.clone()).or_default().push(migration);
        }
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for (peer, migrations) in by_peer {
            let policy = admission_policies::applicable(transaction, &peer).await?;
            let mut room = room(transaction, &policy).await?;
            let impis = migrations.iter().map(|migration| migration.primary_identities.impi.to_string());
            let by_hand = bindings::made_by_hand(transaction, &peer, impis).await?;
            let mut admitted = Vec::with_capacity(migrations.len());
            for migration in migrations {
                let impi = migration.primary_identities.impi.as_str();
                if by_hand.contains(impi) {
                    let description = "a binding of the user was made by hand";
                    refused.push(result(&migration, proto::ErrorReason::IdentityTaken, description));
                } else if room == 0 || !is_admitted(&policy, &migration) {
                    let description = "the admission policy does not let the user in";
                    refused.push(result(&migration, proto::ErrorReason::NotAdmitted, description));
                } else {
                    room -= 1;
                    admitted.push(migration);
                }
            }
            let mut visitors: Vec<&mut UserMigration> = admitted.iter_mut().collect();
            self.admit(transaction, &policy, &mut visitors, now).await?;
            accepted.extend(admitted);
        }
        Ok((accepted, refused))
    }

    /// Revokes what is no longer valid; says whether there may be more of it.
    pub(super) async fn expire(&self) -> Result<bool, Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let mut expired = user_migrations::expired(&mut transaction, now, BATCH).await?;
        if expired.is_empty() {
            transaction.rollback().await?;
            return Ok(false);
        }
        let own_rules = self.own_rules();
        let mut records = Vec::with_capacity(expired.len());
        for migration in &mut expired {
            migration.revoke("its validity is over", false, now);
            let action = AuditedAction::RevokeUserMigration;
            records.push(Self::record_of(migration, action, &own_rules, now));
        }
        withdraw(&mut transaction, &expired).await?;
        user_migrations::put(&mut transaction, &expired).await?;
        self.conclude(transaction, records).await?;
        Ok(expired.len() == BATCH)
    }
}

/// Takes back what lets revoked users in at once: no vector is asked for, and none is released, from the end of the transaction on.
pub(super) async fn withdraw(transaction: &mut Transaction, revoked: &[UserMigration]) -> Result<(), Error> {
    let of = |role| -> Vec<Uuid> {
        let of_role = revoked.iter().filter(|migration| migration.role == role && migration.grant.is_some());
        of_role.map(|migration| migration.id).collect()
    };
    let (own, visitors) = (of(MigrationRole::Primary), of(MigrationRole::Partner));
    if !own.is_empty() {
        permits::delete_kept_by(transaction, &own).await?;
    }
    if !visitors.is_empty() {
        bindings::delete_kept_by(transaction, &visitors).await?;
    }
    Ok(())
}

fn is_admitted(policy: &AdmissionPolicy, migration: &UserMigration) -> bool {
    policy.mode != AdmissionMode::Refuse
        && !policy.admitted_services(&migration.primary_mc_service_ids).is_empty()
}

async fn peers_of(transaction: &mut Transaction, part: &Part<'_>) -> Result<Vec<McSystemId>, Error> {
    Ok(match part {
        Part::Ids(ids) => user_migrations::peers_of_ids(transaction, ids).await?,
        Part::Behind(MigrationFilter { peer: Some(peer), .. }, _) => vec![peer.clone()],
        Part::Behind(filter, _) => user_migrations::peers_of_request(transaction, filter.request_id).await?,
    })
}

async fn lock(
    transaction: &mut Transaction,
    part: &Part<'_>,
    decision: Decision,
) -> Result<Vec<UserMigration>, Error> {
    use UserMigrationState::{Accepted, InForce, Pending, PendingAtPartner, Requested};
    const GOING_ON: &[UserMigrationState] = &[Requested, PendingAtPartner, Pending, Accepted, InForce];
    Ok(match part {
        Part::Ids(ids) => user_migrations::lock_by_ids(transaction, ids).await?,
        Part::Behind(filter, after) => {
            let states = match decision {
                Decision::Accept | Decision::Refuse => &[Pending][..],
                Decision::Revoke => GOING_ON,
            };
            user_migrations::lock_selected(transaction, filter, states, after, BATCH).await?
        }
    })
}

fn settled(migration: &UserMigration, verdict: Verdict) -> proto::UserMigrationResult {
    match verdict {
        Verdict::Open | Verdict::DecidedSo => result(migration, proto::ErrorReason::Unspecified, ""),
        Verdict::DecidedOtherwise if migration.role == MigrationRole::Primary => {
            let description = "the partner decides, and what it decided stands";
            result(migration, proto::ErrorReason::UserMigrationDecided, description)
        }
        Verdict::DecidedOtherwise => {
            let description = "it was decided otherwise before";
            result(migration, proto::ErrorReason::UserMigrationDecided, description)
        }
    }
}

fn result(
    migration: &UserMigration,
    reason: proto::ErrorReason,
    description: &str,
) -> proto::UserMigrationResult {
    proto::UserMigrationResult {
        migration_id: migration.id.to_string(),
        state: state_to_wire(migration.progress.state).into(),
        reason: reason.into(),
        description: description.to_owned(),
    }
}

fn unknown(id: Uuid) -> proto::UserMigrationResult {
    proto::UserMigrationResult {
        migration_id: id.to_string(),
        state: proto::UserMigrationState::Unspecified.into(),
        reason: proto::ErrorReason::UserMigrationUnknown.into(),
        description: "no user migration has this identifier".to_owned(),
    }
}

fn id_of(result: &proto::UserMigrationResult) -> Uuid {
    Uuid::parse_str(&result.migration_id).unwrap_or_default()
}
