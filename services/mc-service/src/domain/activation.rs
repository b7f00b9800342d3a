//! Who has which functional alias (TS 23.280 10.13).

use mcx_types::FunctionalAlias;

use super::Rule;
use super::alias::AliasForUser;
use super::profile::UserProfile;
use super::user::{Activation, User};

/// Whether a user may have a functional alias at all (TS 23.280 10.13, A.7).
///
/// # Errors
/// The rule that refuses.
pub fn may_activate(
    profile: &UserProfile,
    alias: &FunctionalAlias,
    found: Option<AliasForUser>,
) -> Result<AliasForUser, Rule> {
    let found = found.ok_or(Rule::AliasUnknown)?;
    if !profile.functional_aliases.contains(alias) {
        return Err(Rule::AliasNotInProfile);
    }
    match profile.visitor {
        Some(_) if !found.allow_visitors => Err(Rule::AliasWithoutVisitors),
        None if !found.is_allowed_user => Err(Rule::AliasNotForUser),
        _ => Ok(found),
    }
}

/// What an activation does to those who have the functional alias now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activating {
    /// The user has it already.
    Unchanged,
    /// There is room.
    Added,
    /// This one loses it.
    Displaced(User),
}

/// Finds room for one more user, or whom she displaces: who has had it longest.
///
/// # Errors
/// The rule that refuses.
pub fn make_room(
    user: &User,
    alias: AliasForUser,
    active: &[Activation],
    take_over: bool,
) -> Result<Activating, Rule> {
    if active.iter().any(|activation| activation.user == *user) {
        return Ok(Activating::Unchanged);
    }
    if active.len() < alias.max_activations.max(1) as usize {
        return Ok(Activating::Added);
    }
    if !alias.take_over {
        return Err(Rule::AliasNotToBeTakenOver);
    }
    let longest = active.iter().min_by_key(|activation| (activation.activated_at, activation.user.clone()));
    match longest {
        Some(longest) if take_over => Ok(Activating::Displaced(longest.user.clone())),
        _ => Err(Rule::AliasInUse),
    }
}

#[cfg(test)]
mod tests {
    use mcx_types::Timestamp;

    use super::*;
    use crate::domain::samples::{home_profile, user, visitor_profile};

    const ALIAS: AliasForUser =
        AliasForUser { is_allowed_user: true, allow_visitors: true, max_activations: 2, take_over: true };

    fn commander() -> FunctionalAlias {
        "sip:commander@alpha.example".parse().unwrap()
    }

    #[test]
    fn alias_is_for_allowed_users_and_for_visitors_where_it_says_so() {
        let not_allowed = AliasForUser { is_allowed_user: false, ..ALIAS };
        let without_visitors = AliasForUser { allow_visitors: false, ..ALIAS };
        let mut without_aliases = home_profile();
        without_aliases.functional_aliases.clear();
        let cases = [
            (home_profile(), Some(ALIAS), Ok(())),
            (home_profile(), None, Err(Rule::AliasUnknown)),
            (without_aliases, Some(ALIAS), Err(Rule::AliasNotInProfile)),
            (home_profile(), Some(not_allowed), Err(Rule::AliasNotForUser)),
            (home_profile(), Some(without_visitors), Ok(())),
            // The list is of own users only; a visitor's profile is what names her.
            (visitor_profile(), Some(not_allowed), Ok(())),
            (visitor_profile(), Some(without_visitors), Err(Rule::AliasWithoutVisitors)),
        ];
        for (profile, found, expected) in cases {
            assert_eq!(may_activate(&profile, &commander(), found).map(drop), expected, "{found:?}");
        }
    }

    #[test]
    fn room_is_made_only_by_take_over_from_who_had_it_longest() {
        let activation = |name: &str, at: i64| Activation {
            alias: commander(),
            user: user(name),
            activated_at: Timestamp::from_micros(at),
        };
        let (alice, bob, carol) =
            ("sip:alice@alpha.example", "sip:bob@alpha.example", "sip:carol@alpha.example");
        let full = [activation(alice, 20), activation(bob, 10)];
        let no_take_over = AliasForUser { take_over: false, ..ALIAS };
        let cases = [
            (ALIAS, &full[..1], false, Ok(Activating::Added)),
            (ALIAS, &full[..], false, Err(Rule::AliasInUse)),
            (ALIAS, &full[..], true, Ok(Activating::Displaced(user(bob)))),
            (no_take_over, &full[..], true, Err(Rule::AliasNotToBeTakenOver)),
            (no_take_over, &full[..1], true, Ok(Activating::Added)),
        ];
        for (alias, active, take_over, expected) in cases {
            assert_eq!(make_room(&user(carol), alias, active, take_over), expected);
        }
        assert_eq!(make_room(&user(alice), ALIAS, &full, true), Ok(Activating::Unchanged));
    }
}
