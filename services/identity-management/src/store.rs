//! The SQL of identity management. Each statement is written once for both engines.
//!
//! | room | tables |
//! | --- | --- |
//! | [`accounts`] | `account`, `mc_service_identity` |
//! | [`logins`] | `login_source` |
//! | [`clients`] | `client` |
//! | [`partner_trusts`] | `partner_trust` |
//! | [`signing_keys`] | `signing_key` |
//! | [`grants`] | `token_family`, `authorization_code`, `refresh_token`, `issued_token` |
//! | [`revocations`] | `revoked_token`, `revoked_subject`, `used_security_token` |
//! | [`migrations`] | `visitor_subject`, `visitor`, `exchange_target` |

pub(crate) mod accounts;
pub(crate) mod clients;
pub(crate) mod columns;
pub(crate) mod grants;
pub(crate) mod logins;
pub(crate) mod migrations;
pub(crate) mod partner_trusts;
pub(crate) mod revocations;
pub(crate) mod signing_keys;

use mcx_store::Schema;
use mcx_types::Timestamp;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `identity_management`.
pub static SCHEMA: Schema = Schema { name: "identity_management", postgres: &POSTGRES, sqlite: &SQLITE };

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

/// What a transaction that reads a user holds her for. On Postgres issuing tokens and taking the right to them away wait for each other by
/// it; SQLite lets one transaction write at a time anyway.
///
/// Else a token could be issued to somebody who was looked up just before she was revoked, and be dated after that. Everybody holds the user
/// first, then her logins, then what is revoked, so that no two wait for each other at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Others may do the same.
    ToIssue,
    /// Nobody else may do either.
    ToRevoke,
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
