//! What users and the enforcement point ask. Answered from the database at each asking.

use std::time::Duration;

use mcx_types::{McServiceGroupId, McServiceId, Timestamp};

use super::App;
use crate::domain::member::Member;
use crate::error::Error;
use crate::store::groups::StoredGroup;
use crate::store::{Page, members, visitors};

/// So often at most is a primary MC system asked because a visitor misses a group: she cannot make this MC system pester it.
const ASK_PAUSE: Duration = Duration::from_secs(10);

impl App {
    pub(crate) async fn get_group_for_member(
        &self,
        group: McServiceGroupId,
        id: &McServiceId,
    ) -> Result<(StoredGroup, Option<Member>), Error> {
        members::group_for(&self.database, &group, id).await?.ok_or(Error::GroupUnknown(group))
    }

    /// A page of the groups of a user who has these MC service IDs. Where she is a visitor and names a group that is not known here, her
    /// primary MC system is asked for her groups; what comes of it is told to her watcher.
    pub(crate) async fn get_groups_of(
        &self,
        ids: &[McServiceId],
        is_visitor: bool,
        among: &[McServiceGroupId],
        after: &str,
        limit: u32,
    ) -> Result<Page<(StoredGroup, Vec<Member>)>, Error> {
        let page = members::groups_of(&self.database, ids, among, after, limit).await?;
        let is_missing = page.next_after.is_none() && after.is_empty() && page.items.len() < among.len();
        if is_visitor && is_missing {
            let now = self.clock.now();
            let pause = i64::try_from(ASK_PAUSE.as_micros()).unwrap_or(i64::MAX);
            let lately = Timestamp::from_micros(now.as_micros().saturating_sub(pause));
            if visitors::ask_now(&self.database, ids, now, lately).await? {
                self.to_ask.notify_one();
            }
        }
        Ok(page)
    }
}
