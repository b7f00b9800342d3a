//! What the other MC system tells of migrations, TS 23.280 10.17.5 step 5: as primary that users are accepted or refused, in either role
//! that a migration is revoked.

use std::collections::{HashMap, HashSet};

use mcx_proto::migration::v1 as proto;
use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_runtime::procedure_step;
use mcx_store::Transaction;
use mcx_types::{Entity, McSystemId, Timestamp, Validity, Violations};
use tracing::Instrument;
use uuid::Uuid;

use super::Decider;
use super::decide::withdraw;
use super::offers::agreement_in_force;
use crate::app::App;
use crate::domain::audit::{AuditRecord, AuditedAction};
use crate::domain::binding::UseState;
use crate::domain::permit::PermitTerms;
use crate::domain::user_migration::{
    Decision, Grant, MigrationRole, UserMigration, UserMigrationState, Verdict,
};
use crate::error::Error;
use crate::store::{permits, ue_configurations, user_migrations};
use crate::wire::user_migration_exchange::{Allotment, Report, result_to_wire};

/// What a batch of reports changes.
#[derive(Default)]
struct Changes {
    changed: Vec<Uuid>,
    accepted: Vec<Uuid>,
    revoked: Vec<Uuid>,
    records: Vec<AuditRecord>,
}

impl App {
    /// Takes reports and says in which state each migration is here.
    pub(crate) async fn take_reports(
        &self,
        peer: McSystemId,
        reports: Vec<(Uuid, Report)>,
        configuration: Option<InitialUeConfiguration>,
        decider: &Decider,
    ) -> Result<proto::ReportUserMigrationsResponse, Error> {
        let step = procedure_step!(
            "10.17.5", 5, peer, Entity::MigrationManagement => self.own, Entity::MigrationManagement,
            "user configuration response", format_args!("{} users", reports.len())
        );
        self.follow(&peer, reports, configuration, decider).instrument(step).await
    }

    async fn follow(
        &self,
        peer: &McSystemId,
        reports: Vec<(Uuid, Report)>,
        configuration: Option<InitialUeConfiguration>,
        decider: &Decider,
    ) -> Result<proto::ReportUserMigrationsResponse, Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        agreement_in_force(&mut transaction, peer, now).await?;
        let ids: Vec<Uuid> = reports.iter().map(|(id, _)| *id).collect();
        let migrations = user_migrations::lock_by_ids(&mut transaction, &ids).await?;
        let mut migrations: HashMap<Uuid, UserMigration> = migrations
            .into_iter()
            .filter(|migration| migration.peer == *peer)
            .map(|migration| (migration.id, migration))
            .collect();
        check(peer, &reports, &migrations, configuration.as_ref())?;
        let digest = match &configuration {
            Some(configuration) => Some(ue_configurations::put(&mut transaction, configuration, now).await?),
            None => None,
        };
        let by_hand = by_hand(&mut transaction, peer, &reports, &migrations).await?;

        let mut changes = Changes::default();
        for (id, report) in reports {
            let Some(migration) = migrations.get_mut(&id) else { continue };
            match report {
                Report::InForce(allotment) => {
                    accept(&mut changes, migration, *allotment, digest.as_ref(), &by_hand, decider, now);
                }
                Report::Refused(reason, cause) => {
                    use UserMigrationState::{PendingAtPartner, Requested};
                    if matches!(migration.progress.state, Requested | PendingAtPartner) {
                        migration.refuse(reason, &cause, now);
                        changes.decided(migration, AuditedAction::AdmitUserMigration, decider, now);
                    }
                }
                Report::Revoked(cause) => revoke(&mut changes, migration, &cause, decider, now),
            }
        }
        self.write(transaction, &migrations, changes, now).await?;
        let results = ids.iter().map(|id| result_to_wire(*id, migrations.get(id))).collect();
        Ok(proto::ReportUserMigrationsResponse { results })
    }

    async fn write(
        &self,
        mut transaction: Transaction,
        migrations: &HashMap<Uuid, UserMigration>,
        changes: Changes,
        now: Timestamp,
    ) -> Result<(), Error> {
        let of = |ids: &[Uuid]| -> Vec<UserMigration> {
            ids.iter().filter_map(|id| migrations.get(id).cloned()).collect()
        };
        withdraw(&mut transaction, &of(&changes.revoked)).await?;
        // One that is reported again with another allotment has a permit already.
        permits::delete_kept_by(&mut transaction, &changes.accepted).await?;
        let accepted = of(&changes.accepted);
        let permits: Vec<(Uuid, PermitTerms)> = accepted.iter().filter_map(permit).collect();
        permits::insert_kept(&mut transaction, &permits, now).await?;
        user_migrations::put(&mut transaction, &of(&changes.changed)).await?;
        self.conclude(transaction, changes.records).await
    }
}

impl Changes {
    fn decided(
        &mut self,
        migration: &UserMigration,
        action: AuditedAction,
        decider: &Decider,
        now: Timestamp,
    ) {
        self.changed.push(migration.id);
        self.records.push(App::record_of(migration, action, decider, now));
    }
}

/// Whether the reports are of what the other MC system may tell: a partner of users in those MC services that it was asked for.
fn check(
    peer: &McSystemId,
    reports: &[(Uuid, Report)],
    migrations: &HashMap<Uuid, UserMigration>,
    configuration: Option<&InitialUeConfiguration>,
) -> Result<(), Violations> {
    let mut violations = Violations::new();
    if configuration.is_some_and(|configuration| configuration.mc_system_id != peer.as_str()) {
        violations.add("initial_ue_configuration.mc_system_id", "must be the mc system that reports");
    }
    let mut seen = HashSet::with_capacity(reports.len());
    for (index, (id, report)) in reports.iter().enumerate() {
        if !seen.insert(id) {
            violations.add(format!("reports[{index}].migration_id"), "must not repeat a migration");
        }
        let Some(migration) = migrations.get(id) else { continue };
        match report {
            Report::Revoked(_) => {}
            Report::InForce(_) | Report::Refused(..) if migration.role == MigrationRole::Partner => {
                violations.add(format!("reports[{index}].state"), "is not for a primary mc system to report");
            }
            Report::Refused(..) => {}
            Report::InForce(allotment) => {
                let asked = &migration.primary_mc_service_ids;
                if !allotment.mc_service_ids.keys().all(|service| asked.contains_key(service)) {
                    violations.add(
                        format!("reports[{index}].allotment.mc_service_identities"),
                        "must be of mc services that were asked for",
                    );
                }
            }
        }
    }
    violations.finish(Some(()))
}

/// Users and identities allotted to them that have a permit for the partner which an operator made by hand.
async fn by_hand(
    transaction: &mut Transaction,
    partner: &McSystemId,
    reports: &[(Uuid, Report)],
    migrations: &HashMap<Uuid, UserMigration>,
) -> Result<HashSet<String>, Error> {
    let allotments = reports.iter().filter_map(|(_, report)| match report {
        Report::InForce(allotment) => Some(allotment.visitor_identities.impi.to_string()),
        _ => None,
    });
    let own = migrations.values().map(|migration| migration.primary_identities.impi.to_string());
    Ok(permits::made_by_hand(transaction, partner, own, allotments).await?)
}

fn accept(
    changes: &mut Changes,
    migration: &mut UserMigration,
    allotment: Allotment,
    digest: Option<&String>,
    by_hand: &HashSet<String>,
    decider: &Decider,
    now: Timestamp,
) {
    use UserMigrationState::{Accepted, InForce, PendingAtPartner, Requested};
    let valid_until = [migration.valid_until, allotment.valid_until].into_iter().flatten().min();
    let visitor_impi = allotment.visitor_identities.impi.as_str();
    let is_in_the_way =
        by_hand.contains(visitor_impi) || by_hand.contains(migration.primary_identities.impi.as_str());
    let grant = Grant {
        visitor_identities: allotment.visitor_identities,
        mc_service_ids: allotment.mc_service_ids,
        scopes: allotment.scopes,
        granted_group_ids: Vec::new(),
        ue_configuration: digest.cloned(),
    };
    match migration.progress.state {
        Requested | PendingAtPartner if is_in_the_way => {
            revoke(changes, migration, "a permit of the user was made by hand", decider, now);
        }
        Accepted | InForce if migration.grant.as_ref() == Some(&grant) => {}
        // Nothing is decided: the partner is reached in another way than before.
        Accepted | InForce
            if migration
                .grant
                .as_ref()
                .is_some_and(|known| known.is_same_but_for_ue_configuration(&grant)) =>
        {
            migration.renew(grant.ue_configuration, now);
            changes.changed.push(migration.id);
        }
        Requested | PendingAtPartner | Accepted | InForce => {
            migration.valid_until = valid_until;
            migration.accept(grant, now);
            changes.accepted.push(migration.id);
            changes.decided(migration, AuditedAction::AdmitUserMigration, decider, now);
        }
        _ => {}
    }
}

fn revoke(
    changes: &mut Changes,
    migration: &mut UserMigration,
    cause: &str,
    decider: &Decider,
    now: Timestamp,
) {
    match migration.verdict(Decision::Revoke) {
        Verdict::Open => {
            migration.revoke(cause, true, now);
            changes.revoked.push(migration.id);
            changes.decided(migration, AuditedAction::RevokeUserMigration, decider, now);
        }
        Verdict::DecidedSo => {
            // Both sides revoked it: there is nobody left to be told.
            migration.revoke(cause, true, now);
            changes.changed.push(migration.id);
        }
        Verdict::DecidedOtherwise => {}
    }
}

fn permit(migration: &UserMigration) -> Option<(Uuid, PermitTerms)> {
    let grant = migration.grant.as_ref()?;
    let terms = PermitTerms {
        primary_impi: migration.primary_identities.impi.clone(),
        partner: migration.peer.clone(),
        partner_identities: grant.visitor_identities.clone(),
        state: UseState::Enabled,
        validity: Validity { from: None, until: migration.valid_until },
    };
    Some((migration.id, terms))
}
