//! Who is affiliated to which group (TS 23.280 10.8.3).

use std::collections::BTreeSet;

use mcx_types::{McService, McServiceGroupId, McSystemId};

use super::Rule;
use super::group::{GroupForMember, Membership};
use super::profile::UserProfile;
use super::user::{Affiliation, Client};

/// Whether a user served here may use a group, as far as profile, group and membership say (TS 23.280 10.8.3.1, A.4). The same rules
/// hold for affiliation and for calls.
///
/// # Errors
/// The rule that refuses.
pub fn may_use_group<'g>(
    own: &McSystemId,
    mc_service: McService,
    profile: &UserProfile,
    group_id: &McServiceGroupId,
    found: Option<&'g GroupForMember>,
) -> Result<(&'g GroupForMember, &'g Membership), Rule> {
    if !profile.groups.contains_key(group_id) {
        return Err(Rule::GroupNotInProfile);
    }
    let (found, membership) = is_member(mc_service, found)?;
    let is_of_another_system = membership.primary != *own || profile.visitor.is_some();
    if found.group.home == *own && is_of_another_system && !found.group.allow_visitors {
        return Err(Rule::GroupWithoutVisitors);
    }
    Ok((found, membership))
}

/// Whether a partner may affiliate a user whom it serves to a group of this MC system (TS 23.280 10.8.3.2). What the user's profile
/// says is for the partner to enforce; what the group says is decided here.
///
/// `is_served_by_caller`: whether an own user is marked as served by exactly that partner.
///
/// # Errors
/// The rule that refuses.
pub fn may_affiliate_from_partner(
    own: &McSystemId,
    partner: &McSystemId,
    mc_service: McService,
    is_served_by_caller: bool,
    found: Option<&GroupForMember>,
) -> Result<(), Rule> {
    let (found, membership) = is_member(mc_service, found)?;
    if found.group.home != *own {
        return Err(Rule::GroupUnknown);
    }
    // An own user counts as a member while the partner serves her; a user of the partner is its own to speak for.
    if membership.primary == *own {
        return if is_served_by_caller { Ok(()) } else { Err(Rule::NotAMember) };
    }
    if membership.primary != *partner {
        return Err(Rule::NotAMember);
    }
    if found.group.allow_visitors { Ok(()) } else { Err(Rule::GroupWithoutVisitors) }
}

fn is_member(
    mc_service: McService,
    found: Option<&GroupForMember>,
) -> Result<(&GroupForMember, &Membership), Rule> {
    let found = found.ok_or(Rule::GroupUnknown)?;
    let membership = found.membership.as_ref().ok_or(Rule::NotAMember)?;
    if !found.group.is_enabled {
        return Err(Rule::GroupDisabled);
    }
    if !found.group.mc_services.contains(&mc_service) {
        return Err(Rule::ServiceNotOfGroup);
    }
    Ok((found, membership))
}

/// Whether one more group fits into what the active user profile allows (TS 23.379 A.3, N2). Affiliations of several clients to one group
/// count once.
///
/// # Errors
/// [`Rule::TooManyAffiliations`]
pub fn fits(
    profile: &UserProfile,
    affiliated_groups: &[McServiceGroupId],
    wanted: &McServiceGroupId,
) -> Result<(), Rule> {
    let is_counted = affiliated_groups.contains(wanted);
    if is_counted || affiliated_groups.len() < profile.max_affiliations as usize {
        Ok(())
    } else {
        Err(Rule::TooManyAffiliations)
    }
}

/// What a client gives up when another user profile becomes its active one (TS 23.280 10.1.4.6): affiliations to groups that the user
/// profile does not name, and the latest of those that are too many for it (N2), implicit ones last. `affiliated` has those of all clients
/// of the user.
pub fn given_up_for(
    profile: &UserProfile,
    affiliated: Vec<Affiliation>,
    client: &Client,
) -> Vec<Affiliation> {
    let is_named = |affiliation: &Affiliation| profile.groups.contains_key(&affiliation.group);
    let (mut kept, mut given_up): (Vec<_>, Vec<_>) = affiliated
        .into_iter()
        .partition(|affiliation| affiliation.client != *client || is_named(affiliation));
    // Those that a user profile made go last: what this one makes it would make again.
    let is_implicit = |affiliation: &Affiliation| {
        let named = profile.groups.get(&affiliation.group);
        affiliation.implicit || named.is_some_and(|group| group.implicit_affiliation)
    };
    kept.sort_by_key(|affiliation| {
        (!is_implicit(affiliation), affiliation.affiliated_at, affiliation.group.clone())
    });
    loop {
        let groups: BTreeSet<&McServiceGroupId> = kept.iter().map(|affiliation| &affiliation.group).collect();
        if groups.len() <= profile.max_affiliations as usize {
            return given_up;
        }
        // Giving up a group that another client is affiliated to as well makes no room.
        let makes_room = |affiliation: &Affiliation| {
            kept.iter().all(|other| other.client == *client || other.group != affiliation.group)
        };
        let latest =
            kept.iter().rposition(|affiliation| affiliation.client == *client && makes_room(affiliation));
        let Some(latest) = latest else { return given_up };
        given_up.push(kept.remove(latest));
    }
}

#[cfg(test)]
mod tests {
    use mcx_types::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::domain::profile::ProfileGroup;
    use crate::domain::samples::{
        group, group_for_member, group_id, home_profile, membership, system, user, visitor_profile,
    };

    #[test]
    fn group_is_used_by_members_whose_profile_names_it() {
        let own = system("alpha.example");
        let good = group_for_member();
        let changed = |change: fn(&mut GroupForMember)| {
            let mut found = group_for_member();
            change(&mut found);
            found
        };
        let no_member = changed(|found| found.membership = None);
        let disabled = changed(|found| found.group.is_enabled = false);
        let video_only = changed(|found| found.group.mc_services = [McService::Video].into());
        let without_visitors = changed(|found| found.group.allow_visitors = false);
        let of_bravo = changed(|found| {
            found.group.allow_visitors = false;
            found.group.home = "bravo.example".parse().unwrap();
        });
        let mut without_groups = home_profile();
        without_groups.groups.clear();
        let cases = [
            (home_profile(), Some(&good), Ok(())),
            (without_groups, Some(&good), Err(Rule::GroupNotInProfile)),
            (home_profile(), None, Err(Rule::GroupUnknown)),
            (home_profile(), Some(&no_member), Err(Rule::NotAMember)),
            (home_profile(), Some(&disabled), Err(Rule::GroupDisabled)),
            (home_profile(), Some(&video_only), Err(Rule::ServiceNotOfGroup)),
            (home_profile(), Some(&without_visitors), Ok(())),
            (visitor_profile(), Some(&without_visitors), Err(Rule::GroupWithoutVisitors)),
            // Whether visitors are admitted is for the home of the group to say.
            (visitor_profile(), Some(&of_bravo), Ok(())),
        ];
        for (profile, found, expected) in cases {
            let decided = may_use_group(&own, McService::Ptt, &profile, &group_id(), found).map(drop);
            assert_eq!(decided, expected, "{found:?}");
        }
    }

    #[test]
    fn partner_affiliates_whom_it_serves_and_its_own_users_only() {
        let (own, bravo) = (system("alpha.example"), system("bravo.example"));
        let of = |primary: &str, allow_visitors: bool| {
            let mut group = group();
            group.allow_visitors = allow_visitors;
            GroupForMember {
                group,
                membership: Some(Membership { primary: system(primary), ..membership() }),
            }
        };
        let mut shared = group_for_member();
        shared.group.home = system("charlie.example");
        let cases = [
            (of("alpha.example", false), true, Ok(())),
            (of("alpha.example", true), false, Err(Rule::NotAMember)),
            (of("bravo.example", true), false, Ok(())),
            (of("bravo.example", false), false, Err(Rule::GroupWithoutVisitors)),
            (of("charlie.example", true), true, Err(Rule::NotAMember)),
            (shared, true, Err(Rule::GroupUnknown)),
        ];
        for (found, is_served, expected) in cases {
            let decided = may_affiliate_from_partner(&own, &bravo, McService::Ptt, is_served, Some(&found));
            assert_eq!(decided, expected, "{found:?} served: {is_served}");
        }
    }

    #[test]
    fn affiliations_are_counted_once_per_group_up_to_the_limit_of_the_profile() {
        let profile = home_profile();
        let group = |name: &str| -> McServiceGroupId { format!("sip:{name}@alpha.example").parse().unwrap() };
        let two = [group("a"), group("b")];
        assert_eq!(fits(&profile, &two[..1], &group("b")), Ok(()));
        assert_eq!(fits(&profile, &two, &group("a")), Ok(()));
        assert_eq!(fits(&profile, &two, &group("c")), Err(Rule::TooManyAffiliations));
    }

    #[test]
    fn what_the_next_profile_does_not_name_or_is_too_much_for_it_is_given_up_the_latest_first() {
        let group = |name: &str| -> McServiceGroupId { format!("sip:{name}@alpha.example").parse().unwrap() };
        let client =
            |number| Client { user: user("sip:alice@alpha.example"), instance: Uuid::from_u128(number) };
        let affiliation = |number, name: &str, at| Affiliation {
            client: client(number),
            group: group(name),
            home: system("alpha.example"),
            implicit: false,
            affiliated_at: Timestamp::from_micros(at),
        };
        let named = |name: &str| format!("sip:{name}@alpha.example");
        let of_profile = |implicit_affiliation| ProfileGroup { implicit_affiliation };
        let given_up = |named: &[&str], most, affiliated: &[Affiliation]| -> Vec<String> {
            let mut profile = home_profile();
            profile.max_affiliations = most;
            profile.groups = named.iter().map(|name| (group(name), of_profile(false))).collect();
            let given_up = given_up_for(&profile, affiliated.to_vec(), &client(1));
            assert!(given_up.iter().all(|affiliation| affiliation.client == client(1)));
            given_up.iter().map(|affiliation| affiliation.group.to_string()).collect()
        };
        let three = [affiliation(1, "a", 3), affiliation(1, "b", 2), affiliation(1, "c", 1)];
        assert_eq!(given_up(&["a", "b", "c"], 3, &three), [""; 0]);
        assert_eq!(given_up(&["a", "b"], 3, &three), ["sip:c@alpha.example"]);
        assert_eq!(given_up(&["a", "b", "c"], 1, &three), ["sip:a@alpha.example", "sip:b@alpha.example"]);
        assert_eq!(given_up(&["b", "c"], 1, &three), ["sip:a@alpha.example", "sip:b@alpha.example"]);
        let also_elsewhere = [three.as_slice(), &[affiliation(2, "a", 4), affiliation(2, "d", 5)]].concat();
        assert_eq!(given_up(&["a", "b", "c"], 3, &also_elsewhere), ["sip:b@alpha.example"]);
        let [a, b, c] = three.clone();
        let with_implicit = [Affiliation { implicit: true, ..a }, b, c];
        assert_eq!(given_up(&["a", "b", "c"], 2, &with_implicit), ["sip:b@alpha.example"]);
        assert_eq!(given_up(&["a", "b", "c"], 0, &with_implicit), ["b", "c", "a"].map(named));
        // What the next one would make itself stays, whoever made it before.
        let mut makes_a = home_profile();
        makes_a.max_affiliations = 1;
        makes_a.groups = ["a", "b", "c"].map(|name| (group(name), of_profile(name == "a"))).into();
        let given_up = given_up_for(&makes_a, three.to_vec(), &client(1));
        assert_eq!(
            given_up.iter().map(|given_up| given_up.group.to_string()).collect::<Vec<_>>(),
            ["b", "c"].map(named)
        );
    }
}
