//! Servers that go away and come back, under a program that stays.

use std::time::Duration;

use futures::StreamExt;
use mcx_store::{CacheConfig, CacheError, Database, DatabaseConfig, Notification, SharedCache, StoreError};
use mcx_testkit::{PostgresOptions, PostgresServer, RedisServer};
use tokio::time::timeout;

use crate::fixture::{SCHEMA, ask, eventually};

/// No call may take longer, by far.
const PATIENCE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn database_that_was_away_serves_again_with_everything_committed() {
    let server = PostgresServer::private(PostgresOptions::default());
    let config = DatabaseConfig {
        acquire_timeout: Duration::from_millis(300),
        ..DatabaseConfig::from_url(server.create_database())
    };
    let database = Database::open(&config, &SCHEMA).unwrap();
    database.migrate().await.unwrap();
    database.statement("INSERT INTO items (id, name) VALUES (1, 'one')").execute().await.unwrap();
    let mut cut = database.begin().await.unwrap();
    cut.statement("INSERT INTO items (id, name) VALUES (2, 'two')").execute().await.unwrap();

    server.stop_immediate();
    assert_eq!(cut.commit().await, Err(StoreError::Unavailable));
    for _ in 0..3 {
        assert_eq!(timeout(PATIENCE, ask(&database)).await.unwrap(), Err(StoreError::Unavailable));
        assert_eq!(timeout(PATIENCE, database.begin()).await.unwrap().unwrap_err(), StoreError::Unavailable);
        assert_eq!(timeout(PATIENCE, database.migrate()).await.unwrap(), Err(StoreError::Unavailable));
    }

    server.start();
    eventually("the database serves", async || ask(&database).await.is_ok()).await;
    let items = database.statement("SELECT id FROM items").fetch_all::<(i64,)>().await;
    assert_eq!(items, Ok(vec![(1,)]));
}

#[tokio::test]
async fn service_starts_while_its_database_is_away() {
    let server = PostgresServer::private(PostgresOptions { fsync: false });
    let config = DatabaseConfig {
        acquire_timeout: Duration::from_millis(300),
        ..DatabaseConfig::from_url(server.create_database())
    };
    server.stop_immediate();
    let database = Database::open(&config, &SCHEMA).unwrap();
    assert_eq!(timeout(PATIENCE, database.require_schema()).await.unwrap(), Err(StoreError::Unavailable));
    server.start();
    eventually("the schema is there", async || database.migrate().await.is_ok()).await;
    assert_eq!(database.require_schema().await, Ok(()));
}

#[tokio::test]
async fn statement_that_runs_too_long_is_cut() {
    let config = DatabaseConfig {
        statement_timeout: Duration::from_millis(50),
        ..DatabaseConfig::from_url(PostgresServer::shared().create_database())
    };
    let database = Database::open(&config, &SCHEMA).unwrap();
    let endless = database.statement("SELECT 1 FROM pg_sleep(3600)").execute();
    assert_eq!(timeout(PATIENCE, endless).await.unwrap(), Err(StoreError::Unavailable));
    assert_eq!(ask(&database).await, Ok(()));
}

#[tokio::test]
async fn missing_database_is_unavailable() {
    let url = PostgresServer::shared().create_database();
    let (server, _) = url.rsplit_once('/').unwrap();
    let database = Database::open(&DatabaseConfig::from_url(format!("{server}/missing")), &SCHEMA).unwrap();
    assert_eq!(ask(&database).await, Err(StoreError::Unavailable));
}

#[tokio::test]
async fn transactions_that_block_each_other_conflict() {
    let config = DatabaseConfig::from_url(PostgresServer::shared().create_database());
    let database = Database::open(&config, &SCHEMA).unwrap();
    database.migrate().await.unwrap();
    database.statement("INSERT INTO items (id, name) VALUES (1, 'one'), (2, 'two')").execute().await.unwrap();
    let update = "UPDATE items SET amount = amount + 1 WHERE id = $1";
    let mut first = database.begin().await.unwrap();
    let mut second = database.begin().await.unwrap();
    first.statement(update).bind(1).execute().await.unwrap();
    second.statement(update).bind(2).execute().await.unwrap();
    let crossed = async {
        let outcome = first.statement(update).bind(2).execute().await;
        first.rollback().await.unwrap();
        outcome
    };
    let crossing = async {
        let outcome = second.statement(update).bind(1).execute().await;
        second.rollback().await.unwrap();
        outcome
    };
    let (crossed, crossing) = futures::join!(crossed, crossing);
    let outcomes = [&crossed, &crossing];
    assert!(outcomes.contains(&&Ok(1)) && outcomes.contains(&&Err(StoreError::Conflict)), "{outcomes:?}");
}

#[tokio::test]
async fn cache_that_was_away_serves_again() {
    let server = RedisServer::private();
    let cache = SharedCache::open(&CacheConfig::from_url(server.url()), "test").unwrap();
    cache.set("key", "value", LONG).await.unwrap();

    server.stop();
    for _ in 0..3 {
        assert_eq!(timeout(PATIENCE, cache.get("key")).await.unwrap(), Err(CacheError::Unavailable));
        assert_eq!(
            timeout(PATIENCE, cache.increment("count", LONG)).await.unwrap(),
            Err(CacheError::Unavailable)
        );
    }

    server.start();
    eventually("the cache serves", async || cache.ping().await.is_ok()).await;
    assert_eq!(cache.get("key").await, Ok(None), "what the cache held is lost");
    assert_eq!(cache.increment("count", LONG).await, Ok(1));
}

#[tokio::test]
async fn subscription_outlives_the_cache_and_tells() {
    let server = RedisServer::private();
    let cache = SharedCache::open(&CacheConfig::from_url(server.url()), "test").unwrap();
    server.stop();
    let mut subscription = cache.subscribe("changes");
    for round in ["first", "second"] {
        server.start();
        assert_eq!(timeout(PATIENCE, subscription.next()).await.unwrap(), Some(Notification::Resync));
        eventually("published", async || cache.publish("changes", round).await.is_ok()).await;
        assert_eq!(
            timeout(PATIENCE, subscription.next()).await.unwrap(),
            Some(Notification::Message(round.into()))
        );
        server.stop();
    }
}
