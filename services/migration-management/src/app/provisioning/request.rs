//! What an operator of the primary requests, TS 23.280 10.17.5 step 1: all users, or none with everything that is wrong with any.

use std::collections::{BTreeMap, HashMap};

use mcx_proto::migration::v1 as proto;
use mcx_runtime::procedure_step;
use mcx_store::Transaction;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{Entity, McId, McService, McServiceId, McSystemId, Timestamp, Violations};
use tracing::Instrument;
use uuid::Uuid;

use super::Decider;
use crate::app::App;
use crate::app::mutation::{Begun, Mutation, begin};
use crate::collaborators::Account;
use crate::domain::audit::{AuditRecord, AuditedAction};
use crate::domain::refusal::Refusal;
use crate::domain::user_migration::{MigrationRole, Progress, Step, UserMigration, UserMigrationState};
use crate::error::Error;
use crate::store::{agreements, audit_records, permits, user_migrations};
use crate::wire::user_migration::UserToMigrate;

/// A request, decoded.
#[derive(Debug, Clone)]
pub(crate) struct MigrationRequest {
    pub(crate) partner: McSystemId,
    /// Those with whom nothing is wrong so far.
    pub(crate) users: Vec<UserToMigrate>,
    /// What is wrong with the others.
    pub(crate) violations: Violations,
    pub(crate) is_dry_run: bool,
    pub(crate) request: Option<MutatingRequest>,
}

impl App {
    /// Takes a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong with any user.
    pub(crate) async fn request_user_migration(
        &self,
        asked: MigrationRequest,
        decider: &Decider,
    ) -> Result<proto::RequestUserMigrationResponse, Error> {
        // A repetition is answered before anybody else is asked.
        match begin(&self.database, asked.request.clone(), self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation.transaction.rollback().await?,
        }
        let step = procedure_step!(
            "10.17.5", 1, self.own, "operator" => self.own, Entity::MigrationManagement,
            "add user configuration request", format_args!("{} users", asked.users.len())
        );
        self.take_request(asked, decider).instrument(step).await
    }

    async fn take_request(
        &self,
        mut asked: MigrationRequest,
        decider: &Decider,
    ) -> Result<proto::RequestUserMigrationResponse, Error> {
        let now = self.clock.now();
        let mc_ids: Vec<McId> = asked.users.iter().map(|user| user.mc_id.clone()).collect();
        let mut violations = std::mem::take(&mut asked.violations);
        let accounts = match self.collaborators.identity.resolve_accounts(&mc_ids).await {
            Ok(accounts) => accounts,
            // What is known to be wrong stays wrong, whoever is away.
            Err(_) if !violations.is_empty() => return Err(violations.into()),
            Err(error) => return Err(error),
        };
        let request_id = Uuid::now_v7();
        let migrations = resolved(&mut violations, &asked, &accounts, request_id, now);

        let mut mutation = match begin(&self.database, asked.request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let is_wrong = !violations.is_empty();
        let free =
            check_free(&mut mutation.transaction, &mut violations, &asked.partner, &migrations, now).await;
        if !is_wrong {
            free?;
        }
        violations.finish(Some(()))?;

        let user_count = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
        if asked.is_dry_run {
            mutation.transaction.rollback().await?;
            return Ok(proto::RequestUserMigrationResponse { user_count, ..Default::default() });
        }
        let migrations: Vec<UserMigration> = migrations.into_iter().map(|(_, migration)| migration).collect();
        user_migrations::put(&mut mutation.transaction, &migrations).await?;
        let action = AuditedAction::RequestUserMigration;
        let records: Vec<AuditRecord> =
            migrations.iter().map(|migration| Self::record_of(migration, action, decider, now)).collect();
        let response = proto::RequestUserMigrationResponse {
            user_migration_request_id: request_id.to_string(),
            user_count,
            violations: Vec::new(),
        };
        self.conclude_request(mutation, &records, &response).await?;
        tracing::info!(partner = %asked.partner, %request_id, users = user_count, "user migrations requested");
        Ok(response)
    }

    async fn conclude_request(
        &self,
        mut mutation: Mutation,
        records: &[AuditRecord],
        response: &proto::RequestUserMigrationResponse,
    ) -> Result<(), Error> {
        audit_records::append_in(&mut mutation.transaction, records).await?;
        mutation.commit(response).await?;
        self.audit.copy(records).await;
        self.user_migrations_changed().await;
        Ok(())
    }
}

/// The users with what identity management knows of them, each with her position in the request.
fn resolved(
    violations: &mut Violations,
    asked: &MigrationRequest,
    accounts: &HashMap<McId, Account>,
    request_id: Uuid,
    now: Timestamp,
) -> Vec<(usize, UserMigration)> {
    let mut migrations = Vec::with_capacity(asked.users.len());
    for user in &asked.users {
        let index = user.index;
        let Some(account) = accounts.get(&user.mc_id) else {
            violations.add(format!("users[{index}].mc_id"), "names nobody");
            continue;
        };
        let Some(mc_service_ids) = wanted_services(violations, index, user, account) else { continue };
        migrations.push((
            index,
            UserMigration {
                id: Uuid::now_v7(),
                request_id,
                role: MigrationRole::Primary,
                peer: asked.partner.clone(),
                mc_id: Some(user.mc_id.clone()),
                primary_issuer: None,
                primary_subject: account.subject.clone(),
                primary_identities: user.primary_identities.clone(),
                primary_mc_service_ids: mc_service_ids,
                grant: None,
                valid_until: user.valid_until,
                progress: Progress::beginning(UserMigrationState::Requested, Some(Step::Offer), now),
                created_at: now,
                updated_at: now,
            },
        ));
    }
    migrations
}

fn wanted_services(
    violations: &mut Violations,
    index: usize,
    user: &UserToMigrate,
    account: &Account,
) -> Option<BTreeMap<McService, McServiceId>> {
    if account.mc_service_ids.is_empty() {
        violations.add(format!("users[{index}].mc_id"), "names a user without any mc service id");
        return None;
    }
    let mut ids = account.mc_service_ids.clone();
    if user.mc_services.is_empty() {
        return Some(ids);
    }
    let mut is_good = true;
    for service in user.mc_services.iter().filter(|service| !ids.contains_key(service)) {
        violations.add(
            format!("users[{index}].mc_services"),
            format_args!("names {service}, in which the user has no mc service id"),
        );
        is_good = false;
    }
    ids.retain(|service, _| user.mc_services.contains(service));
    is_good.then_some(ids)
}

/// Whether nothing stands in the way of the users: no migration to the partner goes on, and no operator gave a permit by hand.
async fn check_free(
    transaction: &mut Transaction,
    violations: &mut Violations,
    partner: &McSystemId,
    migrations: &[(usize, UserMigration)],
    now: Timestamp,
) -> Result<(), Error> {
    let agreement = agreements::lock(transaction, partner).await?;
    let agreement = agreement.ok_or_else(|| Refusal::AgreementUnknown { mc_system_id: partner.clone() })?;
    agreement.check_in_force(now)?;
    let impis = || migrations.iter().map(|(_, migration)| migration.primary_identities.impi.to_string());
    let subjects = migrations.iter().map(|(_, migration)| migration.primary_subject.to_string());
    let active =
        user_migrations::active_subjects(transaction, MigrationRole::Primary, partner, impis(), subjects)
            .await?;
    let by_hand = permits::made_by_hand(transaction, partner, impis(), []).await?;
    for (index, migration) in migrations {
        let impi = migration.primary_identities.impi.as_str();
        if active.contains(migration.primary_subject.as_str()) {
            violations.add(
                format!("users[{index}].mc_id"),
                format_args!("names a user of whom a migration to {partner} goes on"),
            );
        } else if active.contains(impi) {
            violations.add(
                format!("users[{index}].primary_identities.impi"),
                format_args!("is that of a user of whom a migration to {partner} goes on"),
            );
        }
        if by_hand.contains(impi) {
            violations.add(
                format!("users[{index}].primary_identities.impi"),
                format_args!("has a permit for {partner} that was made by hand"),
            );
        }
    }
    Ok(())
}
