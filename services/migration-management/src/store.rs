//! The SQL of migration management. Each statement is written once for both engines.
//!
//! | room | tables |
//! | --- | --- |
//! | [`agreements`] | `agreement` |
//! | [`bindings`] | `binding`, `binding_partner_impu` |
//! | [`permits`] | `permit` |
//! | [`user_migrations`] | `user_migration` |
//! | [`ue_configurations`] | `partner_ue_configuration` |
//! | [`admission_policies`] | `admission_policy` |
//! | [`audit_records`] | `audit_record` |

pub(crate) mod admission_policies;
pub(crate) mod agreements;
pub(crate) mod audit_records;
pub(crate) mod bindings;
pub(crate) mod columns;
pub(crate) mod permits;
pub(crate) mod ue_configurations;
pub(crate) mod user_migrations;

use mcx_store::Schema;
use mcx_types::Timestamp;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `migration_management`.
pub static SCHEMA: Schema = Schema { name: "migration_management", postgres: &POSTGRES, sqlite: &SQLITE };

/// Something stored, with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored<T> {
    /// What is stored.
    pub(crate) value: T,
    /// Counts its changes from 1; its text is the `etag` of the protocol.
    pub(crate) version: i64,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// When it was last changed.
    pub(crate) updated_at: Timestamp,
}

impl<T> Stored<T> {
    /// The version as the protocol shows it.
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }
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
