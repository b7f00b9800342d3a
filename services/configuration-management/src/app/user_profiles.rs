//! User profiles of own users. All profiles of a user in an MC service are changed together, one change after the other, since which of
//! them is pre-selected is a matter of all.

use std::collections::BTreeMap;

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McServiceGroupId, McSystemId, ProfileIndex, Violations};
use prost::Message;

use super::App;
use super::mutation::{Begun, ChangedBy, Mutation};
use super::watch::{news, user_topic};
use crate::domain::user_profile::{ServiceUser, UserProfile};
use crate::domain::user_profiles::{ProfileRefusal, UserProfiles};
use crate::error::Error;
use crate::store::documents::{self, Kind, Stored};
use crate::store::users::{self, Target};
use crate::store::{shares, visitors};
use crate::wire;
use crate::wire::document::{Document, user_profile_key, user_profile_prefix};
use crate::wire::user_profile::StoredSystems;

/// What a user may change of a user profile of hers, TS 23.280 10.1.4.5.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct UserData {
    pub(crate) name: String,
    pub(crate) alphanumeric_aliases: Vec<String>,
    pub(crate) implicit_groups: Vec<McServiceGroupId>,
}

/// The profiles of a user as they are stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredProfiles {
    pub(crate) profiles: UserProfiles,
    stored: BTreeMap<ProfileIndex, Stored>,
}

impl StoredProfiles {
    /// Reads what is stored of one user.
    pub(crate) fn read(stored: Vec<Stored>, own: &McSystemId) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut profiles = Vec::with_capacity(stored.len());
        for stored in stored {
            let profile = read_profile(&stored.content, own)?;
            all.stored.insert(profile.index, stored);
            profiles.push(profile);
        }
        all.profiles = UserProfiles::new(profiles);
        Ok(all)
    }

    /// A profile as a message, with what is known about it.
    pub(crate) fn present(
        &self,
        profile: &UserProfile,
        targets: &[Target],
    ) -> Result<proto::UserProfile, Error> {
        let Some(stored) = self.stored.get(&profile.index) else {
            return Err(Error::Internal("a profile is not stored".to_owned()));
        };
        present(profile, stored, targets)
    }
}

/// Reads a stored `UserProfile` message. `home` is the MC system whose user it is of.
pub(crate) fn read_profile(content: &[u8], home: &McSystemId) -> Result<UserProfile, Error> {
    let message = proto::UserProfile::decode(content)?;
    let mut violations = Violations::new();
    let profile =
        wire::user_profile::decode(&mut violations, "user_profile", Some(&message), &StoredSystems(home));
    violations.finish(profile).map_err(|violations| {
        Error::Internal(format!("a stored user profile cannot be read back: {violations:?}"))
    })
}

/// A profile as a message, with what is known about it and with the access information of the partners that have accepted the user.
fn present(profile: &UserProfile, stored: &Stored, targets: &[Target]) -> Result<proto::UserProfile, Error> {
    let mut message = wire::user_profile::encode(profile);
    let time = wire::time(stored.updated_at);
    message.set_versioning(stored.version.to_string(), stored.version.unsigned_abs(), time);
    if profile.is_for_home() {
        for target in targets {
            let provisioned = proto::MigrationTarget::decode(target.content.as_slice())?;
            let mut named = message.migration_targets.iter_mut();
            match named.find(|named| named.mc_system_id == provisioned.mc_system_id) {
                // What the operator says in the profile goes before what came with the migration.
                Some(named) => {
                    named.access_information = provisioned.access_information;
                    named.selection = named.selection.take().or(provisioned.selection);
                }
                None => message.migration_targets.push(provisioned),
            }
        }
    }
    Ok(message)
}

/// A user whose profiles are being changed; nobody else changes them until the transaction ends.
pub(crate) struct EditedUser {
    user: ServiceUser,
    before: StoredProfiles,
    /// The profiles as they shall be.
    pub(crate) profiles: UserProfiles,
    /// Counts the changes of the user's profiles.
    pub(crate) version: i64,
}

impl App {
    /// Begins to change the profiles of a user.
    pub(crate) async fn edit_user(
        &self,
        mutation: &mut Mutation,
        user: &ServiceUser,
    ) -> Result<EditedUser, Error> {
        let version = users::lock(&mut mutation.transaction, user).await?;
        let prefix = user_profile_prefix(user);
        let stored = documents::all_in(&mut mutation.transaction, Kind::UserProfile, &prefix).await?;
        let before = StoredProfiles::read(stored, &self.own)?;
        let profiles = before.profiles.clone();
        Ok(EditedUser { user: user.clone(), before, profiles, version })
    }

    /// Writes the profiles that have changed, and those for which `is_touched`; tells watchers, and lets partners have them. Returns what
    /// was written.
    pub(crate) async fn save_user(
        &self,
        mutation: &mut Mutation,
        edited: EditedUser,
        is_touched: impl Fn(&UserProfile) -> bool,
    ) -> Result<BTreeMap<ProfileIndex, proto::UserProfile>, Error> {
        let EditedUser { user, before, profiles, version } = edited;
        let targets = users::targets_in(&mut mutation.transaction, &user).await?;
        let mut written = BTreeMap::new();
        let mut has_changed = false;
        for (index, stored) in &before.stored {
            if profiles.get(*index).is_none() {
                let change = &mutation.change;
                let key = &stored.key;
                let removed =
                    documents::remove(&mut mutation.transaction, Kind::UserProfile, key, None, change)
                        .await?;
                has_changed = true;
                if before.profiles.get(*index).is_some_and(UserProfile::is_visible_at_home) {
                    self.tell_removal(mutation, &user, *index, removed.unwrap_or_default());
                }
            }
        }
        for profile in profiles.iter() {
            let present_one = before.stored.get(&profile.index);
            let old = before.profiles.get(profile.index);
            if old == Some(profile) && !is_touched(profile) {
                continue;
            }
            has_changed = true;
            let message = wire::user_profile::encode(profile);
            let (key, content) = (message.key(), message.encode_to_vec());
            let transaction = &mut mutation.transaction;
            let stored = match present_one {
                None => {
                    documents::insert(transaction, Kind::UserProfile, &key, content, &mutation.change).await?
                }
                Some(old) => {
                    let kind = Kind::UserProfile;
                    let replaced =
                        documents::replace(transaction, kind, &key, content, old.version, &mutation.change);
                    replaced.await?.ok_or(Error::EtagMismatch)?
                }
            };
            let message = present(profile, &stored, &targets)?;
            if profile.is_visible_at_home() {
                let event = Event::UserProfile(message.clone());
                let topic = user_topic(&user);
                mutation.news.push(news(topic, Kind::UserProfile, key, message.version, event));
            } else if old.is_some_and(UserProfile::is_visible_at_home) {
                self.tell_removal(mutation, &user, profile.index, stored.version);
            }
            written.insert(profile.index, message);
        }
        if has_changed {
            let now = mutation.now();
            let due = shares::want_everywhere(&mut mutation.transaction, &user, version, now).await?;
            mutation.has_shares_due |= due > 0;
        }
        Ok(written)
    }

    /// Tells the watchers of a user that she has a profile no more.
    pub(crate) fn tell_removal(
        &self,
        mutation: &mut Mutation,
        user: &ServiceUser,
        index: ProfileIndex,
        version: i64,
    ) {
        let identity = wire::service_user_to_wire(user);
        let key =
            user_profile_key(identity.mc_service().as_str_name(), &identity.mc_service_id, index.0.into());
        let removal = proto::UserProfileRemoval { identity: Some(identity), profile_index: index.0.into() };
        let event = Event::UserProfileRemoval(removal);
        mutation.news.push(news(user_topic(user), Kind::UserProfile, key, version.unsigned_abs(), event));
    }

    /// Creates a profile in a transaction.
    pub(crate) async fn insert_user_profile(
        &self,
        mutation: &mut Mutation,
        profile: &UserProfile,
    ) -> Result<Option<proto::UserProfile>, Error> {
        if visitors::is_of_visitor(&mut mutation.transaction, &profile.user).await? {
            let mut violations = Violations::new();
            violations.add("user_profile.identity.mc_service_id", "is the mc service id of a visitor");
            return Err(violations.into());
        }
        let mut edited = self.edit_user(mutation, &profile.user).await?;
        edited.profiles.create(profile.clone()).map_err(|refusal| refused(&profile.user, refusal))?;
        Ok(self.save_user(mutation, edited, |_| false).await?.remove(&profile.index))
    }

    pub(crate) async fn create_user_profile(
        &self,
        profile: &UserProfile,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::CreateUserProfileResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let user_profile = self.insert_user_profile(&mut mutation, profile).await?;
        let response = proto::CreateUserProfileResponse { user_profile };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    pub(crate) async fn update_user_profile(
        &self,
        profile: &UserProfile,
        version: i64,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateUserProfileResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let mut edited = self.edit_user(&mut mutation, &profile.user).await?;
        edited.check_version(profile.index, Some(version))?;
        edited.profiles.replace(profile.clone()).map_err(|refusal| refused(&profile.user, refusal))?;
        let is_touched = |other: &UserProfile| other.index == profile.index;
        let user_profile = self.save_user(&mut mutation, edited, is_touched).await?.remove(&profile.index);
        let response = proto::UpdateUserProfileResponse { user_profile };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_user_profile(
        &self,
        user: &ServiceUser,
        index: ProfileIndex,
        version: Option<i64>,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::DeleteUserProfileResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let mut edited = self.edit_user(&mut mutation, user).await?;
        edited.check_version(index, version)?;
        edited.profiles.remove(index).map_err(|refusal| refused(user, refusal))?;
        self.save_user(&mut mutation, edited, |_| false).await?;
        let response = proto::DeleteUserProfileResponse {};
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    /// TS 23.280 10.1.4.5: the user changes her part of a profile of hers.
    pub(crate) async fn update_user_profile_data(
        &self,
        user: &ServiceUser,
        index: ProfileIndex,
        version: i64,
        data: UserData,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateUserProfileDataResponse, Error> {
        self.require_own_user(user).await?;
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let mut edited = self.edit_user(&mut mutation, user).await?;
        edited.check_version(index, Some(version))?;
        let profile = edited.profiles.get(index).filter(|profile| profile.is_visible_at_home());
        let mut profile = profile.cloned().ok_or_else(|| refused(user, ProfileRefusal::Unknown(index)))?;
        take_over(&mut profile, data)?;
        edited.profiles.replace(profile).map_err(|refusal| refused(user, refusal))?;
        let is_touched = |other: &UserProfile| other.index == index;
        let user_profile = self.save_user(&mut mutation, edited, is_touched).await?.remove(&index);
        let response = proto::UpdateUserProfileDataResponse { user_profile };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    /// TS 23.280 10.1.4.6: the user makes another profile the pre-selected one.
    pub(crate) async fn pre_select(
        &self,
        user: &ServiceUser,
        index: ProfileIndex,
        by: ChangedBy,
    ) -> Result<proto::SetPreSelectedUserProfileResponse, Error> {
        self.require_own_user(user).await?;
        let mut mutation = self.begin_work(by).await?;
        let mut edited = self.edit_user(&mut mutation, user).await?;
        edited.profiles.pre_select(index).map_err(|refusal| refused(user, refusal))?;
        if edited.profiles == edited.before.profiles {
            // It is so already.
            let targets = users::targets_in(&mut mutation.transaction, user).await?;
            let profile = edited.profiles.get(index);
            let user_profile = profile.map(|profile| edited.before.present(profile, &targets)).transpose()?;
            return Ok(proto::SetPreSelectedUserProfileResponse { user_profile });
        }
        let user_profile = self.save_user(&mut mutation, edited, |_| false).await?.remove(&index);
        self.commit_work(mutation).await?;
        Ok(proto::SetPreSelectedUserProfileResponse { user_profile })
    }

    async fn require_own_user(&self, user: &ServiceUser) -> Result<(), Error> {
        match visitors::find(&self.database, user, self.clock.now()).await? {
            Some(visitor) => Err(Error::UserIsVisitor(visitor.primary)),
            None => Ok(()),
        }
    }
}

impl EditedUser {
    /// Refuses to change a profile that is not there or has another version than the caller has read.
    fn check_version(&self, index: ProfileIndex, version: Option<i64>) -> Result<(), Error> {
        let stored = self.before.stored.get(&index);
        let stored = stored.ok_or_else(|| refused(&self.user, ProfileRefusal::Unknown(index)))?;
        match version {
            Some(version) if version != stored.version => Err(Error::EtagMismatch),
            _ => Ok(()),
        }
    }
}

pub(crate) fn refused(user: &ServiceUser, refusal: ProfileRefusal) -> Error {
    Error::Profile { user: user.clone(), refusal }
}

/// Puts the user's part into a profile; that may affiliate her to groups of the profile only, and to no more than it allows.
fn take_over(profile: &mut UserProfile, data: UserData) -> Result<(), Error> {
    const FIELD: &str = "data.implicit_affiliation_group_ids";
    let mut violations = Violations::new();
    for (at, id) in data.implicit_groups.iter().enumerate() {
        if profile.groups.iter().all(|group| group.id != *id) {
            violations.add(format!("{FIELD}[{at}]"), "must be a group of the user profile");
        }
    }
    if data.implicit_groups.len() > usize::from(profile.max_affiliations) {
        violations.add(FIELD, format_args!("must hold at most {}", profile.max_affiliations));
    }
    violations.finish(Some(()))?;
    profile.name = data.name;
    profile.alphanumeric_aliases = data.alphanumeric_aliases;
    for group in &mut profile.groups {
        group.is_implicitly_affiliated = data.implicit_groups.contains(&group.id);
    }
    Ok(())
}
