//! What operators do with members. A request costs what it names, however many members the group has.

use std::collections::{HashMap, HashSet};

use mcx_proto::group::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McServiceGroupId, McServiceId, Violations};

use super::App;
use super::changes::{Changes, Left};
use super::mutation::{Begun, begin};
use crate::domain::member::{Member, MemberTerms, Origin};
use crate::error::Error;
use crate::store::groups::StoredGroup;
use crate::store::members::Membership;
use crate::store::{Page, groups, members, shares, visitors};

impl App {
    pub(crate) async fn add_members(
        &self,
        id: McServiceGroupId,
        wanted: Vec<(McServiceId, MemberTerms)>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::AddMembersResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let group = self.own_group(&mut mutation, &id).await?;
        let transaction = &mut mutation.transaction;
        let visitors = visitors::among(transaction, wanted.iter().map(|(id, _)| id)).await?;
        refuse_visitors(&group, &wanted, &visitors)?;
        let wanted: Vec<Member> = wanted
            .into_iter()
            .map(|(id, terms)| {
                let system = visitors.get(&id).cloned().unwrap_or_else(|| self.own.clone());
                Member { id, terms, system }
            })
            .collect();
        let present: HashMap<McServiceId, Membership> =
            members::among(transaction, &id, wanted.iter().map(|member| &member.id))
                .await?
                .into_iter()
                .map(|membership| (membership.member.id.clone(), membership))
                .collect();
        let is_same = |member: &&Member| {
            let present = present.get(&member.id);
            present.is_some_and(|present| present.member == **member && present.origin == Origin::Provisioned)
        };
        let to_put: Vec<&Member> = wanted.iter().filter(|member| !is_same(member)).collect();
        let new: Vec<&&Member> = to_put.iter().filter(|member| !present.contains_key(&member.id)).collect();
        let own_count = new.iter().filter(|member| !visitors.contains_key(&member.id)).count() as i64;
        self.check_max_members(&group.group, group.member_count + own_count)?;

        members::put(transaction, &id, Origin::Provisioned, &to_put).await?;
        groups::count_members(transaction, &id, own_count).await?;
        let changed_ids = || to_put.iter().map(|member| &member.id);
        let mut changes = Changes::new();
        changes.joined(&id, changed_ids(), now);
        changes.shares_touched(shares::touch_members(transaction, &id, changed_ids(), now).await?);
        let response = proto::AddMembersResponse {
            added_count: number(new.len()),
            changed_count: number(to_put.len() - new.len()),
            unchanged_count: number(wanted.len() - to_put.len()),
        };
        self.commit_mutation(mutation, changes, &response, now).await?;
        Ok(response)
    }

    pub(crate) async fn remove_members(
        &self,
        id: McServiceGroupId,
        unwanted: Vec<McServiceId>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::RemoveMembersResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        self.own_group(&mut mutation, &id).await?;
        let transaction = &mut mutation.transaction;
        let left = members::remove(transaction, &id, &unwanted).await?;
        let own_count = left.iter().filter(|membership| membership.member.system == self.own).count() as i64;
        groups::count_members(transaction, &id, -own_count).await?;
        let mut changes = Changes::new();
        changes.left(&left, Left::MembershipEnded, now);
        let left_ids = left.iter().map(|membership| &membership.member.id);
        changes.shares_touched(shares::touch_members(transaction, &id, left_ids, now).await?);
        let response = proto::RemoveMembersResponse {
            removed_count: number(left.len()),
            absent_count: number(unwanted.len() - left.len()),
        };
        self.commit_mutation(mutation, changes, &response, now).await?;
        Ok(response)
    }

    pub(crate) async fn list_members(
        &self,
        id: McServiceGroupId,
        after: &str,
        limit: u32,
    ) -> Result<Page<Membership>, Error> {
        let page = members::list(&self.database, &id, after, limit).await?;
        if page.items.is_empty() && groups::find(&self.database, &id).await?.is_none() {
            return Err(Error::GroupUnknown(id));
        }
        Ok(page)
    }
}

/// Visitors are members only where the group allows them.
fn refuse_visitors<T>(
    group: &StoredGroup,
    wanted: &[(McServiceId, MemberTerms)],
    visitors: &HashMap<McServiceId, T>,
) -> Result<(), Error> {
    if group.group.terms.allow_visitors {
        return Ok(());
    }
    let mut violations = Violations::new();
    let found: HashSet<&McServiceId> = visitors.keys().collect();
    for (index, (id, _)) in wanted.iter().enumerate() {
        if found.contains(id) {
            violations.add(
                format!("members[{index}].mc_service_id"),
                "is a visitor, and the group does not allow visitors",
            );
        }
    }
    Ok(violations.finish(Some(()))?)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
