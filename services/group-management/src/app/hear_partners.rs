//! The partner's side of CSC-16: what the home of a group tells of it becomes what visitors are told. TS 23.280 10.15.3.3.1.

use std::collections::{HashMap, HashSet};

use mcx_store::Transaction;
use mcx_types::{McServiceId, McSystemId, Timestamp};

use super::App;
use super::changes::{Changes, Left};
use crate::domain::member::{Member, Origin};
use crate::error::Error;
use crate::store::members::Membership;
use crate::store::{groups, members, visitors};
use crate::wire::sharing::{SharedGroup, WithdrawnGroup};

impl App {
    /// Takes groups as their home tells of them. Members who are no visitors here are left out; a group without any is not kept.
    pub(crate) async fn take_shared_groups(
        &self,
        home: &McSystemId,
        shared: Vec<SharedGroup>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let told: HashSet<&McServiceId> =
            shared.iter().flat_map(|group| group.members.iter().map(|(id, _)| id)).collect();
        let known = visitors::known_as(&mut transaction, home, told).await?;
        let mut changes = Changes::new();
        for group in &shared {
            take(&mut transaction, home, group, &known, &mut changes, now).await?;
        }
        self.commit(transaction, changes, now).await
    }

    /// Forgets groups that their home shares no more.
    pub(crate) async fn take_withdrawn_groups(
        &self,
        home: &McSystemId,
        withdrawn: Vec<WithdrawnGroup>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let mut changes = Changes::new();
        for group in &withdrawn {
            let known = groups::find_locked(&mut transaction, &group.id).await?;
            if known.is_some_and(|known| known.home == *home && known.revision <= group.revision) {
                let cause = if group.is_deleted { Left::GroupDeleted } else { Left::MembershipEnded };
                let left = members::remove_all(&mut transaction, &group.id).await?;
                changes.left(&left, cause, now);
                groups::delete(&mut transaction, &group.id).await?;
            }
        }
        self.commit(transaction, changes, now).await
    }
}

async fn take(
    transaction: &mut Transaction,
    home: &McSystemId,
    shared: &SharedGroup,
    known: &HashMap<McServiceId, Vec<McServiceId>>,
    changes: &mut Changes,
    now: Timestamp,
) -> Result<(), Error> {
    let id = &shared.told.group.id;
    let wanted = members_here(home, shared, known);
    let before = groups::find_locked(transaction, id).await?;
    if before.as_ref().is_some_and(|before| before.revision > shared.told.revision) {
        return Ok(());
    }
    if wanted.is_empty() {
        if before.is_some() {
            let left = members::remove_all(transaction, id).await?;
            changes.left(&left, Left::MembershipEnded, now);
            groups::delete(transaction, id).await?;
        }
        return Ok(());
    }
    let Some(after) = groups::put_told(transaction, home, &shared.told).await? else { return Ok(()) };
    let is_same =
        |before: &groups::StoredGroup| before.version == after.version && before.group == after.group;
    if before.is_some_and(|before| !is_same(&before)) {
        changes.group_changed(&after);
    }
    let present: HashMap<McServiceId, Membership> = members::all(transaction, id)
        .await?
        .into_iter()
        .map(|membership| (membership.member.id.clone(), membership))
        .collect();
    let to_put: Vec<&Member> = wanted
        .values()
        .filter(|member| present.get(&member.id).is_none_or(|present| present.member != **member))
        .collect();
    members::put(transaction, id, Origin::Shared, &to_put).await?;
    changes.joined(id, to_put.iter().map(|member| &member.id), now);
    let gone = present.keys().filter(|id| !wanted.contains_key(id));
    let left = members::remove(transaction, id, gone).await?;
    changes.left(&left, Left::MembershipEnded, now);
    Ok(())
}

/// The members who are visitors here, by their MC service IDs here.
fn members_here(
    home: &McSystemId,
    shared: &SharedGroup,
    known: &HashMap<McServiceId, Vec<McServiceId>>,
) -> HashMap<McServiceId, Member> {
    let mut here = HashMap::new();
    for (primary_id, terms) in &shared.members {
        for id in known.get(primary_id).into_iter().flatten() {
            let member = Member { id: id.clone(), terms: terms.clone(), system: home.clone() };
            here.entry(id.clone()).or_insert(member);
        }
    }
    here
}
