//! Does what is still to be done for user migrations, as their rows say: after a crash it goes on where it was.
//!
//! Each kind of work (a step, in a role, with another MC system) goes on by itself, so that one that hangs holds up no other. Within one,
//! batches are claimed: two replicas do not do the same at the same time, and the claim of a dead one ends by itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use mcx_types::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep;
use uuid::Uuid;

use super::steps::{Outcomes, StepOutcome};
use super::{BATCH, CHANGES};
use crate::app::App;
use crate::domain::audit::{AuditRecord, AuditedAction};
use crate::domain::user_migration::{Backoff, UserMigration, UserMigrationState};
use crate::error::Error;
use crate::store::user_migrations;
use crate::store::user_migrations::{Due, StepKey};

/// How long to wait at most before the database is asked again what is to be done, should a notification have been missed.
const LONGEST_REST: Duration = Duration::from_secs(10);

impl App {
    /// Runs until it is dropped, and what it has begun ends with it.
    pub(crate) async fn reconcile_user_migrations(&self) {
        let mut changes = self.user_migrations.subscribe();
        let mut running: HashMap<Id, StepKey> = HashMap::new();
        // Tasks of their own: work that holds a connection to the database must go on while this waits for one.
        let mut work = JoinSet::new();
        loop {
            changes.mark_unchanged();
            let rest = match self.look_for_work(&running).await {
                Ok((found, rest)) => {
                    for key in found {
                        let task = work.spawn(self.clone().work_on(key.clone()));
                        running.insert(task.id(), key);
                    }
                    rest
                }
                Err(error) => {
                    tracing::warn!(%error, "what is to be done for user migrations cannot be read");
                    self.config.provisioning.first_retry
                }
            };
            tokio::select! {
                Some(ended) = work.join_next_with_id(), if !work.is_empty() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    running.remove(&id);
                }
                () = changed(&mut changes) => {}
                () = sleep(rest) => {}
            }
        }
    }

    /// Passes on what other replicas tell. Runs until it is dropped.
    pub(crate) async fn follow_user_migrations(&self) {
        let mut changes = self.cache.subscribe(CHANGES);
        while changes.next().await.is_some() {
            self.user_migrations.send_modify(|changes| *changes = changes.wrapping_add(1));
        }
    }

    /// The kinds of work that are due and not under way, and how long there will be no further one.
    async fn look_for_work(&self, running: &HashMap<Id, StepKey>) -> Result<(Vec<StepKey>, Duration), Error> {
        let mut next_expiry = user_migrations::next_expiry(&self.database).await?;
        if next_expiry.is_some_and(|at| at <= self.clock.now()) {
            while self.expire().await? {}
            next_expiry = user_migrations::next_expiry(&self.database).await?;
        }
        let due: Due = user_migrations::due(&self.database).await?;
        let now = self.clock.now();
        let running: HashSet<&StepKey> = running.values().collect();
        let mut found = Vec::new();
        let mut next = next_expiry;
        for (key, at) in due {
            if running.contains(&key) {
                continue;
            }
            if at <= now {
                found.push(key);
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        let rest = next.map_or(LONGEST_REST, |next| next.saturating_since(now).min(LONGEST_REST));
        Ok((found, rest))
    }

    /// Works on one kind until nothing of it is due.
    async fn work_on(self, key: StepKey) {
        loop {
            match self.work_on_batch(&key).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, step = key.step.as_str(), peer = %key.peer, "a step of user migrations is not recorded, it will be repeated");
                    sleep(self.config.provisioning.first_retry).await;
                    break;
                }
            }
        }
    }

    /// Claims a batch, does its step and records what came of it; says whether there was one.
    async fn work_on_batch(&self, key: &StepKey) -> Result<bool, Error> {
        let lifetime = self.config.provisioning.claim_lifetime;
        let claim = Uuid::new_v4();
        let now = self.clock.now();
        let until = now.saturating_add(lifetime);
        let migrations = user_migrations::claim(&self.database, claim, key, BATCH, now, until).await?;
        if migrations.is_empty() {
            return Ok(false);
        }
        // Well before the claim ends: nobody else shall begin while this goes on.
        let outcomes = tokio::time::timeout(lifetime / 2, self.perform(key, &migrations)).await;
        let outcomes = outcomes.unwrap_or_else(|_| {
            let late = StepOutcome::Failed("it took too long".to_owned());
            migrations.iter().map(|migration| (migration.id, late.clone())).collect()
        });
        self.settle(claim, key, &outcomes).await?;
        Ok(true)
    }

    /// Records what came of a step. What somebody decided in the meantime stands.
    async fn settle(&self, claim: Uuid, key: &StepKey, outcomes: &Outcomes) -> Result<(), Error> {
        let now = self.clock.now();
        let backoff = Backoff {
            first: self.config.provisioning.first_retry,
            longest: self.config.provisioning.longest_retry,
        };
        let mut transaction = self.database.begin().await?;
        let mut migrations = user_migrations::claimed(&mut transaction, claim).await?;
        let mut records = Vec::new();
        let mut withdrawn = Vec::new();
        for migration in &mut migrations {
            let before = migration.progress.state;
            match outcomes.get(&migration.id) {
                Some(StepOutcome::Done) => migration.step_done(key.step, now),
                Some(StepOutcome::Answered { answer, ue_configuration }) => {
                    if let Some(digest) = ue_configuration {
                        migration.told(digest);
                    }
                    migration.answered(key.step, answer, now);
                }
                Some(StepOutcome::Failed(error)) => migration.step_failed(key.step, error, backoff, now),
                None => {}
            }
            if migration.progress.state != before {
                records.extend(self.record_of_change(migration, now));
                if migration.progress.state == UserMigrationState::Revoking {
                    withdrawn.push(migration.clone());
                }
            }
        }
        super::decide::withdraw(&mut transaction, &withdrawn).await?;
        user_migrations::put(&mut transaction, &migrations).await?;
        user_migrations::release(&mut transaction, claim).await?;
        show(key, outcomes);
        self.conclude(transaction, records).await
    }

    /// The record of a state that was reached by a step.
    fn record_of_change(&self, migration: &UserMigration, now: Timestamp) -> Option<AuditRecord> {
        let action = match migration.progress.state {
            UserMigrationState::InForce => AuditedAction::CompleteUserMigration,
            UserMigrationState::Revoked => AuditedAction::CompleteRevocation,
            UserMigrationState::Refused => AuditedAction::AdmitUserMigration,
            UserMigrationState::Revoking => AuditedAction::RevokeUserMigration,
            _ => return None,
        };
        Some(Self::record_of(migration, action, &self.own_rules(), now))
    }
}

/// Completes at the next change.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn show(key: &StepKey, outcomes: &Outcomes) {
    let failures = outcomes.values().filter_map(|outcome| match outcome {
        StepOutcome::Failed(error) => Some(error),
        _ => None,
    });
    let failed = failures.clone().count();
    let labels = |outcome: &'static str| {
        [("step", key.step.as_str()), ("role", key.role.as_str()), ("outcome", outcome)]
    };
    const STEPS: &str = "mcx_migration_management_provisioning_steps_total";
    metrics::counter!(STEPS, &labels("done")).increment((outcomes.len() - failed) as u64);
    metrics::counter!(STEPS, &labels("failed")).increment(failed as u64);
    if let Some(error) = failures.clone().next() {
        tracing::warn!(step = key.step.as_str(), peer = %key.peer, users = failed, %error, "a step of user migrations failed, it will be repeated");
    } else {
        tracing::debug!(step = key.step.as_str(), peer = %key.peer, users = outcomes.len(), "a step of user migrations is done");
    }
}
