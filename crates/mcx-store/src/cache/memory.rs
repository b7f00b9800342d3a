//! The cache of a single replica, in the process. Time is Tokio's, so a paused clock pauses it too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use metrics::counter;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_stream::wrappers::BroadcastStream;

use super::{CHANNEL_CAPACITY, Notification, at_least_a_millisecond};

#[derive(Debug, Clone)]
pub(super) struct MemoryCache {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    max_entries: usize,
    entries: BTreeMap<Key, Entry>,
    /// The same keys by the time they expire: what to forget next.
    expiries: BTreeSet<(Instant, Key)>,
    channels: HashMap<String, broadcast::Sender<Bytes>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Value(Arc<str>),
    Counter(Arc<str>),
    Member { index: Arc<str>, member: Arc<str> },
}

#[derive(Debug)]
struct Entry {
    content: Content,
    expires: Instant,
}

#[derive(Debug)]
enum Content {
    Value(Bytes),
    Count(u64),
    Member,
}

impl State {
    /// Forgets everything that has expired.
    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((expires, key)) = self.expiries.pop_first() {
            if expires > now {
                self.expiries.insert((expires, key));
                return;
            }
            self.entries.remove(&key);
        }
    }

    fn put(&mut self, key: Key, content: Content, ttl: Duration) {
        self.remove(&key);
        while self.entries.len() >= self.max_entries {
            let Some((_, evicted)) = self.expiries.pop_first() else { break };
            self.entries.remove(&evicted);
            counter!("mcx_store_cache_evictions_total").increment(1);
        }
        let expires = Instant::now() + at_least_a_millisecond(ttl);
        self.expiries.insert((expires, key.clone()));
        self.entries.insert(key, Entry { content, expires });
    }

    fn remove(&mut self, key: &Key) -> Option<Content> {
        let entry = self.entries.remove(key)?;
        self.expiries.remove(&(entry.expires, key.clone()));
        Some(entry.content)
    }

    fn value(&self, key: &Key) -> Option<&Bytes> {
        match &self.entries.get(key)?.content {
            Content::Value(value) => Some(value),
            Content::Count(_) | Content::Member => None,
        }
    }
}

impl MemoryCache {
    pub(super) fn new(max_entries: usize) -> Self {
        let state = State {
            max_entries: max_entries.max(1),
            entries: BTreeMap::new(),
            expiries: BTreeSet::new(),
            channels: HashMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The state as of now.
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs between two changes that belong together, so a poisoned state is still sound.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expire();
        state
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.state().value(&value_key(key)).cloned()
    }

    pub(super) fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        self.state().put(value_key(key), Content::Value(value), ttl);
    }

    pub(super) fn take(&self, key: &str) -> Option<Bytes> {
        match self.state().remove(&value_key(key))? {
            Content::Value(value) => Some(value),
            Content::Count(_) | Content::Member => None,
        }
    }

    pub(super) fn delete(&self, key: &str) -> bool {
        self.take(key).is_some()
    }

    pub(super) fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Bytes,
        ttl: Duration,
    ) -> bool {
        let mut state = self.state();
        let key = value_key(key);
        let matches = state.value(&key).map(Bytes::as_ref) == expected;
        if matches {
            state.put(key, Content::Value(new), ttl);
        }
        matches
    }

    pub(super) fn increment(&self, counter: &str, window: Duration) -> u64 {
        let mut state = self.state();
        let key = Key::Counter(counter.into());
        if let Some(Entry { content: Content::Count(count), .. }) = state.entries.get_mut(&key) {
            *count += 1;
            return *count;
        }
        state.put(key, Content::Count(1), window);
        1
    }

    pub(super) fn index_put(&self, index: &str, member: &str, ttl: Duration) {
        self.state().put(member_key(index, member), Content::Member, ttl);
    }

    pub(super) fn index_remove(&self, index: &str, member: &str) {
        self.state().remove(&member_key(index, member));
    }

    pub(super) fn index_page(&self, index: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let state = self.state();
        let start = match after {
            Some(after) => Bound::Excluded(member_key(index, after)),
            None => Bound::Included(member_key(index, "")),
        };
        state
            .entries
            .range((start, Bound::Unbounded))
            .map_while(|(key, _)| match key {
                Key::Member { index: of, member } if **of == *index => Some(member.to_string()),
                _ => None,
            })
            .take(limit)
            .collect()
    }

    pub(super) fn publish(&self, channel: &str, message: Bytes) {
        let mut state = self.state();
        let Some(sender) = state.channels.get(channel) else { return };
        if sender.send(message).is_err() {
            // Its last subscriber is gone.
            state.channels.remove(channel);
        }
    }

    pub(super) fn subscribe(&self, channel: &str) -> BoxStream<'static, Notification> {
        let mut state = self.state();
        state.channels.retain(|_, sender| sender.receiver_count() > 0);
        let sender = state
            .channels
            .entry(channel.to_owned())
            .or_insert_with(|| broadcast::channel(CHANNEL_CAPACITY).0);
        let messages = BroadcastStream::new(sender.subscribe())
            // The only error is that this subscriber fell behind.
            .map(|message| message.map_or(Notification::Resync, Notification::Message));
        // The sender lives in the state, so the state has to live as long as the subscription.
        let alive = self.clone();
        stream::iter([Notification::Resync])
            .chain(messages)
            .map(move |notification| {
                let _alive = &alive;
                notification
            })
            .boxed()
    }
}

fn value_key(key: &str) -> Key {
    Key::Value(key.into())
}

fn member_key(index: &str, member: &str) -> Key {
    Key::Member { index: index.into(), member: member.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn full_cache_drops_the_entry_nearest_to_its_expiry() {
        let cache = MemoryCache::new(2);
        cache.set("soon", Bytes::from_static(b"1"), Duration::from_secs(60));
        cache.set("late", Bytes::from_static(b"2"), LONG);
        cache.set("new", Bytes::from_static(b"3"), LONG);
        assert_eq!(cache.get("soon"), None);
        assert!(cache.get("late").is_some() && cache.get("new").is_some());
    }

    #[test]
    fn expired_entries_leave_nothing_behind() {
        let cache = MemoryCache::new(1000);
        for number in 0..100 {
            cache.set(&format!("key {number}"), Bytes::new(), LONG);
            cache.index_put("index", &format!("member {number}"), LONG);
            cache.increment(&format!("counter {number}"), LONG);
        }
        let past = Instant::now();
        let mut state = cache.state();
        assert_eq!((state.entries.len(), state.expiries.len()), (300, 300));
        // Everything has expired an hour ago.
        state.expiries =
            std::mem::take(&mut state.expiries).into_iter().map(|(_, key)| (past, key)).collect();
        state.expire();
        assert_eq!((state.entries.len(), state.expiries.len()), (0, 0));
    }

    #[test]
    fn channels_without_subscribers_are_forgotten() {
        let cache = MemoryCache::new(10);
        drop(cache.subscribe("gone"));
        cache.publish("gone", Bytes::new());
        assert!(cache.state().channels.is_empty());
    }
}
