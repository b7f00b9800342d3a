//! Durable counters on the same Postgres: one row per commit, and a group of rows per commit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mcx_store::{GroupCommit, GroupCommitConfig};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};

use crate::load::{Seen, closed_loop};

/// A table of counters, keyed as the SIP database keys its sequence numbers.
#[derive(Clone)]
pub(crate) struct Counters {
    pool: PgPool,
    count: u64,
}

impl Counters {
    /// Makes the table in an empty database.
    pub(crate) async fn create(url: &str, count: u64, connections: u32) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .test_before_acquire(false)
            .connect(url)
            .await?;
        sqlx::query("CREATE TABLE counter (key TEXT PRIMARY KEY, value BIGINT NOT NULL)")
            .execute(&pool)
            .await?;
        sqlx::query(
            "INSERT INTO counter SELECT 'user' || number, 0 FROM generate_series(0, $1 - 1) AS number",
        )
        .bind(i64::try_from(count)?)
        .execute(&pool)
        .await?;
        Ok(Self { pool, count })
    }

    /// So many clients, each of which moves one counter per commit.
    pub(crate) async fn one_row_per_commit(&self, clients: usize, duration: Duration) -> Result<Seen> {
        let counters = self.clone();
        closed_loop(clients, duration, move |number| {
            let counters = counters.clone();
            async move { counters.move_one(number).await }
        })
        .await
    }

    /// Moves one counter, durably.
    pub(crate) async fn move_one(&self, number: u64) -> Result<()> {
        let updated = sqlx::query("UPDATE counter SET value = value + 1 WHERE key = $1")
            .bind(self.key(number))
            .execute(&self.pool)
            .await?;
        ensure!(updated.rows_affected() == 1, "a counter is missing");
        Ok(())
    }

    /// How many transactions have written something until now, in all databases of the server.
    pub(crate) async fn transactions_that_wrote(&self) -> Result<f64> {
        let (count,): (f64,) = sqlx::query_as("SELECT pg_snapshot_xmax(pg_current_snapshot())::TEXT::FLOAT8")
            .fetch_one(&self.pool)
            .await?;
        Ok(count)
    }

    /// So many clients, each of which waits for its counter, moved by the group commit of the stores.
    pub(crate) async fn group_commit(&self, clients: usize, duration: Duration) -> Result<Seen> {
        let pool = self.pool.clone();
        let group = GroupCommit::start("bench", GroupCommitConfig::default(), move |keys: Vec<String>| {
            let pool = pool.clone();
            async move {
                let moved: Vec<(String, i64)> = sqlx::query_as(
                    "UPDATE counter SET value = value + 1 WHERE key = ANY($1) RETURNING key, value",
                )
                .bind(&keys)
                .fetch_all(&pool)
                .await
                .map_err(Arc::new)?;
                // Two requests of a batch never share a counter here.
                Ok::<_, Arc<sqlx::Error>>(moved.into_iter().map(|(_, value)| value).collect())
            }
        });
        let counters = self.clone();
        closed_loop(clients, duration, move |number| {
            let (group, key) = (group.clone(), counters.key(number));
            async move { group.submit(key).await.map(|_| ()).context("the batch was not flushed") }
        })
        .await
    }

    fn key(&self, number: u64) -> String {
        format!("user{}", number % self.count)
    }
}

/// The version of a Postgres server, of which a commit is a durable one.
pub(crate) async fn durable_version(url: &str) -> Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    let mut settings = Vec::new();
    for setting in ["fsync", "synchronous_commit", "server_version"] {
        let (value,): (String,) =
            sqlx::query_as("SELECT current_setting($1)").bind(setting).fetch_one(&mut connection).await?;
        settings.push(value);
    }
    let version = settings.pop().context("the version was asked for")?;
    ensure!(settings == ["on", "on"], "fsync, synchronous_commit are {settings:?}: a commit is not durable");
    Ok(version)
}
