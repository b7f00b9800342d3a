//! Durable state: one handle for both SQL engines.

mod migrations;
mod postgres;
mod sqlite;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use metrics::{gauge, histogram};
use sqlx::{PgPool, Postgres, Sqlite};
use tokio::time::{Instant, timeout};

use crate::config::{DatabaseConfig, DatabaseUrl, OpenError};
use crate::error::{StoreError, classify};

pub use migrations::{Schema, SchemaState};
pub use statement::{FromRow, Statement, Value};

/// The SQL engine behind a [`Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL 15 or later.
    Postgres,
    /// The SQLite built into the program.
    Sqlite,
}

impl Engine {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// The durable state of one service: its own schema in Postgres, or its own file in SQLite. Clones share connections.
#[derive(Clone)]
pub struct Database {
    pools: Pools,
    postgres_migration: Option<Arc<sqlx::postgres::PgConnectOptions>>,
    schema: Schema,
    limits: Limits,
}

#[derive(Clone)]
enum Pools {
    Postgres(PgPool),
    Sqlite(sqlite::SqlitePools),
}

/// What bounds and labels every call.
#[derive(Debug, Clone, Copy)]
struct Limits {
    engine: Engine,
    schema: &'static str,
    acquire_timeout: Duration,
    statement_timeout: Duration,
}

impl Database {
    /// Prepares the connections to the state of the service that owns `schema`. Nothing is contacted yet, so a service
    /// starts while its database is away; call from within a Tokio runtime.
    ///
    /// # Errors
    /// Settings that can never work.
    pub fn open(config: &DatabaseConfig, schema: &Schema) -> Result<Self, OpenError> {
        let url = config.resolve()?;
        let limits = |engine| Limits {
            engine,
            schema: schema.name,
            acquire_timeout: config.acquire_timeout,
            statement_timeout: config.statement_timeout,
        };
        let database = match url {
            DatabaseUrl::Postgres(url) => {
                let options = postgres::connect_options(&url, schema.name)?;
                Self {
                    pools: Pools::Postgres(postgres::pool(config, options.clone())),
                    postgres_migration: Some(Arc::new(options)),
                    schema: *schema,
                    limits: limits(Engine::Postgres),
                }
            }
            DatabaseUrl::Sqlite { directory } => Self {
                pools: Pools::Sqlite(sqlite::SqlitePools::open(config, &directory, schema.name)?),
                postgres_migration: None,
                schema: *schema,
                limits: limits(Engine::Sqlite),
            },
        };
        Ok(database)
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        self.limits.engine
    }

    /// The statement for this engine, where the common subset does not reach.
    pub fn dialect(&self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        self.engine().dialect(postgres, sqlite)
    }

    /// A statement that runs on its own.
    ///
    /// On SQLite a text that begins with `SELECT` is read beside the writer; everything else is the writer's.
    pub fn statement(&self, sql: &'static str) -> Statement<'_> {
        match &self.pools {
            Pools::Postgres(pool) => Statement::on_postgres(pool.into(), self.limits, sql),
            Pools::Sqlite(pools) => Statement::on_sqlite(pools.pool_for(sql).into(), self.limits, sql),
        }
    }

    /// Begins a transaction, which rolls back when it is dropped. Postgres isolates it at READ COMMITTED; SQLite lets it
    /// write alone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection could be had in time, [`StoreError::Conflict`] when another
    /// process holds the SQLite file for too long.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let begun = Instant::now();
        let inner = match &self.pools {
            Pools::Postgres(pool) => {
                self.limits.run("begin", pool.begin()).await.map(TransactionInner::Postgres)
            }
            Pools::Sqlite(pools) => {
                // A transaction that reads before it writes would otherwise fail when it upgrades its lock.
                let begin = pools.writer().begin_with("BEGIN IMMEDIATE");
                self.limits.run("begin", begin).await.map(TransactionInner::Sqlite)
            }
        }?;
        self.limits.acquired(begun);
        Ok(Transaction { inner, limits: self.limits })
    }

    /// Tells the metrics how many connections there are. To be called at intervals.
    pub(crate) fn measure_pool(&self) {
        let (open, idle) = match &self.pools {
            Pools::Postgres(pool) => (pool.size(), pool.num_idle()),
            Pools::Sqlite(pools) => pools.size(),
        };
        let labels = [("engine", self.limits.engine.name()), ("schema", self.limits.schema)];
        gauge!("mcx_store_pool_open_connections", &labels).set(open);
        gauge!("mcx_store_pool_idle_connections", &labels).set(idle as f64);
    }

    /// Closes every connection after the work under way; later calls answer [`StoreError::Unavailable`].
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite(pools) => pools.close().await,
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Database")
            .field("engine", &self.limits.engine)
            .field("schema", &self.limits.schema)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The statement for this engine, where the common subset does not reach.
    pub fn dialect(self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        match self {
            Self::Postgres => postgres,
            Self::Sqlite => sqlite,
        }
    }
}

/// Statements that take effect together or not at all.
pub struct Transaction {
    inner: TransactionInner,
    limits: Limits,
}

enum TransactionInner {
    Postgres(sqlx::Transaction<'static, Postgres>),
    Sqlite(sqlx::Transaction<'static, Sqlite>),
}

impl Transaction {
    /// Which engine this runs on.
    pub fn engine(&self) -> Engine {
        self.limits.engine
    }

    /// A statement within this transaction. After a failed one, roll back: Postgres runs no further statement.
    pub fn statement(&mut self, sql: &'static str) -> Statement<'_> {
        match &mut self.inner {
            TransactionInner::Postgres(inner) => {
                Statement::on_postgres((&mut **inner).into(), self.limits, sql)
            }
            TransactionInner::Sqlite(inner) => Statement::on_sqlite((&mut **inner).into(), self.limits, sql),
        }
    }

    /// Makes the statements durable.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] it is unknown whether they took effect; after any other error they did not.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.inner {
            TransactionInner::Postgres(inner) => self.limits.run("commit", inner.commit()).await,
            TransactionInner::Sqlite(inner) => self.limits.run("commit", inner.commit()).await,
        }
    }

    /// Undoes the statements; dropping does the same, later.
    ///
    /// # Errors
    /// None that leaves a statement in effect.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.inner {
            TransactionInner::Postgres(inner) => self.limits.run("rollback", inner.rollback()).await,
            TransactionInner::Sqlite(inner) => self.limits.run("rollback", inner.rollback()).await,
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Transaction").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Limits {
    /// Runs one exchange with the engine under its deadline, classified and measured.
    ///
    /// The server enforces `statement_timeout` itself; the deadline here is for a server that no longer answers.
    async fn run<T>(
        &self,
        operation: &'static str,
        exchange: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let outcome = match timeout(self.acquire_timeout + self.statement_timeout, exchange).await {
            Ok(outcome) => outcome.map_err(classify),
            Err(_) => Err(StoreError::Unavailable),
        };
        histogram!(
            "mcx_store_statement_duration_seconds",
            "engine" => self.engine.name(),
            "schema" => self.schema,
            "operation" => operation,
            "outcome" => outcome.as_ref().err().map_or("ok", StoreError::outcome),
        )
        .record(begun.elapsed());
        outcome
    }

    fn acquired(&self, begun: Instant) {
        histogram!(
            "mcx_store_acquire_duration_seconds",
            "engine" => self.engine.name(),
            "schema" => self.schema,
        )
        .record(begun.elapsed());
    }
}
