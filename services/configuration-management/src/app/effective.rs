//! What is in force for a user now: her own profiles, or those that she has as a visitor. TS 23.280 10.1.4.3.

use mcx_federation::access_token::AuthenticatedUser;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::types::v1::McService as WireService;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McService, McSystemId, ProfileIndex};
use prost::Message;
use tracing::Instrument;

use super::App;
use super::user_profiles::{StoredProfiles, refused};
use crate::domain::user_profile::ServiceUser;
use crate::domain::user_profiles::ProfileRefusal;
use crate::error::Error;
use crate::store::documents::{self, Kind};
use crate::store::{users, visitors};
use crate::wire::document::user_profile_prefix;

/// The user of the token in an MC service.
pub(crate) fn user_in(user: &AuthenticatedUser, mc_service: McService) -> Result<ServiceUser, Error> {
    let id = user.service_ids.get(&mc_service).cloned();
    Ok(ServiceUser { mc_service, id: id.ok_or(Error::McServiceNotOfToken(mc_service))? })
}

/// The user of the token in these MC services, or (empty) in all that the token names.
pub(crate) fn users_in(
    user: &AuthenticatedUser,
    mc_services: &[McService],
) -> Result<Vec<ServiceUser>, Error> {
    if mc_services.is_empty() {
        let of_token = user.service_ids.iter();
        return Ok(of_token
            .map(|(mc_service, id)| ServiceUser { mc_service: *mc_service, id: id.clone() })
            .collect());
    }
    mc_services.iter().map(|mc_service| user_in(user, *mc_service)).collect()
}

impl App {
    /// The profiles that a user sees: the enabled ones for this MC system, or as a visitor those that she shall use here.
    pub(crate) async fn user_profiles(&self, user: &ServiceUser) -> Result<Vec<proto::UserProfile>, Error> {
        let Some(visitor) = visitors::find(&self.database, user, self.clock.now()).await? else {
            return self.own_profiles(user).await;
        };
        let step = procedure_step!(
            "10.1.4.3.2", 1, self.own, "mc-service-ue" => self.own, Entity::ConfigurationManagement,
            "get MC service user profile request", user.id
        );
        let profiles = self.fresh_profiles(visitor).instrument(step).await?;
        let step = procedure_step!(
            "10.1.4.3.2", 5, self.own, Entity::ConfigurationManagement => self.own, "mc-service-ue",
            "get MC service user profile response", user.id
        );
        step.in_scope(|| tracing::debug!(profiles = profiles.len(), "profiles handed to the visitor"));
        Ok(profiles)
    }

    /// The profiles that a user sees, as far as they are here.
    pub(crate) async fn profiles_here(&self, user: &ServiceUser) -> Result<Vec<proto::UserProfile>, Error> {
        match visitors::find(&self.database, user, self.clock.now()).await? {
            Some(visitor) => self.adapted_profiles(&visitor).await,
            None => self.own_profiles(user).await,
        }
    }

    /// Asks for a visitor's profiles where they are missing or too old. A watcher begins without them where that fails, and is told as
    /// soon as they come.
    pub(crate) async fn refresh_visitor(&self, user: &ServiceUser) -> Result<(), Error> {
        let Some(visitor) = visitors::find(&self.database, user, self.clock.now()).await? else {
            return Ok(());
        };
        match self.fresh_profiles(visitor).await {
            Err(error) if error.is_ours() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a watcher begins without user profiles");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn own_profiles(&self, user: &ServiceUser) -> Result<Vec<proto::UserProfile>, Error> {
        let (stored, targets) = self.stored_profiles(user).await?;
        stored.profiles.visible_at_home().map(|profile| stored.present(profile, &targets)).collect()
    }

    async fn stored_profiles(
        &self,
        user: &ServiceUser,
    ) -> Result<(StoredProfiles, Vec<users::Target>), Error> {
        let stored = self.profiles_without_targets(user).await?;
        Ok((stored, users::targets(&self.database, user).await?))
    }

    async fn profiles_without_targets(&self, user: &ServiceUser) -> Result<StoredProfiles, Error> {
        let prefix = user_profile_prefix(user);
        let stored = documents::all(&self.database, Kind::UserProfile, &prefix).await?;
        StoredProfiles::read(stored, &self.own)
    }

    /// The profile that is in force for a user: the one with the index, or the pre-selected one.
    pub(crate) async fn effective_profile(
        &self,
        user: &ServiceUser,
        index: Option<ProfileIndex>,
    ) -> Result<proto::GetEffectiveProfileResponse, Error> {
        let user_profile = match visitors::find(&self.database, user, self.clock.now()).await? {
            Some(visitor) => choose(user, self.fresh_profiles(visitor).await?, index)?,
            None => self.effective_own_profile(user, index).await?,
        };
        let service_configuration = self.service_configuration(user.mc_service).await?;
        Ok(proto::GetEffectiveProfileResponse { user_profile: Some(user_profile), service_configuration })
    }

    async fn effective_own_profile(
        &self,
        user: &ServiceUser,
        index: Option<ProfileIndex>,
    ) -> Result<proto::UserProfile, Error> {
        let stored = self.profiles_without_targets(user).await?;
        let profile = match index {
            None => {
                stored.profiles.pre_selected().ok_or_else(|| Error::NoUserProfile { user: user.clone() })?
            }
            Some(index) => {
                let profile = stored.profiles.get(index);
                let profile = profile.ok_or_else(|| refused(user, ProfileRefusal::Unknown(index)))?;
                if !profile.is_enabled {
                    return Err(refused(user, ProfileRefusal::Disabled(index)));
                }
                profile
            }
        };
        stored.present(profile, &[])
    }

    /// The migration by which an own user may be served by a partner.
    pub(crate) async fn permitted_migration(
        &self,
        user: &ServiceUser,
        partner: &McSystemId,
    ) -> Result<proto::GetPermittedMigrationResponse, Error> {
        let not_permitted = || Error::MigrationNotPermitted(partner.clone());
        let target = users::target(&self.database, user, partner).await?.ok_or_else(not_permitted)?;
        let content = proto::MigrationTarget::decode(target.content.as_slice())?;
        let identities = content.access_information.unwrap_or_default().mc_service_identities;
        let mc_service = WireService::from(user.mc_service);
        let there = identities.into_iter().find(|identity| identity.mc_service() == mc_service);
        let stored = self.profiles_without_targets(user).await?;
        let applicable = stored.profiles.for_partner(partner);
        Ok(proto::GetPermittedMigrationResponse {
            migration_id: target.migration_id.to_string(),
            partner_mc_service_id: there.ok_or_else(not_permitted)?.mc_service_id,
            profile_indices: applicable.into_iter().map(|profile| profile.index.0.into()).collect(),
        })
    }

    /// A profile as an operator sees it: enabled or not, of an own user or of a visitor.
    pub(crate) async fn user_profile(
        &self,
        user: &ServiceUser,
        index: ProfileIndex,
    ) -> Result<proto::UserProfile, Error> {
        if let Some(visitor) = visitors::find(&self.database, user, self.clock.now()).await? {
            return choose(user, self.adapted_profiles(&visitor).await?, Some(index));
        }
        let (stored, targets) = self.stored_profiles(user).await?;
        let profile = stored.profiles.get(index);
        stored.present(profile.ok_or_else(|| refused(user, ProfileRefusal::Unknown(index)))?, &targets)
    }
}

/// One of a visitor's profiles: the one with the index, or the pre-selected one.
fn choose(
    user: &ServiceUser,
    profiles: Vec<proto::UserProfile>,
    index: Option<ProfileIndex>,
) -> Result<proto::UserProfile, Error> {
    let is_chosen = |profile: &proto::UserProfile| match index {
        Some(index) => profile.profile_index == u32::from(index.0),
        None => profile.pre_selected,
    };
    profiles.into_iter().find(is_chosen).ok_or_else(|| match index {
        Some(index) => refused(user, ProfileRefusal::Unknown(index)),
        None => Error::NoUserProfile { user: user.clone() },
    })
}
