//! The partner's part of migration service authorization (TS 23.280 10.6.3): checks what is its own to check, asks the primary, records.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McServiceId, McSystemId, ProfileIndex};
use tracing::Instrument;
use uuid::Uuid;

use super::authorization::{Authorized, BeginError};
use super::ending::Telling;
use super::{App, count_outcome};
use crate::domain::authorization::admit_visitor;
use crate::domain::profile::{EffectiveProfile, ProfileAnswer};
use crate::domain::user::{Authorization, Client, Visitor};
use crate::domain::{EndReason, Rule};
use crate::error::Error;
use crate::store::ended_migrations;
use crate::store::locks::Lock;
use crate::store::notices::{self, NoticeKind};
use crate::wire;

/// What a visitor asks for.
#[derive(Debug)]
pub(crate) struct VisitorRequest {
    pub(crate) client: Client,
    /// Her primary MC system, as her access token says; `None`: it says that she is no visitor.
    pub(crate) primary_of_token: Option<McSystemId>,
    /// Who she says she is there.
    pub(crate) primary_id: McServiceId,
    /// The user profile that she wants; `None`: the pre-selected one.
    pub(crate) index: Option<ProfileIndex>,
}

/// What the primary MC system is asked for.
pub(crate) struct PrimaryQuestion<'a> {
    pub(crate) client: &'a Client,
    pub(crate) visitor: &'a Visitor,
    pub(crate) index: ProfileIndex,
    pub(crate) authorization_id: Uuid,
    /// Whether the lease of an authorization is to be renewed.
    pub(crate) renewal: bool,
}

impl App {
    /// Authorizes a visitor, after her primary MC system has agreed. Nothing is recorded here unless it has.
    pub(crate) async fn authorize_visitor(&self, request: VisitorRequest) -> Result<Authorized, Error> {
        let outcome = self.admit_and_record(request).await;
        count_outcome("migration_service_authorization", &outcome, |authorized| {
            authorized.authorization.rule
        });
        outcome
    }

    async fn admit_and_record(&self, request: VisitorRequest) -> Result<Authorized, Error> {
        let VisitorRequest { client, primary_of_token, primary_id, index } = request;
        let step = procedure_step!(
            "10.6.3", 2, self.own, Entity::McService => self.own, Entity::ConfigurationManagement,
            "check that the user may migrate in", client.user.id
        );
        let (effective, visitor) = async {
            let answer = self.profile(&client.user, index).await?;
            let admitted = admit_visitor(answer, primary_of_token.as_ref(), &primary_id);
            admitted.map_err(Error::MigrationNotPermitted)
        }
        .instrument(step)
        .await?;

        let authorization_id = Uuid::now_v7();
        let index = effective.profile.index;
        let question =
            PrimaryQuestion { client: &client, visitor: &visitor, index, authorization_id, renewal: false };
        let notice = self.foresee_taking_back(&question).await?;
        let granted = match self.ask_primary(&question).await {
            Ok(granted) => granted,
            Err(not_agreed) => {
                self.settle_foreseen(notice, not_agreed.may_have_agreed).await;
                return Err(not_agreed.error);
            }
        };
        let lease = granted.min(self.config.authorization_lease);

        let step = procedure_step!(
            "10.6.3", 6, self.own, Entity::McService => self.own, Entity::McService,
            "record the migrated user", client.user.id
        );
        let authorization = self
            .record_visitor(client, visitor, index, (authorization_id, notice), lease)
            .instrument(step)
            .await?;
        let authorized = self.with_implicit_affiliations(authorization, &effective, lease).await;
        let step = procedure_step!(
            "10.6.3", 7, self.own, Entity::McService => self.own, Entity::McService,
            "migration service authorization response", authorized.authorization.client.user.id
        );
        step.in_scope(
            || tracing::info!(client = %authorized.authorization.client.instance, "visitor is served"),
        );
        Ok(authorized)
    }

    async fn record_visitor(
        &self,
        client: Client,
        visitor: Visitor,
        profile_index: ProfileIndex,
        (id, notice): (Uuid, Uuid),
        lease: Duration,
    ) -> Result<Authorization, Error> {
        let mut work = self.begin().await?;
        work.lock(Lock::Migration(visitor.migration_id)).await?;
        work.lock(Lock::User(&client.user)).await?;
        let authorization = Authorization {
            client,
            id,
            profile_index,
            rule: Rule::MigrationPermitted,
            visitor: Some(visitor),
            authorized_at: work.now,
            refreshed_at: work.now,
            expires_at: work.now.saturating_add(lease),
        };
        let migration_id = authorization.visitor.as_ref().map(|visitor| visitor.migration_id);
        let has_ended = match migration_id {
            Some(id) => ended_migrations::contains(&mut work.transaction, id).await?,
            None => false,
        };
        let begun = if has_ended {
            Err(Error::MigrationNotPermitted(Rule::MigrationEnded))
        } else {
            self.begin_client(&mut work, &authorization).await.map_err(|error| match error {
                BeginError::TooManyClients => Error::MigrationNotPermitted(Rule::TooManyClients),
                BeginError::Other(error) => error,
            })
        };
        match begun {
            Ok(()) => {
                if !notices::withdraw(&mut work.transaction, notice).await? {
                    // It took so long that the primary was told otherwise.
                    return Err(Error::StoreUnavailable);
                }
                self.commit(work).await?;
                Ok(authorization)
            }
            Err(error) => {
                drop(work);
                if error.rule().is_some() {
                    self.hasten(notice).await?;
                }
                Err(error)
            }
        }
    }

    /// Leaves word for the primary MC system that what it is about to agree to did not come about: for the case that its answer is lost,
    /// or this process is before it has recorded the visitor. Whoever records her withdraws it.
    async fn foresee_taking_back(&self, question: &PrimaryQuestion<'_>) -> Result<Uuid, Error> {
        let PrimaryQuestion { client, visitor, authorization_id, .. } = question;
        let request = proto::FederationServiceDeauthorizeMigrationServiceRequest {
            identity: Some(wire::migrated(&client.user, &visitor.primary_id, &client.user.id)),
            client_instance: client.instance.to_string(),
            reason: EndReason::Left.into(),
            authorization_id: authorization_id.to_string(),
        };
        // Later than the primary may take to answer, and the database to record it.
        let wait = self.config.partner_timeout * 2 + self.config.notice_backoff;
        let mut work = self.begin().await?;
        let notice = work.notify_after(&visitor.primary, NoticeKind::Deauthorize, &request, wait).await?;
        self.commit(work).await?;
        Ok(notice)
    }

    /// The primary did not agree, as far as is known here. Only where it may have, there is something to tell it.
    async fn settle_foreseen(&self, notice: Uuid, may_have_agreed: bool) {
        let settled = if may_have_agreed {
            self.hasten(notice).await
        } else {
            notices::remove(&self.database, notice).await.map_err(Into::into)
        };
        if let Err(error) = settled {
            tracing::warn!(%error, "the primary mc system hears later that a visitor is not served");
        }
    }

    /// Has a notice told now.
    async fn hasten(&self, notice: Uuid) -> Result<(), Error> {
        notices::postpone(&self.database, notice, self.clock.now()).await?;
        self.notices_left.notify_one();
        Ok(())
    }

    /// Asks again what a visitor's authorization was given for.
    pub(crate) async fn confirm_visitor(
        &self,
        present: &Authorization,
        visitor: &Visitor,
        answer: ProfileAnswer,
        index: ProfileIndex,
    ) -> Result<(EffectiveProfile, Duration), Error> {
        let (effective, found) = admit_visitor(answer, Some(&visitor.primary), &visitor.primary_id)
            .map_err(Error::MigrationNotPermitted)?;
        if found != *visitor {
            // The same user came by another migration since: this one is over.
            return Err(Error::MigrationNotPermitted(Rule::MigrationEnded));
        }
        let question = PrimaryQuestion {
            client: &present.client,
            visitor,
            index,
            authorization_id: present.id,
            renewal: true,
        };
        let granted = self.ask_primary(&question).await?;
        Ok((effective, granted.min(self.config.authorization_lease)))
    }

    /// Ends the service of a visitor by the will of her primary MC system, which calls; says whether she had any.
    pub(crate) async fn end_for_primary(
        &self,
        primary: &McSystemId,
        client: &Client,
        authorization_id: Uuid,
        reason: EndReason,
    ) -> Result<bool, Error> {
        let mut work = self.begin().await?;
        work.lock(Lock::User(&client.user)).await?;
        let found = crate::store::authorizations::of_client(&mut work.transaction, client).await?;
        let is_meant = |authorization: &Authorization| {
            authorization.id == authorization_id
                && authorization.visitor.as_ref().is_some_and(|visitor| visitor.primary == *primary)
        };
        let Some(authorization) = found.filter(is_meant) else { return Ok(false) };
        let ended = self.end_authorization(&mut work, &authorization, reason, Telling::Silent).await?;
        self.commit(work).await?;
        Ok(ended)
    }
}
