//! Connections to SQLite: one writer, and readers beside it.

use std::fs::File;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

use crate::config::{DatabaseConfig, OpenError};
use crate::error::{StoreError, classify};

#[derive(Clone)]
pub(super) struct SqlitePools {
    /// One connection: writers queue here in order instead of failing on each other's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    migration_lock: PathBuf,
}

impl SqlitePools {
    pub(super) fn open(
        config: &DatabaseConfig,
        directory: &Path,
        schema: &'static str,
    ) -> Result<Self, OpenError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| OpenError::Directory { path: directory.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(directory.join(schema).with_extension("sqlite"))
            .foreign_keys(true)
            .busy_timeout(config.acquire_timeout)
            .disable_statement_logging();
        // A commit is in the write-ahead log on the disk before it is acknowledged, whatever happens to the process or
        // to the power.
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let readers = options.pragma("query_only", "ON");
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.acquire_timeout)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        Ok(Self {
            writer: pool(1).connect_lazy_with(writer),
            readers: pool(config.max_connections).connect_lazy_with(readers),
            migration_lock: directory.join(schema).with_extension("migration-lock"),
        })
    }

    pub(super) fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Waits until no other process migrates, and keeps others from it until the file is dropped or this process dies.
    ///
    /// SQLite has no lock that spans several transactions and leaves its holder free to begin them.
    pub(super) async fn lock_for_migration(&self) -> Result<File, StoreError> {
        let path = self.migration_lock.clone();
        let locking = tokio::task::spawn_blocking(move || {
            let file = File::options().create(true).append(true).open(path)?;
            file.lock()?;
            Ok(file)
        });
        let locked = locking.await.unwrap_or_else(|_stopping| Err(std::io::ErrorKind::Interrupted.into()));
        locked.map_err(|error: std::io::Error| classify(error.into()))
    }

    /// `SELECT` cannot write in SQLite; `WITH` can.
    pub(super) fn pool_for(&self, sql: &str) -> &SqlitePool {
        let first_word = sql.split_whitespace().next().unwrap_or_default();
        if first_word.eq_ignore_ascii_case("SELECT") { &self.readers } else { &self.writer }
    }

    /// Connections open, and idle among them.
    pub(super) fn size(&self) -> (u32, usize) {
        (self.writer.size() + self.readers.size(), self.writer.num_idle() + self.readers.num_idle())
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
