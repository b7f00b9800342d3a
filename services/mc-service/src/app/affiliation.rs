//! Affiliations of clients that are authorized here (TS 23.280 10.8.3.1, 10.8.4.2).

use mcx_runtime::procedure_step;
use mcx_types::{Entity, McServiceGroupId, McSystemId};
use tracing::Instrument;

use super::{App, count_decision};
use crate::domain::Rule;
use crate::domain::affiliation::{fits, may_use_group};
use crate::domain::authorization::active_profile;
use crate::domain::profile::{EffectiveProfile, UserProfile};
use crate::domain::user::{Affiliation, Authorization, Client, User};
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{affiliations, authorizations};

/// What became of one group: the rule by which the client is affiliated, or by which it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) group: McServiceGroupId,
    pub(crate) decided: Result<Rule, Rule>,
}

/// Which clients of the user a de-affiliation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    ThisClient,
    AllClients,
}

/// A group that the rules here let a client use.
struct Candidate {
    group: McServiceGroupId,
    home: McSystemId,
}

impl App {
    /// Affiliates a client to groups, by the will of its user.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`]; [`Error::ServiceAuthorizationRefused`] where the active user profile is not one for here any more;
    /// [`Error::SourceUnreachable`].
    pub(crate) async fn affiliate(
        &self,
        client: &Client,
        groups: Vec<McServiceGroupId>,
    ) -> Result<Vec<Outcome>, Error> {
        let step = procedure_step!(
            "10.8.3", 1, self.own, Entity::McService => self.own, Entity::GroupManagement,
            "group affiliation request", client.user.id
        );
        async {
            let authorization = self.authorization_of(client).await?;
            let answer = self.profile(&client.user, Some(authorization.profile_index)).await?;
            let effective = active_profile(answer).map_err(Error::ServiceAuthorizationRefused)?;
            self.affiliate_with(&authorization, &effective.profile, groups, false).await
        }
        .instrument(step)
        .await
    }

    /// Makes the implicit affiliations of a user profile. What cannot be asked now is an outcome, not an error: the client is authorized.
    pub(crate) async fn affiliate_implicitly(
        &self,
        authorization: &Authorization,
        effective: &EffectiveProfile,
    ) -> Vec<Outcome> {
        let implicit = effective.profile.groups.iter().filter(|(_, group)| group.implicit_affiliation);
        let groups: Vec<McServiceGroupId> = implicit.map(|(id, _)| id.clone()).collect();
        if groups.is_empty() {
            return Vec::new();
        }
        match self.affiliate_with(authorization, &effective.profile, groups.clone(), true).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(user = %authorization.client.user.id, %error, "implicit affiliations are not made");
                let decided = Err(Rule::GroupManagementUnreachable);
                groups.into_iter().map(|group| Outcome { group, decided }).collect()
            }
        }
    }

    async fn affiliate_with(
        &self,
        authorization: &Authorization,
        profile: &UserProfile,
        groups: Vec<McServiceGroupId>,
        implicit: bool,
    ) -> Result<Vec<Outcome>, Error> {
        let order = groups.clone();
        let (candidates, mut outcomes) = self.candidates(&authorization.client.user, profile, groups).await?;
        let (agreed, refused) = self.ask_homes(authorization, candidates).await;
        outcomes.extend(refused);
        outcomes.extend(self.record(authorization, profile, agreed, implicit).await?);
        outcomes.sort_by_key(|outcome| order.iter().position(|group| *group == outcome.group));
        for outcome in &outcomes {
            count_decision("affiliation", outcome.decided);
        }
        Ok(outcomes)
    }

    /// The groups that profile, group and membership let the user use; and what became of the others.
    async fn candidates(
        &self,
        user: &User,
        profile: &UserProfile,
        groups: Vec<McServiceGroupId>,
    ) -> Result<(Vec<Candidate>, Vec<Outcome>), Error> {
        let lookups = groups.iter().map(|group| self.group(group, &user.id));
        let found = futures::future::try_join_all(lookups).await?;
        let mut candidates = Vec::new();
        let mut refused = Vec::new();
        for (group, found) in groups.into_iter().zip(found) {
            match may_use_group(&self.own, user.mc_service, profile, &group, found.as_ref()) {
                Ok((found, _)) => candidates.push(Candidate { home: found.group.home.clone(), group }),
                Err(rule) => refused.push(Outcome { group, decided: Err(rule) }),
            }
        }
        Ok((candidates, refused))
    }

    /// Asks the MC systems that own groups which are not of this one; returns what may be recorded, and what became of the others.
    async fn ask_homes(
        &self,
        authorization: &Authorization,
        candidates: Vec<Candidate>,
    ) -> (Vec<Affiliation>, Vec<Outcome>) {
        let affiliation = |group: McServiceGroupId, home: &McSystemId| Affiliation {
            client: authorization.client.clone(),
            group,
            home: home.clone(),
            implicit: false,
            affiliated_at: self.clock.now(),
        };
        let mut agreed = Vec::new();
        let mut by_home: std::collections::BTreeMap<McSystemId, Vec<McServiceGroupId>> = Default::default();
        for Candidate { group, home } in candidates {
            if home == self.own {
                agreed.push(affiliation(group, &home));
            } else {
                by_home.entry(home).or_default().push(group);
            }
        }
        let mut refused = Vec::new();
        for (home, groups) in by_home {
            for outcome in self.affiliate_at_home(authorization, &home, groups).await {
                match outcome.decided {
                    Ok(_) => agreed.push(affiliation(outcome.group, &home)),
                    Err(_) => refused.push(outcome),
                }
            }
        }
        (agreed, refused)
    }

    /// Records affiliations, as many as the user profile lets there be.
    async fn record(
        &self,
        authorization: &Authorization,
        profile: &UserProfile,
        agreed: Vec<Affiliation>,
        implicit: bool,
    ) -> Result<Vec<Outcome>, Error> {
        if agreed.is_empty() {
            return Ok(Vec::new());
        }
        let client = &authorization.client;
        let mut work = self.begin().await?;
        work.lock(Lock::User(&client.user)).await?;
        let present = authorizations::of_client(&mut work.transaction, client).await?;
        if present.is_none_or(|present| present.id != authorization.id) {
            // Its service has ended meanwhile; the homes forget what they have just been told.
            self.tell_homes(authorization.visitor.as_ref(), &agreed, work.now, &mut work).await?;
            self.commit(work).await?;
            return Err(Error::NotAuthorized(client.user.mc_service));
        }
        let before = affiliations::of_user_in(&mut work.transaction, &client.user).await?;
        let mut groups: Vec<McServiceGroupId> =
            before.into_iter().map(|affiliation| affiliation.group).collect();
        groups.dedup();
        let mut outcomes = Vec::with_capacity(agreed.len());
        let mut too_many = Vec::new();
        for mut affiliation in agreed {
            let group = affiliation.group.clone();
            let decided = fits(profile, &groups, &group).map(|()| {
                if affiliation.home == self.own { Rule::Affiliated } else { Rule::AffiliatedAtHomeOfGroup }
            });
            if decided.is_ok() {
                affiliation.implicit = implicit;
                affiliations::insert(&mut work.transaction, &affiliation).await?;
                if !groups.contains(&group) {
                    groups.push(group.clone());
                }
            } else {
                too_many.push(affiliation);
            }
            outcomes.push(Outcome { group, decided });
        }
        self.tell_homes(authorization.visitor.as_ref(), &too_many, work.now, &mut work).await?;
        self.commit(work).await?;
        Ok(outcomes)
    }

    /// Ends affiliations, by the will of the user.
    ///
    /// # Errors
    /// [`Error::NotAuthorized`]
    pub(crate) async fn deaffiliate(
        &self,
        client: &Client,
        groups: Vec<McServiceGroupId>,
        scope: Scope,
    ) -> Result<Vec<Outcome>, Error> {
        let step = procedure_step!(
            "10.8.4", 1, self.own, Entity::McService => self.own, Entity::McService,
            "group de-affiliation request", client.user.id
        );
        async {
            let mut work = self.begin().await?;
            work.lock(Lock::User(&client.user)).await?;
            let present = authorizations::of_client(&mut work.transaction, client).await?;
            let present = present.filter(|authorization| authorization.expires_at > work.now);
            let authorization = present.ok_or(Error::NotAuthorized(client.user.mc_service))?;
            let mut ended = affiliations::of_user_in(&mut work.transaction, &client.user).await?;
            ended.retain(|affiliation| {
                groups.contains(&affiliation.group)
                    && (scope == Scope::AllClients || affiliation.client == *client)
            });
            for affiliation in &ended {
                affiliations::remove(&mut work.transaction, &affiliation.client, &affiliation.group).await?;
            }
            self.tell_homes(authorization.visitor.as_ref(), &ended, work.now, &mut work).await?;
            self.commit(work).await?;
            let decided = Ok(Rule::Deaffiliated);
            Ok(groups.into_iter().map(|group| Outcome { group, decided }).collect())
        }
        .instrument(step)
        .await
    }

    /// The affiliations of all clients of a user that are authorized now.
    pub(crate) async fn affiliations_of(&self, user: &User) -> Result<Vec<Affiliation>, Error> {
        let present = authorizations::of_user(&self.database, user, self.clock.now()).await?;
        let mut found = affiliations::of_user(&self.database, user).await?;
        found.retain(|affiliation| present.iter().any(|present| present.client == affiliation.client));
        Ok(found)
    }
}
