//! What a primary MC system offers, TS 23.280 10.17.5 steps 2 to 4: the policy decides, or leaves it to an operator.

use std::collections::{HashMap, HashSet};

use mcx_proto::migration::v1 as proto;
use mcx_runtime::procedure_step;
use mcx_store::Transaction;
use mcx_types::{Entity, McSystemId, Timestamp};
use tracing::Instrument;
use uuid::Uuid;

use super::Decider;
use crate::app::App;
use crate::domain::admission_policy::{AdmissionMode, AdmissionPolicy};
use crate::domain::agreement::Agreement;
use crate::domain::audit::{AuditRecord, AuditedAction};
use crate::domain::refusal::Refusal;
use crate::domain::user_migration::{
    MigrationRole, Progress, RefusedBecause, UserMigration, UserMigrationState,
};
use crate::error::Error;
use crate::store::{admission_policies, agreements, bindings, user_migrations};
use crate::wire::user_migration_exchange::{Offer, result_to_wire};

/// What became of users who were not known before.
struct DecidedOffers {
    /// Those who are taken down, accepted and refused ones too.
    taken: Vec<UserMigration>,
    records: Vec<AuditRecord>,
    /// Those for whom there was no room among the pending ones. Nothing is kept of them, so that they cannot fill the database either.
    left_out: HashSet<Uuid>,
}

/// What the policy says of a user.
enum Admission {
    Accepted,
    Pending,
    Refused(RefusedBecause),
}

impl App {
    /// Takes offers and says what became of each so far.
    pub(crate) async fn take_offers(
        &self,
        primary: McSystemId,
        offers: Vec<Offer>,
        decider: &Decider,
    ) -> Result<proto::OfferUserMigrationsResponse, Error> {
        let step = procedure_step!(
            "10.17.5", 3, self.own, Entity::MigrationManagement => primary, Entity::MigrationManagement,
            "process indication", format_args!("{} users", offers.len())
        );
        self.take(&primary, offers, decider).instrument(step).await
    }

    async fn take(
        &self,
        primary: &McSystemId,
        offers: Vec<Offer>,
        decider: &Decider,
    ) -> Result<proto::OfferUserMigrationsResponse, Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let agreement = agreement_in_force(&mut transaction, primary, now).await?;
        let ids: Vec<Uuid> = offers.iter().map(|offer| offer.migration_id).collect();
        let known = user_migrations::lock_by_ids(&mut transaction, &ids).await?;
        let mut known: HashMap<Uuid, UserMigration> =
            known.into_iter().map(|migration| (migration.id, migration)).collect();
        let mut seen: HashSet<Uuid> = known.keys().copied().collect();
        let fresh: Vec<UserMigration> = offers
            .into_iter()
            .filter(|offer| seen.insert(offer.migration_id))
            .map(|offer| offered(primary, offer, now))
            .collect();

        let decided = self.decide_offers(&mut transaction, &agreement, fresh, decider, now).await?;
        user_migrations::put(&mut transaction, &decided.taken).await?;
        self.conclude(transaction, decided.records).await?;
        self.limiter.offers_left_out(primary, decided.left_out.len());

        known.extend(decided.taken.into_iter().map(|migration| (migration.id, migration)));
        let result = |id: &Uuid| {
            if decided.left_out.contains(id) {
                return proto::UserMigrationReportResult {
                    migration_id: id.to_string(),
                    state: proto::UserMigrationState::Requested.into(),
                    reason: proto::ErrorReason::PendingOffersExceeded.into(),
                    cause: String::new(),
                };
            }
            let migration = known.get(id);
            let is_theirs = |migration: &&UserMigration| {
                migration.role == MigrationRole::Partner && migration.peer == *primary
            };
            match migration {
                // An identifier that is not theirs is as good as taken; whose it is they are not told.
                Some(migration) if !is_theirs(&migration) => proto::UserMigrationReportResult {
                    migration_id: id.to_string(),
                    state: proto::UserMigrationState::Refused.into(),
                    reason: proto::ErrorReason::IdentityTaken.into(),
                    cause: String::new(),
                },
                migration => result_to_wire(*id, migration),
            }
        };
        Ok(proto::OfferUserMigrationsResponse { results: ids.iter().map(result).collect() })
    }

    /// Applies the policy to users who were not known before.
    async fn decide_offers(
        &self,
        transaction: &mut Transaction,
        agreement: &Agreement,
        mut fresh: Vec<UserMigration>,
        decider: &Decider,
        now: Timestamp,
    ) -> Result<DecidedOffers, Error> {
        let own_rules = self.own_rules();
        let primary = &agreement.partner;
        let policy = admission_policies::applicable(transaction, primary).await?;
        let mut taken = taken(transaction, primary, &fresh).await?;
        let mut room = room(transaction, &policy).await?;
        let mut pending_room = self.pending_room(transaction, agreement).await?;
        let mut left_out = HashSet::new();
        let mut accepted = Vec::new();
        let mut decided = Vec::new();
        for migration in &mut fresh {
            let impi = migration.primary_identities.impi.to_string();
            let subject = migration.primary_subject.to_string();
            let admission = if taken.contains(&impi) || taken.contains(&subject) {
                Admission::Refused(RefusedBecause::IdentityTaken)
            } else {
                taken.extend([impi, subject]);
                admission(&policy, migration, room)
            };
            match admission {
                Admission::Pending if pending_room == 0 => {
                    left_out.insert(migration.id);
                }
                Admission::Pending => pending_room -= 1,
                Admission::Accepted => {
                    room = room.saturating_sub(1);
                    decided.push(migration.id);
                    accepted.push(migration);
                }
                Admission::Refused(reason) => {
                    migration.refuse(reason, "", now);
                    // The answer to the offer says so.
                    migration.progress.is_peer_told = true;
                    decided.push(migration.id);
                }
            }
        }
        self.admit(transaction, &policy, &mut accepted, now).await?;
        let decided: HashSet<Uuid> = decided.into_iter().collect();
        fresh.retain(|migration| !left_out.contains(&migration.id));
        let requested = AuditedAction::RequestUserMigration;
        let mut records: Vec<AuditRecord> =
            fresh.iter().map(|migration| Self::record_of(migration, requested, decider, now)).collect();
        let admitted = AuditedAction::AdmitUserMigration;
        let of_decided = fresh.iter().filter(|migration| decided.contains(&migration.id));
        records.extend(of_decided.map(|migration| Self::record_of(migration, admitted, &own_rules, now)));
        Ok(DecidedOffers { taken: fresh, records, left_out })
    }

    /// How many more users of the primary may wait for a decision. Its agreement is locked: nobody else takes offers of it meanwhile.
    async fn pending_room(&self, transaction: &mut Transaction, agreement: &Agreement) -> Result<u64, Error> {
        let allowed = agreement.limits.pending_offers.unwrap_or(self.config.default_limits.pending_offers);
        let pending = user_migrations::pending_count(transaction, &agreement.partner).await?;
        Ok(u64::from(allowed).saturating_sub(pending))
    }
}

/// The agreement with another MC system, locked, if anything may cross now.
pub(super) async fn agreement_in_force(
    transaction: &mut Transaction,
    peer: &McSystemId,
    now: Timestamp,
) -> Result<Agreement, Error> {
    let agreement = agreements::lock(transaction, peer).await?;
    let agreement = agreement.ok_or_else(|| Refusal::AgreementUnknown { mc_system_id: peer.clone() })?;
    agreement.check_in_force(now)?;
    Ok(agreement)
}

/// Users of a primary who cannot be let in: a migration of theirs goes on, or an operator gave them a binding by hand.
pub(super) async fn taken(
    transaction: &mut Transaction,
    primary: &McSystemId,
    fresh: &[UserMigration],
) -> Result<HashSet<String>, Error> {
    let impis = || fresh.iter().map(|migration| migration.primary_identities.impi.to_string());
    let subjects = fresh.iter().map(|migration| migration.primary_subject.to_string());
    let role = MigrationRole::Partner;
    let mut taken = user_migrations::active_subjects(transaction, role, primary, impis(), subjects).await?;
    taken.extend(bindings::made_by_hand(transaction, primary, impis()).await?);
    Ok(taken)
}

/// How many more users the policy lets in.
pub(super) async fn room(transaction: &mut Transaction, policy: &AdmissionPolicy) -> Result<u64, Error> {
    let Some(max_users) = policy.max_users else { return Ok(u64::MAX) };
    let accepted = user_migrations::active_count(transaction, &policy.primary).await?;
    Ok(u64::from(max_users).saturating_sub(accepted))
}

fn admission(policy: &AdmissionPolicy, migration: &UserMigration, room: u64) -> Admission {
    let is_admitted = policy.mode != AdmissionMode::Refuse
        && !policy.admitted_services(&migration.primary_mc_service_ids).is_empty();
    match policy.mode {
        _ if !is_admitted => Admission::Refused(RefusedBecause::NotAdmitted),
        AdmissionMode::Automatic if room == 0 => Admission::Refused(RefusedBecause::NotAdmitted),
        AdmissionMode::Automatic => Admission::Accepted,
        AdmissionMode::Manual | AdmissionMode::Refuse => Admission::Pending,
    }
}

fn offered(primary: &McSystemId, offer: Offer, now: Timestamp) -> UserMigration {
    UserMigration {
        id: offer.migration_id,
        request_id: offer.request_id,
        role: MigrationRole::Partner,
        peer: primary.clone(),
        mc_id: None,
        primary_issuer: Some(offer.primary_issuer),
        primary_subject: offer.primary_subject,
        primary_identities: offer.primary_identities,
        primary_mc_service_ids: offer.primary_mc_service_ids,
        grant: None,
        valid_until: offer.valid_until,
        progress: Progress::beginning(UserMigrationState::Pending, None, now),
        created_at: now,
        updated_at: now,
    }
}
