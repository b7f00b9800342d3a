//! What the SIP database keeps: SQL and the shared cache.

mod issued_challenges;
mod lookup;
mod requesters;
mod rotation;
mod rows;
mod sequences;
pub(crate) mod subscribers;

use mcx_store::{Database, Schema};
use sqlx::migrate::Migrator;

pub(crate) use issued_challenges::IssuedChallenges;
pub(crate) use rotation::Reseal;
pub(crate) use sequences::{Advance, Advanced};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// The schema of the SIP database.
pub static SCHEMA: Schema = Schema { name: "sip_database", postgres: &POSTGRES, sqlite: &SQLITE };

/// The durable state, statement by statement. Transactions are begun by the use cases.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    database: Database,
}

impl Store {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}
