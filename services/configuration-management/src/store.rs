//! What configuration management keeps.
//!
//! | room | tables |
//! | --- | --- |
//! | [`documents`] | `document`, `document_version` |
//! | [`users`] | `service_user`, `migration_target` |
//! | [`shares`] | `share` |
//! | [`visitors`] | `visitor`, `visitor_profile` |
//! | [`enrolments`] | `ue_enrolment` |

pub(crate) mod documents;
pub(crate) mod enrolments;
pub(crate) mod shares;
pub(crate) mod users;
pub(crate) mod visitors;

use mcx_store::{Schema, StoreError};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `configuration_management`.
pub static SCHEMA: Schema = Schema { name: "configuration_management", postgres: &POSTGRES, sqlite: &SQLITE };

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Where the next page begins: behind this key. Empty: there is no next page.
    pub(crate) next_after: String,
}

impl<T> Page<T> {
    /// Makes a page of `limit` out of up to `limit + 1` items, the last of which only tells that there is more.
    fn cut(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Self {
        let limit = limit as usize;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_after = if has_more { items.last().map(key).unwrap_or_default() } else { String::new() };
        Self { items, next_after }
    }

    /// The page with other items in it.
    pub(crate) fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let items = self.items.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Page { items, next_after: self.next_after })
    }
}

/// What a column holds is not what was written there: the schema and the program do not fit.
pub(crate) fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}
