//! What a statement can fail with, and the one place where driver errors become that.

use sqlx::error::{DatabaseError, ErrorKind};

/// Why a statement, a transaction or a migration failed, told without any stored value.
///
/// Constraints are named as Postgres names them by default, on both engines: `<table>_pkey` and
/// `<table>_<columns joined by _>_key`; a check bears the name its `CONSTRAINT` clause gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database cannot be reached, took too long, or is shutting down. Whether a commit under way took effect is
    /// unknown; anything before it did not.
    #[error("the database is unavailable")]
    Unavailable,
    /// A row with these key columns exists already.
    #[error("unique constraint {constraint} violated")]
    UniqueViolation {
        /// Its name.
        constraint: String,
    },
    /// The row referred to does not exist, or is still referred to.
    #[error("foreign key constraint {} violated", constraint.as_deref().unwrap_or("(unnamed)"))]
    ForeignKeyViolation {
        /// Its name; `None` on SQLite, which does not tell.
        constraint: Option<String>,
    },
    /// A check constraint, or a trigger that guards an invariant, refused the row.
    #[error("check constraint {constraint} violated")]
    CheckViolation {
        /// Its name.
        constraint: String,
    },
    /// The transaction lost against a concurrent one; running it again may succeed.
    #[error("the transaction conflicts with a concurrent one")]
    Conflict,
    /// The schema has not been migrated far enough for this program.
    #[error("the schema is at version {found}, version {expected} is needed")]
    SchemaBehind {
        /// The version this program needs.
        expected: i64,
        /// The version found; 0 when there is no schema.
        found: i64,
    },
    /// A migration could not be applied; the schema stays at the version before it.
    #[error("migration {version} failed: {detail}")]
    MigrationFailed {
        /// The version of the migration.
        version: i64,
        /// What the engine said about it.
        detail: String,
    },
    /// A mistake of ours, such as a statement that does not fit the schema. The detail is in the log only.
    #[error("internal store error")]
    Internal,
}

impl StoreError {
    /// Whether the same call may succeed when it is repeated unchanged.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable | Self::Conflict)
    }

    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::UniqueViolation { .. } => "unique_violation",
            Self::ForeignKeyViolation { .. } => "foreign_key_violation",
            Self::CheckViolation { .. } => "check_violation",
            Self::Conflict => "conflict",
            Self::SchemaBehind { .. } => "schema_behind",
            Self::MigrationFailed { .. } => "migration_failed",
            Self::Internal => "internal",
        }
    }
}

/// Turns a driver error into ours. What an operator needs to find the cause is logged here, once.
pub(crate) fn classify(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(error) => classify_database(&*error),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            StoreError::Unavailable
        }
        sqlx::Error::Io(error) => {
            tracing::debug!(%error, "database connection failed");
            StoreError::Unavailable
        }
        sqlx::Error::Tls(error) => {
            tracing::error!(%error, "transport security with the database failed");
            StoreError::Unavailable
        }
        // A connection cut in the middle of a message shows as a protocol error.
        sqlx::Error::Protocol(detail) => {
            tracing::warn!(detail, "database connection broke");
            StoreError::Unavailable
        }
        other => {
            tracing::error!(error = %other, "statement failed");
            StoreError::Internal
        }
    }
}

fn classify_database(error: &dyn DatabaseError) -> StoreError {
    let code = error.code().unwrap_or_default();
    let postgres = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some();
    let classified = if postgres { classify_postgres(error, &code) } else { classify_sqlite(error, &code) };
    match &classified {
        StoreError::Unavailable => {
            tracing::warn!(code = %code, message = error.message(), "database refuses work");
        }
        // Messages of SQLSTATE class 22 (data exceptions) may repeat a stored value.
        StoreError::Internal if postgres && code.starts_with("22") => {
            tracing::error!(code = %code, "statement failed");
        }
        StoreError::Internal => tracing::error!(code = %code, message = error.message(), "statement failed"),
        _ => {}
    }
    classified
}

/// SQLSTATE codes: Postgres documentation, appendix A.
fn classify_postgres(error: &dyn DatabaseError, code: &str) -> StoreError {
    let constraint = || error.constraint().unwrap_or_default().to_owned();
    match code {
        "23505" | "23P01" => StoreError::UniqueViolation { constraint: constraint() },
        "23503" => StoreError::ForeignKeyViolation { constraint: error.constraint().map(str::to_owned) },
        "23514" => StoreError::CheckViolation { constraint: constraint() },
        // Serialization failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => StoreError::Conflict,
        // Query cancelled (by statement_timeout), shutdown and recovery, a replica that may not write, no such
        // database or role yet.
        "57014" | "57P01" | "57P02" | "57P03" | "25006" | "3D000" | "28000" | "28P01" => {
            StoreError::Unavailable
        }
        // Connection exceptions, insufficient resources, system errors.
        _ if ["08", "53", "58"].iter().any(|class| code.starts_with(class)) => StoreError::Unavailable,
        _ => StoreError::Internal,
    }
}

/// Result codes: <https://www.sqlite.org/rescode.html>.
fn classify_sqlite(error: &dyn DatabaseError, code: &str) -> StoreError {
    const SQLITE_CONSTRAINT_ROWID: i32 = 2579;
    const SQLITE_CONSTRAINT_PRIMARYKEY: i32 = 1555;
    const SQLITE_CONSTRAINT_TRIGGER: i32 = 1811;
    let code: i32 = code.parse().unwrap_or_default();
    let subject = error.message().split_once("constraint failed: ").map(|(_, subject)| subject);
    match (error.kind(), code) {
        (_, SQLITE_CONSTRAINT_ROWID | SQLITE_CONSTRAINT_PRIMARYKEY) => {
            StoreError::UniqueViolation { constraint: primary_key_name(subject.unwrap_or_default()) }
        }
        (ErrorKind::UniqueViolation, _) => {
            StoreError::UniqueViolation { constraint: unique_key_name(subject.unwrap_or_default()) }
        }
        (ErrorKind::ForeignKeyViolation, _) => StoreError::ForeignKeyViolation { constraint: None },
        (ErrorKind::CheckViolation, _) => {
            StoreError::CheckViolation { constraint: subject.unwrap_or_default().to_owned() }
        }
        // `RAISE(ABORT, 'name')` in a trigger: the message is the name.
        (_, SQLITE_CONSTRAINT_TRIGGER) => {
            StoreError::CheckViolation { constraint: error.message().to_owned() }
        }
        // The primary result code is the low byte.
        _ => match code & 0xff {
            5 | 6 => StoreError::Conflict,               // SQLITE_BUSY, SQLITE_LOCKED
            8 | 10 | 13 | 14 => StoreError::Unavailable, // SQLITE_READONLY, _IOERR, _FULL, _CANTOPEN
            _ => StoreError::Internal,
        },
    }
}

/// `table.a, table.b` → `table_pkey`.
fn primary_key_name(subject: &str) -> String {
    let table = subject.split_once('.').map_or(subject, |(table, _)| table);
    format!("{table}_pkey")
}

/// `table.a, table.b` → `table_a_b_key`; `index 'name'`, which SQLite says of an index over expressions → `name`.
fn unique_key_name(subject: &str) -> String {
    if let Some(name) = subject.strip_prefix("index '") {
        return name.trim_end_matches('\'').to_owned();
    }
    let mut name = String::new();
    for column in subject.split(", ") {
        let (table, column) = column.split_once('.').unwrap_or(("", column));
        if name.is_empty() {
            name.push_str(table);
        }
        name.push('_');
        name.push_str(column);
    }
    name + "_key"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_constraints_are_named_as_postgres_names_them() {
        assert_eq!(primary_key_name("subscribers.impi"), "subscribers_pkey");
        assert_eq!(
            unique_key_name("bindings.partner, bindings.partner_impi"),
            "bindings_partner_partner_impi_key"
        );
        assert_eq!(unique_key_name("index 'one_open_binding'"), "one_open_binding");
    }
}
