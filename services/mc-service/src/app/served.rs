//! The primary's part of migration service authorization (TS 23.280 10.6.3): permits an own user to be served by a partner, and records
//! where she is.
//!
//! A user who is away may be authorized at home at the same time (the specification does not forbid it, and her MC service IDs differ): the
//! mark stands, and call control may reach her at either. Each of her clients has a mark of its own; one client has one, so that whoever
//! served it before is asked to end.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_runtime::procedure_step;
use mcx_types::wire::MigratedServiceIdentity;
use mcx_types::{Entity, McServiceGroupId, McSystemId, ProfileIndex, Timestamp};
use tracing::Instrument;
use uuid::Uuid;

use super::affiliation::Outcome;
use super::ending::Telling;
use super::work::Work;
use super::{App, count_outcome};
use crate::domain::affiliation::may_affiliate_from_partner;
use crate::domain::authorization::permit_to_partner;
use crate::domain::profile::PermittedMigration;
use crate::domain::user::{Client, ServedBy, User};
use crate::domain::{EndReason, Rule, rule_name};
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{ended_migrations, partner_affiliations, served_by};
use crate::wire;

/// What a partner asks for an own user.
#[derive(Debug)]
pub(crate) struct PartnerQuestion {
    pub(crate) identity: MigratedServiceIdentity,
    pub(crate) profile_index: ProfileIndex,
    pub(crate) client_instance: Uuid,
    pub(crate) migration_id: Uuid,
    pub(crate) authorization_id: Uuid,
    pub(crate) renewal: bool,
}

impl PartnerQuestion {
    fn client(&self) -> Client {
        client_of(&self.identity, self.client_instance)
    }
}

/// The client of an own user, as this, her primary MC system knows her.
pub(crate) fn client_of(identity: &MigratedServiceIdentity, instance: Uuid) -> Client {
    Client { user: User { mc_service: identity.mc_service, id: identity.primary.clone() }, instance }
}

impl App {
    /// Permits an own user to be served by a partner, and records it; returns for how long.
    ///
    /// # Errors
    /// [`Error::NotPermittedToPartner`], the same for every cause; [`Error::Partner`] where there is no usable agreement.
    pub(crate) async fn permit_migration(
        &self,
        partner: &McSystemId,
        question: PartnerQuestion,
    ) -> Result<Duration, Error> {
        let step = procedure_step!(
            "10.6.3", 4, *partner, Entity::McService => self.own, Entity::McService,
            "permit the user to migrate and record where she is served", question.identity.primary
        );
        let outcome = self.permit_and_record(partner, question).instrument(step).await;
        if let Err(Error::NotPermittedToPartner(rule)) = &outcome {
            tracing::info!(%partner, rule = rule_name(*rule), "migration is not permitted");
        }
        count_outcome("migration_permission", &outcome, |_| Rule::MigrationPermitted);
        outcome
    }

    async fn permit_and_record(
        &self,
        partner: &McSystemId,
        question: PartnerQuestion,
    ) -> Result<Duration, Error> {
        self.partners.partner(partner)?;
        let client = question.client();
        // Not at once: of questions that are dropped because another one failed, the channel to an entity that has just come back recovers slowly.
        let named = self.profile(&client.user, Some(question.profile_index)).await?;
        let pre_selected = self.profile(&client.user, None).await?;
        let agreed = self.agreed_migration(&client.user, partner).await?;
        // What the partner says of the migration counts only where configuration management, which has it from migration management, says
        // the same: a mark under another migration would outlive the revocation of this one.
        let asked = PermittedMigration {
            migration_id: question.migration_id,
            partner_id: question.identity.partner.clone(),
        };
        permit_to_partner(&asked, named, &pre_selected, agreed.as_ref())
            .map_err(Error::NotPermittedToPartner)?;

        let mut work = self.begin().await?;
        work.lock(Lock::Migration(question.migration_id)).await?;
        work.lock(Lock::User(&client.user)).await?;
        if ended_migrations::contains(&mut work.transaction, question.migration_id).await? {
            return Err(Error::NotPermittedToPartner(Rule::MigrationEnded));
        }
        let former = served_by::of_client(&mut work.transaction, &client).await?;
        let is_same = former.as_ref().is_some_and(|mark| {
            mark.partner == *partner && mark.authorization_id == question.authorization_id
        });
        if question.renewal && !is_same {
            // She was called back, or is served elsewhere since.
            return Err(Error::NotPermittedToPartner(Rule::MigrationEnded));
        }
        let lease = self.config.migration_lease;
        let authorized_at = former.as_ref().filter(|_| is_same).map_or(work.now, |mark| mark.authorized_at);
        let mark = ServedBy {
            client,
            authorization_id: question.authorization_id,
            partner: partner.clone(),
            partner_id: question.identity.partner,
            profile_index: question.profile_index,
            migration_id: question.migration_id,
            authorized_at,
            expires_at: work.now.saturating_add(lease),
        };
        self.replace_mark(&mut work, former.filter(|_| !is_same), &mark).await?;
        if !is_same {
            let event = proto::ServedByChanged { served_by: Some(wire::served_by(&mark)), ended: 0 };
            work.tell(&mark.client.user, Event::ServedByChanged(event));
        }
        self.commit(work).await?;
        Ok(lease)
    }

    /// Writes a mark in the place of another one of the same client. Whoever else served it is asked to end.
    async fn replace_mark(
        &self,
        work: &mut Work,
        former: Option<ServedBy>,
        mark: &ServedBy,
    ) -> Result<(), Error> {
        if let Some(former) = former {
            self.forget_partner_affiliations(work, &former).await?;
            if former.partner != mark.partner {
                self.tell_partner_to_end(work, &former, EndReason::Recalled).await?;
            }
        }
        served_by::put(&mut work.transaction, mark).await?;
        Ok(())
    }

    /// A partner that calls does not serve a client of an own user any more.
    pub(crate) async fn ended_by_partner(
        &self,
        partner: &McSystemId,
        client: &Client,
        authorization_id: Uuid,
        reason: EndReason,
    ) -> Result<(), Error> {
        let mut work = self.begin().await?;
        work.lock(Lock::User(&client.user)).await?;
        let found = served_by::of_client(&mut work.transaction, client).await?;
        let is_meant =
            |mark: &ServedBy| mark.partner == *partner && mark.authorization_id == authorization_id;
        let Some(mark) = found.filter(is_meant) else { return Ok(()) };
        self.end_mark(&mut work, &mark, reason, Telling::Silent).await?;
        self.commit(work).await
    }

    /// Affiliates a client that a partner serves to groups of this MC system (TS 23.280 10.8.3.2).
    pub(crate) async fn affiliate_for_partner(
        &self,
        partner: &McSystemId,
        client: &Client,
        groups: Vec<McServiceGroupId>,
        lease: Duration,
        requested_at: Timestamp,
    ) -> Result<Vec<Outcome>, Error> {
        self.partners.partner(partner)?;
        let now = self.clock.now();
        let marks = served_by::of_user(&self.database, &client.user, now).await?;
        let is_served = marks.iter().any(|mark| mark.client == *client && mark.partner == *partner);
        let mut outcomes = Vec::with_capacity(groups.len());
        for group in groups {
            let found = self.group(&group, &client.user.id).await?;
            let decided = may_affiliate_from_partner(
                &self.own,
                partner,
                client.user.mc_service,
                is_served,
                found.as_ref(),
            );
            let decided = decided.map(|()| Rule::Affiliated);
            super::count_decision("affiliation_for_partner", decided);
            outcomes.push(Outcome { group, decided });
        }
        let mut work = self.begin().await?;
        let expires_at = work.now.saturating_add(lease);
        let affiliated = outcomes.iter().filter(|outcome| outcome.decided.is_ok());
        for Outcome { group, .. } in affiliated {
            let transaction = &mut work.transaction;
            partner_affiliations::put(transaction, partner, client, group, requested_at, expires_at).await?;
        }
        self.commit(work).await?;
        Ok(outcomes)
    }

    /// Ends affiliations that a partner has asked for (TS 23.280 10.8.4.3); returns how many there were.
    pub(crate) async fn deaffiliate_for_partner(
        &self,
        partner: &McSystemId,
        client: &Client,
        groups: &[McServiceGroupId],
        until: Timestamp,
    ) -> Result<u64, Error> {
        let mut work = self.begin().await?;
        let ended =
            partner_affiliations::remove(&mut work.transaction, partner, client, groups, until).await?;
        self.commit(work).await?;
        Ok(ended)
    }
}
