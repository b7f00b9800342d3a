//! Own users who may migrate: their partners are told of the groups that they are members of.

use super::App;
use super::changes::Changes;
use crate::domain::migration::SharedUser;
use crate::error::Error;
use crate::store::shares::Share;
use crate::store::{Page, shared_users, shares};
use mcx_types::McSystemId;

impl App {
    pub(crate) async fn put_shared_users(&self, wanted: Vec<SharedUser>) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let ids: Vec<String> = wanted.iter().map(|user| user.migration_id.to_string()).collect();
        let present = shared_users::contents(&mut transaction, &ids).await?;
        let mut changed_ids = Vec::new();
        let mut changed = Vec::new();
        for (user, id) in wanted.iter().zip(ids) {
            let content = shared_users::content(user)?;
            if present.get(&id) != Some(&content) {
                changed_ids.push(id);
                changed.push((user, content));
            }
        }
        let mut changes = Changes::new();
        if !changed.is_empty() {
            // Once for what a user loses, once for what she gets.
            changes.shares_touched(shares::touch_users(&mut transaction, &changed_ids, now).await?);
            for (user, content) in &changed {
                shared_users::put(&mut transaction, user, content).await?;
            }
            changes.shares_touched(shares::touch_users(&mut transaction, &changed_ids, now).await?);
        }
        self.commit(transaction, changes, now).await
    }

    pub(crate) async fn delete_shared_users(&self, migration_ids: &[String]) -> Result<(), Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let mut changes = Changes::new();
        changes.shares_touched(shares::touch_users(&mut transaction, migration_ids, now).await?);
        shared_users::delete(&mut transaction, migration_ids).await?;
        self.commit(transaction, changes, now).await
    }

    pub(crate) async fn list_shares(
        &self,
        partner: &McSystemId,
        only_pending: bool,
        after: &str,
        limit: u32,
    ) -> Result<Page<Share>, Error> {
        Ok(shares::list(&self.database, partner, only_pending, after, limit).await?)
    }
}
