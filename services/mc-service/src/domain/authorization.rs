//! Who is served here, and who may be served by a partner.

use mcx_types::{McServiceId, McSystemId};

use super::Rule;
use super::profile::{EffectiveProfile, ProfileAnswer, UserProfile};
use super::user::{User, Visitor};

/// Service authorization of a user at home here (TS 23.280 10.1.1.1, 10.6.1).
///
/// `asked_for_index`: whether she named a user profile (10.1.4.6), or takes the pre-selected one. `is_visitor`: whether her access
/// token says that she is one.
///
/// # Errors
/// The rule that refuses.
pub fn authorize_at_home(
    answer: ProfileAnswer,
    asked_for_index: bool,
    is_visitor: bool,
) -> Result<(Rule, EffectiveProfile), Rule> {
    if is_visitor {
        return Err(Rule::VisitorHasToMigrate);
    }
    let effective = in_force(answer)?;
    if effective.profile.visitor.is_some() {
        return Err(Rule::VisitorHasToMigrate);
    }
    Ok((if asked_for_index { Rule::RequestedProfile } else { Rule::PreSelectedProfile }, effective))
}

/// What the partner MC system checks by itself of a visitor who wants to be served (TS 23.280 10.6.3): that her user profile is here,
/// and that she is the user of the primary MC system whom she says she is. The primary decides after it.
///
/// # Errors
/// The rule that refuses.
pub fn admit_visitor(
    answer: ProfileAnswer,
    primary_of_token: Option<&McSystemId>,
    named_primary_id: &McServiceId,
) -> Result<(EffectiveProfile, Visitor), Rule> {
    let primary_of_token = primary_of_token.ok_or(Rule::NotAVisitor)?;
    let effective = in_force(answer)?;
    let visitor = effective.profile.visitor.clone().ok_or(Rule::NotAVisitor)?;
    if visitor.primary != *primary_of_token || visitor.primary_id != *named_primary_id {
        return Err(Rule::PrimaryIdentityDiffers);
    }
    Ok((effective, visitor))
}

/// What the primary MC system checks before an own user is served by a partner (TS 23.280 10.6.3, 10.1.1.2).
///
/// `named` is the user profile that the partner applies; `pre_selected` the one that is active at home. A partner applies a user profile
/// that is valid there or, where none is, one of home use. The permission stands in either: a user profile of home use lists where one
/// may go, one for migration may be without such a list.
///
/// # Errors
/// The rule that refuses.
pub fn permit_to_partner(
    user: &User,
    partner: &McSystemId,
    partner_id: &McServiceId,
    named: ProfileAnswer,
    pre_selected: Option<&UserProfile>,
) -> Result<Rule, Rule> {
    let named = in_force(named)?.profile;
    if named.visitor.is_some() {
        // Who is a visitor here has no partner of ours: she migrates from her own primary.
        return Err(Rule::PartnerNotPermitted);
    }
    if !named.valid_in.is_empty() && !named.valid_in.contains(partner) {
        return Err(Rule::PartnerNotPermitted);
    }
    let targets = named
        .migration_targets
        .iter()
        .chain(pre_selected.into_iter().flat_map(|profile| &profile.migration_targets));
    let agreed_ids: Vec<Option<&McServiceId>> = targets
        .filter(|target| target.partner == *partner)
        .map(|target| target.partner_ids.get(&user.mc_service))
        .collect();
    if agreed_ids.iter().all(Option::is_none) {
        // No target at all, or none for this MC service: she may have migrated for others only (10.1.6.2).
        return Err(Rule::PartnerNotPermitted);
    }
    if agreed_ids.into_iter().flatten().any(|agreed| agreed == partner_id) {
        Ok(Rule::MigrationPermitted)
    } else {
        Err(Rule::PartnerIdentityDiffers)
    }
}

fn in_force(answer: ProfileAnswer) -> Result<EffectiveProfile, Rule> {
    match answer {
        ProfileAnswer::InForce(effective) => Ok(*effective),
        ProfileAnswer::Disabled => Err(Rule::ProfileDisabled),
        ProfileAnswer::Unknown => Err(Rule::ProfileUnknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::{
        answer, home_profile, id, migration_profile, system, user, visitor_profile,
    };

    #[test]
    fn service_authorization_at_home_is_decided_by_the_profile() {
        let cases = [
            (answer(home_profile()), false, false, Ok(Rule::PreSelectedProfile)),
            (answer(home_profile()), true, false, Ok(Rule::RequestedProfile)),
            (ProfileAnswer::Unknown, false, false, Err(Rule::ProfileUnknown)),
            (ProfileAnswer::Disabled, true, false, Err(Rule::ProfileDisabled)),
            (answer(visitor_profile()), false, false, Err(Rule::VisitorHasToMigrate)),
            (answer(home_profile()), false, true, Err(Rule::VisitorHasToMigrate)),
        ];
        for (answer, asked_for, is_visitor, expected) in cases {
            let decided = authorize_at_home(answer.clone(), asked_for, is_visitor).map(|(rule, _)| rule);
            assert_eq!(decided, expected, "{answer:?}");
        }
    }

    #[test]
    fn partner_admits_only_the_visitor_whom_the_profile_is_of() {
        let alpha = system("alpha.example");
        let alice = id("sip:alice@alpha.example");
        let cases = [
            (answer(visitor_profile()), Some(&alpha), &alice, Ok(())),
            (answer(visitor_profile()), None, &alice, Err(Rule::NotAVisitor)),
            (answer(home_profile()), Some(&alpha), &alice, Err(Rule::NotAVisitor)),
            (ProfileAnswer::Unknown, Some(&alpha), &alice, Err(Rule::ProfileUnknown)),
            (ProfileAnswer::Disabled, Some(&alpha), &alice, Err(Rule::ProfileDisabled)),
            (
                answer(visitor_profile()),
                Some(&alpha),
                &id("sip:mallory@alpha.example"),
                Err(Rule::PrimaryIdentityDiffers),
            ),
            (
                answer(visitor_profile()),
                Some(&system("charlie.example")),
                &alice,
                Err(Rule::PrimaryIdentityDiffers),
            ),
        ];
        for (answer, primary, named, expected) in cases {
            let decided = admit_visitor(answer.clone(), primary, named).map(drop);
            assert_eq!(decided, expected, "{answer:?} {primary:?} {named}");
        }
    }

    #[test]
    fn primary_permits_exactly_the_partner_identity_and_profile_agreed() {
        let bravo = system("bravo.example");
        let alice = user("sip:alice@alpha.example");
        let allotted = id("sip:alice.alpha@bravo.example");
        let home = home_profile();
        let decide = |named: ProfileAnswer, partner: &McSystemId, partner_id: &McServiceId| {
            permit_to_partner(&alice, partner, partner_id, named, Some(&home))
        };
        let mut without_video = home_profile();
        without_video.migration_targets[0].partner_ids.clear();
        let cases = [
            (answer(home_profile()), &bravo, &allotted, Ok(Rule::MigrationPermitted)),
            // A profile for migration has no targets; the one of home use lists them.
            (answer(migration_profile("bravo.example")), &bravo, &allotted, Ok(Rule::MigrationPermitted)),
            (answer(migration_profile("charlie.example")), &bravo, &allotted, Err(Rule::PartnerNotPermitted)),
            (answer(home_profile()), &system("charlie.example"), &allotted, Err(Rule::PartnerNotPermitted)),
            (
                answer(home_profile()),
                &bravo,
                &id("sip:bob.alpha@bravo.example"),
                Err(Rule::PartnerIdentityDiffers),
            ),
            (answer(visitor_profile()), &bravo, &allotted, Err(Rule::PartnerNotPermitted)),
            (ProfileAnswer::Unknown, &bravo, &allotted, Err(Rule::ProfileUnknown)),
            (ProfileAnswer::Disabled, &bravo, &allotted, Err(Rule::ProfileDisabled)),
        ];
        for (named, partner, partner_id, expected) in cases {
            assert_eq!(decide(named.clone(), partner, partner_id), expected, "{named:?} {partner}");
        }
        let decided =
            permit_to_partner(&alice, &bravo, &allotted, answer(without_video.clone()), Some(&without_video));
        assert_eq!(decided, Err(Rule::PartnerNotPermitted), "this mc service is not agreed");
    }
}
