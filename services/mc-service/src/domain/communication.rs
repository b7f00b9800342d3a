//! Who may call whom (TS 23.280 10.1.1.1: profiles, groups and service configuration in force are enforced; TS 23.379 A.3, 10.6.2, 10.7.2).
//!
//! A visitor is decided on by what is in force here, never by what her primary MC system would allow.

use mcx_types::{McService, McServiceGroupId, McServiceId, McSystemId};

use super::Rule;
use super::affiliation::may_use_group;
use super::authorization::active_profile;
use super::group::GroupForMember;
use super::profile::{EffectiveProfile, PrivateCalls, ProfileAnswer};

/// What kind of communication is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommunicationKind {
    /// With a user or functional alias.
    Private,
    /// With a group.
    Group,
    /// An emergency, with any target.
    Emergency,
}

/// Whether the caller's user profile is one to be called with.
///
/// # Errors
/// The rule that refuses.
pub fn caller_profile(answer: ProfileAnswer) -> Result<EffectiveProfile, Rule> {
    active_profile(answer).map_err(|rule| match rule {
        Rule::ProfileDisabled => Rule::CallerProfileDisabled,
        other => other,
    })
}

/// Whether a user may call another one (TS 23.379 10.7.2).
///
/// # Errors
/// The rule that refuses.
pub fn call_user(
    caller: &McServiceId,
    effective: &EffectiveProfile,
    kind: CommunicationKind,
    called: &McServiceId,
) -> Result<Rule, Rule> {
    private_calls_at_all(effective, kind)?;
    if caller == called {
        return Err(Rule::TargetIsCaller);
    }
    listed(&effective.profile.private_call, called)
}

/// Whom of those who have a functional alias a user may call (TS 23.280 10.13), and by which rule.
///
/// # Errors
/// The rule that refuses: the one by which the last of them is not called, where none is.
pub fn call_alias(
    caller: &McServiceId,
    effective: &EffectiveProfile,
    kind: CommunicationKind,
    holders: &[McServiceId],
) -> Result<(Rule, Vec<McServiceId>), Rule> {
    private_calls_at_all(effective, kind)?;
    let mut refused = Rule::AliasNotActive;
    let mut called = Vec::new();
    let mut allowed = None;
    for holder in holders {
        match call_user(caller, effective, kind, holder) {
            Ok(rule) => {
                allowed = Some(rule);
                called.push(holder.clone());
            }
            Err(rule) => refused = rule,
        }
    }
    allowed.map(|rule| (rule, called)).ok_or(refused)
}

/// Whether a user may call a group (TS 23.379 10.6.2).
///
/// # Errors
/// The rule that refuses.
pub fn call_group(
    own: &McSystemId,
    mc_service: McService,
    effective: &EffectiveProfile,
    kind: CommunicationKind,
    group: &McServiceGroupId,
    found: Option<&GroupForMember>,
    is_affiliated: bool,
) -> Result<Rule, Rule> {
    if kind == CommunicationKind::Emergency {
        emergency(effective, effective.terms.emergency_group_calls)?;
    }
    let (found, membership) = may_use_group(own, mc_service, &effective.profile, group, found)?;
    if !is_affiliated {
        return Err(Rule::NotAffiliated);
    }
    if !membership.may_speak {
        return Err(Rule::ListensOnly);
    }
    if kind == CommunicationKind::Emergency && !found.group.emergency_calls {
        return Err(Rule::EmergencyNotAllowedInGroup);
    }
    Ok(Rule::AffiliatedMember)
}

fn private_calls_at_all(effective: &EffectiveProfile, kind: CommunicationKind) -> Result<(), Rule> {
    if kind == CommunicationKind::Emergency {
        return emergency(effective, effective.terms.emergency_private_calls);
    }
    if effective.terms.private_calls { Ok(()) } else { Err(Rule::PrivateCallNotOffered) }
}

fn emergency(effective: &EffectiveProfile, is_offered: bool) -> Result<(), Rule> {
    if !is_offered {
        Err(Rule::EmergencyNotOffered)
    } else if !effective.profile.emergency_calls {
        Err(Rule::EmergencyNotAllowed)
    } else {
        Ok(())
    }
}

fn listed(policy: &PrivateCalls, called: &McServiceId) -> Result<Rule, Rule> {
    match policy {
        PrivateCalls::Anybody => Ok(Rule::PrivateCallToAnybody),
        PrivateCalls::Listed(users) if users.contains(called) => Ok(Rule::PrivateCallToListedUser),
        PrivateCalls::Listed(_) => Err(Rule::TargetNotListed),
        PrivateCalls::Nobody => Err(Rule::PrivateCallNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::ServiceTerms;
    use crate::domain::samples::{
        answer, effective, group_for_member, group_id, home_profile, id, migration_profile, system,
    };

    fn alice() -> McServiceId {
        id("sip:alice@alpha.example")
    }

    fn bob() -> McServiceId {
        id("sip:bob@alpha.example")
    }

    fn with(change: impl FnOnce(&mut EffectiveProfile)) -> EffectiveProfile {
        let mut changed = effective(home_profile());
        change(&mut changed);
        changed
    }

    #[test]
    fn profile_of_the_caller_has_to_be_in_force() {
        assert!(caller_profile(answer(home_profile())).is_ok());
        assert_eq!(caller_profile(ProfileAnswer::Unknown), Err(Rule::ProfileGone));
        assert_eq!(caller_profile(ProfileAnswer::Disabled), Err(Rule::CallerProfileDisabled));
        assert_eq!(
            caller_profile(answer(migration_profile("bravo.example"))),
            Err(Rule::ProfileIsForMigration)
        );
    }

    #[test]
    fn private_call_is_decided_by_policy_list_and_service_configuration() {
        use CommunicationKind::{Emergency, Private};
        let listed = |users: &[McServiceId]| PrivateCalls::Listed(users.iter().cloned().collect());
        let none = ServiceTerms {
            private_calls: false,
            emergency_private_calls: false,
            ..ServiceTerms::UNRESTRICTED
        };
        let cases = [
            (with(|_| {}), Private, bob(), Ok(Rule::PrivateCallToAnybody)),
            (with(|_| {}), Private, alice(), Err(Rule::TargetIsCaller)),
            (
                with(|all| all.profile.private_call = listed(&[bob()])),
                Private,
                bob(),
                Ok(Rule::PrivateCallToListedUser),
            ),
            (with(|all| all.profile.private_call = listed(&[])), Private, bob(), Err(Rule::TargetNotListed)),
            (
                with(|all| all.profile.private_call = PrivateCalls::Nobody),
                Private,
                bob(),
                Err(Rule::PrivateCallNotAllowed),
            ),
            (with(|all| all.terms = none), Private, bob(), Err(Rule::PrivateCallNotOffered)),
            (with(|all| all.terms = none), Emergency, bob(), Err(Rule::EmergencyNotOffered)),
            (
                with(|all| all.profile.emergency_calls = false),
                Emergency,
                bob(),
                Err(Rule::EmergencyNotAllowed),
            ),
            (with(|_| {}), Emergency, bob(), Ok(Rule::PrivateCallToAnybody)),
        ];
        for (effective, kind, called, expected) in cases {
            assert_eq!(call_user(&alice(), &effective, kind, &called), expected, "{kind:?} {called}");
        }
    }

    #[test]
    fn alias_stands_for_those_who_have_it_and_may_be_called() {
        let only_bob = with(|all| all.profile.private_call = PrivateCalls::Listed([bob()].into()));
        let carol = id("sip:carol@alpha.example");
        let call = |effective: &EffectiveProfile, holders: &[McServiceId]| {
            call_alias(&alice(), effective, CommunicationKind::Private, holders)
        };
        let both = [bob(), carol.clone()];
        assert_eq!(call(&only_bob, &both), Ok((Rule::PrivateCallToListedUser, vec![bob()])));
        assert_eq!(call(&only_bob, &[carol]), Err(Rule::TargetNotListed));
        assert_eq!(call(&only_bob, &[]), Err(Rule::AliasNotActive));
        assert_eq!(call(&with(|_| {}), &[alice()]), Err(Rule::TargetIsCaller));
    }

    #[test]
    fn group_is_called_by_affiliated_members_who_may_speak() {
        use CommunicationKind::{Emergency, Group};
        let own = system("alpha.example");
        let good = group_for_member();
        let mut listener = group_for_member();
        listener.membership.as_mut().unwrap().may_speak = false;
        let mut calm = group_for_member();
        calm.group.emergency_calls = false;
        let no_emergency = with(|all| all.profile.emergency_calls = false);
        let not_offered = with(|all| all.terms.emergency_group_calls = false);
        let cases = [
            (with(|_| {}), Group, Some(&good), true, Ok(Rule::AffiliatedMember)),
            (with(|_| {}), Emergency, Some(&good), true, Ok(Rule::AffiliatedMember)),
            (with(|_| {}), Group, Some(&good), false, Err(Rule::NotAffiliated)),
            (with(|_| {}), Group, None, true, Err(Rule::GroupUnknown)),
            (with(|_| {}), Group, Some(&listener), true, Err(Rule::ListensOnly)),
            (with(|_| {}), Group, Some(&calm), true, Ok(Rule::AffiliatedMember)),
            (with(|_| {}), Emergency, Some(&calm), true, Err(Rule::EmergencyNotAllowedInGroup)),
            (no_emergency.clone(), Emergency, Some(&good), true, Err(Rule::EmergencyNotAllowed)),
            (no_emergency, Group, Some(&good), true, Ok(Rule::AffiliatedMember)),
            (not_offered, Emergency, Some(&good), true, Err(Rule::EmergencyNotOffered)),
        ];
        for (effective, kind, found, is_affiliated, expected) in cases {
            let decided =
                call_group(&own, McService::Ptt, &effective, kind, &group_id(), found, is_affiliated);
            assert_eq!(decided, expected, "{kind:?} {found:?}");
        }
    }
}
