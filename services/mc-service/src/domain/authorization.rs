//! Who is served here, and who may be served by a partner.

use mcx_types::{McServiceId, McSystemId};

use super::Rule;
use super::profile::{AgreedMigration, EffectiveProfile, PermittedMigration, ProfileAnswer};
use super::user::Visitor;

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
    if !effective.profile.valid_in.is_empty() {
        return Err(Rule::ProfileIsForMigration);
    }
    Ok((if asked_for_index { Rule::RequestedProfile } else { Rule::PreSelectedProfile }, effective))
}

/// The active user profile of a client that is authorized here, as far as it may still be used here (TS 23.280 10.1.4.1): what a visitor
/// has from her primary is valid here; what an own user has for partners is not.
///
/// # Errors
/// The rule that refuses.
pub fn active_profile(answer: ProfileAnswer) -> Result<EffectiveProfile, Rule> {
    match answer {
        ProfileAnswer::InForce(effective) if effective.profile.valid_in.is_empty() => Ok(*effective),
        ProfileAnswer::InForce(_) => Err(Rule::ProfileIsForMigration),
        ProfileAnswer::Disabled => Err(Rule::ProfileDisabled),
        ProfileAnswer::Unknown => Err(Rule::ProfileGone),
    }
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
/// `asked` is what the partner says: by which migration, and who the user is there. `named` is the user profile that the partner applies;
/// `pre_selected` the one that is active at home; `agreed` the migration that both systems agreed on, with the user profiles that the
/// partner may apply. Who has no user profile of home use in force may not be elsewhere either.
///
/// # Errors
/// The rule that refuses.
pub fn permit_to_partner(
    asked: &PermittedMigration,
    named: ProfileAnswer,
    pre_selected: &ProfileAnswer,
    agreed: Option<&AgreedMigration>,
) -> Result<Rule, Rule> {
    let named = in_force(named)?.profile;
    if named.visitor.is_some() {
        // Who is a visitor here has no partner of ours: she migrates from her own primary.
        return Err(Rule::PartnerNotPermitted);
    }
    let is_of_home_use = named.valid_in.is_empty();
    if !is_of_home_use && !matches!(pre_selected, ProfileAnswer::InForce(_)) {
        return Err(Rule::PartnerNotPermitted);
    }
    // None at all, or none for this MC service: she may have migrated for others only (10.1.6.2).
    let AgreedMigration { permitted, profiles } = agreed.ok_or(Rule::PartnerNotPermitted)?;
    if !profiles.contains(&named.index) {
        return Err(Rule::PartnerNotPermitted);
    }
    if permitted.partner_id != asked.partner_id {
        return Err(Rule::PartnerIdentityDiffers);
    }
    if permitted.migration_id != asked.migration_id {
        // An earlier one, which is over, or one that never was.
        return Err(Rule::MigrationEnded);
    }
    Ok(Rule::MigrationPermitted)
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
    use mcx_types::ProfileIndex;
    use uuid::Uuid;

    use super::*;
    use crate::domain::samples::{
        answer, home_profile, id, migration_profile, permitted_migration, system, visitor_profile,
    };

    #[test]
    fn service_authorization_at_home_is_decided_by_the_profile() {
        let cases = [
            (answer(home_profile()), false, false, Ok(Rule::PreSelectedProfile)),
            (answer(home_profile()), true, false, Ok(Rule::RequestedProfile)),
            (answer(migration_profile("bravo.example")), true, false, Err(Rule::ProfileIsForMigration)),
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
    fn active_profile_is_one_in_force_that_is_not_for_partners() {
        let cases = [
            (answer(home_profile()), Ok(())),
            (answer(visitor_profile()), Ok(())),
            (answer(migration_profile("bravo.example")), Err(Rule::ProfileIsForMigration)),
            (ProfileAnswer::Disabled, Err(Rule::ProfileDisabled)),
            (ProfileAnswer::Unknown, Err(Rule::ProfileGone)),
        ];
        for (answer, expected) in cases {
            assert_eq!(active_profile(answer.clone()).map(drop), expected, "{answer:?}");
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
    fn primary_permits_exactly_the_migration_partner_identity_and_profile_agreed() {
        let agreed = permitted_migration();
        let with = |indices: &[u8]| AgreedMigration {
            permitted: agreed.clone(),
            profiles: indices.iter().copied().map(ProfileIndex).collect(),
        };
        let home_index = home_profile().index.0;
        let home = answer(home_profile());
        let abroad = || answer(migration_profile("bravo.example"));
        let cases = [
            (answer(home_profile()), with(&[home_index]), Ok(Rule::MigrationPermitted)),
            (abroad(), with(&[2]), Ok(Rule::MigrationPermitted)),
            // Where there are some for the partner those of home use do not go, whether or not one of them is enabled.
            (answer(home_profile()), with(&[2]), Err(Rule::PartnerNotPermitted)),
            (answer(home_profile()), with(&[]), Err(Rule::PartnerNotPermitted)),
            (abroad(), with(&[home_index]), Err(Rule::PartnerNotPermitted)),
            (answer(visitor_profile()), with(&[home_index]), Err(Rule::PartnerNotPermitted)),
            (ProfileAnswer::Unknown, with(&[2]), Err(Rule::ProfileUnknown)),
            (ProfileAnswer::Disabled, with(&[2]), Err(Rule::ProfileDisabled)),
        ];
        for (named, with, expected) in cases {
            let decided = permit_to_partner(&agreed, named.clone(), &home, Some(&with));
            assert_eq!(decided, expected, "{named:?} {with:?}");
        }
        // A profile for migration alone permits nothing.
        for pre_selected in [ProfileAnswer::Unknown, ProfileAnswer::Disabled] {
            let decided = permit_to_partner(&agreed, abroad(), &pre_selected, Some(&with(&[2])));
            assert_eq!(decided, Err(Rule::PartnerNotPermitted), "{pre_selected:?}");
        }
        let asks = |asked: &PermittedMigration, permitted| {
            permit_to_partner(asked, answer(home_profile()), &home, permitted)
        };
        let with_home = with(&[home_index]);
        assert_eq!(asks(&agreed, None), Err(Rule::PartnerNotPermitted));
        let as_bob = PermittedMigration { partner_id: id("sip:bob.alpha@bravo.example"), ..agreed.clone() };
        assert_eq!(asks(&as_bob, Some(&with_home)), Err(Rule::PartnerIdentityDiffers));
        let by_another = PermittedMigration { migration_id: Uuid::from_u128(8), ..agreed.clone() };
        assert_eq!(asks(&by_another, Some(&with_home)), Err(Rule::MigrationEnded));
    }
}
