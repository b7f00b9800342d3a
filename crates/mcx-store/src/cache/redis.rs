//! The cache of many replicas, in Redis 7 or later.
//!
//! What must be one step runs as a Lua script; expiry within an index is judged by Redis's own clock, so replicas whose
//! clocks differ agree.

mod subscription;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo, ProtocolVersion, RedisError, Script, ScriptInvocation,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use super::{CacheError, Notification, at_least_a_millisecond};
use crate::config::OpenError;

/// While Redis is away a connection is tried this often for the requests that ask; they fail until one holds.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

/// KEYS: value. ARGV: expected, new, milliseconds to live.
static COMPARE_AND_SET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then
             redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
             return 1
         end
         return 0",
    )
});

/// KEYS: counter. ARGV: milliseconds of the window.
static INCREMENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('INCR', KEYS[1])
         if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
         return count",
    )
});

/// KEYS: members (all of score 0, so ordered by bytes), expiries (score: milliseconds since the epoch). ARGV: member,
/// milliseconds to live. Both sets last as long as their longest member.
static INDEX_PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local expires = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
         redis.call('ZADD', KEYS[1], 0, ARGV[1])
         redis.call('ZADD', KEYS[2], expires, ARGV[1])
         for _, key in ipairs(KEYS) do
             if redis.call('PEXPIRE', key, ARGV[2], 'NX') == 0 then redis.call('PEXPIRE', key, ARGV[2], 'GT') end
         end
         return 0",
    )
});

/// KEYS: members, expiries. ARGV: lower bound, limit.
static INDEX_PAGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         repeat
             local expired = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1000)
             if #expired > 0 then
                 redis.call('ZREM', KEYS[1], unpack(expired))
                 redis.call('ZREM', KEYS[2], unpack(expired))
             end
         until #expired == 0
         return redis.call('ZRANGE', KEYS[1], ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])",
    )
});

#[derive(Clone)]
pub(super) struct RedisCache {
    client: Client,
    connection: ConnectionManager,
    prefix: Arc<str>,
    response_timeout: Duration,
}

impl RedisCache {
    pub(super) fn open(
        url: &SecretString,
        prefix: &str,
        response_timeout: Duration,
    ) -> Result<Self, OpenError> {
        let invalid = |_: RedisError| OpenError::UrlInvalid { expected: "redis://user:password@host:6379/0" };
        let info = url.expose_secret().into_connection_info().map_err(invalid)?;
        // Version 3 lets the connection notice a disconnect before the next command runs into it.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(invalid)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(RECONNECT_DELAY)
            .set_connection_timeout(Some(response_timeout))
            .set_response_timeout(Some(response_timeout));
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(invalid)?;
        Ok(Self { client, connection, prefix: prefix.into(), response_timeout })
    }

    fn key(&self, space: &str, name: &str) -> String {
        format!("{}:{space}:{name}", self.prefix)
    }

    /// Both keys of an index; the braces keep them on one node of a Redis cluster.
    fn index_keys(&self, index: &str) -> [String; 2] {
        [
            format!("{}:index:{{{index}}}:members", self.prefix),
            format!("{}:index:{{{index}}}:expiries", self.prefix),
        ]
    }

    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        bounded(self.response_timeout, command.query_async(&mut connection)).await
    }

    async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        bounded(self.response_timeout, script.invoke_async(&mut connection)).await
    }

    pub(super) async fn ping(&self) -> Result<(), CacheError> {
        self.query(&redis::cmd("PING")).await
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.query(redis::cmd("GET").arg(self.key("value", key))).await
    }

    pub(super) async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        let mut command = redis::cmd("SET");
        command.arg(self.key("value", key)).arg(&value[..]).arg("PX").arg(milliseconds(ttl));
        self.query(&command).await
    }

    pub(super) async fn take(&self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.query(redis::cmd("GETDEL").arg(self.key("value", key))).await
    }

    pub(super) async fn delete(&self, key: &str) -> Result<bool, CacheError> {
        self.query(redis::cmd("DEL").arg(self.key("value", key))).await
    }

    pub(super) async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Bytes,
        ttl: Duration,
    ) -> Result<bool, CacheError> {
        let key = self.key("value", key);
        let Some(expected) = expected else {
            let mut command = redis::cmd("SET");
            command.arg(key).arg(&new[..]).arg("NX").arg("PX").arg(milliseconds(ttl));
            let stored: Option<String> = self.query(&command).await?;
            return Ok(stored.is_some());
        };
        let mut script = COMPARE_AND_SET.prepare_invoke();
        script.key(key).arg(expected).arg(&new[..]).arg(milliseconds(ttl));
        self.invoke(&script).await
    }

    pub(super) async fn increment(&self, counter: &str, window: Duration) -> Result<u64, CacheError> {
        let mut script = INCREMENT.prepare_invoke();
        script.key(self.key("counter", counter)).arg(milliseconds(window));
        self.invoke(&script).await
    }

    pub(super) async fn index_put(&self, index: &str, member: &str, ttl: Duration) -> Result<(), CacheError> {
        let mut script = INDEX_PUT.prepare_invoke();
        script.key(&self.index_keys(index)[..]).arg(member).arg(milliseconds(ttl));
        self.invoke(&script).await
    }

    pub(super) async fn index_remove(&self, index: &str, member: &str) -> Result<(), CacheError> {
        let [members, expiries] = self.index_keys(index);
        let mut connection = self.connection.clone();
        let mut pipeline = redis::pipe();
        pipeline.atomic().zrem(members, member).ignore().zrem(expiries, member).ignore();
        bounded(self.response_timeout, pipeline.query_async(&mut connection)).await
    }

    pub(super) async fn index_page(
        &self,
        index: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, CacheError> {
        let lower_bound = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut script = INDEX_PAGE.prepare_invoke();
        script.key(&self.index_keys(index)[..]).arg(lower_bound).arg(limit);
        self.invoke(&script).await
    }

    pub(super) async fn publish(&self, channel: &str, message: Bytes) -> Result<(), CacheError> {
        self.query(redis::cmd("PUBLISH").arg(self.key("channel", channel)).arg(&message[..])).await
    }

    pub(super) fn subscribe(&self, channel: &str) -> BoxStream<'static, Notification> {
        subscription::subscribe(self.client.clone(), self.key("channel", channel), self.response_timeout)
    }
}

impl std::fmt::Debug for RedisCache {
    /// Without the client, whose address may hold a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RedisCache").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The whole exchange, connecting and a retry of it included, ends in time.
async fn bounded<T>(
    response_timeout: Duration,
    exchange: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, CacheError> {
    match timeout(response_timeout, exchange).await {
        Ok(outcome) => outcome.map_err(classify),
        Err(_) => Err(CacheError::Unavailable),
    }
}

/// Redis reports the key or the script in its texts, never a value.
fn classify(error: RedisError) -> CacheError {
    let ours = matches!(
        error.kind(),
        redis::ErrorKind::UnexpectedReturnType
            | redis::ErrorKind::Parse
            | redis::ErrorKind::Client
            | redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError)
    ) && !error.is_unrecoverable_error();
    if ours {
        tracing::error!(%error, "shared cache operation failed");
        return CacheError::Internal;
    }
    if error.is_io_error() {
        tracing::debug!(%error, "shared cache unavailable");
    } else {
        tracing::warn!(%error, "shared cache refuses work");
    }
    CacheError::Unavailable
}

fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(at_least_a_millisecond(ttl).as_millis()).unwrap_or(u64::MAX)
}
