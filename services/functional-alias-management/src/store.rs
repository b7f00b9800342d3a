//! The SQL of functional alias management. Each statement is written once for both engines; tables `functional_alias` and `allowed_user`.

pub(crate) mod aliases;
pub(crate) mod allowed_users;

use mcx_store::{Schema, StoreError};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `functional_alias_management`.
pub static SCHEMA: Schema =
    Schema { name: "functional_alias_management", postgres: &POSTGRES, sqlite: &SQLITE };

/// What a column holds is not what was written there: the schema and the program do not fit.
fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Where the next page begins: behind this key. `None`: there is no next page.
    pub(crate) next_after: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` out of up to `limit + 1` items, the last of which only tells that there is more.
    fn cut(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_after = if has_more { items.last().map(key) } else { None };
        Self { items, next_after }
    }
}
