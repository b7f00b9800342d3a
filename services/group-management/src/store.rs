//! The SQL of group management. Each statement is written once for both engines; `sql!` shows the one place where they differ.
//!
//! | room | tables |
//! | --- | --- |
//! | [`groups`] | `mc_group` |
//! | [`members`] | `member` |
//! | [`visitors`], [`grants`] | `visitor`, `visitor_identity`, `visitor_grant` |
//! | [`shared_users`] | `shared_user`, `shared_user_identity` |
//! | [`shares`] | `share` |

pub(crate) mod columns;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod members;
pub(crate) mod shared_users;
pub(crate) mod shares;
pub(crate) mod visitors;

use mcx_store::Schema;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `group_management`.
pub static SCHEMA: Schema = Schema { name: "group_management", postgres: &POSTGRES, sqlite: &SQLITE };

/// A statement for `engine`, in which `[n]` is the array of texts bound as `$n`, to be used behind `IN`.
macro_rules! sql {
    ($engine:expr, $($piece:tt)*) => {
        $engine.dialect(
            concat!($($crate::store::sql_piece!(postgres $piece)),*),
            concat!($($crate::store::sql_piece!(sqlite $piece)),*),
        )
    };
}

/// A piece of `sql!`.
macro_rules! sql_piece {
    ($engine:ident $text:literal) => {
        $text
    };
    (postgres [$number:literal]) => {
        concat!("(SELECT unnest($", $number, "::text[]))")
    };
    (sqlite [$number:literal]) => {
        concat!("(SELECT value FROM json_each($", $number, "))")
    };
}

use {sql, sql_piece};

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
