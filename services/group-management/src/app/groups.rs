//! What operators do with groups.

use mcx_proto::group::v1 as proto;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McServiceGroupId, McSystemId};

use super::App;
use super::changes::{Changes, Left};
use super::mutation::{Begun, Mutation, begin};
use crate::domain::group::Group;
use crate::error::Error;
use crate::store::groups::StoredGroup;
use crate::store::{Page, grants, groups, members, shares};
use crate::wire;

impl App {
    pub(crate) async fn create_group(
        &self,
        group: Group,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateGroupResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        self.check_max_members(&group, 0)?;
        let transaction = &mut mutation.transaction;
        let stored =
            groups::insert(transaction, &self.own, &group, now).await.map_err(|error| match error {
                StoreError::UniqueViolation { .. } => Error::GroupExists(group.id.clone()),
                other => other.into(),
            })?;
        let mut changes = Changes::new();
        if group.terms.allow_visitors {
            let joined = grants::put_members_in(transaction, &group.id).await?;
            changes.joined(&group.id, joined.iter().map(|membership| &membership.member.id), now);
        }
        let response = proto::CreateGroupResponse { group: Some(wire::group::encode(&stored)) };
        self.commit_mutation(mutation, changes, &response, now).await?;
        Ok(response)
    }

    /// The group and how many members it has.
    pub(crate) async fn get_group(&self, id: McServiceGroupId) -> Result<(StoredGroup, i64), Error> {
        let group = groups::find(&self.database, &id).await?.ok_or(Error::GroupUnknown(id))?;
        let count = match group.is_own {
            true => group.member_count,
            false => members::count(&self.database, &group.group.id).await?,
        };
        Ok((group, count))
    }

    pub(crate) async fn list_groups(
        &self,
        home: Option<&McSystemId>,
        after: &str,
        limit: u32,
    ) -> Result<Page<StoredGroup>, Error> {
        Ok(groups::list(&self.database, home, after, limit).await?)
    }

    pub(crate) async fn update_group(
        &self,
        group: Group,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateGroupResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let before = self.own_group(&mut mutation, &group.id).await?;
        if before.version != version {
            return Err(Error::EtagMismatch);
        }
        self.check_max_members(&group, before.member_count)?;
        let transaction = &mut mutation.transaction;
        let mut changes = Changes::new();
        match (before.group.terms.allow_visitors, group.terms.allow_visitors) {
            (false, true) => {
                let joined = grants::put_members_in(transaction, &group.id).await?;
                changes.joined(&group.id, joined.iter().map(|membership| &membership.member.id), now);
            }
            (true, false) => {
                let left = grants::remove_visitors_from(transaction, &group.id).await?;
                changes.left(&left, Left::MembershipEnded, now);
            }
            _ => {}
        }
        let stored = groups::update(transaction, &group, now).await?;
        changes.group_changed(&stored);
        changes.shares_touched(shares::touch_group(transaction, &group.id, now).await?);
        let response = proto::UpdateGroupResponse { group: Some(wire::group::encode(&stored)) };
        self.commit_mutation(mutation, changes, &response, now).await?;
        Ok(response)
    }

    pub(crate) async fn delete_group(
        &self,
        id: McServiceGroupId,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteGroupResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let before = self.own_group(&mut mutation, &id).await?;
        if version.is_some_and(|version| version != before.version) {
            return Err(Error::EtagMismatch);
        }
        let transaction = &mut mutation.transaction;
        let mut changes = Changes::new();
        let left = members::remove_all(transaction, &id).await?;
        changes.left(&left, Left::GroupDeleted, now);
        groups::delete(transaction, &id).await?;
        changes.shares_touched(shares::touch_group(transaction, &id, now).await?);
        let response = proto::DeleteGroupResponse {};
        self.commit_mutation(mutation, changes, &response, now).await?;
        Ok(response)
    }

    /// A group of this MC system, locked until the end of the transaction.
    pub(crate) async fn own_group(
        &self,
        mutation: &mut Mutation,
        id: &McServiceGroupId,
    ) -> Result<StoredGroup, Error> {
        let group = groups::find_locked(&mut mutation.transaction, id).await?;
        let group = group.ok_or_else(|| Error::GroupUnknown(id.clone()))?;
        if !group.is_own {
            return Err(Error::GroupOfAnotherSystem { group: id.clone(), home: group.home });
        }
        Ok(group)
    }

    /// Whether the group may have so many members.
    pub(crate) fn check_max_members(&self, group: &Group, member_count: i64) -> Result<(), Error> {
        let limit = self.config.max_members_per_group;
        let max_members = i64::from(group.terms.max_members.unwrap_or(limit).min(limit));
        if member_count > max_members {
            return Err(Error::TooManyMembers { group: group.id.clone(), member_count, max_members });
        }
        Ok(())
    }
}
