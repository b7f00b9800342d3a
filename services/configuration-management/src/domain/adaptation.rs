//! How the user profiles that a primary MC system gives of a visitor become those that she uses here, TS 23.280 10.1.4.3.2: the
//! partner may adapt them to its policy.

use mcx_proto::configuration::v1::ProfileAdaptationKind as Kind;
use mcx_types::{McServiceId, McSystemId};

use super::user_profile::{PrivateCallRights, ProfileGroup, UserProfile};
use super::visitor_policy::VisitorPolicy;

/// The visitor whose profiles are adapted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorTerms {
    /// The MC service ID that this MC system allotted to her.
    pub partner_id: McServiceId,
    /// This MC system, in which groups are granted.
    pub own: McSystemId,
}

/// One thing in which a profile differs from what the primary gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adaptation {
    /// What.
    pub kind: Kind,
    /// What was removed, or what it was before.
    pub before: String,
    /// What was added, or what it is now.
    pub after: String,
}

impl Adaptation {
    fn changed(kind: Kind, before: impl ToString, after: impl ToString) -> Self {
        Self { kind, before: before.to_string(), after: after.to_string() }
    }

    fn removed(kind: Kind, what: impl ToString) -> Self {
        Self { kind, before: what.to_string(), after: String::new() }
    }

    fn granted(kind: Kind, what: impl ToString) -> Self {
        Self { kind, before: String::new(), after: what.to_string() }
    }
}

/// Adapts all profiles of a visitor. Exactly one of them is pre-selected, if there are any: the one that the primary pre-selected, else
/// the one with the lowest index.
pub fn adapt_all(
    originals: &[UserProfile],
    visitor: &VisitorTerms,
    policy: &VisitorPolicy,
) -> Vec<(UserProfile, Vec<Adaptation>)> {
    let mut adapted: Vec<_> = originals
        .iter()
        .filter(|original| original.is_enabled)
        .map(|original| adapt(original, visitor, policy))
        .collect();
    adapted.sort_by_key(|(profile, _)| profile.index);
    let chosen = adapted.iter().position(|(profile, _)| profile.is_pre_selected).unwrap_or(0);
    for (at, (profile, adaptations)) in adapted.iter_mut().enumerate() {
        let is_chosen = at == chosen;
        if is_chosen && !profile.is_pre_selected {
            adaptations.push(Adaptation::granted(Kind::PreSelected, profile.index));
        }
        profile.is_pre_selected = is_chosen;
    }
    adapted
}

/// Adapts one profile. What comes out never allows more than the policy does.
pub fn adapt(
    original: &UserProfile,
    visitor: &VisitorTerms,
    policy: &VisitorPolicy,
) -> (UserProfile, Vec<Adaptation>) {
    let mut profile = original.clone();
    let mut adaptations = Vec::new();
    adaptations.push(Adaptation::changed(Kind::McServiceIdReplaced, &original.user.id, &visitor.partner_id));
    profile.user.id = visitor.partner_id.clone();
    // Whither she may migrate is her primary's to say.
    profile.migration_targets.clear();
    profile.valid_in.clear();

    if original.priority > policy.priority_ceiling {
        profile.priority = policy.priority_ceiling;
        adaptations.push(Adaptation::changed(Kind::PriorityLowered, original.priority, profile.priority));
    }
    adapt_groups(&mut profile, visitor, policy, &mut adaptations);
    adapt_functional_aliases(&mut profile, policy, &mut adaptations);

    profile.private_call = original.private_call.within(&policy.private_call);
    if profile.private_call != original.private_call {
        let (before, after) = (&original.private_call, &profile.private_call);
        adaptations.push(Adaptation::changed(Kind::PrivateCallRestricted, before, after));
    }
    if original.is_emergency_call_allowed && !policy.is_emergency_call_allowed {
        profile.is_emergency_call_allowed = false;
        adaptations.push(Adaptation {
            kind: Kind::EmergencyCallRemoved,
            before: String::new(),
            after: String::new(),
        });
    }
    (profile, adaptations)
}

fn adapt_groups(
    profile: &mut UserProfile,
    visitor: &VisitorTerms,
    policy: &VisitorPolicy,
    adaptations: &mut Vec<Adaptation>,
) {
    profile.groups.retain(|group| {
        // A group that the visitor would be granted anyway need not be admitted besides.
        let stays = policy.group_admission.admits(&group.id) || policy.granted_groups.contains(&group.id);
        if !stays {
            adaptations.push(Adaptation::removed(Kind::GroupRemoved, &group.id));
        }
        stays
    });
    for id in &policy.granted_groups {
        if profile.groups.iter().all(|group| group.id != *id) {
            adaptations.push(Adaptation::granted(Kind::GroupGranted, id));
            let mc_system_id = visitor.own.clone();
            profile.groups.push(ProfileGroup {
                id: id.clone(),
                mc_system_id,
                is_implicitly_affiliated: false,
            });
        }
    }
    if profile.max_affiliations > policy.max_affiliations {
        let (before, after) = (profile.max_affiliations, policy.max_affiliations);
        adaptations.push(Adaptation::changed(Kind::MaxAffiliationsLowered, before, after));
        profile.max_affiliations = after;
    }
    let mut left = usize::from(profile.max_affiliations);
    for group in profile.groups.iter_mut().filter(|group| group.is_implicitly_affiliated) {
        if left == 0 {
            adaptations.push(Adaptation::removed(Kind::ImplicitAffiliationRemoved, &group.id));
            group.is_implicitly_affiliated = false;
        }
        left = left.saturating_sub(1);
    }
}

/// A functional alias is activated where the user is served, so those of her primary are worth nothing here.
fn adapt_functional_aliases(
    profile: &mut UserProfile,
    policy: &VisitorPolicy,
    adaptations: &mut Vec<Adaptation>,
) {
    let granted = &policy.granted_functional_aliases;
    for alias in profile.functional_aliases.iter().filter(|alias| !granted.contains(alias)) {
        adaptations.push(Adaptation::removed(Kind::FunctionalAliasRemoved, alias));
    }
    for alias in granted.iter().filter(|alias| !profile.functional_aliases.contains(alias)) {
        adaptations.push(Adaptation::granted(Kind::FunctionalAliasGranted, alias));
    }
    profile.functional_aliases.clone_from(granted);
}

/// Whether a profile allows nothing that the policy does not, which [`adapt`] sees to.
pub fn is_within(profile: &UserProfile, policy: &VisitorPolicy) -> bool {
    let groups_are = profile
        .groups
        .iter()
        .all(|group| policy.group_admission.admits(&group.id) || policy.granted_groups.contains(&group.id));
    let aliases_are =
        profile.functional_aliases.iter().all(|alias| policy.granted_functional_aliases.contains(alias));
    let private_calls_are = match (&profile.private_call, &policy.private_call) {
        (PrivateCallRights::None, _) | (_, PrivateCallRights::Any) => true,
        (PrivateCallRights::Listed(users), ceiling) => users.iter().all(|user| ceiling.allow(user)),
        (PrivateCallRights::Any, _) => false,
    };
    groups_are
        && aliases_are
        && private_calls_are
        && profile.priority <= policy.priority_ceiling
        && profile.max_affiliations <= policy.max_affiliations
        && (policy.is_emergency_call_allowed || !profile.is_emergency_call_allowed)
        && profile.migration_targets.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::samples::{self, group, policy, profile, visitor};
    use crate::domain::visitor_policy::GroupAdmission;

    /// The kinds of adaptation, without that of the MC service ID, which is always there.
    fn kinds(change: impl FnOnce(&mut UserProfile, &mut VisitorPolicy)) -> Vec<Kind> {
        let (mut original, mut policy) = (profile(0), policy());
        change(&mut original, &mut policy);
        let (adapted, adaptations) = adapt(&original, &visitor(), &policy);
        assert!(is_within(&adapted, &policy), "{adapted:?}");
        assert_eq!(adapted.user.id, visitor().partner_id);
        assert_eq!(adaptations[0].kind, Kind::McServiceIdReplaced);
        adaptations[1..].iter().map(|adaptation| adaptation.kind).collect()
    }

    #[test]
    fn a_profile_within_the_policy_only_gets_the_partners_mc_service_id() {
        assert_eq!(kinds(|_, _| ()), []);
    }

    #[test]
    fn each_right_above_the_policy_is_cut_and_told() {
        use Kind::*;
        type Change = fn(&mut UserProfile, &mut VisitorPolicy);
        let cases: [(Change, &[Kind]); 9] = [
            (|_, policy| policy.priority_ceiling = 3, &[PriorityLowered]),
            (|_, policy| policy.group_admission = GroupAdmission::None, &[GroupRemoved, GroupRemoved]),
            (
                |_, policy| policy.group_admission = GroupAdmission::Listed(vec![group("fire").id]),
                &[GroupRemoved],
            ),
            (|_, policy| policy.granted_groups = vec![group("bravo-rescue").id], &[GroupGranted]),
            (|_, policy| policy.max_affiliations = 1, &[MaxAffiliationsLowered]),
            (|_, policy| policy.max_affiliations = 0, &[MaxAffiliationsLowered, ImplicitAffiliationRemoved]),
            (
                |profile, policy| {
                    profile.functional_aliases = vec![samples::alias("alpha-chief")];
                    policy.granted_functional_aliases = vec![samples::alias("bravo-guest")];
                },
                &[FunctionalAliasRemoved, FunctionalAliasGranted],
            ),
            (|_, policy| policy.private_call = PrivateCallRights::None, &[PrivateCallRestricted]),
            (|_, policy| policy.is_emergency_call_allowed = false, &[EmergencyCallRemoved]),
        ];
        for (at, (change, expected)) in cases.into_iter().enumerate() {
            assert_eq!(kinds(change), expected, "case {at}");
        }
    }

    #[test]
    fn no_policy_grants_nothing() {
        let none = VisitorPolicy::none("alpha.example".parse().unwrap());
        let (adapted, _) = adapt(&profile(0), &visitor(), &none);
        assert_eq!((adapted.priority, adapted.max_affiliations), (0, 0));
        assert!(adapted.groups.is_empty() && adapted.functional_aliases.is_empty());
        assert_eq!(adapted.private_call, PrivateCallRights::None);
        assert!(!adapted.is_emergency_call_allowed);
    }

    #[test]
    fn one_profile_is_pre_selected_even_where_the_primarys_pre_selected_one_is_not_for_here() {
        let originals = [profile(4), profile(2)];
        let adapted = adapt_all(&originals, &visitor(), &policy());
        let chosen: Vec<(u8, bool)> =
            adapted.iter().map(|(profile, _)| (profile.index.0, profile.is_pre_selected)).collect();
        assert_eq!(chosen, [(2, true), (4, false)]);
        assert_eq!(adapted[0].1.last().unwrap().kind, Kind::PreSelected);
        assert!(adapt_all(&[], &visitor(), &policy()).is_empty());
    }

    proptest! {
        #[test]
        fn adaptation_never_gives_more_than_the_policy_nor_more_than_the_primary_but_for_what_is_granted(
            original in samples::any_profile(),
            policy in samples::any_policy(),
        ) {
            let (adapted, _) = adapt(&original, &visitor(), &policy);
            prop_assert!(is_within(&adapted, &policy));
            prop_assert!(adapted.priority <= original.priority);
            prop_assert!(adapted.max_affiliations <= original.max_affiliations);
            prop_assert!(!adapted.is_emergency_call_allowed || original.is_emergency_call_allowed);
            for group in &adapted.groups {
                prop_assert!(original.groups.contains(group)
                    || original.groups.iter().any(|own| own.id == group.id)
                    || policy.granted_groups.contains(&group.id));
            }
            let implicit = adapted.groups.iter().filter(|group| group.is_implicitly_affiliated).count();
            let asked = original.groups.iter().filter(|group| group.is_implicitly_affiliated).count();
            prop_assert!(implicit <= asked.min(usize::from(adapted.max_affiliations)));
            if let PrivateCallRights::Listed(users) = &adapted.private_call {
                prop_assert!(users.iter().all(|user| original.private_call.allow(user)));
            }
            // It is settled: adapting again changes nothing but what was granted to the first one already.
            let (again, _) = adapt(&adapted, &visitor(), &policy);
            prop_assert_eq!(again, adapted);
        }
    }
}
