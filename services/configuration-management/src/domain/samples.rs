//! Values for tests.

use mcx_types::{FunctionalAlias, McService, McServiceGroupId, McServiceId, ProfileIndex};
use proptest::prelude::*;

use super::adaptation::VisitorTerms;
use super::user_profile::{PrivateCallRights, ProfileGroup, ServiceUser, UserProfile};
use super::visitor_policy::{GroupAdmission, VisitorPolicy};

pub(crate) fn index(index: u8) -> ProfileIndex {
    ProfileIndex(index)
}

pub(crate) fn user(name: &str) -> McServiceId {
    format!("sip:{name}@alpha.example").parse().unwrap()
}

pub(crate) fn group(name: &str) -> ProfileGroup {
    ProfileGroup {
        id: group_id(name),
        mc_system_id: "alpha.example".parse().unwrap(),
        is_implicitly_affiliated: false,
    }
}

fn group_id(name: &str) -> McServiceGroupId {
    format!("sip:{name}@alpha.example").parse().unwrap()
}

pub(crate) fn alias(name: &str) -> FunctionalAlias {
    format!("sip:{name}@alpha.example").parse().unwrap()
}

/// Alice's, in two groups, to one of which she is affiliated by itself.
pub(crate) fn profile(at: u8) -> UserProfile {
    let mut rescue = group("rescue");
    rescue.is_implicitly_affiliated = true;
    UserProfile {
        user: ServiceUser { mc_service: McService::Ptt, id: user("alice") },
        index: index(at),
        name: "duty".to_owned(),
        is_enabled: true,
        is_pre_selected: false,
        participant_type: "first responder".to_owned(),
        organisation: "fire brigade".to_owned(),
        kms_uri: String::new(),
        priority: 7,
        private_call: PrivateCallRights::Any,
        groups: vec![rescue, group("fire")],
        max_affiliations: 4,
        functional_aliases: Vec::new(),
        is_emergency_call_allowed: true,
        alphanumeric_aliases: Vec::new(),
        migration_targets: Vec::new(),
        valid_in: Vec::new(),
    }
}

/// One that lets [`profile`] be as it is.
pub(crate) fn policy() -> VisitorPolicy {
    VisitorPolicy {
        mc_system_id: "alpha.example".parse().unwrap(),
        priority_ceiling: 200,
        max_affiliations: 100,
        group_admission: GroupAdmission::All,
        granted_groups: Vec::new(),
        granted_functional_aliases: Vec::new(),
        private_call: PrivateCallRights::Any,
        is_emergency_call_allowed: true,
    }
}

pub(crate) fn visitor() -> VisitorTerms {
    VisitorTerms {
        partner_id: "sip:alice@visitors.bravo.example".parse().unwrap(),
        own: "bravo.example".parse().unwrap(),
    }
}

fn any_private_call() -> impl Strategy<Value = PrivateCallRights> {
    prop_oneof![
        Just(PrivateCallRights::Any),
        Just(PrivateCallRights::None),
        prop::collection::btree_set("[a-d]", 0..4)
            .prop_map(|names| PrivateCallRights::Listed(names.iter().map(|name| user(name)).collect())),
    ]
}

fn any_group_ids() -> impl Strategy<Value = Vec<McServiceGroupId>> {
    prop::collection::btree_set("[a-e]", 0..4)
        .prop_map(|names| names.iter().map(|name| group_id(name)).collect())
}

fn any_aliases() -> impl Strategy<Value = Vec<FunctionalAlias>> {
    prop::collection::btree_set("[a-e]", 0..4)
        .prop_map(|names| names.iter().map(|name| alias(name)).collect())
}

pub(crate) fn any_profile() -> impl Strategy<Value = UserProfile> {
    let groups = (any_group_ids(), any::<u8>());
    (any::<u8>(), groups, 0..5_u16, any_aliases(), any_private_call(), any::<bool>()).prop_map(
        |(priority, (groups, implicit), max_affiliations, functional_aliases, private_call, emergency)| {
            UserProfile {
                priority,
                groups: groups
                    .into_iter()
                    .enumerate()
                    .map(|(at, id)| ProfileGroup {
                        id,
                        is_implicitly_affiliated: implicit >> at & 1 == 1,
                        ..group("any")
                    })
                    .collect(),
                max_affiliations,
                functional_aliases,
                private_call,
                is_emergency_call_allowed: emergency,
                ..profile(0)
            }
        },
    )
}

pub(crate) fn any_policy() -> impl Strategy<Value = VisitorPolicy> {
    let admission = prop_oneof![
        Just(GroupAdmission::All),
        Just(GroupAdmission::None),
        any_group_ids().prop_map(GroupAdmission::Listed)
    ];
    (any::<u8>(), 0..5_u16, admission, any_group_ids(), any_aliases(), any_private_call(), any::<bool>())
        .prop_map(
            |(
                priority_ceiling,
                max_affiliations,
                group_admission,
                granted_groups,
                aliases,
                private_call,
                emergency,
            )| {
                VisitorPolicy {
                    mc_system_id: "alpha.example".parse().unwrap(),
                    priority_ceiling,
                    max_affiliations,
                    group_admission,
                    granted_groups,
                    granted_functional_aliases: aliases,
                    private_call,
                    is_emergency_call_allowed: emergency,
                }
            },
        )
}
