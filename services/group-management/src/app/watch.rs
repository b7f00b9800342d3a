//! One client's stream of what changes in her groups.
//!
//! She is subscribed to the topics of her own memberships and of the groups that she is a member of. What the first ones tell is looked up at
//! that moment, so that she is told what holds now; the change feed then tells every change of the new group's topic since. A group is never
//! told in an older state than she was told before.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use mcx_federation::access_token::AuthenticatedUser;
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_store::changes::{Change, ChangeEvent, ChangeStream, ResumeToken};
use mcx_types::McServiceId;
use prost::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::App;
use super::changes::{group_topic, user_topic};
use crate::domain::member::Member;
use crate::error::Error;
use crate::store::groups::StoredGroup;
use crate::store::members;
use crate::wire;

/// How many groups are read at once.
const PAGE: u32 = 100;

struct Watch {
    app: App,
    ids: Vec<McServiceId>,
    changes: ChangeStream,
    /// The groups that she is a member of, with what she was told last of each.
    groups: HashMap<String, Told>,
    phase: Phase,
    /// To be told before anything else happens.
    pending: VecDeque<proto::WatchGroupsResponse>,
    expires: Instant,
    shutdown: CancellationToken,
}

/// What was told of a group; the default: nothing in this stream.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    revision: i64,
    /// A digest of her memberships, since the feed may tell once more what was in the snapshot.
    members: u64,
}

impl Told {
    fn of(group: &StoredGroup, members: &[Member]) -> Self {
        let mut hasher = DefaultHasher::new();
        members.hash(&mut hasher);
        Self { revision: group.revision, members: hasher.finish() }
    }
}

enum Phase {
    /// The feed is about to say from where on it tells.
    Positioning,
    /// All groups behind `after` are still to be told.
    Snapshot {
        position: ResumeToken,
        after: String,
    },
    Live,
}

impl App {
    /// The groups of a user and what changes in them, or what changed since `resume`.
    pub(crate) async fn watch_groups(
        &self,
        user: &AuthenticatedUser,
        resume: Option<ResumeToken>,
        shutdown: CancellationToken,
    ) -> Result<impl Stream<Item = Result<proto::WatchGroupsResponse, Error>> + Send + 'static, Error> {
        let mut ids: Vec<McServiceId> = user.service_ids.values().cloned().collect();
        ids.sort();
        ids.dedup();
        let mut groups = HashMap::new();
        if resume.is_some() {
            let mut after = Some(String::new());
            while let Some(behind) = after {
                let page = members::groups_of(&self.database, &ids, &[], &behind, PAGE).await?;
                groups.extend(
                    page.items.iter().map(|(group, _)| (group.group.id.to_string(), Told::default())),
                );
                after = page.next_after;
            }
        }
        let topics = topics(&ids, &groups);
        let changes = self.feed.subscribe(topics, resume).await?;
        let remaining = user.expires_at.saturating_since(self.clock.now());
        let watch = Watch {
            app: self.clone(),
            ids,
            changes,
            groups,
            phase: if resume.is_some() { Phase::Live } else { Phase::Positioning },
            pending: VecDeque::new(),
            expires: Instant::now() + remaining,
            shutdown,
        };
        Ok(stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(response) => Some((Ok(response), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

fn topics(ids: &[McServiceId], groups: &HashMap<String, Told>) -> Vec<String> {
    ids.iter().map(user_topic).chain(groups.keys().map(|group| group_topic(group))).collect()
}

impl Watch {
    /// What is to be told next.
    async fn next(&mut self) -> Result<proto::WatchGroupsResponse, Error> {
        loop {
            if let Some(response) = self.pending.pop_front() {
                return Ok(response);
            }
            if let Phase::Snapshot { position, after } = &self.phase {
                let (position, after) = (*position, after.clone());
                self.snapshot(position, &after).await?;
                continue;
            }
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Error::Draining),
                () = tokio::time::sleep_until(self.expires) => return Err(Error::AccessTokenExpired),
                event = self.changes.next() => event,
            };
            match event {
                None => return Err(Error::Draining),
                Some(event) => self.heard(event?).await?,
            }
        }
    }

    async fn heard(&mut self, event: ChangeEvent) -> Result<(), Error> {
        match event {
            ChangeEvent::Position(position) if matches!(self.phase, Phase::Positioning) => {
                self.phase = Phase::Snapshot { position, after: String::new() };
            }
            ChangeEvent::Position(token) => self.tell(token, None),
            ChangeEvent::Change(change) => self.changed(&change).await?,
        }
        Ok(())
    }

    /// Tells the next page of what there is.
    async fn snapshot(&mut self, position: ResumeToken, after: &str) -> Result<(), Error> {
        let page = members::groups_of(&self.app.database, &self.ids, &[], after, PAGE).await?;
        for (group, members) in page.items {
            self.groups.insert(group.group.id.to_string(), Told::of(&group, &members));
            let event = Some(Event::Group(member_group(&group, &members)));
            self.pending.push_back(proto::WatchGroupsResponse { resume_token: String::new(), event });
        }
        self.phase = match page.next_after {
            Some(after) => Phase::Snapshot { position, after },
            None => {
                self.subscribe();
                self.tell(position, Some(Event::SnapshotComplete(proto::SnapshotComplete {})));
                Phase::Live
            }
        };
        Ok(())
    }

    async fn changed(&mut self, change: &Arc<Change>) -> Result<(), Error> {
        let told = proto::WatchGroupsResponse::decode(change.payload.clone())
            .map_err(|error| Error::Internal(format!("a stored change cannot be decoded: {error}")))?;
        let event = match told.event {
            Some(Event::ChangedGroup(group)) => self.group_changed(change, group),
            membership => self.membership_changed(change, membership).await?,
        };
        // The token alone where there is nothing to say: the place in the log is behind it all the same.
        self.tell(change.token, event);
        Ok(())
    }

    fn group_changed(&mut self, change: &Change, group: proto::Group) -> Option<Event> {
        let told = self.groups.get_mut(&change.document)?;
        (told.revision < change.version).then(|| {
            told.revision = change.version;
            Event::ChangedGroup(group)
        })
    }

    async fn membership_changed(
        &mut self,
        change: &Change,
        membership: Option<Event>,
    ) -> Result<Option<Event>, Error> {
        let id = change
            .document
            .parse()
            .map_err(|error| Error::Internal(format!("a stored change names no group: {error}")))?;
        let found = members::groups_of(&self.app.database, &self.ids, &[id], "", 1).await?;
        match found.items.first() {
            Some((group, members)) => {
                let now = Told::of(group, members);
                let before = self.groups.insert(change.document.clone(), now);
                if before.is_none() {
                    self.subscribe();
                }
                let is_known = before
                    .is_some_and(|before| before.members == now.members && before.revision == now.revision);
                Ok((!is_known).then(|| Event::Group(member_group(group, members))))
            }
            None => {
                if self.groups.remove(&change.document).is_some() {
                    self.subscribe();
                }
                // That she joined a group that she has left since is told by the change that says so.
                Ok(membership.filter(|event| matches!(event, Event::Left(_))))
            }
        }
    }

    fn subscribe(&self) {
        self.changes.handle().set_topics(topics(&self.ids, &self.groups));
    }

    fn tell(&mut self, token: ResumeToken, event: Option<Event>) {
        self.pending.push_back(proto::WatchGroupsResponse { resume_token: token.to_string(), event });
    }
}

pub(crate) fn member_group(group: &StoredGroup, members: &[Member]) -> proto::MemberGroup {
    proto::MemberGroup {
        group: Some(wire::group::encode(group)),
        members: members.iter().map(wire::member::encode).collect(),
    }
}
