//! Functional aliases (TS 23.280 10.13): who has which role now.

use std::collections::BTreeSet;

use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, FunctionalAlias, McService, McServiceId, ProfileIndex};
use tracing::Instrument;

use super::work::Work;
use super::{App, count_outcome};
use crate::domain::Rule;
use crate::domain::activation::{Activating, make_room, may_activate};
use crate::domain::alias::AliasForUser;
use crate::domain::authorization::active_profile;
use crate::domain::user::{Activation, Authorization, Client, User};
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{activations, authorizations};
use crate::wire;

/// A functional alias that a user has now.
#[derive(Debug)]
pub(crate) struct Activated {
    pub(crate) activation: Activation,
    pub(crate) rule: Rule,
    /// Who lost it.
    pub(crate) displaced: Option<User>,
}

impl App {
    /// Gives a user a functional alias.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`], [`Error::ActivationRefused`], [`Error::SourceUnreachable`].
    pub(crate) async fn activate_alias(
        &self,
        client: &Client,
        alias: FunctionalAlias,
        take_over: bool,
    ) -> Result<Activated, Error> {
        let step = procedure_step!(
            "10.13", 1, self.own, Entity::McService => self.own, Entity::FunctionalAliasManagement,
            "functional alias activation request", client.user.id
        );
        let outcome = async {
            let authorization = self.authorization_of(client).await?;
            let refused = |rule| Error::ActivationRefused { alias: alias.clone(), rule };
            let answer = self.profile(&client.user, Some(authorization.profile_index)).await?;
            let profile = active_profile(answer).map_err(&refused)?.profile;
            let found = self.alias(&alias, &client.user.id).await?;
            let found = may_activate(&profile, &alias, found).map_err(&refused)?;
            self.give_alias(&authorization, &alias, found, take_over).await
        }
        .instrument(step)
        .await;
        count_outcome("functional_alias_activation", &outcome, |activated| activated.rule);
        outcome
    }

    async fn give_alias(
        &self,
        authorization: &Authorization,
        alias: &FunctionalAlias,
        found: AliasForUser,
        take_over: bool,
    ) -> Result<Activated, Error> {
        let user = &authorization.client.user;
        let active = activations::of_alias(&self.database, alias, self.clock.now()).await?;
        let stale = self.stale(&active).await?;
        let mut work = self.begin().await?;
        work.lock(Lock::User(user)).await?;
        work.lock(Lock::Alias(alias)).await?;
        let present = authorizations::of_client(&mut work.transaction, &authorization.client).await?;
        if present.is_none_or(|present| present.id != authorization.id) {
            return Err(Error::NotAuthorized(user.mc_service));
        }
        let mut active = activations::of_alias_in(&mut work.transaction, alias, work.now).await?;
        // Whoever may not have it any more is in nobody's way.
        for former in active.extract_if(.., |activation| stale.contains(activation)) {
            self.take_back(&mut work, &former).await?;
        }
        let activating = make_room(user, found, &active, take_over)
            .map_err(|rule| Error::ActivationRefused { alias: alias.clone(), rule })?;
        let mut activation = Activation { alias: alias.clone(), user: user.clone(), activated_at: work.now };
        let (rule, displaced) = match activating {
            Activating::Unchanged => {
                let former = active.into_iter().find(|active| active.user == *user);
                activation = former.unwrap_or(activation);
                return Ok(Activated { activation, rule: Rule::AliasActivated, displaced: None });
            }
            Activating::Added => (Rule::AliasActivated, None),
            Activating::Displaced(former) => {
                activations::remove(&mut work.transaction, alias, &former).await?;
                work.tell(&former, Event::AliasDisplaced(wire::displaced(&former, alias, Some(user))));
                (Rule::AliasTakenOver, Some(former))
            }
        };
        activations::insert(&mut work.transaction, &activation).await?;
        self.commit(work).await?;
        Ok(Activated { activation, rule, displaced })
    }

    /// Who of an MC service has a functional alias and may still have it.
    pub(crate) async fn holders(
        &self,
        mc_service: McService,
        alias: &FunctionalAlias,
    ) -> Result<Vec<McServiceId>, Error> {
        let mut active = activations::of_alias(&self.database, alias, self.clock.now()).await?;
        active.retain(|activation| activation.user.mc_service == mc_service);
        let stale = self.stale(&active).await?;
        active.retain(|activation| !stale.contains(activation));
        Ok(active.into_iter().map(|activation| activation.user.id).collect())
    }

    /// Takes from a user the functional aliases that she may not have any more.
    pub(crate) async fn take_back_aliases(&self, user: &User) -> Result<(), Error> {
        let stale = self.stale(&activations::of_user(&self.database, user).await?).await?;
        if stale.is_empty() {
            return Ok(());
        }
        let mut work = self.begin().await?;
        work.lock(Lock::User(user)).await?;
        for activation in &stale {
            self.take_back(&mut work, activation).await?;
        }
        self.commit(work).await
    }

    /// Those of the activations that may not go on.
    async fn stale(&self, active: &[Activation]) -> Result<Vec<Activation>, Error> {
        let mut stale = Vec::new();
        for activation in active {
            if !self.may_still_have(activation).await? {
                stale.push(activation.clone());
            }
        }
        Ok(stale)
    }

    /// Whether a functional alias may still be had: by a user profile that is active on a client of the user, and by the functional alias
    /// as it is now.
    async fn may_still_have(&self, activation: &Activation) -> Result<bool, Error> {
        let (user, alias) = (&activation.user, &activation.alias);
        let Some(found) = self.alias(alias, &user.id).await? else { return Ok(false) };
        let present = authorizations::of_user(&self.database, user, self.clock.now()).await?;
        let indices: BTreeSet<ProfileIndex> =
            present.iter().map(|authorization| authorization.profile_index).collect();
        for index in indices {
            if let Ok(effective) = active_profile(self.profile(user, Some(index)).await?)
                && may_activate(&effective.profile, alias, Some(found)).is_ok()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a functional alias from who may not have it any more, if she still has it by that activation.
    async fn take_back(&self, work: &mut Work, activation: &Activation) -> Result<(), Error> {
        let Activation { user, alias, activated_at } = activation;
        if activations::remove_since(&mut work.transaction, alias, user, *activated_at).await? {
            work.tell(user, Event::AliasDisplaced(wire::displaced(user, alias, None)));
        }
        Ok(())
    }

    /// Takes a functional alias from a user; says whether she had it.
    pub(crate) async fn deactivate_alias(&self, user: &User, alias: &FunctionalAlias) -> Result<bool, Error> {
        let step = procedure_step!(
            "10.13", 2, self.own, Entity::McService => self.own, Entity::McService,
            "functional alias de-activation request", user.id
        );
        async {
            let mut work = self.begin().await?;
            work.lock(Lock::User(user)).await?;
            let had = activations::remove(&mut work.transaction, alias, user).await?;
            self.commit(work).await?;
            Ok(had)
        }
        .instrument(step)
        .await
    }

    /// The functional aliases that a user has now.
    pub(crate) async fn aliases_of(&self, user: &User) -> Result<Vec<Activation>, Error> {
        if authorizations::of_user(&self.database, user, self.clock.now()).await?.is_empty() {
            return Ok(Vec::new());
        }
        Ok(activations::of_user(&self.database, user).await?)
    }
}
