//! The latest changes, in memory, and who has been told how much of them. Pure state: no input, no output, no clock.
//!
//! Every change after `floor` is here once, whatever its topic, and again by topic as a pointer. A stream keeps no
//! changes of its own, only how far it has come: telling a change to many streams wakes them, and each fetches the
//! pointer when it is polled. A stream that has fallen behind the window reads what it misses from the log.

mod topic;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::log::LogPage;
use super::{Change, ChangeEvent, ResumeToken, SubscribeError};
use topic::Topic;

/// What a change occupies beside its texts and payload, roughly: itself, its two pointers and their shares of the maps.
const CHANGE_OVERHEAD: usize = 256;

#[derive(Debug)]
pub(super) struct Window {
    log_id: i64,
    /// Everything up to here has been read.
    dispatched: i64,
    /// Everything after this, up to `dispatched`, is in the window.
    floor: i64,
    /// In order.
    recent: VecDeque<Arc<Change>>,
    bytes: usize,
    capacity_bytes: usize,
    topics: HashMap<Arc<str>, Topic>,
    subscribers: HashMap<u64, Subscriber>,
    next_subscriber: u64,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    topics: Arc<[Arc<str>]>,
    /// Every change of the topics up to here has been told or is in `unread`.
    seen: i64,
    /// The token of the last event told, and so where the client would resume.
    told: i64,
    /// Read from the log, not yet told.
    unread: VecDeque<Arc<Change>>,
    position: PositionDue,
    /// Counts changes of the topics: what was read from the log for earlier ones is void.
    generation: u64,
    failure: Option<SubscribeError>,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PositionDue {
    BeforeAnythingElse,
    WhenCaughtUp,
    No,
}

/// What a stream misses in the window.
#[derive(Debug, Clone)]
pub(super) struct LogRequest {
    pub(super) topics: Arc<[Arc<str>]>,
    pub(super) after: i64,
    generation: u64,
}

/// What a stream does next.
#[derive(Debug)]
pub(super) enum Next {
    Tell(Result<ChangeEvent, SubscribeError>),
    Read(LogRequest),
    /// Its waker will be called.
    Wait,
    End,
}

impl Window {
    pub(super) fn new(capacity_bytes: usize) -> Self {
        Self {
            log_id: 0,
            dispatched: 0,
            floor: 0,
            recent: VecDeque::new(),
            bytes: 0,
            capacity_bytes,
            topics: HashMap::new(),
            subscribers: HashMap::new(),
            next_subscriber: 0,
            closed: false,
        }
    }

    pub(super) fn dispatched(&self) -> i64 {
        self.dispatched
    }

    pub(super) fn subscribers(&self) -> usize {
        self.subscribers.len()
    }

    pub(super) fn token(&self, sequence: i64) -> ResumeToken {
        ResumeToken { log_id: self.log_id, sequence }
    }

    /// Begins anew, with the log from `dispatched` on; whoever has subscribed to the log as it was is told that it is no
    /// more. Returns whom to wake.
    pub(super) fn restart(&mut self, log_id: i64, dispatched: i64) -> Vec<Waker> {
        let failure = if log_id == self.log_id {
            SubscribeError::Future { last: self.token(dispatched) }
        } else {
            SubscribeError::Foreign
        };
        for subscriber in self.subscribers.values_mut() {
            subscriber.failure = Some(failure.clone());
        }
        self.log_id = log_id;
        self.dispatched = dispatched;
        self.forget_through(dispatched);
        self.everybody()
    }

    /// Takes in the next page of the log. Returns whom to wake.
    pub(super) fn route(&mut self, page: LogPage) -> Vec<Waker> {
        if page.log_id != self.log_id || page.last_sequence < self.dispatched {
            return self.restart(page.log_id, page.last_sequence);
        }
        let mut wakers = Vec::new();
        if page.compacted_through > self.dispatched {
            // Changes were removed before they were read here: each stream asks the log what this means for it.
            self.forget_through(page.compacted_through);
            self.dispatched = page.compacted_through;
            wakers = self.everybody();
        }
        let mut touched = HashSet::new();
        for change in page.changes {
            if change.token.sequence <= self.dispatched {
                continue;
            }
            self.dispatched = change.token.sequence;
            self.bytes += size(&change);
            let floor = self.floor;
            let topic = self.topics.entry(change.topic.clone()).or_insert_with(|| Topic::new(floor));
            topic.recent.push_back(change.clone());
            touched.insert(change.topic.clone());
            self.recent.push_back(change);
            self.evict();
        }
        self.dispatched = self.dispatched.max(page.covered_through);
        for topic in touched.iter().filter_map(|topic| self.topics.get(topic)) {
            for subscriber in &topic.subscribers {
                let waker =
                    self.subscribers.get_mut(subscriber).and_then(|subscriber| subscriber.waker.take());
                wakers.extend(waker);
            }
        }
        wakers
    }

    /// Makes room. The newest change stays however large it is, so that its watchers do not all go to the log.
    fn evict(&mut self) {
        while self.bytes > self.capacity_bytes && self.recent.len() > 1 {
            let Some(evicted) = self.recent.pop_front() else { return };
            self.bytes -= size(&evicted);
            self.floor = evicted.token.sequence;
            let Some(topic) = self.topics.get_mut(&evicted.topic) else { continue };
            // The oldest of all is the oldest of its topic.
            topic.recent.pop_front();
            topic.complete_since = self.floor;
            if topic.is_idle() {
                self.topics.remove(&evicted.topic);
            }
        }
    }

    fn forget_through(&mut self, sequence: i64) {
        self.recent.clear();
        self.bytes = 0;
        self.floor = sequence;
        self.topics.retain(|_, topic| {
            topic.recent.clear();
            topic.complete_since = sequence;
            !topic.is_idle()
        });
    }

    fn everybody(&mut self) -> Vec<Waker> {
        self.subscribers.values_mut().filter_map(|subscriber| subscriber.waker.take()).collect()
    }

    /// Lets each stream tell its position that has not told anything as recent. Returns whom to wake.
    pub(super) fn tell_positions(&mut self) -> Vec<Waker> {
        let dispatched = self.dispatched;
        let behind = self.subscribers.values_mut().filter(|subscriber| subscriber.told < dispatched);
        behind
            .filter_map(|subscriber| {
                if subscriber.position == PositionDue::No {
                    subscriber.position = PositionDue::WhenCaughtUp;
                }
                subscriber.waker.take()
            })
            .collect()
    }

    /// Ends every stream. Returns whom to wake.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        self.everybody()
    }

    pub(super) fn subscribe(
        &mut self,
        topics: impl IntoIterator<Item = String>,
        after: Option<ResumeToken>,
    ) -> Result<u64, SubscribeError> {
        if self.closed {
            return Err(SubscribeError::Unavailable);
        }
        let (start, position) = match after {
            None => (self.dispatched, PositionDue::BeforeAnythingElse),
            Some(token) if token.log_id != self.log_id => return Err(SubscribeError::Foreign),
            Some(token) => (token.sequence, PositionDue::WhenCaughtUp),
        };
        let id = self.next_subscriber;
        self.next_subscriber += 1;
        let topics = self.join(id, topics);
        let subscriber = Subscriber {
            topics,
            seen: start,
            told: start,
            unread: VecDeque::new(),
            position,
            generation: 0,
            failure: None,
            waker: None,
        };
        self.subscribers.insert(id, subscriber);
        Ok(id)
    }

    /// As if the client had come back with the token last told and these topics. Returns whom to wake.
    pub(super) fn set_topics(&mut self, id: u64, topics: impl IntoIterator<Item = String>) -> Option<Waker> {
        let former = self.subscribers.get(&id)?.topics.clone();
        let topics = self.join(id, topics);
        for topic in former.iter().filter(|topic| !topics.contains(topic)) {
            self.leave(id, topic);
        }
        let subscriber = self.subscribers.get_mut(&id)?;
        subscriber.topics = topics;
        subscriber.seen = subscriber.told;
        subscriber.unread = VecDeque::new();
        subscriber.generation += 1;
        if subscriber.position == PositionDue::No {
            subscriber.position = PositionDue::WhenCaughtUp;
        }
        subscriber.waker.take()
    }

    pub(super) fn unsubscribe(&mut self, id: u64) {
        let Some(subscriber) = self.subscribers.remove(&id) else { return };
        for topic in subscriber.topics.iter() {
            self.leave(id, topic);
        }
    }

    /// Puts the stream into topics, which it may be in already. The names are shared by all.
    fn join(&mut self, id: u64, topics: impl IntoIterator<Item = String>) -> Arc<[Arc<str>]> {
        let mut joined: Vec<Arc<str>> = Vec::new();
        for name in topics {
            let name = match self.topics.get_key_value(name.as_str()) {
                Some((name, _)) => name.clone(),
                None => name.into(),
            };
            let floor = self.floor;
            let topic = self.topics.entry(name.clone()).or_insert_with(|| Topic::new(floor));
            topic.subscribers.insert(id);
            joined.push(name);
        }
        joined.sort_unstable();
        joined.dedup();
        joined.into()
    }

    fn leave(&mut self, id: u64, name: &Arc<str>) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.subscribers.remove(&id);
        if topic.is_idle() {
            self.topics.remove(name);
        }
    }

    /// What the stream has to read in the log before anything else can be told.
    pub(super) fn missing(&self, id: u64) -> Option<LogRequest> {
        let subscriber = self.subscribers.get(&id)?;
        let behind = subscriber
            .topics
            .iter()
            .filter_map(|topic| self.topics.get(topic))
            .any(|topic| topic.complete_since > subscriber.seen);
        behind.then(|| subscriber.request())
    }

    /// What to read in the log before the stream is granted: what it misses, or a proof that its token is of this log.
    /// Another replica may have read further than this one.
    pub(super) fn to_check(&self, id: u64) -> Option<LogRequest> {
        let subscriber = self.subscribers.get(&id)?;
        let ahead = subscriber.seen > self.dispatched;
        self.missing(id).or_else(|| ahead.then(|| subscriber.request()))
    }

    /// Takes in what was read in the log for a stream.
    pub(super) fn deliver(
        &mut self,
        id: u64,
        request: &LogRequest,
        page: LogPage,
    ) -> Result<(), SubscribeError> {
        let log_id = self.log_id;
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Ok(()) };
        if subscriber.generation != request.generation {
            return Ok(());
        }
        if page.log_id != log_id {
            return Err(SubscribeError::Foreign);
        }
        if page.last_sequence < request.after {
            return Err(SubscribeError::Future { last: page.token(page.last_sequence) });
        }
        if page.compacted_through > request.after {
            return Err(SubscribeError::Compacted { oldest: page.token(page.compacted_through) });
        }
        subscriber.seen = page.covered_through;
        subscriber.unread.extend(page.changes);
        Ok(())
    }

    /// What the stream tells or does next; where it is to wait, `waker` is kept.
    pub(super) fn next(&mut self, id: u64, waker: &Waker) -> Next {
        let missing = self.missing(id);
        let (log_id, dispatched) = (self.log_id, self.dispatched);
        let Some(subscriber) = self.subscribers.get_mut(&id) else { return Next::End };
        if self.closed {
            return Next::End;
        }
        if let Some(failure) = subscriber.failure.take() {
            return Next::Tell(Err(failure));
        }
        let position = |sequence| Next::Tell(Ok(ChangeEvent::Position(ResumeToken { log_id, sequence })));
        if subscriber.position == PositionDue::BeforeAnythingElse {
            subscriber.position = PositionDue::No;
            return position(subscriber.told);
        }
        if let Some(change) = subscriber.unread.pop_front() {
            subscriber.told = change.token.sequence;
            return Next::Tell(Ok(ChangeEvent::Change(change)));
        }
        if let Some(missing) = missing {
            return Next::Read(missing);
        }
        let first_unseen = subscriber
            .topics
            .iter()
            .filter_map(|topic| self.topics.get(topic)?.first_after(subscriber.seen))
            .min_by_key(|change| change.token.sequence);
        if let Some(change) = first_unseen {
            subscriber.seen = change.token.sequence;
            subscriber.told = change.token.sequence;
            return Next::Tell(Ok(ChangeEvent::Change(change.clone())));
        }
        subscriber.seen = subscriber.seen.max(dispatched);
        if subscriber.position == PositionDue::WhenCaughtUp {
            subscriber.position = PositionDue::No;
            subscriber.told = subscriber.seen;
            return position(subscriber.told);
        }
        subscriber.waker = Some(waker.clone());
        Next::Wait
    }
}

impl Subscriber {
    fn request(&self) -> LogRequest {
        LogRequest { topics: self.topics.clone(), after: self.seen, generation: self.generation }
    }
}

fn size(change: &Change) -> usize {
    CHANGE_OVERHEAD + change.topic.len() + change.document.len() + change.payload.len()
}

#[cfg(test)]
mod tests;
