//! What a use case leaves to be told to connected clients: written in its transaction, announced after the commit.
//!
//! A change of a group's configuration is one row under `group/<id>`, however many members it has. That a membership began, changed or
//! ended is a row under `user/<mc service id>`; whoever watches that learns the group's topic from it.

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_store::changes::{self, NewChange, Sequence};
use mcx_store::{StoreError, Transaction};
use mcx_types::{McServiceGroupId, McServiceId, Timestamp};
use prost::Message;

use super::App;
use super::mutation::Mutation;
use crate::error::Error;
use crate::store::groups::StoredGroup;
use crate::store::members::Membership;
use crate::wire;

/// The topic of a group's configuration.
pub(crate) fn group_topic(group: &str) -> String {
    format!("group/{group}")
}

/// The topic of a user's memberships.
pub(crate) fn user_topic(id: &McServiceId) -> String {
    format!("user/{id}")
}

/// Why a membership ended.
pub(crate) use proto::GroupLeftCause as Left;

/// Changes in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    list: Vec<NewChange>,
    has_news_for_partners: bool,
    has_questions_for_primaries: bool,
}

impl Changes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The group's configuration is new.
    pub(crate) fn group_changed(&mut self, group: &StoredGroup) {
        let event = Event::ChangedGroup(wire::group::encode(group));
        let id = group.group.id.as_str();
        self.push(group_topic(id), id.to_owned(), group.revision, event);
    }

    /// These users are members, or what is said of them is new.
    pub(crate) fn joined<'a>(
        &mut self,
        group: &McServiceGroupId,
        ids: impl IntoIterator<Item = &'a McServiceId>,
        now: Timestamp,
    ) {
        for id in ids {
            self.membership(group, id, now, Event::Group(proto::MemberGroup::default()));
        }
    }

    /// These memberships ended.
    pub(crate) fn left<'a>(
        &mut self,
        memberships: impl IntoIterator<Item = &'a Membership>,
        cause: Left,
        now: Timestamp,
    ) {
        for Membership { group, member, .. } in memberships {
            let left = proto::GroupLeft { group_id: group.to_string(), cause: cause.into() };
            self.membership(group, &member.id, now, Event::Left(left));
        }
    }

    fn membership(&mut self, group: &McServiceGroupId, id: &McServiceId, now: Timestamp, event: Event) {
        self.push(user_topic(id), group.to_string(), now.as_micros(), event);
    }

    fn push(&mut self, topic: String, document: String, version: i64, event: Event) {
        let payload =
            proto::WatchGroupsResponse { event: Some(event), ..Default::default() }.encode_to_vec().into();
        self.list.push(NewChange { topic, document, version, payload });
    }

    /// So many shares are to be told to partners.
    pub(crate) fn shares_touched(&mut self, count: u64) {
        self.has_news_for_partners |= count > 0;
    }

    /// Visitors are new: their primary MC systems are to be asked for their groups.
    pub(crate) fn visitors_put(&mut self) {
        self.has_questions_for_primaries = true;
    }

    async fn append(
        &self,
        transaction: &mut Transaction,
        now: Timestamp,
    ) -> Result<Option<Sequence>, StoreError> {
        if self.list.is_empty() {
            return Ok(None);
        }
        changes::append(transaction, &self.list, now.as_micros()).await.map(Some)
    }
}

impl App {
    /// Makes what was done durable together with what is to be told of it, and then has it told.
    pub(crate) async fn commit(
        &self,
        mut transaction: Transaction,
        changes: Changes,
        now: Timestamp,
    ) -> Result<(), Error> {
        let last = changes.append(&mut transaction, now).await?;
        transaction.commit().await?;
        self.have_told(&changes, last);
        Ok(())
    }

    /// The same for a mutating request, with its answer.
    pub(crate) async fn commit_mutation(
        &self,
        mut mutation: Mutation,
        changes: Changes,
        response: &impl Message,
        now: Timestamp,
    ) -> Result<(), Error> {
        let last = changes.append(&mut mutation.transaction, now).await?;
        mutation.commit(response).await?;
        self.have_told(&changes, last);
        Ok(())
    }

    fn have_told(&self, changes: &Changes, last: Option<Sequence>) {
        if let Some(last) = last {
            self.feed.announce(last);
        }
        if changes.has_news_for_partners {
            self.to_tell.notify_one();
        }
        if changes.has_questions_for_primaries {
            self.to_ask.notify_one();
        }
    }
}
