//! One empty change log per test, with as many replicas as the test starts.

use std::time::Duration;

use futures::StreamExt;
use mcx_store::changes::{
    Change, ChangeEvent, ChangeFeed, ChangeFeedConfig, ChangeStream, NewChange, ResumeToken, Sequence,
    SubscribeError, append,
};
use mcx_store::{Database, DatabaseConfig, Schema, SharedCache};
use sqlx::migrate::Migrator;
use tokio::time::timeout;

use crate::fixture::{EmptyCache, EmptyDatabase};

static POSTGRES: Migrator = sqlx::migrate!("tests/change_log/postgres");
static SQLITE: Migrator = sqlx::migrate!("tests/change_log/sqlite");
static SCHEMA: Schema = Schema { name: "change_test", postgres: &POSTGRES, sqlite: &SQLITE };

/// No event may take longer, by far.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const NEVER: Duration = Duration::from_secs(1 << 30);
pub(crate) const SOON: Duration = Duration::from_millis(1);

/// A feed that learns of changes by announcements alone.
pub(crate) fn announced_only() -> ChangeFeedConfig {
    ChangeFeedConfig { poll_interval: NEVER, position_interval: NEVER, ..ChangeFeedConfig::default() }
}

/// A feed that remembers next to nothing, so that its streams read the log.
pub(crate) fn forgetful() -> ChangeFeedConfig {
    ChangeFeedConfig { window_bytes: 0, ..announced_only() }
}

/// What the replicas of a service share.
pub(crate) struct Log {
    pub(crate) database: Database,
    pub(crate) cache: SharedCache,
    _empty: EmptyDatabase,
}

impl Log {
    pub(crate) async fn new(empty: EmptyDatabase, cache: EmptyCache) -> Self {
        let database = open(&empty.config);
        database.migrate().await.unwrap();
        Self { database, cache: cache.open(), _empty: empty }
    }

    /// Another replica.
    pub(crate) fn feed(&self, config: ChangeFeedConfig) -> ChangeFeed {
        ChangeFeed::start(self.database.clone(), self.cache.clone(), "changes", config)
    }

    /// Commits a change of each document, to the topic of the same name.
    pub(crate) async fn write(&self, documents: &[(&str, i64)]) -> Sequence {
        self.write_at(0, documents).await
    }

    pub(crate) async fn write_at(&self, now_micros: i64, documents: &[(&str, i64)]) -> Sequence {
        let changes: Vec<NewChange> =
            documents.iter().map(|(document, version)| change(document, *version)).collect();
        let mut transaction = self.database.begin().await.unwrap();
        let last = append(&mut transaction, &changes, now_micros).await.unwrap();
        transaction.commit().await.unwrap();
        last
    }

    /// Commits versions `versions` of one document, each on its own.
    pub(crate) async fn write_versions(
        &self,
        document: &str,
        versions: std::ops::RangeInclusive<i64>,
    ) -> Sequence {
        let mut last = None;
        for version in versions {
            last = Some(self.write(&[(document, version)]).await);
        }
        last.unwrap()
    }
}

pub(crate) fn open(config: &DatabaseConfig) -> Database {
    Database::open(config, &SCHEMA).unwrap()
}

pub(crate) fn change(document: &str, version: i64) -> NewChange {
    NewChange {
        topic: document.to_owned(),
        document: document.to_owned(),
        version,
        payload: vec![0xff, version as u8].into(),
    }
}

pub(crate) async fn subscribe(
    feed: &ChangeFeed,
    topics: &[&str],
    after: Option<ResumeToken>,
) -> Result<ChangeStream, SubscribeError> {
    timeout(PATIENCE, feed.subscribe(topics.iter().map(|topic| topic.to_string()), after)).await.unwrap()
}

/// A stream from now on, its first position taken.
pub(crate) async fn follow(feed: &ChangeFeed, topics: &[&str]) -> (ChangeStream, ResumeToken) {
    let mut stream = subscribe(feed, topics, None).await.unwrap();
    match event(&mut stream).await {
        ChangeEvent::Position(token) => (stream, token),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn item(stream: &mut ChangeStream) -> Option<Result<ChangeEvent, SubscribeError>> {
    timeout(PATIENCE, stream.next()).await.expect("an event")
}

pub(crate) async fn event(stream: &mut ChangeStream) -> ChangeEvent {
    item(stream).await.unwrap().unwrap()
}

/// The next change, whatever positions come before it.
pub(crate) async fn next_change(stream: &mut ChangeStream) -> std::sync::Arc<Change> {
    loop {
        if let ChangeEvent::Change(change) = event(stream).await {
            return change;
        }
    }
}

pub(crate) async fn next_position(stream: &mut ChangeStream) -> ResumeToken {
    match event(stream).await {
        ChangeEvent::Position(token) => token,
        other => panic!("{other:?}"),
    }
}

/// Documents and versions of the next `count` changes.
pub(crate) async fn told(stream: &mut ChangeStream, count: usize) -> Vec<(String, i64)> {
    let mut told = Vec::with_capacity(count);
    while told.len() < count {
        let change = next_change(stream).await;
        told.push((change.document.clone(), change.version));
    }
    told
}

pub(crate) fn versions(document: &str, versions: impl IntoIterator<Item = i64>) -> Vec<(String, i64)> {
    versions.into_iter().map(|version| (document.to_owned(), version)).collect()
}

/// Makes each test once per pair of engines.
macro_rules! on_every_log {
    ($($name:ident),* $(,)?) => {
        $crate::changes::fixture::on_log!(sqlite_memory, sqlite, memory, $($name),*);
        $crate::changes::fixture::on_log!(sqlite_redis, sqlite, redis, $($name),*);
        $crate::changes::fixture::on_log!(postgres_memory, postgres, memory, $($name),*);
        $crate::changes::fixture::on_log!(postgres_redis, postgres, redis, $($name),*);
    };
}
pub(crate) use on_every_log;

/// Makes each test once per database, where the cache makes no difference.
macro_rules! on_every_log_database {
    ($($name:ident),* $(,)?) => {
        $crate::changes::fixture::on_log!(sqlite, sqlite, memory, $($name),*);
        $crate::changes::fixture::on_log!(postgres, postgres, memory, $($name),*);
    };
}
pub(crate) use on_every_log_database;

macro_rules! on_log {
    ($pair:ident, $database:ident, $cache:ident, $($name:ident),*) => {
        mod $pair {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let database = $crate::fixture::EmptyDatabase::$database();
                    let cache = $crate::fixture::EmptyCache::$cache();
                    super::$name($crate::changes::fixture::Log::new(database, cache).await).await;
                }
            )*
        }
    };
}
pub(crate) use on_log;
