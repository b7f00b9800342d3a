//! The primary's side of CSC-16: partners are told of the groups of users who migrate to them, and told again until they know. TS 23.280
//! 10.15.3.3.1. What is to be told is a row of `share`, so that it survives whoever tells it.

use std::time::Duration;

use mcx_federation::Partner;
use mcx_proto::group::v1 as proto;
use mcx_types::{Entity, McServiceGroupId, McServiceId, McSystemId};
use tracing::Instrument;

use super::App;
use crate::client::GroupSharingClient;
use crate::error::Error;
use crate::store::shares::Share;
use crate::store::{groups, shares};
use crate::wire;

/// How many groups are taken at once, and how many members one request may hold beside those of its first group.
const GROUPS_AT_ONCE: u32 = 100;
const MEMBERS_AT_ONCE: usize = 5_000;

/// How much longer than the partner may take the claim on what it is told holds.
const CLAIM_MARGIN: Duration = Duration::from_secs(10);

/// What a partner is to be told.
#[derive(Debug, Default)]
struct News {
    shared: Vec<(Share, proto::SharedGroup)>,
    withdrawn: Vec<(Share, proto::WithdrawnGroup, Keep)>,
}

/// Whether a share outlives its withdrawal, because the group may be shared again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

impl App {
    /// Tells one partner everything that it does not know yet; says whether it could.
    pub(crate) async fn tell_partner(&self, partner: McSystemId) -> bool {
        let span = tracing::info_span!("tell partner of groups", mcx.clause = "10.15.3.3.1", %partner);
        async {
            match self.tell(&partner).await {
                Ok(()) => true,
                Err(cause) => {
                    metrics::counter!("mcx_group_management_tellings_failed_total", "partner" => partner.to_string())
                        .increment(1);
                    tracing::warn!(%partner, %cause, "partner cannot be told of groups, it will be later");
                    false
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn tell(&self, partner: &McSystemId) -> Result<(), NotTold> {
        loop {
            let peer = self.partners.partner(partner).map_err(Error::from)?;
            let now = self.clock.now();
            let until = now.saturating_add(self.config.partner_timeout * 2 + CLAIM_MARGIN);
            let claimed = shares::claim(&self.database, partner, now, until, GROUPS_AT_ONCE).await?;
            if claimed.is_empty() {
                return Ok(());
            }
            let groups: Vec<McServiceGroupId> = claimed.iter().map(|share| share.group.clone()).collect();
            let outcome = self.tell_claimed(&peer, claimed).await;
            if outcome.is_err() {
                // What was told is not claimed any more, and giving it back changes nothing.
                shares::release(&self.database, partner, &groups).await?;
            }
            outcome?;
        }
    }

    async fn tell_claimed(&self, peer: &Partner, claimed: Vec<Share>) -> Result<(), NotTold> {
        let partner = &peer.mc_system_id;
        let channel = peer.channel(Entity::GroupManagement).map_err(Error::from)?;
        let client = GroupSharingClient::new(channel, self.config.partner_timeout);
        let mut news = News::default();
        let mut member_count = 0;
        for share in claimed {
            let group = groups::find(&self.database, &share.group).await?.filter(|group| group.is_own);
            let members = shares::members_for(&self.database, partner, &share.group).await?;
            let withdrawn = |is_deleted| proto::WithdrawnGroup {
                group_id: share.group.to_string(),
                revision: share.wanted,
                is_deleted,
            };
            match group {
                Some(group) if group.group.terms.home_only && !members.is_empty() => {
                    let withdrawn = withdrawn(false);
                    news.withdrawn.push((share, withdrawn, Keep::Yes));
                }
                Some(group) if !members.is_empty() => {
                    if member_count + members.len() > MEMBERS_AT_ONCE && !news.shared.is_empty() {
                        self.tell_shared(partner, &client, std::mem::take(&mut news.shared)).await?;
                        member_count = 0;
                    }
                    member_count += members.len();
                    let shared = wire::sharing::encode(&group, &members, share.wanted);
                    news.shared.push((share, shared));
                }
                group => {
                    let withdrawn = withdrawn(group.is_none());
                    news.withdrawn.push((share, withdrawn, Keep::No));
                }
            }
        }
        if !news.shared.is_empty() {
            self.tell_shared(partner, &client, news.shared).await?;
        }
        if !news.withdrawn.is_empty() {
            self.tell_withdrawn(partner, &client, news.withdrawn).await?;
        }
        Ok(())
    }

    async fn tell_shared(
        &self,
        partner: &McSystemId,
        client: &GroupSharingClient,
        shared: Vec<(Share, proto::SharedGroup)>,
    ) -> Result<(), NotTold> {
        let (shares_told, groups): (Vec<Share>, Vec<proto::SharedGroup>) = shared.into_iter().unzip();
        client.share_groups(groups).await?;
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        for share in &shares_told {
            shares::told(&mut transaction, partner, share, now).await?;
        }
        transaction.commit().await?;
        count_told(partner, "shared", shares_told.len());
        Ok(())
    }

    async fn tell_withdrawn(
        &self,
        partner: &McSystemId,
        client: &GroupSharingClient,
        withdrawn: Vec<(Share, proto::WithdrawnGroup, Keep)>,
    ) -> Result<(), NotTold> {
        let groups = withdrawn.iter().map(|(_, group, _)| group.clone()).collect();
        client.withdraw_groups(groups).await?;
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        for (share, _, keep) in &withdrawn {
            let is_gone = *keep == Keep::No && shares::delete_told(&mut transaction, partner, share).await?;
            if !is_gone {
                shares::told(&mut transaction, partner, share, now).await?;
            }
        }
        transaction.commit().await?;
        count_told(partner, "withdrawn", withdrawn.len());
        Ok(())
    }

    /// What a partner asks: a page of the groups of users who migrate to it, with where the next page begins.
    pub(crate) async fn groups_for_partner(
        &self,
        partner: &McSystemId,
        ids: &[McServiceId],
        after: &str,
        limit: u32,
    ) -> Result<(Vec<proto::SharedGroup>, Option<String>), Error> {
        let page = shares::of_users(&self.database, partner, ids, after, limit).await?;
        let mut found = Vec::with_capacity(page.items.len());
        let mut member_count = 0;
        let mut last = None;
        for share in &page.items {
            let group = groups::find(&self.database, &share.group).await?;
            let members = shares::members_for(&self.database, partner, &share.group).await?;
            if member_count + members.len() > MEMBERS_AT_ONCE && last.is_some() {
                return Ok((found, last));
            }
            member_count += members.len();
            last = Some(share.group.to_string());
            if let Some(group) = group.filter(|group| !group.group.terms.home_only && !members.is_empty()) {
                found.push(wire::sharing::encode(&group, &members, share.wanted));
            }
        }
        Ok((found, page.next_after))
    }
}

fn count_told(partner: &McSystemId, what: &'static str, count: usize) {
    metrics::counter!("mcx_group_management_groups_told_total", "partner" => partner.to_string(), "what" => what)
        .increment(count as u64);
}

/// Why a partner was not told.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error(transparent)]
    Own(#[from] Error),
    #[error(transparent)]
    Store(#[from] mcx_store::StoreError),
    #[error(transparent)]
    Peer(#[from] crate::client::PeerError),
}
