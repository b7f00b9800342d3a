//! Caches and databases that go away, are restored, or belong to a service that stops.

use std::time::Duration;

use futures::StreamExt;
use mcx_store::changes::{ChangeFeed, ChangeFeedConfig, SubscribeError};
use mcx_store::{CacheConfig, DatabaseConfig, SharedCache};
use mcx_testkit::{PostgresOptions, PostgresServer, RedisServer};

use super::fixture::{
    Log, SOON, announced_only, change, follow, forgetful, item, on_every_log_database, open, subscribe, told,
    versions,
};
use crate::fixture::{EmptyCache, EmptyDatabase, ask, eventually};

on_every_log_database!(
    restored_database_ends_the_streams_on_it,
    database_with_another_log_ends_the_streams_on_it,
    closed_feed_ends_its_streams_and_takes_no_more,
    streams_outlive_the_last_handle_of_their_feed,
);

async fn restored_database_ends_the_streams_on_it(log: Log) {
    let feed = log.feed(ChangeFeedConfig { poll_interval: SOON, ..announced_only() });
    let (mut stream, _) = follow(&feed, &["group/1"]).await;
    log.write_versions("group/1", 1..=5).await;
    assert_eq!(told(&mut stream, 5).await, versions("group/1", 1..=5));
    let mut restore = log.database.begin().await.unwrap();
    restore.statement("DELETE FROM change_log WHERE sequence > 3").execute().await.unwrap();
    restore.statement("UPDATE change_counter SET last_sequence = 3").execute().await.unwrap();
    restore.commit().await.unwrap();
    let error = item(&mut stream).await.unwrap().unwrap_err();
    let (mut stream, end) = follow(&feed, &["group/1"]).await;
    assert_eq!(error, SubscribeError::Future { last: end });
    log.write(&[("group/1", 4)]).await;
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [4]));
}

async fn database_with_another_log_ends_the_streams_on_it(log: Log) {
    let feed = log.feed(ChangeFeedConfig { poll_interval: SOON, ..announced_only() });
    let (mut stream, start) = follow(&feed, &["group/1"]).await;
    let renew = "UPDATE change_counter SET log_id = log_id / 2 + 1";
    log.database.statement(renew).execute().await.unwrap();
    assert_eq!(item(&mut stream).await, Some(Err(SubscribeError::Foreign)));
    assert_eq!(stream.next().await, None);
    assert_eq!(subscribe(&feed, &["group/1"], Some(start)).await.unwrap_err(), SubscribeError::Foreign);
}

async fn closed_feed_ends_its_streams_and_takes_no_more(log: Log) {
    let feed = log.feed(announced_only());
    let (mut waiting, start) = follow(&feed, &["group/1"]).await;
    let (mut unread, _) = follow(&feed, &["group/1"]).await;
    let waiting = tokio::spawn(async move { item(&mut waiting).await });
    feed.close();
    assert_eq!(waiting.await.unwrap(), None);
    assert_eq!(item(&mut unread).await, None);
    for after in [None, Some(start)] {
        let refused = subscribe(&feed, &["group/1"], after).await.unwrap_err();
        assert_eq!(refused, SubscribeError::Unavailable);
    }
}

async fn streams_outlive_the_last_handle_of_their_feed(log: Log) {
    let feed = log.feed(announced_only());
    let (mut stream, _) = follow(&feed, &["group/1"]).await;
    drop(feed);
    let writer = log.feed(announced_only());
    writer.announce(log.write(&[("group/1", 1)]).await);
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [1]));
}

#[tokio::test]
async fn change_is_told_while_the_cache_is_away() {
    let server = RedisServer::private();
    let log = Log::new(EmptyDatabase::sqlite(), EmptyCache::memory()).await;
    let cache = SharedCache::open(&CacheConfig::from_url(server.url()), "test").unwrap();
    server.stop();
    let start = |config| ChangeFeed::start(log.database.clone(), cache.clone(), "changes", config);
    let writer = start(announced_only());
    let other = start(ChangeFeedConfig { poll_interval: SOON, ..announced_only() });
    let (mut own, _) = follow(&writer, &["group/1"]).await;
    let (mut elsewhere, _) = follow(&other, &["group/1"]).await;
    for version in 1..=2 {
        writer.announce(log.write(&[("group/1", version)]).await);
        assert_eq!(told(&mut own, 1).await, versions("group/1", [version]), "no cache is needed");
        assert_eq!(told(&mut elsewhere, 1).await, versions("group/1", [version]), "found by polling");
    }
}

#[tokio::test]
async fn change_missed_while_the_cache_was_away_is_told_when_it_returns() {
    let server = RedisServer::private();
    let log = Log::new(EmptyDatabase::sqlite(), EmptyCache::memory()).await;
    let cache = SharedCache::open(&CacheConfig::from_url(server.url()), "test").unwrap();
    let feed = ChangeFeed::start(log.database.clone(), cache, "changes", announced_only());
    let (mut stream, _) = follow(&feed, &["group/1"]).await;
    server.stop();
    log.write(&[("group/1", 1)]).await;
    server.start();
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [1]));
}

#[tokio::test]
async fn streams_outlive_the_database() {
    let server = PostgresServer::private(PostgresOptions { fsync: false });
    let config = DatabaseConfig {
        acquire_timeout: Duration::from_millis(300),
        ..DatabaseConfig::from_url(server.create_database())
    };
    let database = open(&config);
    database.migrate().await.unwrap();
    let cache = EmptyCache::memory().open();
    let start = |config| ChangeFeed::start(database.clone(), cache.clone(), "changes", config);
    let feed = start(ChangeFeedConfig { poll_interval: SOON, ..forgetful() });
    let (mut live, begin) = follow(&feed, &["group/1"]).await;
    let (mut slow, _) = follow(&feed, &["group/1"]).await;
    let write = async |version: i64| {
        let mut transaction = database.begin().await.unwrap();
        let last = mcx_store::changes::append(&mut transaction, &[change("group/1", version)], 0).await;
        transaction.commit().await.unwrap();
        feed.announce(last.unwrap());
    };
    for version in 1..=3 {
        write(version).await;
    }
    assert_eq!(told(&mut live, 3).await, versions("group/1", 1..=3));

    server.stop_immediate();
    assert_eq!(ask(&database).await, Err(mcx_store::StoreError::Unavailable));
    // The log is needed, and away: streams wait, and who subscribes is told.
    let slow = tokio::spawn(async move { told(&mut slow, 4).await });
    let refused = subscribe(&feed, &["group/1"], Some(begin)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::Unavailable);
    let late = start(announced_only());
    assert_eq!(subscribe(&late, &["group/1"], None).await.unwrap_err(), SubscribeError::Unavailable);

    server.start();
    eventually("the database serves", async || ask(&database).await.is_ok()).await;
    write(4).await;
    assert_eq!(told(&mut live, 1).await, versions("group/1", [4]));
    assert_eq!(slow.await.unwrap(), versions("group/1", 1..=4));
    eventually("the late feed serves", async || subscribe(&late, &["group/1"], None).await.is_ok()).await;
    let mut resumed = subscribe(&late, &["group/1"], Some(begin)).await.unwrap();
    assert_eq!(told(&mut resumed, 4).await, versions("group/1", 1..=4));
}
