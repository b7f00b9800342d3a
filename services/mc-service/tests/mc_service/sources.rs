//! Configuration, group and functional alias management as a test wants them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use mc_service::domain::alias::AliasForUser;
use mc_service::domain::group::{Group, GroupForMember, Membership};
use mc_service::domain::profile::{
    AgreedMigration, EffectiveProfile, PermittedMigration, PrivateCalls, ProfileAnswer, ProfileGroup,
    ServiceTerms, UserProfile,
};
use mc_service::domain::user::{User, Visitor};
use mc_service::sources::{AliasSource, GroupSource, ProfileSource, SourceError};
use mcx_types::{
    Entity, FunctionalAlias, McService, McServiceGroupId, McServiceId, McSystemId, ProfileIndex,
};
use uuid::Uuid;

/// What is in force in one MC system. A change holds from the next question on.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    profiles: HashMap<(User, ProfileIndex), ProfileAnswer>,
    pre_selected: HashMap<User, ProfileIndex>,
    migrations: HashMap<(User, McSystemId), PermittedMigration>,
    groups: HashMap<McServiceGroupId, Group>,
    members: HashMap<(McServiceGroupId, McServiceId), Membership>,
    aliases: HashMap<FunctionalAlias, AliasForUser>,
    allowed: HashSet<(FunctionalAlias, McServiceId)>,
    away: HashSet<Entity>,
}

impl State {
    fn answer<T>(&self, entity: Entity, answer: T) -> Result<T, SourceError> {
        if self.away.contains(&entity) {
            Err(SourceError::Unreachable("a test has it away".to_owned()))
        } else {
            Ok(answer)
        }
    }
}

impl Sources {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::default()
    }

    /// Puts a user profile in force; the first one of a user is pre-selected.
    pub(crate) fn put_profile(&self, user: &User, profile: UserProfile) {
        let mut state = self.0.lock().unwrap();
        state.pre_selected.entry(user.clone()).or_insert(profile.index);
        let effective = EffectiveProfile { profile, terms: ServiceTerms::UNRESTRICTED };
        let key = (user.clone(), effective.profile.index);
        state.profiles.insert(key, ProfileAnswer::InForce(Box::new(effective)));
    }

    pub(crate) fn change_profile(&self, user: &User, index: u8, change: impl FnOnce(&mut UserProfile)) {
        let mut state = self.0.lock().unwrap();
        let Some(ProfileAnswer::InForce(effective)) =
            state.profiles.get_mut(&(user.clone(), ProfileIndex(index)))
        else {
            panic!("{user:?} has no profile {index} in force")
        };
        change(&mut effective.profile);
    }

    /// Lets a user be served by a partner, as who she is there.
    pub(crate) fn permit(
        &self,
        user: &User,
        partner: &McSystemId,
        partner_id: &McServiceId,
        migration_id: Uuid,
    ) {
        let permitted = PermittedMigration { migration_id, partner_id: partner_id.clone() };
        self.0.lock().unwrap().migrations.insert((user.clone(), partner.clone()), permitted);
    }

    pub(crate) fn forbid(&self, user: &User, partner: &McSystemId) {
        self.0.lock().unwrap().migrations.remove(&(user.clone(), partner.clone()));
    }

    pub(crate) fn disable_profile(&self, user: &User, index: u8) {
        let key = (user.clone(), ProfileIndex(index));
        self.0.lock().unwrap().profiles.insert(key, ProfileAnswer::Disabled);
    }

    pub(crate) fn remove_profiles(&self, user: &User) {
        self.0.lock().unwrap().profiles.retain(|(owner, _), _| owner != user);
    }

    pub(crate) fn put_group(&self, group: Group, members: &[(&McServiceId, &McSystemId)]) {
        let mut state = self.0.lock().unwrap();
        for (id, primary) in members {
            let membership = Membership { may_speak: true, primary: (*primary).clone() };
            state.members.insert((group.id.clone(), (*id).clone()), membership);
        }
        state.groups.insert(group.id.clone(), group);
    }

    pub(crate) fn change_group(&self, id: &McServiceGroupId, change: impl FnOnce(&mut Group)) {
        change(self.0.lock().unwrap().groups.get_mut(id).unwrap());
    }

    pub(crate) fn remove_member(&self, group: &McServiceGroupId, id: &McServiceId) {
        self.0.lock().unwrap().members.remove(&(group.clone(), id.clone()));
    }

    pub(crate) fn put_alias(&self, alias: &FunctionalAlias, terms: AliasForUser, allowed: &[&McServiceId]) {
        let mut state = self.0.lock().unwrap();
        state.aliases.insert(alias.clone(), terms);
        state.allowed.extend(allowed.iter().map(|id| (alias.clone(), (*id).clone())));
    }

    /// Takes an alias away, or only from these users.
    pub(crate) fn remove_alias(&self, alias: &FunctionalAlias, from: Option<&McServiceId>) {
        let mut state = self.0.lock().unwrap();
        match from {
            Some(id) => drop(state.allowed.remove(&(alias.clone(), id.clone()))),
            None => drop(state.aliases.remove(alias)),
        }
    }

    pub(crate) fn set_away(&self, entity: Entity, is_away: bool) {
        let away = &mut self.0.lock().unwrap().away;
        if is_away {
            away.insert(entity)
        } else {
            away.remove(&entity)
        };
    }
}

#[tonic::async_trait]
impl ProfileSource for Sources {
    async fn effective_profile(
        &self,
        user: &User,
        index: Option<ProfileIndex>,
    ) -> Result<ProfileAnswer, SourceError> {
        let state = self.0.lock().unwrap();
        let index = index.or_else(|| state.pre_selected.get(user).copied());
        let found = index.and_then(|index| state.profiles.get(&(user.clone(), index)).cloned());
        state.answer(Entity::ConfigurationManagement, found.unwrap_or(ProfileAnswer::Unknown))
    }

    async fn agreed_migration(
        &self,
        user: &User,
        partner: &McSystemId,
    ) -> Result<Option<AgreedMigration>, SourceError> {
        let state = self.0.lock().unwrap();
        let of_user = state.profiles.iter().filter(|((owner, _), _)| owner == user);
        let in_force: Vec<&UserProfile> = of_user
            .filter_map(|(_, answer)| match answer {
                ProfileAnswer::InForce(effective) => Some(&effective.profile),
                _ => None,
            })
            .collect();
        // As configuration management has it: where there are some for the partner only those go.
        let names_partner = |profile: &&&UserProfile| profile.valid_in.contains(partner);
        let is_any_for_partner = in_force.iter().any(|profile| names_partner(&profile));
        let goes = |profile: &&&UserProfile| {
            if is_any_for_partner { names_partner(profile) } else { profile.valid_in.is_empty() }
        };
        let profiles = in_force.iter().filter(goes).map(|profile| profile.index).collect();
        let permitted = state.migrations.get(&(user.clone(), partner.clone())).cloned();
        let agreed = permitted.map(|permitted| AgreedMigration { permitted, profiles });
        state.answer(Entity::ConfigurationManagement, agreed)
    }
}

#[tonic::async_trait]
impl GroupSource for Sources {
    async fn group_for_member(
        &self,
        group: &McServiceGroupId,
        id: &McServiceId,
    ) -> Result<Option<GroupForMember>, SourceError> {
        let state = self.0.lock().unwrap();
        let found = state.groups.get(group).map(|found| GroupForMember {
            group: found.clone(),
            membership: state.members.get(&(group.clone(), id.clone())).cloned(),
        });
        state.answer(Entity::GroupManagement, found)
    }
}

#[tonic::async_trait]
impl AliasSource for Sources {
    async fn alias_for_user(
        &self,
        alias: &FunctionalAlias,
        id: &McServiceId,
    ) -> Result<Option<AliasForUser>, SourceError> {
        let state = self.0.lock().unwrap();
        let is_allowed_user = state.allowed.contains(&(alias.clone(), id.clone()));
        let found = state.aliases.get(alias).map(|terms| AliasForUser { is_allowed_user, ..*terms });
        state.answer(Entity::FunctionalAliasManagement, found)
    }
}

/// A user profile of home use that allows private calls to anybody, and names these groups.
pub(crate) fn profile(index: u8, groups: &[&McServiceGroupId]) -> UserProfile {
    let of = |group: &&McServiceGroupId| ((*group).clone(), ProfileGroup { implicit_affiliation: false });
    UserProfile {
        index: ProfileIndex(index),
        etag: format!("etag-{index}"),
        private_call: PrivateCalls::Anybody,
        groups: groups.iter().map(of).collect(),
        max_affiliations: 2,
        functional_aliases: BTreeSet::new(),
        emergency_calls: true,
        valid_in: BTreeSet::new(),
        visitor: None,
    }
}

/// The same, for a visitor.
pub(crate) fn visitor_profile(index: u8, groups: &[&McServiceGroupId], visitor: Visitor) -> UserProfile {
    UserProfile { visitor: Some(visitor), ..profile(index, groups) }
}

pub(crate) fn group(id: &McServiceGroupId, home: &McSystemId) -> Group {
    Group {
        id: id.clone(),
        home: home.clone(),
        is_enabled: true,
        mc_services: McService::ALL.into_iter().collect(),
        allow_visitors: true,
        emergency_calls: true,
        etag: "group-1".to_owned(),
    }
}
