//! Users who migrate, on the wire.

use std::collections::HashSet;

use mcx_proto::group::v1 as proto;
use mcx_types::wire::mc_service_identities_to_wire;
use mcx_types::{McSystemId, Violations};
use uuid::Uuid;

use super::{count, distinct, optional_time, time, uuid};
use crate::domain::migration::{DormantGrant, SharedUser, Visitor};
use crate::store::shares::Share;

/// How many users a request may name.
const BATCH_LIMIT: usize = 500;
const GRANT_LIMIT: usize = 100;

/// Decodes visitors of `own`, each migration once.
pub(crate) fn visitors(
    violations: &mut Violations,
    own: &McSystemId,
    visitors: &[proto::Visitor],
) -> Option<Vec<Visitor>> {
    if !count(violations, "visitors", visitors.len(), 1, BATCH_LIMIT) {
        return None;
    }
    let mut seen = HashSet::with_capacity(visitors.len());
    let decoded: Vec<Visitor> = visitors
        .iter()
        .enumerate()
        .filter_map(|(index, visitor)| {
            let path = format!("visitors[{index}]");
            let migration_id = migration_id(violations, &path, &visitor.migration_id, &mut seen);
            let primary = other_system(
                violations,
                format!("{path}.primary_mc_system_id"),
                own,
                &visitor.primary_mc_system_id,
            );
            let identities =
                violations.migrated_service_identities(&format!("{path}.identities"), &visitor.identities);
            let grants = format!("{path}.granted_group_ids");
            let granted_groups = count(violations, &grants, visitor.granted_group_ids.len(), 0, GRANT_LIMIT)
                .then(|| distinct(violations, &grants, &visitor.granted_group_ids))
                .flatten();
            let valid_until = optional_time(violations, format!("{path}.valid_until"), visitor.valid_until);
            Some(Visitor {
                migration_id: migration_id?,
                primary: primary?,
                identities: identities?,
                granted_groups: granted_groups?,
                valid_until: valid_until?,
            })
        })
        .collect();
    (decoded.len() == visitors.len()).then_some(decoded)
}

/// Decodes users of `own`, each migration once.
pub(crate) fn shared_users(
    violations: &mut Violations,
    own: &McSystemId,
    users: &[proto::SharedUser],
) -> Option<Vec<SharedUser>> {
    if !count(violations, "users", users.len(), 1, BATCH_LIMIT) {
        return None;
    }
    let mut seen = HashSet::with_capacity(users.len());
    let decoded: Vec<SharedUser> = users
        .iter()
        .enumerate()
        .filter_map(|(index, user)| {
            let path = format!("users[{index}]");
            let migration_id = migration_id(violations, &path, &user.migration_id, &mut seen);
            let partner = other_system(
                violations,
                format!("{path}.partner_mc_system_id"),
                own,
                &user.partner_mc_system_id,
            );
            let identities =
                violations.mc_service_identities(&format!("{path}.identities"), &user.identities);
            let valid_until = optional_time(violations, format!("{path}.valid_until"), user.valid_until);
            Some(SharedUser {
                migration_id: migration_id?,
                partner: partner?,
                identities: identities?,
                valid_until: valid_until?,
            })
        })
        .collect();
    (decoded.len() == users.len()).then_some(decoded)
}

/// Decodes the migrations that a removal names.
pub(crate) fn migration_ids(violations: &mut Violations, ids: &[String]) -> Option<Vec<Uuid>> {
    count(violations, "migration_ids", ids.len(), 1, BATCH_LIMIT).then_some(())?;
    let decoded: Vec<Uuid> = ids
        .iter()
        .enumerate()
        .filter_map(|(index, id)| uuid(violations, format!("migration_ids[{index}]"), id))
        .collect();
    (decoded.len() == ids.len()).then_some(decoded)
}

fn migration_id(
    violations: &mut Violations,
    path: &str,
    text: &str,
    seen: &mut HashSet<Uuid>,
) -> Option<Uuid> {
    let id = uuid(violations, format!("{path}.migration_id"), text)?;
    if !seen.insert(id) {
        violations.add(format!("{path}.migration_id"), "must not repeat a migration");
    }
    Some(id)
}

fn other_system(
    violations: &mut Violations,
    field: String,
    own: &McSystemId,
    text: &str,
) -> Option<McSystemId> {
    let system: McSystemId = violations.parse(field.as_str(), text)?;
    if system == *own {
        violations.add(field, "must name another mc system");
        return None;
    }
    Some(system)
}

pub(crate) fn encode_dormant(grant: &DormantGrant) -> proto::DormantGrant {
    proto::DormantGrant { migration_id: grant.migration_id.to_string(), group_id: grant.group.to_string() }
}

pub(crate) fn encode_share(share: &Share) -> proto::Share {
    proto::Share {
        group_id: share.group.to_string(),
        is_pending: share.pushed < share.wanted,
        last_told_time: share.told_at.and_then(time),
    }
}

pub(crate) fn encode_visitor(visitor: &Visitor) -> proto::Visitor {
    proto::Visitor {
        migration_id: visitor.migration_id.to_string(),
        primary_mc_system_id: visitor.primary.to_string(),
        identities: visitor.identities.iter().cloned().map(Into::into).collect(),
        granted_group_ids: visitor.granted_groups.iter().map(ToString::to_string).collect(),
        valid_until: visitor.valid_until.and_then(time),
    }
}

pub(crate) fn encode_shared_user(user: &SharedUser) -> proto::SharedUser {
    proto::SharedUser {
        migration_id: user.migration_id.to_string(),
        partner_mc_system_id: user.partner.to_string(),
        identities: mc_service_identities_to_wire(&user.identities),
        valid_until: user.valid_until.and_then(time),
    }
}

/// Decodes grants without effect.
pub(crate) fn dormant_grants(
    violations: &mut Violations,
    grants: &[proto::DormantGrant],
) -> Option<Vec<DormantGrant>> {
    let decoded: Vec<DormantGrant> = grants
        .iter()
        .enumerate()
        .filter_map(|(index, grant)| {
            let path = format!("dormant_grants[{index}]");
            let migration_id = uuid(violations, format!("{path}.migration_id"), &grant.migration_id);
            let group = violations.parse(format!("{path}.group_id"), &grant.group_id);
            Some(DormantGrant { migration_id: migration_id?, group: group? })
        })
        .collect();
    (decoded.len() == grants.len()).then_some(decoded)
}
