//! One empty database or cache per test, on each engine.

use std::time::Duration;

use mcx_store::{CacheConfig, Database, DatabaseConfig, Schema, SharedCache, StoreError};
use mcx_testkit::{PostgresServer, RedisServer};
use sqlx::migrate::Migrator;
use tempfile::TempDir;

static POSTGRES: Migrator = sqlx::migrate!("tests/migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("tests/migrations/sqlite");

pub(crate) static SCHEMA: Schema = Schema { name: "store_test", postgres: &POSTGRES, sqlite: &SQLITE };

/// An empty database, not migrated.
pub(crate) struct EmptyDatabase {
    pub(crate) config: DatabaseConfig,
    _directory: Option<TempDir>,
}

impl EmptyDatabase {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().display());
        Self { config: DatabaseConfig::from_url(url), _directory: Some(directory) }
    }

    pub(crate) fn postgres() -> Self {
        let url = PostgresServer::shared().create_database();
        Self { config: DatabaseConfig::from_url(url), _directory: None }
    }

    /// Another handle, as another replica would have.
    pub(crate) fn open(&self) -> Database {
        Database::open(&self.config, &SCHEMA).unwrap()
    }

    pub(crate) async fn migrated(&self) -> Database {
        let database = self.open();
        database.migrate().await.unwrap();
        database
    }
}

/// An empty cache.
pub(crate) struct EmptyCache {
    config: CacheConfig,
    prefix: String,
}

impl EmptyCache {
    pub(crate) fn memory() -> Self {
        Self { config: CacheConfig::from_url("memory:"), prefix: "test".to_owned() }
    }

    pub(crate) fn redis() -> Self {
        let server = RedisServer::shared();
        Self { config: CacheConfig::from_url(server.url()), prefix: server.unique_prefix() }
    }

    pub(crate) fn open(&self) -> SharedCache {
        SharedCache::open(&self.config, &self.prefix).unwrap()
    }
}

/// Repeats the question until its answer is `true`; a test that waits in vain fails.
pub(crate) async fn eventually(what: &str, mut question: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !question().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Asks a database for a sign of life, whatever its schema.
pub(crate) async fn ask(database: &Database) -> Result<(), StoreError> {
    database.statement("SELECT 1").execute().await.map(drop)
}

/// Makes each test once per engine: `sqlite::name` and `postgres::name`.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::EmptyDatabase::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::EmptyDatabase::postgres()).await; })*
        }
    };
}
pub(crate) use on_every_database;

/// Makes each test once per engine: `memory::name` and `redis::name`.
macro_rules! on_every_cache {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::EmptyCache::memory().open()).await; })*
        }
        mod redis {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::EmptyCache::redis().open()).await; })*
        }
    };
}
pub(crate) use on_every_cache;
