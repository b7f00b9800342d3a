//! Begins, keeps and ends the service of clients (TS 23.280 10.1.1.1, 10.1.4.6, 10.6.1).

use std::time::Duration;

use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, ProfileIndex};
use tracing::Instrument;
use uuid::Uuid;

use super::affiliation::Outcome;
use super::ending::{Telling, just_before};
use super::work::Work;
use super::{App, count_outcome};
use crate::config::McServiceConfig;
use crate::domain::affiliation::given_up_for;
use crate::domain::authorization::authorize_at_home;
use crate::domain::profile::{EffectiveProfile, ProfileAnswer};
use crate::domain::user::{Authorization, Client, ServedBy, User};
use crate::domain::{EndReason, Rule};
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{activations, affiliations, authorizations, served_by};
use crate::wire;

/// An authorization with what came with it.
#[derive(Debug)]
pub(crate) struct Authorized {
    pub(crate) authorization: Authorization,
    pub(crate) refresh_after: Duration,
    /// What became of the implicit affiliations of the user profile.
    pub(crate) implicit: Vec<Outcome>,
    pub(crate) profile_etag: String,
}

/// An authorization with another active user profile.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) authorized: Authorized,
    /// Groups to which the client is not affiliated any more.
    pub(crate) ended: Vec<mcx_types::McServiceGroupId>,
}

impl App {
    /// Authorizes a user at home here.
    ///
    /// # Errors
    /// [`Error::ServiceAuthorizationRefused`]; [`Error::SourceUnreachable`], [`Error::StoreUnavailable`].
    pub(crate) async fn authorize_service(
        &self,
        client: Client,
        index: Option<ProfileIndex>,
        is_visitor: bool,
    ) -> Result<Authorized, Error> {
        let step = procedure_step!(
            "10.1.1.1", 4, self.own, Entity::McService => self.own, Entity::ConfigurationManagement,
            "service authorization with a user profile", client.user.id
        );
        let outcome = async {
            let answer = self.profile(&client.user, index).await?;
            let (rule, effective) = authorize_at_home(answer, index.is_some(), is_visitor)
                .map_err(Error::ServiceAuthorizationRefused)?;
            let lease = self.config.authorization_lease;
            let mut work = self.begin().await?;
            work.lock(Lock::User(&client.user)).await?;
            self.come_home(&mut work, &client).await?;
            let authorization = Authorization {
                client,
                id: Uuid::now_v7(),
                profile_index: effective.profile.index,
                rule,
                visitor: None,
                authorized_at: work.now,
                refreshed_at: work.now,
                expires_at: work.now.saturating_add(lease),
            };
            self.begin_client(&mut work, &authorization).await.map_err(|error| match error {
                BeginError::TooManyClients => Error::ServiceAuthorizationRefused(Rule::TooManyClients),
                BeginError::Other(error) => error,
            })?;
            self.commit(work).await?;
            Ok(self.with_implicit_affiliations(authorization, &effective, lease).await)
        }
        .instrument(step)
        .await;
        count_outcome("service_authorization", &outcome, |authorized| authorized.authorization.rule);
        outcome
    }

    /// A client that is authorized at home is away no more, whether or not the partner could be told so before: it is asked to end what
    /// it has of this client. What other clients of the user do elsewhere stays.
    async fn come_home(&self, work: &mut Work, client: &Client) -> Result<(), Error> {
        if let Some(mark) = served_by::of_client(&mut work.transaction, client).await? {
            self.end_mark(work, &mark, EndReason::Left, Telling::Told).await?;
        }
        Ok(())
    }

    /// Writes the authorization of a client in the place of what it had; the user's lock is held.
    pub(crate) async fn begin_client(
        &self,
        work: &mut Work,
        authorization: &Authorization,
    ) -> Result<(), BeginError> {
        let client = &authorization.client;
        if let Some(former) = authorizations::of_client(&mut work.transaction, client).await.map_err(other)? {
            self.remove_authorization(work, &former, just_before(work.now)).await?;
        }
        let present = authorizations::of_user_in(&mut work.transaction, &client.user, work.now).await;
        let present = present.map_err(other)?.len();
        if present >= self.config.max_clients_per_user as usize {
            return Err(BeginError::TooManyClients);
        }
        if present == 0 {
            // She begins afresh; functional aliases from before have ended with her last client.
            activations::remove_all(&mut work.transaction, &client.user).await.map_err(other)?;
        }
        authorizations::insert(&mut work.transaction, authorization).await.map_err(other)?;
        work.tell(&client.user, Event::Authorized(wire::authorization(authorization)));
        Ok(())
    }

    /// Makes the implicit affiliations of the user profile (TS 23.280 10.8): the authorization stands, whatever becomes of them.
    pub(crate) async fn with_implicit_affiliations(
        &self,
        authorization: Authorization,
        effective: &EffectiveProfile,
        lease: Duration,
    ) -> Authorized {
        let implicit = self.affiliate_implicitly(&authorization, effective).await;
        Authorized {
            authorization,
            refresh_after: McServiceConfig::refresh_after(lease),
            implicit,
            profile_etag: effective.profile.etag.clone(),
        }
    }

    /// Ends the service of a client by the will of its user; says whether it had any.
    pub(crate) async fn deauthorize(&self, client: &Client) -> Result<bool, Error> {
        let mut work = self.begin().await?;
        work.lock(Lock::User(&client.user)).await?;
        let Some(authorization) = authorizations::of_client(&mut work.transaction, client).await? else {
            return Ok(false);
        };
        let was_in_force = authorization.expires_at > work.now;
        let reason = if was_in_force { EndReason::Left } else { EndReason::Expired };
        self.end_authorization(&mut work, &authorization, reason, Telling::Told).await?;
        self.commit(work).await?;
        Ok(was_in_force)
    }

    /// The authorization of a client now.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`]
    pub(crate) async fn authorization_of(&self, client: &Client) -> Result<Authorization, Error> {
        let present = authorizations::of_user(&self.database, &client.user, self.clock.now()).await?;
        present
            .into_iter()
            .find(|authorization| authorization.client == *client)
            .ok_or(Error::NotAuthorized(client.user.mc_service))
    }

    /// Makes another user profile the active one of a client (TS 23.280 10.1.4.6).
    pub(crate) async fn change_active_profile(
        &self,
        client: &Client,
        index: ProfileIndex,
    ) -> Result<Changed, Error> {
        let present = self.authorization_of(client).await?;
        let answer = self.profile(&client.user, Some(index)).await?;
        let (effective, lease) = self.confirm(&present, answer, index).await?;

        let mut work = self.begin().await?;
        let kept = self.keep(&mut work, &present, index, lease).await?;
        let affiliated = affiliations::of_user_in(&mut work.transaction, &client.user).await?;
        let ended = given_up_for(&effective.profile, affiliated, client);
        for affiliation in &ended {
            affiliations::remove(&mut work.transaction, client, &affiliation.group).await?;
        }
        self.tell_homes(kept.visitor.as_ref(), &ended, work.now, &mut work).await?;
        work.tell(&client.user, Event::Authorized(wire::authorization(&kept)));
        self.commit(work).await?;

        self.take_back_aliases_in_time(&client.user).await;
        let authorized = self.with_implicit_affiliations(kept, &effective, lease).await;
        Ok(Changed { authorized, ended: ended.into_iter().map(|affiliation| affiliation.group).collect() })
    }

    /// Keeps the authorization of a client, after everything was asked again that it was given for.
    pub(crate) async fn refresh(&self, client: &Client) -> Result<(Authorization, Duration), Error> {
        let present = self.authorization_of(client).await?;
        let answer = self.profile(&client.user, Some(present.profile_index)).await?;
        let (_, lease) = match self.confirm(&present, answer, present.profile_index).await {
            Ok(confirmed) => confirmed,
            Err(error) => {
                if let Some(reason) = reason_of(&error) {
                    self.end_now(&present, reason).await?;
                }
                return Err(error);
            }
        };
        let mut work = self.begin().await?;
        let kept = self.keep(&mut work, &present, present.profile_index, lease).await?;
        self.commit(work).await?;
        self.take_back_aliases_in_time(&client.user).await;
        self.renew_foreign_affiliations(&kept).await;
        Ok((kept, McServiceConfig::refresh_after(lease)))
    }

    /// What cannot be asked now is asked at the next refresh; until then nobody who calls the alias reaches her by it.
    async fn take_back_aliases_in_time(&self, user: &User) {
        if let Err(error) = self.take_back_aliases(user).await {
            tracing::warn!(%error, user = %user.id, "it is not known whether the user may keep her functional aliases");
        }
    }

    /// Asks again what an authorization was given for, with a user profile: whether that is in force, and for a visitor her primary.
    async fn confirm(
        &self,
        present: &Authorization,
        answer: ProfileAnswer,
        index: ProfileIndex,
    ) -> Result<(EffectiveProfile, Duration), Error> {
        match &present.visitor {
            None => {
                let (_, effective) =
                    authorize_at_home(answer, true, false).map_err(Error::ServiceAuthorizationRefused)?;
                Ok((effective, self.config.authorization_lease))
            }
            Some(visitor) => self.confirm_visitor(present, visitor, answer, index).await,
        }
    }

    /// Writes that an authorization is kept, if it is still the one that was looked at.
    async fn keep(
        &self,
        work: &mut Work,
        present: &Authorization,
        index: ProfileIndex,
        lease: Duration,
    ) -> Result<Authorization, Error> {
        let client = &present.client;
        work.lock(Lock::User(&client.user)).await?;
        let expires_at = work.now.saturating_add(lease);
        let kept =
            authorizations::refresh(&mut work.transaction, present.id, index, work.now, expires_at).await?;
        kept.ok_or(Error::NotAuthorized(client.user.mc_service))
    }

    /// Ends an authorization that turned out to have no ground any more.
    async fn end_now(&self, authorization: &Authorization, reason: EndReason) -> Result<(), Error> {
        let mut work = self.begin().await?;
        work.lock(Lock::User(&authorization.client.user)).await?;
        self.end_authorization(&mut work, authorization, reason, Telling::Told).await?;
        self.commit(work).await
    }

    /// The authorizations of a user, and where she is served while away.
    pub(crate) async fn status_of(&self, user: &User) -> Result<(Vec<Authorization>, Vec<ServedBy>), Error> {
        let now = self.clock.now();
        let found = tokio::try_join!(
            authorizations::of_user(&self.database, user, now),
            served_by::of_user(&self.database, user, now)
        )?;
        Ok(found)
    }
}

/// Why a client cannot begin.
pub(crate) enum BeginError {
    /// The user has as many clients as one may have.
    TooManyClients,
    /// Something failed.
    Other(Error),
}

impl From<Error> for BeginError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn other(error: mcx_store::StoreError) -> BeginError {
    BeginError::Other(error.into())
}

/// Why an authorization ends, where an error of confirming it says that its ground is gone; one that could not be asked for stays.
fn reason_of(error: &Error) -> Option<EndReason> {
    match error {
        Error::ServiceAuthorizationRefused(_) | Error::MigrationNotPermitted(_) => {
            Some(EndReason::ProfileGone)
        }
        Error::MigrationRefusedByPrimary(_) => Some(EndReason::Recalled),
        _ => None,
    }
}
