//! One client's stream of what changes in the functional aliases that she may activate.
//!
//! She is subscribed to the topics of what she may activate and of each such alias. What the first ones tell is looked up at that moment, so
//! that she is told what holds now; the change feed then tells every change of the new alias since. An alias is never told in an older state
//! than she was told before.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use mcx_federation::access_token::AuthenticatedUser;
use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::watch_functional_aliases_response::Event;
use mcx_store::changes::{Change, ChangeEvent, ChangeStream, ResumeToken};
use mcx_types::McServiceId;
use prost::Message;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::App;
use super::changes::{VISITORS, alias_topic, user_topic};
use crate::domain::Asker;
use crate::error::Error;
use crate::wire;

/// How many functional aliases are read at once.
const PAGE: u32 = 100;

struct Watch {
    app: App,
    asker: Asker,
    changes: ChangeStream,
    /// What she may activate, each with the revision that she was told last; 0: not told in this stream.
    aliases: HashMap<String, i64>,
    phase: Phase,
    /// To be told before anything else happens.
    pending: VecDeque<proto::WatchFunctionalAliasesResponse>,
    expires: Instant,
    shutdown: CancellationToken,
}

enum Phase {
    /// The feed is about to say from where on it tells.
    Positioning,
    /// All behind `after` is still to be told.
    Snapshot {
        position: ResumeToken,
        after: String,
    },
    Live,
}

/// Who asks, as her access token says it.
pub(crate) fn asker(user: &AuthenticatedUser) -> Asker {
    if user.visitor_of.is_some() {
        return Asker::Visitor;
    }
    let mut ids: Vec<McServiceId> = user.service_ids.values().cloned().collect();
    ids.sort();
    ids.dedup();
    Asker::Own(ids)
}

impl App {
    /// The functional aliases that a user may activate and what changes in them, or what changed since `resume`.
    pub(crate) async fn watch_aliases(
        &self,
        user: &AuthenticatedUser,
        resume: Option<ResumeToken>,
        shutdown: CancellationToken,
    ) -> Result<
        impl Stream<Item = Result<proto::WatchFunctionalAliasesResponse, Error>> + Send + 'static,
        Error,
    > {
        let asker = asker(user);
        let mut aliases = HashMap::new();
        if resume.is_some() {
            let mut after = Some(String::new());
            while let Some(behind) = after {
                let page = self.list_for(&asker, &[], &behind, PAGE).await?;
                aliases.extend(page.items.iter().map(|stored| (stored.alias.to_string(), 0)));
                after = page.next_after;
            }
        }
        let changes = self.feed.subscribe(topics(&asker, &aliases), resume).await?;
        let remaining = user.expires_at.saturating_since(self.clock.now());
        let watch = Watch {
            app: self.clone(),
            asker,
            changes,
            aliases,
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

fn topics(asker: &Asker, aliases: &HashMap<String, i64>) -> Vec<String> {
    let mut topics: Vec<String> = match asker {
        Asker::Own(ids) => ids.iter().map(user_topic).collect(),
        Asker::Visitor => vec![VISITORS.to_owned()],
    };
    topics.extend(aliases.keys().map(|alias| alias_topic(alias)));
    topics
}

impl Watch {
    /// What is to be told next.
    async fn next(&mut self) -> Result<proto::WatchFunctionalAliasesResponse, Error> {
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
        let page = self.app.list_for(&self.asker, &[], after, PAGE).await?;
        for stored in page.items {
            self.aliases.insert(stored.alias.to_string(), stored.revision);
            let event = Some(Event::FunctionalAlias(wire::encode(&stored)));
            let told = proto::WatchFunctionalAliasesResponse { resume_token: String::new(), event };
            self.pending.push_back(told);
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
        let told = proto::WatchFunctionalAliasesResponse::decode(change.payload.clone())
            .map_err(|error| Error::Internal(format!("a stored change cannot be decoded: {error}")))?;
        let event = match told.event {
            Some(Event::FunctionalAlias(alias)) if !alias.functional_alias.is_empty() => {
                self.alias_changed(change, alias)
            }
            grant => self.grant_changed(change, grant).await?,
        };
        // The token alone where there is nothing to say: the place in the log is behind it all the same.
        self.tell(change.token, event);
        Ok(())
    }

    fn alias_changed(&mut self, change: &Change, alias: proto::FunctionalAlias) -> Option<Event> {
        let told = self.aliases.get_mut(&change.document)?;
        (*told < change.version).then(|| {
            *told = change.version;
            Event::FunctionalAlias(alias)
        })
    }

    async fn grant_changed(&mut self, change: &Change, grant: Option<Event>) -> Result<Option<Event>, Error> {
        let alias = change.document.parse().map_err(|error| {
            Error::Internal(format!("a stored change names no functional alias: {error}"))
        })?;
        let found = self.app.list_for(&self.asker, &[alias], "", 1).await?;
        match found.items.first() {
            Some(stored) => {
                let told = self.aliases.insert(change.document.clone(), stored.revision);
                if told.is_none() {
                    self.subscribe();
                }
                let is_known = told == Some(stored.revision);
                Ok((!is_known).then(|| Event::FunctionalAlias(wire::encode(stored))))
            }
            None => {
                if self.aliases.remove(&change.document).is_some() {
                    self.subscribe();
                }
                // That she might activate what she no longer may is told by the change that says so.
                Ok(grant.filter(|event| matches!(event, Event::RemovedFunctionalAlias(_))))
            }
        }
    }

    fn subscribe(&self) {
        self.changes.handle().set_topics(topics(&self.asker, &self.aliases));
    }

    fn tell(&mut self, token: ResumeToken, event: Option<Event>) {
        let resume_token = token.to_string();
        self.pending.push_back(proto::WatchFunctionalAliasesResponse { resume_token, event });
    }
}
