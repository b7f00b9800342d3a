//! One statement and its values, for whichever engine runs it.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, Encode, Pool, Postgres, Sqlite, Type};
use tokio::time::Instant;

use super::{Engine, Limits};
use crate::error::{StoreError, classify};

/// A value both engines can store: texts, bytes, `i64`, `bool` and `Option`s of them.
///
/// Integers are `i64` and nothing narrower, since a prepared statement keeps the types it was first given. Times are
/// `i64` microseconds since 1970-01-01T00:00:00Z.
pub trait Value<'v>: Encode<'v, Postgres> + Type<Postgres> + Encode<'v, Sqlite> + Type<Sqlite> {}

macro_rules! values {
    ($($type:ty),* $(,)?) => {
        $(
            impl<'v> Value<'v> for $type {}
            impl<'v> Value<'v> for Option<$type> {}
        )*
    };
}

values!(&'v str, &'v String, String, &'v [u8], &'v Vec<u8>, Vec<u8>, i64, bool);

/// A row as a Rust value: a tuple such as `(String, i64)` by position, or a struct that derives `sqlx::FromRow` by
/// column name.
pub trait FromRow:
    for<'r> sqlx::FromRow<'r, PgRow> + for<'r> sqlx::FromRow<'r, SqliteRow> + Send + Unpin
{
}

impl<T> FromRow for T where
    T: for<'r> sqlx::FromRow<'r, PgRow> + for<'r> sqlx::FromRow<'r, SqliteRow> + Send + Unpin
{
}

/// A statement in the common subset of both engines, being given its values `$1`, `$2`, … in order.
#[must_use = "a statement does nothing until it is fetched or executed"]
pub struct Statement<'c> {
    prepared: Prepared<'c>,
    limits: Limits,
    sql: &'static str,
    /// The first value that could not be encoded, told when the statement is run.
    unencodable: Option<StoreError>,
}

enum Prepared<'c> {
    Postgres(Source<'c, Postgres>, PgArguments),
    Sqlite(Source<'c, Sqlite>, SqliteArguments),
}

/// Where the connection comes from.
pub(super) enum Source<'c, DB: sqlx::Database> {
    Pool(&'c Pool<DB>),
    Transaction(&'c mut DB::Connection),
}

impl<'c, DB: sqlx::Database> From<&'c Pool<DB>> for Source<'c, DB> {
    fn from(pool: &'c Pool<DB>) -> Self {
        Self::Pool(pool)
    }
}

impl<'c> From<&'c mut sqlx::PgConnection> for Source<'c, Postgres> {
    fn from(connection: &'c mut sqlx::PgConnection) -> Self {
        Self::Transaction(connection)
    }
}

impl<'c> From<&'c mut sqlx::SqliteConnection> for Source<'c, Sqlite> {
    fn from(connection: &'c mut sqlx::SqliteConnection) -> Self {
        Self::Transaction(connection)
    }
}

impl<'c, DB: sqlx::Database> Source<'c, DB> {
    async fn connect(self, limits: &Limits) -> Result<Connected<'c, DB>, StoreError> {
        match self {
            Self::Transaction(connection) => Ok(Connected::Transaction(connection)),
            Self::Pool(pool) => {
                let begun = Instant::now();
                let connection = pool.acquire().await.map_err(classify);
                limits.acquired(begun);
                Ok(Connected::Pooled(connection?))
            }
        }
    }
}

enum Connected<'c, DB: sqlx::Database> {
    Pooled(PoolConnection<DB>),
    Transaction(&'c mut DB::Connection),
}

impl<DB: sqlx::Database> Connected<'_, DB> {
    fn get(&mut self) -> &mut DB::Connection {
        match self {
            Self::Pooled(connection) => connection,
            Self::Transaction(connection) => connection,
        }
    }
}

/// Runs the same method of the same query on either engine.
macro_rules! run {
    ($statement:ident, $operation:literal, $query:ident $(as $output:ty)?, $method:ident) => {{
        let Statement { prepared, limits, sql, unencodable } = $statement;
        if let Some(error) = unencodable {
            return Err(error);
        }
        match prepared {
            Prepared::Postgres(source, arguments) => {
                let mut connection = source.connect(&limits).await?;
                let query = sqlx::$query::<Postgres, $($output,)? _>(sql, arguments);
                limits.run($operation, query.$method(connection.get())).await.map(Into::into)
            }
            Prepared::Sqlite(source, arguments) => {
                let mut connection = source.connect(&limits).await?;
                let query = sqlx::$query::<Sqlite, $($output,)? _>(sql, arguments);
                limits.run($operation, query.$method(connection.get())).await.map(Into::into)
            }
        }
    }};
}

impl<'c> Statement<'c> {
    pub(super) fn on_postgres(source: Source<'c, Postgres>, limits: Limits, sql: &'static str) -> Self {
        let prepared = Prepared::Postgres(source, PgArguments::default());
        Self { prepared, limits, sql, unencodable: None }
    }

    pub(super) fn on_sqlite(source: Source<'c, Sqlite>, limits: Limits, sql: &'static str) -> Self {
        let prepared = Prepared::Sqlite(source, SqliteArguments::default());
        Self { prepared, limits, sql, unencodable: None }
    }

    /// Which engine will run this.
    pub fn engine(&self) -> Engine {
        self.limits.engine
    }

    /// Gives the next parameter its value; `None` is a NULL of the right type.
    pub fn bind<'v>(mut self, value: impl Value<'v>) -> Self {
        let added = match &mut self.prepared {
            Prepared::Postgres(_, arguments) => arguments.add(value),
            Prepared::Sqlite(_, arguments) => arguments.add(value),
        };
        if let Err(error) = added {
            self.unencodable.get_or_insert_with(|| classify(sqlx::Error::Encode(error)));
        }
        self
    }

    /// Gives the next parameter many texts: a `text[]` on Postgres, a JSON array for `json_each` on SQLite.
    pub fn bind_text_array<T: Into<Option<String>>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Option<String>> = values.into_iter().map(Into::into).collect();
        self.bind_array(values, |values| serde_json::json!(values))
    }

    /// Gives the next parameter many integers: a `bigint[]` on Postgres, a JSON array for `json_each` on SQLite.
    pub fn bind_integer_array<T: Into<Option<i64>>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Option<i64>> = values.into_iter().map(Into::into).collect();
        self.bind_array(values, |values| serde_json::json!(values))
    }

    /// Gives the next parameter many byte strings: a `bytea[]` on Postgres; on SQLite a JSON array of hexadecimal texts,
    /// for `json_each` with `unhex(value)`.
    pub fn bind_bytes_array<T: Into<Option<Vec<u8>>>>(self, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<Option<Vec<u8>>> = values.into_iter().map(Into::into).collect();
        self.bind_array(values, |values| {
            let encoded: Vec<Option<String>> =
                values.into_iter().map(|value| value.map(hex::encode)).collect();
            serde_json::json!(encoded)
        })
    }

    fn bind_array<T>(mut self, values: Vec<T>, to_json: impl FnOnce(Vec<T>) -> serde_json::Value) -> Self
    where
        Vec<T>: Encode<'static, Postgres> + Type<Postgres> + 'static,
    {
        let added = match &mut self.prepared {
            Prepared::Postgres(_, arguments) => arguments.add(values),
            Prepared::Sqlite(_, arguments) => arguments.add(to_json(values).to_string()),
        };
        if let Err(error) = added {
            self.unencodable.get_or_insert_with(|| classify(sqlx::Error::Encode(error)));
        }
        self
    }

    /// Runs the statement and returns every row.
    ///
    /// # Errors
    /// Any [`StoreError`] but the schema's; [`StoreError::Internal`] when a row does not fit `T`.
    pub async fn fetch_all<T: FromRow>(self) -> Result<Vec<T>, StoreError> {
        run!(self, "fetch_all", query_as_with as T, fetch_all)
    }

    /// Runs the statement and returns its first row, if there is one.
    ///
    /// # Errors
    /// As [`Statement::fetch_all`].
    pub async fn fetch_optional<T: FromRow>(self) -> Result<Option<T>, StoreError> {
        run!(self, "fetch_optional", query_as_with as T, fetch_optional)
    }

    /// Runs a statement that always gives a row, such as a count.
    ///
    /// # Errors
    /// As [`Statement::fetch_all`]; [`StoreError::Internal`] when there is no row.
    pub async fn fetch_one<T: FromRow>(self) -> Result<T, StoreError> {
        run!(self, "fetch_one", query_as_with as T, fetch_one)
    }

    /// Runs the statement and returns how many rows it inserted, updated or deleted.
    ///
    /// # Errors
    /// As [`Statement::fetch_all`].
    pub async fn execute(self) -> Result<u64, StoreError> {
        let affected: RowsAffected = run!(self, "execute", query_with, execute)?;
        Ok(affected.0)
    }
}

struct RowsAffected(u64);

impl From<sqlx::postgres::PgQueryResult> for RowsAffected {
    fn from(result: sqlx::postgres::PgQueryResult) -> Self {
        Self(result.rows_affected())
    }
}

impl From<sqlx::sqlite::SqliteQueryResult> for RowsAffected {
    fn from(result: sqlx::sqlite::SqliteQueryResult) -> Self {
        Self(result.rows_affected())
    }
}

impl std::fmt::Debug for Statement<'_> {
    /// Without the values, which may be secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Statement").field("sql", &self.sql).finish_non_exhaustive()
    }
}
