//! What replicas of a service share and may lose: one handle for both cache engines.
//!
//! Losing the cache degrades and never corrupts: every entry expires, and nothing durable depends on one.

mod memory;
mod redis;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use metrics::histogram;
use tokio::time::Instant;

use crate::config::{CacheConfig, CacheUrl, OpenError};

/// Messages a subscriber may be behind before it misses some and is told so.
const CHANNEL_CAPACITY: usize = 1024;

/// Why a cache operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The cache cannot be reached or took too long. Whether a change took effect is unknown.
    #[error("the shared cache is unavailable")]
    Unavailable,
    /// A mistake of ours, such as a key of another kind. The detail is in the log only.
    #[error("internal cache error")]
    Internal,
}

/// What a [`Subscription`] yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A published message.
    Message(Bytes),
    /// The subscription is in effect from here on, but messages before this may have been missed: look at the state
    /// itself. First item of every subscription, and again after each interruption.
    Resync,
}

/// The messages of one channel, without end: it outlives outages of the cache.
pub struct Subscription(BoxStream<'static, Notification>);

impl Stream for Subscription {
    type Item = Notification;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.0.as_mut().poll_next(context)
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// A cache shared by the replicas of a service. Clones share it too.
///
/// Keys, indexes, counters and channels live in separate spaces. Every entry has a time to live; below a millisecond it
/// is taken as one millisecond.
#[derive(Debug, Clone)]
pub struct SharedCache {
    engine: CacheEngine,
}

#[derive(Debug, Clone)]
enum CacheEngine {
    Memory(memory::MemoryCache),
    Redis(redis::RedisCache),
}

/// Runs the operation on either engine, measured.
macro_rules! operate {
    ($cache:ident, $name:literal, $engine:ident => $operation:expr) => {
        match &$cache.engine {
            CacheEngine::Memory($engine) => measured("memory", $name, async { Ok($operation) }).await,
            CacheEngine::Redis($engine) => measured("redis", $name, async { $operation.await }).await,
        }
    };
}

impl SharedCache {
    /// Prepares the cache. `prefix` keeps what several MC systems and entities store in one Redis apart, such as
    /// `alpha.example/sip-core`. Nothing is contacted yet, so a service starts while Redis is away; call from within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// Settings that can never work.
    pub fn open(config: &CacheConfig, prefix: &str) -> Result<Self, OpenError> {
        let engine = match config.resolve()? {
            CacheUrl::Memory => CacheEngine::Memory(memory::MemoryCache::new(config.max_entries)),
            CacheUrl::Redis(url) => {
                CacheEngine::Redis(redis::RedisCache::open(&url, prefix, config.response_timeout)?)
            }
        };
        Ok(Self { engine })
    }

    /// The value under `key`, unless it has expired.
    ///
    /// # Errors
    /// [`CacheError`], as for every operation.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        operate!(self, "get", engine => engine.get(key))
    }

    /// Stores `value` under `key`, whatever was there.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn set(&self, key: &str, value: impl Into<Bytes>, ttl: Duration) -> Result<(), CacheError> {
        let value = value.into();
        operate!(self, "set", engine => engine.set(key, value, ttl))
    }

    /// Stores `value` under `key` if there is none, and tells whether it did.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn set_if_absent(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        ttl: Duration,
    ) -> Result<bool, CacheError> {
        let value = value.into();
        operate!(self, "set_if_absent", engine => engine.compare_and_set(key, None, value, ttl))
    }

    /// Removes the value under `key` and returns it; of concurrent callers exactly one gets it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn take(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        operate!(self, "take", engine => engine.take(key))
    }

    /// Removes the value under `key` and tells whether there was one.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn delete(&self, key: &str) -> Result<bool, CacheError> {
        operate!(self, "delete", engine => engine.delete(key))
    }

    /// Stores `new` under `key` if exactly `expected` (`None`: nothing) is there, and tells whether it did.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: impl Into<Bytes>,
        ttl: Duration,
    ) -> Result<bool, CacheError> {
        let new = new.into();
        operate!(self, "compare_and_set", engine => engine.compare_and_set(key, expected, new, ttl))
    }

    /// Counts one more event in the window that the first event opens and that lasts `window`, and returns the count.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn increment(&self, counter: &str, window: Duration) -> Result<u64, CacheError> {
        operate!(self, "increment", engine => engine.increment(counter, window))
    }

    /// Puts `member` into `index`, or renews it.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn index_put(&self, index: &str, member: &str, ttl: Duration) -> Result<(), CacheError> {
        operate!(self, "index_put", engine => engine.index_put(index, member, ttl))
    }

    /// Removes `member` from `index`.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        operate!(self, "index_remove", engine => engine.index_remove(index, member))
    }

    /// The first `limit` members of `index` after `after` (`None`: from the start) in byte order, none of them expired.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn index_page(
        &self,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, CacheError> {
        operate!(self, "index_page", engine => engine.index_page(index, after, limit))
    }

    /// Sends `message` to whoever is subscribed to `channel` now.
    ///
    /// # Errors
    /// [`CacheError`].
    pub async fn publish(&self, channel: &str, message: impl Into<Bytes>) -> Result<(), CacheError> {
        let message = message.into();
        operate!(self, "publish", engine => engine.publish(channel, message))
    }

    /// The messages published to `channel` from now on. Each subscription holds a connection of its own, so keep one per
    /// channel and process.
    pub fn subscribe(&self, channel: &str) -> Subscription {
        Subscription(match &self.engine {
            CacheEngine::Memory(engine) => engine.subscribe(channel),
            CacheEngine::Redis(engine) => engine.subscribe(channel),
        })
    }

    /// Asks the cache for a sign of life.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`] when there is none in time.
    pub async fn ping(&self) -> Result<(), CacheError> {
        match &self.engine {
            CacheEngine::Memory(_) => Ok(()),
            CacheEngine::Redis(engine) => measured("redis", "ping", engine.ping()).await,
        }
    }
}

async fn measured<T>(
    engine: &'static str,
    operation: &'static str,
    exchange: impl Future<Output = Result<T, CacheError>>,
) -> Result<T, CacheError> {
    let begun = Instant::now();
    let outcome = exchange.await;
    let label = match &outcome {
        Ok(_) => "ok",
        Err(CacheError::Unavailable) => "unavailable",
        Err(CacheError::Internal) => "internal",
    };
    histogram!(
        "mcx_store_cache_operation_duration_seconds",
        "engine" => engine,
        "operation" => operation,
        "outcome" => label,
    )
    .record(begun.elapsed());
    outcome
}

/// Redis knows no shorter time to live than a millisecond, and neither engine shall differ.
fn at_least_a_millisecond(ttl: Duration) -> Duration {
    ttl.max(Duration::from_millis(1))
}
