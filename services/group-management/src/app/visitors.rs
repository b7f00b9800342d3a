//! Visitors: users of primary MC systems who have migrated here.

use std::collections::HashSet;

use mcx_store::Transaction;
use mcx_types::{McServiceId, Timestamp};

use super::App;
use super::changes::{Changes, Left};
use crate::domain::migration::{DormantGrant, Visitor};
use crate::error::Error;
use crate::store::members::Membership;
use crate::store::{grants, groups, members, visitors};

impl App {
    pub(crate) async fn put_visitors(&self, wanted: Vec<Visitor>) -> Result<Vec<DormantGrant>, Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let all_ids: Vec<String> = wanted.iter().map(|visitor| visitor.migration_id.to_string()).collect();
        let present = visitors::contents(&mut transaction, &all_ids).await?;
        let mut changed_ids = Vec::new();
        let mut changed = Vec::new();
        for (visitor, id) in wanted.iter().zip(&all_ids) {
            let content = visitors::content(visitor)?;
            if present.get(id) != Some(&content) {
                changed_ids.push(id.clone());
                changed.push((visitor, content));
            }
        }
        let mut changes = Changes::new();
        if !changed.is_empty() {
            let known_before = visitors::partner_ids(&mut transaction, &changed_ids).await?;
            for (visitor, content) in &changed {
                visitors::put(&mut transaction, visitor, content, now).await?;
            }
            forget(&mut transaction, known_before, &mut changes, now).await?;
            let lapsed = grants::remove_lapsed_of(&mut transaction, &changed_ids).await?;
            changes.left(&lapsed, Left::MembershipEnded, now);
            let joined = grants::put_members_of(&mut transaction, &changed_ids).await?;
            for Membership { group, member, .. } in &joined {
                changes.joined(group, [&member.id], now);
            }
            changes.visitors_put();
        }
        let dormant = grants::dormant_of(&mut transaction, &all_ids).await?;
        self.commit(transaction, changes, now).await?;
        Ok(dormant)
    }

    pub(crate) async fn delete_visitors(&self, migration_ids: &[String]) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let known_before = visitors::partner_ids(&mut transaction, migration_ids).await?;
        visitors::delete(&mut transaction, migration_ids).await?;
        let mut changes = Changes::new();
        forget(&mut transaction, known_before, &mut changes, now).await?;
        self.commit(transaction, changes, now).await
    }
}

/// Ends every membership of those of these visitors whom no migration names any more, and forgets groups of other MC systems in which
/// nobody is left.
async fn forget(
    transaction: &mut Transaction,
    known_before: Vec<McServiceId>,
    changes: &mut Changes,
    now: Timestamp,
) -> Result<(), Error> {
    let still_known = visitors::among(transaction, &known_before).await?;
    let gone: Vec<&McServiceId> = known_before.iter().filter(|id| !still_known.contains_key(*id)).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let left = members::remove_users(transaction, gone).await?;
    changes.left(&left, Left::MembershipEnded, now);
    let deserted: HashSet<String> = left.iter().map(|membership| membership.group.to_string()).collect();
    Ok(groups::delete_deserted(transaction, deserted).await?)
}
