//! Alice of alpha.example, who may migrate to bravo.example, as the tests of the rules know her.

use std::collections::{BTreeMap, BTreeSet};

use mcx_types::{McService, McServiceGroupId, McServiceId, McSystemId, ProfileIndex};
use uuid::Uuid;

use super::group::{Group, GroupForMember, Membership};
use super::profile::{
    EffectiveProfile, PermittedMigration, PrivateCalls, ProfileAnswer, ProfileGroup, ServiceTerms,
    UserProfile,
};
use super::user::{User, Visitor};

pub(crate) fn system(name: &str) -> McSystemId {
    name.parse().unwrap()
}

pub(crate) fn id(text: &str) -> McServiceId {
    text.parse().unwrap()
}

pub(crate) fn user(text: &str) -> User {
    User { mc_service: McService::Ptt, id: id(text) }
}

pub(crate) fn group_id() -> McServiceGroupId {
    "sip:rescue@alpha.example".parse().unwrap()
}

pub(crate) fn home_profile() -> UserProfile {
    UserProfile {
        index: ProfileIndex(1),
        etag: "7".to_owned(),
        private_call: PrivateCalls::Anybody,
        groups: BTreeMap::from([(group_id(), ProfileGroup { implicit_affiliation: false })]),
        max_affiliations: 2,
        functional_aliases: BTreeSet::from(["sip:commander@alpha.example".parse().unwrap()]),
        emergency_calls: true,
        valid_in: BTreeSet::new(),
        visitor: None,
    }
}

pub(crate) fn migration_profile(valid_in: &str) -> UserProfile {
    UserProfile { index: ProfileIndex(2), valid_in: BTreeSet::from([system(valid_in)]), ..home_profile() }
}

/// Of alice at bravo.example.
pub(crate) fn permitted_migration() -> PermittedMigration {
    PermittedMigration { migration_id: Uuid::from_u128(7), partner_id: id("sip:alice.alpha@bravo.example") }
}

pub(crate) fn visitor_profile() -> UserProfile {
    let visitor = Visitor {
        primary: system("alpha.example"),
        primary_id: id("sip:alice@alpha.example"),
        migration_id: Uuid::from_u128(7),
    };
    UserProfile { visitor: Some(visitor), ..home_profile() }
}

pub(crate) fn effective(profile: UserProfile) -> EffectiveProfile {
    EffectiveProfile { profile, terms: ServiceTerms::UNRESTRICTED }
}

pub(crate) fn answer(profile: UserProfile) -> ProfileAnswer {
    ProfileAnswer::InForce(Box::new(effective(profile)))
}

pub(crate) fn group() -> Group {
    Group {
        id: group_id(),
        home: system("alpha.example"),
        is_enabled: true,
        mc_services: BTreeSet::from([McService::Ptt]),
        allow_visitors: true,
        emergency_calls: true,
        etag: "3".to_owned(),
    }
}

pub(crate) fn membership() -> Membership {
    Membership { may_speak: true, primary: system("alpha.example") }
}

pub(crate) fn group_for_member() -> GroupForMember {
    GroupForMember { group: group(), membership: Some(membership()) }
}
