//! Groups on their way between two MC systems.

use std::collections::HashSet;

use mcx_proto::group::v1 as proto;
use mcx_types::{McServiceGroupId, McServiceId, McSystemId, Timestamp, Violations};

use super::{count, member};
use crate::domain::group::{Group, is_home};
use crate::domain::member::MemberTerms;
use crate::error::Error;
use crate::store::groups::{StoredGroup, Told};
use crate::store::members::Membership;

/// How many groups one request may tell of.
pub(crate) const GROUP_LIMIT: usize = 100;
const MEMBER_LIMIT: usize = 10_000;

/// A group as its home tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SharedGroup {
    pub(crate) told: Told,
    /// Members by the MC service IDs that they have at home.
    pub(crate) members: Vec<(McServiceId, MemberTerms)>,
}

/// A group that its home shares no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WithdrawnGroup {
    pub(crate) id: McServiceGroupId,
    pub(crate) revision: i64,
    pub(crate) is_deleted: bool,
}

/// Decodes groups of which `home` tells.
pub(crate) fn shared_groups(
    home: &McSystemId,
    groups: &[proto::SharedGroup],
    min: usize,
) -> Result<Vec<SharedGroup>, Error> {
    let mut violations = Violations::new();
    let mut decoded = Vec::with_capacity(groups.len());
    if count(&mut violations, "groups", groups.len(), min, GROUP_LIMIT) {
        let mut seen = HashSet::with_capacity(groups.len());
        for (index, group) in groups.iter().enumerate() {
            let path = format!("groups[{index}]");
            decoded.extend(shared_group(&mut violations, &path, group, &mut seen));
        }
    }
    let decoded = violations.finish(Some(decoded))?;
    refuse_foreign(home, decoded.iter().map(|group| &group.told.group.id))?;
    Ok(decoded)
}

fn shared_group(
    violations: &mut Violations,
    path: &str,
    shared: &proto::SharedGroup,
    seen: &mut HashSet<McServiceGroupId>,
) -> Option<SharedGroup> {
    let field = format!("{path}.group");
    let group = violations.require(field.as_str(), shared.group.as_ref())?;
    let id = id(violations, format!("{field}.group_id"), &group.group_id, seen);
    let terms = super::group::terms(violations, &field, group);
    if group.version < 1 {
        violations.add(format!("{field}.version"), "must be at least 1");
    }
    let created_at = moment(violations, format!("{field}.create_time"), group.create_time);
    let updated_at = moment(violations, format!("{field}.update_time"), group.update_time);
    let members = member::decode_all(violations, &format!("{path}.members"), &shared.members, MEMBER_LIMIT);
    Some(SharedGroup {
        told: Told {
            group: Group { id: id?, terms: terms? },
            version: group.version,
            revision: shared.revision,
            created_at: created_at?,
            updated_at: updated_at?,
        },
        members: members?,
    })
}

fn moment(
    violations: &mut Violations,
    field: String,
    at: Option<prost_types::Timestamp>,
) -> Option<Timestamp> {
    let at = violations.require(field.as_str(), at)?;
    violations.accept(field, Timestamp::try_from(at))
}

fn id(
    violations: &mut Violations,
    field: String,
    text: &str,
    seen: &mut HashSet<McServiceGroupId>,
) -> Option<McServiceGroupId> {
    let id: McServiceGroupId = violations.parse(field.as_str(), text)?;
    if !seen.insert(id.clone()) {
        violations.add(field, "must not repeat a group");
    }
    Some(id)
}

/// Decodes groups that `home` shares no more.
pub(crate) fn withdrawn_groups(
    home: &McSystemId,
    groups: &[proto::WithdrawnGroup],
) -> Result<Vec<WithdrawnGroup>, Error> {
    let mut violations = Violations::new();
    let mut decoded = Vec::with_capacity(groups.len());
    if count(&mut violations, "groups", groups.len(), 1, GROUP_LIMIT) {
        let mut seen = HashSet::with_capacity(groups.len());
        for (index, group) in groups.iter().enumerate() {
            let id = id(&mut violations, format!("groups[{index}].group_id"), &group.group_id, &mut seen);
            let (revision, is_deleted) = (group.revision, group.is_deleted);
            decoded.extend(id.map(|id| WithdrawnGroup { id, revision, is_deleted }));
        }
    }
    let decoded = violations.finish(Some(decoded))?;
    refuse_foreign(home, decoded.iter().map(|group| &group.id))?;
    Ok(decoded)
}

/// Only the home of a group tells of it.
fn refuse_foreign<'a>(
    home: &McSystemId,
    groups: impl IntoIterator<Item = &'a McServiceGroupId>,
) -> Result<(), Error> {
    match groups.into_iter().find(|group| !is_home(home, group)) {
        Some(foreign) => Err(Error::ForeignGroup { group: foreign.clone(), caller: home.clone() }),
        None => Ok(()),
    }
}

/// A group as this MC system, its home, tells a partner of it.
pub(crate) fn encode(group: &StoredGroup, members: &[Membership], revision: i64) -> proto::SharedGroup {
    proto::SharedGroup {
        group: Some(super::group::encode(group)),
        members: members.iter().map(|membership| member::encode(&membership.member)).collect(),
        revision,
    }
}
