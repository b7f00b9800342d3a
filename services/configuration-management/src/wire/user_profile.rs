//! User profiles.

use mcx_proto::configuration::v1 as proto;
use mcx_types::{McSystemId, ProfileIndex, Violations};

use super::{KnownSystems, identities, list, number, partner, service_user, service_user_to_wire, text};
use crate::domain::adaptation::Adaptation;
use crate::domain::user_profile::{PrivateCallRights, ProfileGroup, TargetRule, UserProfile};

const GROUP_LIMIT: usize = 1_000;
const USER_LIMIT: usize = 1_000;
const ALIAS_LIMIT: usize = 1_000;
const AFFILIATION_LIMIT: u32 = 1_000;
const PARTNER_LIMIT: usize = 100;
const NAME_LIMIT: usize = 16;

/// Decodes a user profile, as an operator or a primary MC system gives it.
pub(crate) fn decode(
    violations: &mut Violations,
    field: &str,
    profile: Option<&proto::UserProfile>,
    systems: &dyn KnownSystems,
) -> Option<UserProfile> {
    let profile = violations.require(field, profile)?;
    let user = service_user(violations, &format!("{field}.identity"), profile.identity.as_ref());
    let index =
        violations.accept(format!("{field}.profile_index"), ProfileIndex::try_from(profile.profile_index));
    let name = profile_name(violations, &format!("{field}.profile_name"), &profile.profile_name);
    let is_enabled = status(violations, &format!("{field}.status"), profile.status);
    let participant_type =
        text(violations, format!("{field}.participant_type"), &profile.participant_type, 0..=64);
    let organisation = text(violations, format!("{field}.organisation"), &profile.organisation, 0..=128);
    let kms_uri = text(violations, format!("{field}.kms_uri"), &profile.kms_uri, 0..=253);
    let priority = number(violations, format!("{field}.priority"), profile.priority, 0..=255);
    let private_call =
        private_call(violations, &format!("{field}.private_call"), profile.private_call.as_ref());
    let groups = groups(violations, &format!("{field}.groups"), &profile.groups, systems);
    let max_affiliations = number::<u16>(
        violations,
        format!("{field}.max_affiliations"),
        profile.max_affiliations,
        0..=AFFILIATION_LIMIT,
    );
    check_implicit(violations, &format!("{field}.groups"), groups.as_deref(), max_affiliations);
    let aliases = format!("{field}.functional_aliases");
    let functional_aliases = identities(violations, &aliases, &profile.functional_aliases, ALIAS_LIMIT);
    let names = format!("{field}.alphanumeric_aliases");
    let alphanumeric_aliases = alphanumeric_aliases(violations, &names, &profile.alphanumeric_aliases);
    let targets = format!("{field}.migration_targets");
    let migration_targets = targets_of(violations, &targets, &profile.migration_targets, systems);
    let partners = format!("{field}.valid_in");
    let valid_in = list(violations, &partners, &profile.valid_in, PARTNER_LIMIT, |violations, path, id| {
        partner(violations, path, id, systems)
    });
    Some(UserProfile {
        user: user?,
        index: index?,
        name: name?,
        is_enabled: is_enabled?,
        is_pre_selected: profile.pre_selected,
        participant_type: participant_type?,
        organisation: organisation?,
        kms_uri: kms_uri?,
        priority: priority?,
        private_call: private_call?,
        groups: groups?,
        max_affiliations: max_affiliations?,
        functional_aliases: functional_aliases?,
        is_emergency_call_allowed: profile.emergency_call_allowed,
        alphanumeric_aliases: alphanumeric_aliases?,
        migration_targets: migration_targets?,
        valid_in: valid_in?,
    })
}

pub(crate) fn profile_name(violations: &mut Violations, field: &str, name: &str) -> Option<String> {
    text(violations, field, name, 1..=128)
}

pub(crate) fn alphanumeric_aliases(
    violations: &mut Violations,
    field: &str,
    aliases: &[String],
) -> Option<Vec<String>> {
    list(violations, field, aliases, NAME_LIMIT, |violations, path, alias| {
        text(violations, path, alias, 1..=64)
    })
}

fn status(violations: &mut Violations, field: &str, status: i32) -> Option<bool> {
    match proto::UserProfileStatus::try_from(status) {
        Ok(proto::UserProfileStatus::Unspecified | proto::UserProfileStatus::Enabled) => Some(true),
        Ok(proto::UserProfileStatus::Disabled) => Some(false),
        Err(_) => {
            violations.add(field, "must be a known status");
            None
        }
    }
}

pub(crate) fn private_call(
    violations: &mut Violations,
    field: &str,
    rights: Option<&proto::PrivateCallRights>,
) -> Option<PrivateCallRights> {
    let rights = violations.require(field, rights)?;
    let users = format!("{field}.mc_service_ids");
    let listed = identities(violations, &users, &rights.mc_service_ids, USER_LIMIT);
    let policy = proto::PrivateCallPolicy::try_from(rights.policy).unwrap_or_default();
    if !matches!(policy, proto::PrivateCallPolicy::Listed | proto::PrivateCallPolicy::Unspecified)
        && !rights.mc_service_ids.is_empty()
    {
        violations.add(users, "must be empty unless the policy is LISTED");
        return None;
    }
    match policy {
        proto::PrivateCallPolicy::Any => Some(PrivateCallRights::Any),
        proto::PrivateCallPolicy::None => Some(PrivateCallRights::None),
        proto::PrivateCallPolicy::Listed => listed.map(PrivateCallRights::Listed),
        proto::PrivateCallPolicy::Unspecified => {
            violations.add(format!("{field}.policy"), "must be one of ANY, LISTED, NONE");
            None
        }
    }
}

fn groups(
    violations: &mut Violations,
    field: &str,
    groups: &[proto::ProfileGroup],
    systems: &dyn KnownSystems,
) -> Option<Vec<ProfileGroup>> {
    let ids = list(violations, field, groups, GROUP_LIMIT, |violations, path, group| {
        violations.parse(format!("{path}.mc_service_group_id"), &group.mc_service_group_id)
    })?;
    let decoded = ids.into_iter().zip(groups).enumerate().map(|(at, (id, group))| {
        let path = format!("{field}[{at}].mc_system_id");
        let mc_system_id = if group.mc_system_id.is_empty() || group.mc_system_id == systems.home().as_str() {
            Some(systems.home().clone())
        } else {
            partner(violations, path, &group.mc_system_id, systems)
        };
        Some(ProfileGroup {
            id,
            mc_system_id: mc_system_id?,
            is_implicitly_affiliated: group.implicit_affiliation,
        })
    });
    // Every group is looked at before the first bad one ends it.
    decoded.collect::<Vec<Option<ProfileGroup>>>().into_iter().collect()
}

fn check_implicit(
    violations: &mut Violations,
    field: &str,
    groups: Option<&[ProfileGroup]>,
    max_affiliations: Option<u16>,
) {
    let Some((groups, limit)) = groups.zip(max_affiliations) else { return };
    if groups.iter().filter(|group| group.is_implicitly_affiliated).count() > usize::from(limit) {
        violations.add(field, "must not hold more groups with implicit_affiliation than max_affiliations");
    }
}

fn targets_of(
    violations: &mut Violations,
    field: &str,
    targets: &[proto::MigrationTarget],
    systems: &dyn KnownSystems,
) -> Option<Vec<TargetRule>> {
    let ids = list(violations, field, targets, PARTNER_LIMIT, |violations, path, target| {
        if let Some(selection) = &target.selection {
            super::selection::check(violations, &format!("{path}.selection"), selection);
        }
        partner(violations, format!("{path}.mc_system_id"), &target.mc_system_id, systems)
    })?;
    let rules = ids.into_iter().zip(targets);
    Some(
        rules
            .map(|(mc_system_id, target)| TargetRule { mc_system_id, selection: target.selection.clone() })
            .collect(),
    )
}

/// The user profile as a message, without what is known about it beside.
pub(crate) fn encode(profile: &UserProfile) -> proto::UserProfile {
    let status = match profile.is_enabled {
        true => proto::UserProfileStatus::Enabled,
        false => proto::UserProfileStatus::Disabled,
    };
    let groups = profile.groups.iter().map(|group| proto::ProfileGroup {
        mc_service_group_id: group.id.to_string(),
        mc_system_id: group.mc_system_id.to_string(),
        implicit_affiliation: group.is_implicitly_affiliated,
    });
    let targets = profile.migration_targets.iter().map(|target| proto::MigrationTarget {
        mc_system_id: target.mc_system_id.to_string(),
        access_information: None,
        selection: target.selection.clone(),
    });
    proto::UserProfile {
        identity: Some(service_user_to_wire(&profile.user)),
        profile_index: profile.index.0.into(),
        profile_name: profile.name.clone(),
        status: status.into(),
        pre_selected: profile.is_pre_selected,
        participant_type: profile.participant_type.clone(),
        organisation: profile.organisation.clone(),
        kms_uri: profile.kms_uri.clone(),
        priority: profile.priority.into(),
        private_call: Some(private_call_to_wire(&profile.private_call)),
        groups: groups.collect(),
        max_affiliations: profile.max_affiliations.into(),
        functional_aliases: profile.functional_aliases.iter().map(ToString::to_string).collect(),
        emergency_call_allowed: profile.is_emergency_call_allowed,
        alphanumeric_aliases: profile.alphanumeric_aliases.clone(),
        migration_targets: targets.collect(),
        valid_in: profile.valid_in.iter().map(McSystemId::to_string).collect(),
        ..Default::default()
    }
}

pub(crate) fn private_call_to_wire(rights: &PrivateCallRights) -> proto::PrivateCallRights {
    let (policy, users) = match rights {
        PrivateCallRights::Any => (proto::PrivateCallPolicy::Any, &[][..]),
        PrivateCallRights::Listed(users) => (proto::PrivateCallPolicy::Listed, users.as_slice()),
        PrivateCallRights::None => (proto::PrivateCallPolicy::None, &[][..]),
    };
    proto::PrivateCallRights {
        policy: policy.into(),
        mc_service_ids: users.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn adaptation(adaptation: Adaptation) -> proto::ProfileAdaptation {
    proto::ProfileAdaptation {
        kind: adaptation.kind.into(),
        before: adaptation.before,
        after: adaptation.after,
    }
}

/// The systems of documents that were checked when they were stored: all that they name are there.
pub(crate) struct StoredSystems<'a>(pub(crate) &'a McSystemId);

impl KnownSystems for StoredSystems<'_> {
    fn home(&self) -> &McSystemId {
        self.0
    }

    fn is_partner(&self, _: &McSystemId) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    struct OneNeighbour;

    impl KnownSystems for OneNeighbour {
        fn home(&self) -> &McSystemId {
            static HOME: std::sync::LazyLock<McSystemId> =
                std::sync::LazyLock::new(|| "alpha.example".parse().unwrap());
            &HOME
        }

        fn is_partner(&self, id: &McSystemId) -> bool {
            id.as_str() == "bravo.example"
        }
    }

    fn fields(profile: &proto::UserProfile) -> Vec<String> {
        let mut violations = Violations::new();
        decode(&mut violations, "user_profile", Some(profile), &OneNeighbour);
        violations.as_slice().iter().map(|violation| violation.field.clone()).collect()
    }

    #[test]
    fn profiles_survive_the_way_through_the_protocol() {
        let mut profile = samples::profile(3);
        profile.valid_in = vec!["bravo.example".parse().unwrap()];
        profile.private_call = PrivateCallRights::Listed(vec![samples::user("bob")]);
        let mut violations = Violations::new();
        let decoded = decode(&mut violations, "user_profile", Some(&encode(&profile)), &OneNeighbour);
        assert_eq!((decoded, violations), (Some(profile), Violations::new()));
    }

    #[test]
    fn all_violations_are_told_with_their_paths() {
        let mut profile = encode(&samples::profile(3));
        profile.profile_index = 256;
        profile.profile_name = String::new();
        profile.priority = 256;
        profile.groups[1].mc_service_group_id = "nonsense".to_owned();
        profile.functional_aliases = vec!["sip:a@b.example".to_owned(), "sip:a@B.example".to_owned()];
        profile.valid_in =
            vec!["bravo.example".to_owned(), "nowhere.example".to_owned(), "alpha.example".to_owned()];
        profile.migration_targets = vec![proto::MigrationTarget {
            mc_system_id: "nowhere.example".to_owned(),
            selection: Some(proto::MigrationSelection {
                serving_plmns: vec!["26".to_owned()],
                areas: vec![proto::GeographicArea::default()],
            }),
            ..Default::default()
        }];
        assert_eq!(
            fields(&profile),
            [
                "user_profile.profile_index",
                "user_profile.profile_name",
                "user_profile.priority",
                "user_profile.groups[1].mc_service_group_id",
                "user_profile.functional_aliases[1]",
                "user_profile.migration_targets[0].selection.serving_plmns[0]",
                "user_profile.migration_targets[0].selection.areas[0].shape",
                "user_profile.migration_targets[0].mc_system_id",
                "user_profile.valid_in[1]",
                "user_profile.valid_in[2]",
            ]
        );
    }

    #[test]
    fn bounds_are_those_of_the_contract() {
        let mut profile = encode(&samples::profile(3));
        profile.groups = (0..1_001)
            .map(|at| proto::ProfileGroup {
                mc_service_group_id: format!("sip:g{at}@alpha.example"),
                ..Default::default()
            })
            .collect();
        assert_eq!(fields(&profile), ["user_profile.groups"]);
        profile.groups.pop();
        assert_eq!(fields(&profile), [""; 0]);
        profile.max_affiliations = 1_001;
        assert_eq!(fields(&profile), ["user_profile.max_affiliations"]);
        profile.max_affiliations = 1;
        profile.groups.iter_mut().take(2).for_each(|group| group.implicit_affiliation = true);
        assert_eq!(fields(&profile), ["user_profile.groups"]);
    }
}
