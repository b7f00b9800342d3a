//! What migration management puts in place, and what configuration management servers tell each other (CSC-17).

use std::collections::HashSet;

use mcx_proto::configuration::v1 as proto;
use mcx_types::wire::MigratedServiceIdentity;
use mcx_types::{McService, McServiceId, McSystemId, Timestamp, Violations};
use prost::Message;
use uuid::Uuid;

use super::initial_ue_configuration::check_access;
use super::user_profile::StoredSystems;
use super::{KnownSystems, partner, uuid};
use crate::domain::user_profile::{ServiceUser, UserProfile};

/// How many users one request names at most.
const USER_LIMIT: usize = 500;

/// How many user profiles a user has at most: one per index.
const PROFILE_LIMIT: usize = 256;

/// One own user who may migrate to one partner.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MigrationTarget {
    pub(crate) migration_id: Uuid,
    pub(crate) partner: McSystemId,
    pub(crate) users: Vec<ServiceUser>,
    /// The access information and the rule, encoded as they are stored and compared.
    pub(crate) content: Vec<u8>,
}

/// One visitor who may come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Visitor {
    pub(crate) migration_id: Uuid,
    pub(crate) primary: McSystemId,
    pub(crate) identities: Vec<MigratedServiceIdentity>,
    pub(crate) valid_until: Option<Timestamp>,
}

fn batch<'a, T>(violations: &mut Violations, field: &str, items: &'a [T]) -> Option<&'a [T]> {
    if items.is_empty() || items.len() > USER_LIMIT {
        violations.add(field, format_args!("must hold 1 to {USER_LIMIT}"));
        return None;
    }
    Some(items)
}

pub(crate) fn targets(
    violations: &mut Violations,
    targets: &[proto::UserMigrationTarget],
    systems: &dyn KnownSystems,
) -> Option<Vec<MigrationTarget>> {
    let targets = batch(violations, "targets", targets)?;
    let mut ids = HashSet::new();
    let decoded = targets.iter().enumerate().map(|(at, target)| {
        let path = format!("targets[{at}]");
        let migration_id = uuid(violations, format!("{path}.migration_id"), &target.migration_id);
        if migration_id.is_some_and(|id| !ids.insert(id)) {
            violations.add(format!("{path}.migration_id"), "must not be repeated");
        }
        let partner = partner(
            violations,
            format!("{path}.partner_mc_system_id"),
            &target.partner_mc_system_id,
            systems,
        );
        let identities = violations
            .mc_service_identities(&format!("{path}.mc_service_identities"), &target.mc_service_identities);
        if let Some(selection) = &target.selection {
            super::selection::check(violations, &format!("{path}.selection"), selection);
        }
        let (migration_id, partner, identities) = (migration_id?, partner?, identities?);
        let field = format!("{path}.access_information");
        let access_information =
            check_access(violations, &field, target.access_information.as_ref(), &partner)?;
        let content = proto::MigrationTarget {
            mc_system_id: partner.to_string(),
            access_information: Some(access_information),
            selection: target.selection.clone(),
        };
        Some(MigrationTarget {
            migration_id,
            partner,
            users: identities.into_iter().map(|(mc_service, id)| ServiceUser { mc_service, id }).collect(),
            content: content.encode_to_vec(),
        })
    });
    decoded.collect::<Vec<_>>().into_iter().collect()
}

pub(crate) fn visitors(
    violations: &mut Violations,
    visitors: &[proto::Visitor],
    systems: &dyn KnownSystems,
) -> Option<Vec<Visitor>> {
    let visitors = batch(violations, "visitors", visitors)?;
    let mut ids = HashSet::new();
    let decoded = visitors.iter().enumerate().map(|(at, visitor)| {
        let path = format!("visitors[{at}]");
        let migration_id = uuid(violations, format!("{path}.migration_id"), &visitor.migration_id);
        if migration_id.is_some_and(|id| !ids.insert(id)) {
            violations.add(format!("{path}.migration_id"), "must not be repeated");
        }
        let field = format!("{path}.primary_mc_system_id");
        let primary = partner(violations, field, &visitor.primary_mc_system_id, systems);
        let identities =
            violations.migrated_service_identities(&format!("{path}.identities"), &visitor.identities);
        let valid_until = match visitor.valid_until {
            None => Some(None),
            Some(at) => violations.accept(format!("{path}.valid_until"), Timestamp::try_from(at)).map(Some),
        };
        Some(Visitor {
            migration_id: migration_id?,
            primary: primary?,
            identities: identities?,
            valid_until: valid_until?,
        })
    });
    decoded.collect::<Vec<_>>().into_iter().collect()
}

pub(crate) fn migration_ids(violations: &mut Violations, ids: &[String]) -> Option<Vec<Uuid>> {
    let ids = batch(violations, "migration_ids", ids)?;
    let decoded = ids.iter().enumerate().map(|(at, id)| uuid(violations, format!("migration_ids[{at}]"), id));
    decoded.collect::<Vec<_>>().into_iter().collect()
}

/// A user whose profiles a primary takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Withdrawal {
    pub(crate) mc_service: McService,
    pub(crate) primary_id: McServiceId,
    pub(crate) version: i64,
}

pub(crate) fn withdrawals(
    violations: &mut Violations,
    withdrawals: &[proto::MigrationProfilesWithdrawal],
) -> Option<Vec<Withdrawal>> {
    let withdrawals = batch(violations, "withdrawals", withdrawals)?;
    let decoded = withdrawals.iter().enumerate().map(|(at, withdrawal)| {
        let path = format!("withdrawals[{at}]");
        let field = format!("{path}.primary_identity");
        let user = super::service_user(violations, &field, withdrawal.primary_identity.as_ref());
        let version = share_version(violations, format!("{path}.version"), withdrawal.version);
        let ServiceUser { mc_service, id } = user?;
        Some(Withdrawal { mc_service, primary_id: id, version: version? })
    });
    decoded.collect::<Vec<_>>().into_iter().collect()
}

pub(crate) fn share_version(violations: &mut Violations, field: String, version: u64) -> Option<i64> {
    let known = i64::try_from(version).ok().filter(|version| *version > 0);
    if known.is_none() {
        violations.add(field, "must be a version from 1");
    }
    known
}

/// What a primary gives of one user.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SharedProfiles {
    /// As the primary knows her.
    pub(crate) user: ServiceUser,
    pub(crate) version: i64,
    pub(crate) profiles: Vec<UserProfile>,
}

/// Decodes what `primary` gives of one of its users.
pub(crate) fn shared_profiles(
    violations: &mut Violations,
    field: &str,
    shared: &proto::MigrationProfiles,
    primary: &McSystemId,
) -> Option<SharedProfiles> {
    let path = format!("{field}.primary_identity");
    let user = super::service_user(violations, &path, shared.primary_identity.as_ref());
    let version = share_version(violations, format!("{field}.version"), shared.version);
    let path = format!("{field}.user_profiles");
    if shared.user_profiles.len() > PROFILE_LIMIT {
        violations.add(path, format_args!("must hold at most {PROFILE_LIMIT}"));
        return None;
    }
    let mut indices = HashSet::new();
    let profiles = shared.user_profiles.iter().enumerate().map(|(at, profile)| {
        let path = format!("{path}[{at}]");
        let profile = super::user_profile::decode(violations, &path, Some(profile), &StoredSystems(primary))?;
        if user.as_ref().is_some_and(|user| *user != profile.user) {
            violations.add(format!("{path}.identity"), "must be the primary_identity");
        }
        if !indices.insert(profile.index) {
            violations.add(format!("{path}.profile_index"), "must not be repeated");
        }
        Some(profile)
    });
    let profiles = profiles.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>();
    Some(SharedProfiles { user: user?, version: version?, profiles: profiles? })
}

/// What goes to a partner of the profiles of an own user: without the rules about whither she may migrate.
pub(crate) fn shared_profiles_to_wire(
    user: &ServiceUser,
    version: i64,
    profiles: &[&UserProfile],
) -> proto::MigrationProfiles {
    let user_profiles = profiles.iter().map(|profile| {
        let mut message = super::user_profile::encode(profile);
        message.migration_targets.clear();
        message.valid_in.clear();
        message
    });
    proto::MigrationProfiles {
        primary_identity: Some(super::service_user_to_wire(user)),
        version: version.unsigned_abs(),
        user_profiles: user_profiles.collect(),
    }
}
