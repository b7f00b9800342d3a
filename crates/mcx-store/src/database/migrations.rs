//! Forward-only migrations of one service's schema.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, PgConnection};

use super::{Database, Pools};
use crate::error::{StoreError, classify};

/// The schema of one service, with the migrations that build it on either engine.
///
/// ```text
/// pub static SCHEMA: Schema = Schema {
///     name: "sip_database",
///     postgres: &POSTGRES,
///     sqlite: &SQLITE,
/// };
/// static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
/// static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Name of the Postgres schema and of the SQLite file: lower case letters, digits and `_`.
    pub name: &'static str,
    /// The migrations for Postgres.
    pub postgres: &'static Migrator,
    /// The migrations for SQLite, with the same versions.
    pub sqlite: &'static Migrator,
}

/// How the schema found compares with the migrations of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// Every migration has been applied, and no other.
    Current,
    /// Migrations are missing: `found` (0 for none) is older than `expected`.
    Behind {
        /// Newest version this program knows.
        expected: i64,
        /// Newest version applied.
        found: i64,
    },
    /// A newer program has migrated the schema. Migrations only add, so this program still works.
    Ahead {
        /// Newest version this program knows.
        expected: i64,
        /// Newest version applied.
        found: i64,
    },
}

impl Database {
    /// Creates the schema if there is none and applies what is missing. Any number of processes may do so at once; one
    /// works and the others wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], or [`StoreError::MigrationFailed`] with the schema as it was before that migration.
    pub async fn migrate(&self) -> Result<SchemaState, StoreError> {
        match &self.pools {
            Pools::Postgres(_) => self.migrate_postgres().await?,
            Pools::Sqlite(pools) => {
                let _only_one = pools.lock_for_migration().await?;
                let mut connection = pools.writer().acquire().await.map_err(classify)?;
                self.migrator().run(&mut *connection).await.map_err(classify_migration)?;
            }
        }
        let state = self.schema_state().await?;
        tracing::info!(schema = self.schema.name, engine = self.engine().name(), ?state, "schema migrated");
        Ok(state)
    }

    async fn migrate_postgres(&self) -> Result<(), StoreError> {
        let Some(options) = &self.postgres_migration else { return Err(StoreError::Internal) };
        let connecting = PgConnection::connect_with(options);
        let mut connection = tokio::time::timeout(self.limits.acquire_timeout, connecting)
            .await
            .map_err(|_| StoreError::Unavailable)?
            .map_err(classify)?;
        // A role that may not create schemas is enough when an administrator has created this one.
        let schema_exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
            .bind(self.schema.name)
            .fetch_one(&mut connection)
            .await
            .map_err(classify)?;
        let mut migrator = self.migrator();
        if !schema_exists {
            migrator.create_schema(self.schema.name);
        }
        // On failure the connection is dropped, and its session's advisory lock with it.
        migrator.run(&mut connection).await.map_err(classify_migration)?;
        connection.close().await.map_err(classify)
    }

    /// A migrator of our own to configure; the static one is shared.
    fn migrator(&self) -> Migrator {
        let mut migrator = Migrator::with_migrations(self.known_migrations().iter().cloned().collect());
        migrator.set_ignore_missing(true);
        migrator
    }

    fn known_migrations(&self) -> &'static Migrator {
        match self.pools {
            Pools::Postgres(_) => self.schema.postgres,
            Pools::Sqlite(_) => self.schema.sqlite,
        }
    }

    /// Compares the schema with the migrations of this program.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let expected = self.known_migrations().iter().map(|migration| migration.version).max().unwrap_or(0);
        let found = self.applied_version().await?;
        Ok(match found.cmp(&expected) {
            std::cmp::Ordering::Equal => SchemaState::Current,
            std::cmp::Ordering::Less => SchemaState::Behind { expected, found },
            std::cmp::Ordering::Greater => SchemaState::Ahead { expected, found },
        })
    }

    /// Ready to serve: the database answers and its schema is far enough.
    ///
    /// # Errors
    /// [`StoreError::SchemaBehind`] until somebody has migrated, [`StoreError::Unavailable`].
    pub async fn require_schema(&self) -> Result<(), StoreError> {
        self.measure_pool();
        match self.schema_state().await? {
            SchemaState::Behind { expected, found } => Err(StoreError::SchemaBehind { expected, found }),
            SchemaState::Current | SchemaState::Ahead { .. } => Ok(()),
        }
    }

    /// Newest version applied; 0 when there is no schema.
    async fn applied_version(&self) -> Result<i64, StoreError> {
        // The SQLite readers do not create a missing file, so this asks the writer: hence `WITH`.
        let table_exists = self.dialect(
            "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
            "WITH tables AS (SELECT name FROM sqlite_schema WHERE type = 'table') \
             SELECT EXISTS (SELECT 1 FROM tables WHERE name = '_sqlx_migrations')",
        );
        let (exists,): (bool,) = self.statement(table_exists).fetch_one().await?;
        if !exists {
            return Ok(0);
        }
        let newest = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations WHERE success";
        let (version,): (i64,) = self.statement(newest).fetch_one().await?;
        Ok(version)
    }
}

fn classify_migration(error: MigrateError) -> StoreError {
    let failed = |version, detail: &str| StoreError::MigrationFailed { version, detail: detail.to_owned() };
    match error {
        MigrateError::Execute(error) => classify(error),
        MigrateError::ExecuteMigration(sqlx::Error::Database(error), version) => {
            failed(version, error.message())
        }
        MigrateError::ExecuteMigration(error, _) => classify(error),
        MigrateError::VersionMismatch(version) => failed(version, "it was changed after it had been applied"),
        MigrateError::Dirty(version) => failed(version, "an earlier run of it was cut short"),
        other => {
            tracing::error!(error = %other, "migration failed");
            StoreError::Internal
        }
    }
}
