//! Durable counters on the same Postgres: one row per commit, and a group of rows per commit.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mcx_store::{GroupCommit, GroupCommitConfig};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::load::{Seen, closed_loop};

/// A table of counters, keyed as the SIP database keys its sequence numbers.
#[derive(Clone)]
pub(crate) struct Counters {
    pool: PgPool,
    count: u64,
}

impl Counters {
    /// Makes the table in an empty database, and makes sure that a commit there is a durable one. Returns the version of Postgres too.
    pub(crate) async fn create(url: &str, count: u64, connections: u32) -> Result<(Self, String)> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .test_before_acquire(false)
            .connect(url)
            .await?;
        for setting in ["fsync", "synchronous_commit"] {
            let (value,): (String,) =
                sqlx::query_as("SELECT current_setting($1)").bind(setting).fetch_one(&pool).await?;
            ensure!(value == "on", "{setting} is {value}, so that a commit would not be durable");
        }
        let (version,): (String,) =
            sqlx::query_as("SELECT current_setting('server_version')").fetch_one(&pool).await?;
        sqlx::query("CREATE TABLE counter (key TEXT PRIMARY KEY, value BIGINT NOT NULL)")
            .execute(&pool)
            .await?;
        sqlx::query(
            "INSERT INTO counter SELECT 'user' || number, 0 FROM generate_series(0, $1 - 1) AS number",
        )
        .bind(i64::try_from(count)?)
        .execute(&pool)
        .await?;
        Ok((Self { pool, count }, version))
    }

    /// So many clients, each of which moves one counter per commit.
    pub(crate) async fn one_row_per_commit(&self, clients: usize, duration: Duration) -> Result<Seen> {
        let counters = self.clone();
        closed_loop(clients, duration, move |number| {
            let counters = counters.clone();
            async move {
                let updated = sqlx::query("UPDATE counter SET value = value + 1 WHERE key = $1")
                    .bind(counters.key(number))
                    .execute(&counters.pool)
                    .await?;
                ensure!(updated.rows_affected() == 1, "a counter is missing");
                Ok(())
            }
        })
        .await
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
