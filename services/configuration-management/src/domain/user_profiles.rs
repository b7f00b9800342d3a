//! All user profiles of one user in one MC service, and the rules among them.

use std::collections::BTreeMap;

use mcx_types::{McSystemId, ProfileIndex};

use super::user_profile::UserProfile;

/// The user profiles of one user in one MC service.
///
/// Of those that are enabled and for the own MC system exactly one is pre-selected, whatever is done (TS 23.280 10.1.1.1).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserProfiles(BTreeMap<ProfileIndex, UserProfile>);

/// Why the set cannot be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProfileRefusal {
    /// The index is taken.
    #[error("the user has a user profile with index {0}")]
    Exists(ProfileIndex),
    /// There is none with the index.
    #[error("the user has no user profile with index {0}")]
    Unknown(ProfileIndex),
    /// It is disabled, so it cannot be pre-selected.
    #[error("the user profile with index {0} is disabled")]
    Disabled(ProfileIndex),
    /// It is for partners, so it cannot be pre-selected here.
    #[error("the user profile with index {0} is for use in partner mc systems")]
    ForMigration(ProfileIndex),
}

impl UserProfiles {
    /// The set as it was stored.
    pub fn new(profiles: impl IntoIterator<Item = UserProfile>) -> Self {
        Self(profiles.into_iter().map(|profile| (profile.index, profile)).collect())
    }

    /// One of them.
    pub fn get(&self, index: ProfileIndex) -> Option<&UserProfile> {
        self.0.get(&index)
    }

    /// All of them, in the order of the index.
    pub fn iter(&self) -> impl Iterator<Item = &UserProfile> {
        self.0.values()
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`ProfileRefusal::Exists`]
    pub fn create(&mut self, profile: UserProfile) -> Result<(), ProfileRefusal> {
        if self.0.contains_key(&profile.index) {
            return Err(ProfileRefusal::Exists(profile.index));
        }
        self.put(profile);
        Ok(())
    }

    /// Replaces one.
    ///
    /// # Errors
    /// [`ProfileRefusal::Unknown`]
    pub fn replace(&mut self, profile: UserProfile) -> Result<(), ProfileRefusal> {
        if !self.0.contains_key(&profile.index) {
            return Err(ProfileRefusal::Unknown(profile.index));
        }
        self.put(profile);
        Ok(())
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`ProfileRefusal::Unknown`]
    pub fn remove(&mut self, index: ProfileIndex) -> Result<(), ProfileRefusal> {
        self.0.remove(&index).ok_or(ProfileRefusal::Unknown(index))?;
        self.settle(None);
        Ok(())
    }

    /// Pre-selects one (TS 23.280 10.1.4.6).
    ///
    /// # Errors
    /// [`ProfileRefusal`], where it cannot be pre-selected.
    pub fn pre_select(&mut self, index: ProfileIndex) -> Result<(), ProfileRefusal> {
        let profile = self.0.get(&index).ok_or(ProfileRefusal::Unknown(index))?;
        if !profile.is_for_home() {
            return Err(ProfileRefusal::ForMigration(index));
        }
        if !profile.is_enabled {
            return Err(ProfileRefusal::Disabled(index));
        }
        self.settle(Some(index));
        Ok(())
    }

    fn put(&mut self, profile: UserProfile) {
        let wanted = profile.is_pre_selected.then_some(profile.index);
        self.0.insert(profile.index, profile);
        self.settle(wanted);
    }

    /// Makes exactly one of the candidates the pre-selected one: the wanted one, else the one that is, else the first.
    fn settle(&mut self, wanted: Option<ProfileIndex>) {
        let candidates = || self.0.values().filter(|profile| profile.is_visible_at_home());
        let chosen = candidates()
            .find(|profile| Some(profile.index) == wanted)
            .or_else(|| candidates().find(|profile| profile.is_pre_selected))
            .or_else(|| candidates().next())
            .map(|profile| profile.index);
        for profile in self.0.values_mut() {
            profile.is_pre_selected = Some(profile.index) == chosen;
        }
    }

    /// The one that becomes active at service authorization.
    pub fn pre_selected(&self) -> Option<&UserProfile> {
        self.0.values().find(|profile| profile.is_pre_selected)
    }

    /// Those that the UE of the user sees in the own MC system.
    pub fn visible_at_home(&self) -> impl Iterator<Item = &UserProfile> {
        self.0.values().filter(|profile| profile.is_visible_at_home())
    }

    /// Those that go to a partner to which the user may migrate (TS 23.280 10.1.4.1): the enabled ones with the partner in `valid_in`;
    /// where she has none at all with it, the enabled ones for the own MC system.
    pub fn for_partner<'a>(&'a self, partner: &'a McSystemId) -> Vec<&'a UserProfile> {
        let names_partner = |profile: &&UserProfile| profile.valid_in.contains(partner);
        if self.0.values().any(|profile| names_partner(&profile)) {
            self.0.values().filter(names_partner).filter(|profile| profile.is_enabled).collect()
        } else {
            self.visible_at_home().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::samples::{index, profile};

    fn pre_selected(profiles: &UserProfiles) -> Vec<u8> {
        profiles.iter().filter(|profile| profile.is_pre_selected).map(|profile| profile.index.0).collect()
    }

    fn with_two() -> UserProfiles {
        let mut profiles = UserProfiles::default();
        profiles.create(profile(3)).unwrap();
        profiles.create(profile(1)).unwrap();
        profiles
    }

    #[test]
    fn first_enabled_profile_is_pre_selected_by_itself_and_stays_so() {
        assert_eq!(pre_selected(&with_two()), [3]);
    }

    #[test]
    fn pre_selecting_another_takes_it_from_the_present_one() {
        let mut profiles = with_two();
        profiles.pre_select(index(1)).unwrap();
        assert_eq!(pre_selected(&profiles), [1]);
        let mut third = profile(7);
        third.is_pre_selected = true;
        profiles.create(third).unwrap();
        assert_eq!(pre_selected(&profiles), [7]);
    }

    #[test]
    fn pre_selection_goes_to_the_lowest_index_when_the_present_one_is_removed_disabled_or_unset() {
        let mut removed = with_two();
        removed.create(profile(2)).unwrap();
        removed.remove(index(3)).unwrap();
        assert_eq!(pre_selected(&removed), [1]);

        let mut disabled = with_two();
        let mut changed = disabled.get(index(3)).unwrap().clone();
        changed.is_enabled = false;
        disabled.replace(changed).unwrap();
        assert_eq!(pre_selected(&disabled), [1]);

        let mut unset = with_two();
        let mut changed = unset.get(index(3)).unwrap().clone();
        changed.is_pre_selected = false;
        unset.replace(changed).unwrap();
        assert_eq!(pre_selected(&unset), [1]);
    }

    #[test]
    fn what_is_disabled_or_for_partners_cannot_be_pre_selected() {
        let mut profiles = with_two();
        let mut disabled = profile(4);
        disabled.is_enabled = false;
        let mut abroad = profile(5);
        abroad.valid_in = vec!["bravo.example".parse().unwrap()];
        abroad.is_pre_selected = true;
        profiles.create(disabled).unwrap();
        profiles.create(abroad).unwrap();
        assert_eq!(profiles.pre_select(index(4)), Err(ProfileRefusal::Disabled(index(4))));
        assert_eq!(profiles.pre_select(index(5)), Err(ProfileRefusal::ForMigration(index(5))));
        assert_eq!(profiles.pre_select(index(6)), Err(ProfileRefusal::Unknown(index(6))));
        assert_eq!(pre_selected(&profiles), [3]);
    }

    #[test]
    fn a_partner_gets_the_profiles_for_it_or_else_those_for_home() {
        let bravo: McSystemId = "bravo.example".parse().unwrap();
        let mut profiles = with_two();
        let indices = |profiles: &UserProfiles, partner: &McSystemId| -> Vec<u8> {
            profiles.for_partner(partner).iter().map(|profile| profile.index.0).collect()
        };
        assert_eq!(indices(&profiles, &bravo), [1, 3]);
        let mut abroad = profile(9);
        abroad.valid_in = vec![bravo.clone()];
        profiles.create(abroad.clone()).unwrap();
        assert_eq!(indices(&profiles, &bravo), [9]);
        assert_eq!(indices(&profiles, &"charlie.example".parse().unwrap()), [1, 3]);
        // Disabling it does not open the others to the partner.
        abroad.is_enabled = false;
        profiles.replace(abroad).unwrap();
        assert_eq!(indices(&profiles, &bravo), [0_u8; 0]);
    }

    proptest! {
        #[test]
        fn exactly_one_is_pre_selected_when_any_is_usable_at_home(
            steps in prop::collection::vec((0..4_u8, 0..4_u8, any::<bool>(), any::<bool>(), any::<bool>()), 0..40)
        ) {
            let mut profiles = UserProfiles::default();
            for (step, at, is_enabled, is_pre_selected, is_abroad) in steps {
                let mut changed = profile(at);
                changed.is_enabled = is_enabled;
                changed.is_pre_selected = is_pre_selected;
                if is_abroad {
                    changed.valid_in = vec!["bravo.example".parse().unwrap()];
                }
                let _ = match step {
                    0 => profiles.create(changed),
                    1 => profiles.replace(changed),
                    2 => profiles.remove(index(at)),
                    _ => profiles.pre_select(index(at)),
                };
                let usable = profiles.visible_at_home().count();
                prop_assert_eq!(pre_selected(&profiles).len(), usable.min(1));
                prop_assert!(profiles.pre_selected().is_none_or(UserProfile::is_visible_at_home));
            }
        }
    }
}
