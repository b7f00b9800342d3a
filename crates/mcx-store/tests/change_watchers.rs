//! Ten thousand watchers of one replica: what they cost. A program of its own, since it measures its own memory.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::poll_immediate;
use mcx_store::changes::{
    Change, ChangeEvent, ChangeFeed, ChangeFeedConfig, ChangeStream, NewChange, append,
};
use mcx_store::{CacheConfig, Database, DatabaseConfig, Schema, SharedCache};
use sqlx::migrate::Migrator;
use tokio::task::JoinSet;
use tokio::time::timeout;

static POSTGRES: Migrator = sqlx::migrate!("tests/change_log/postgres");
static SQLITE: Migrator = sqlx::migrate!("tests/change_log/sqlite");
static SCHEMA: Schema = Schema { name: "change_test", postgres: &POSTGRES, sqlite: &SQLITE };

const WATCHERS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory of this process that is in use, in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

async fn next_change(stream: &mut ChangeStream) -> Arc<Change> {
    loop {
        let event = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        if let ChangeEvent::Change(change) = event {
            return change;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watchers_fit_into_two_kibibytes_each_and_share_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().display());
    let database = Database::open(&DatabaseConfig::from_url(url), &SCHEMA).unwrap();
    database.migrate().await.unwrap();
    let cache = SharedCache::open(&CacheConfig::from_url("memory:"), "test").unwrap();
    let feed = ChangeFeed::start(database.clone(), cache, "changes", ChangeFeedConfig::default());
    drop(feed.subscribe(["group/1".to_owned()], None).await.unwrap());

    let before = resident_bytes();
    let mut streams = Vec::with_capacity(WATCHERS);
    for user in 0..WATCHERS {
        let topics = [
            "group/1".to_owned(),
            format!("user/sip:user-{user}@alpha.example"),
            "service-configuration".to_owned(),
        ];
        let mut stream = feed.subscribe(topics, None).await.unwrap();
        // To its position, and then to where it waits.
        assert!(stream.next().await.unwrap().is_ok());
        assert!(poll_immediate(stream.next()).await.is_none());
        streams.push(stream);
    }
    let each = resident_bytes().saturating_sub(before) / WATCHERS;
    assert!(each < 2048, "{each} bytes for each watcher");

    // A change of one kilobyte for each watcher would be ten megabytes.
    let watching: JoinSet<Arc<Change>> =
        streams.into_iter().map(|mut stream| async move { next_change(&mut stream).await }).collect();
    let change = NewChange {
        topic: "group/1".to_owned(),
        document: "1".to_owned(),
        version: 1,
        payload: vec![7; 1024].into(),
    };
    let mut transaction = database.begin().await.unwrap();
    let last = append(&mut transaction, &[change], 0).await.unwrap();
    transaction.commit().await.unwrap();
    feed.announce(last);
    let told = timeout(PATIENCE, watching.join_all()).await.unwrap();
    assert_eq!(told.len(), WATCHERS);
    assert!(told.iter().all(|change| Arc::ptr_eq(change, &told[0])));
}
