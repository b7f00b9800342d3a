//! The partner's side of CSC-16, asking: what visitors' primary MC systems did not tell, because it happened before the visitors were known
//! here or was lost, is asked for. TS 23.280 10.15.3.3.1.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use mcx_types::{Entity, McServiceGroupId, McServiceId, McSystemId};
use tracing::Instrument;

use super::App;
use super::changes::{Changes, Left};
use crate::client::{GroupSharingClient, PeerError};
use crate::error::Error;
use crate::store::{groups, members, visitors};
use crate::wire::sharing::shared_groups;

/// How much longer than the primary may take the claim on the visitors who are asked for holds.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);

impl App {
    /// Asks one primary MC system for the groups of all visitors who are due; says whether it could.
    pub(crate) async fn ask_primary(&self, primary: McSystemId) -> bool {
        let span = tracing::info_span!("ask primary for groups", mcx.clause = "10.15.3.3.1", %primary);
        async {
            match self.ask(&primary).await {
                Ok(()) => true,
                Err(cause) => {
                    metrics::counter!("mcx_group_management_askings_failed_total", "partner" => primary.to_string())
                        .increment(1);
                    tracing::warn!(%primary, %cause, "primary cannot be asked for groups, it will be later");
                    false
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn ask(&self, primary: &McSystemId) -> Result<(), NotAsked> {
        loop {
            let peer = self.partners.partner(primary).map_err(Error::from)?;
            let channel = peer.channel(Entity::GroupManagement).map_err(Error::from)?;
            let client = GroupSharingClient::new(channel, self.config.partner_timeout);
            let now = self.clock.now();
            let claimed = now.saturating_add(self.config.partner_timeout * 2 + CLAIM_MARGIN);
            let (migration_ids, ids) = visitors::claim_to_ask(&self.database, primary, now, claimed).await?;
            if migration_ids.is_empty() {
                return Ok(());
            }
            let outcome = self.ask_for(primary, &client, &ids).await;
            let next = match outcome {
                Ok(()) => self.clock.now().saturating_add(self.config.refresh_interval),
                Err(_) => self.clock.now(),
            };
            visitors::ask_next(&self.database, &migration_ids, claimed, next).await?;
            outcome?;
        }
    }

    async fn ask_for(
        &self,
        primary: &McSystemId,
        client: &GroupSharingClient,
        ids: &[McServiceId],
    ) -> Result<(), NotAsked> {
        let here = self.known_here(primary, ids).await?;
        // What is told while we ask has a revision of its own, and is not undone below.
        let before = members::shared_groups_of(&self.database, primary, &here).await?;
        let mut told: HashSet<McServiceGroupId> = HashSet::new();
        let mut page_token = String::new();
        loop {
            let page = client.get_groups(ids, page_token).await?;
            let groups = shared_groups(primary, &page.groups, 0)?;
            told.extend(groups.iter().map(|group| group.told.group.id.clone()));
            if !groups.is_empty() {
                self.take_shared_groups(primary, groups).await?;
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let stale = before.into_iter().filter(|(group, _)| !told.contains(group));
        self.end_memberships(stale.collect(), &here).await
    }

    /// Ends memberships of which the primary no longer speaks.
    async fn end_memberships(
        &self,
        stale: HashMap<McServiceGroupId, i64>,
        ids: &[McServiceId],
    ) -> Result<(), NotAsked> {
        if stale.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let mut changes = Changes::new();
        for (group, revision) in &stale {
            let known = groups::find_locked(&mut transaction, group).await?;
            if known.is_some_and(|known| known.revision == *revision) {
                let left = members::remove(&mut transaction, group, ids).await?;
                changes.left(&left, Left::MembershipEnded, now);
            }
        }
        groups::delete_deserted(&mut transaction, stale.keys().map(ToString::to_string)).await?;
        Ok(self.commit(transaction, changes, now).await?)
    }

    async fn known_here(
        &self,
        primary: &McSystemId,
        ids: &[McServiceId],
    ) -> Result<Vec<McServiceId>, NotAsked> {
        let mut transaction = self.database.begin().await?;
        let known = visitors::known_as(&mut transaction, primary, ids).await?;
        transaction.rollback().await?;
        let here: HashSet<McServiceId> = known.into_values().flatten().collect();
        Ok(here.into_iter().collect())
    }
}

/// Why a primary was not asked, or its answer not taken.
#[derive(Debug, thiserror::Error)]
enum NotAsked {
    #[error(transparent)]
    Own(#[from] Error),
    #[error(transparent)]
    Store(#[from] mcx_store::StoreError),
    #[error(transparent)]
    Peer(#[from] PeerError),
}
