//! Locks that a transaction holds until its end, on whatever has several rows.

use std::fmt;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::FunctionalAlias;
use uuid::Uuid;

use crate::domain::user::User;

/// What is locked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock<'a> {
    /// A migration: its beginning against its end.
    Migration(Uuid),
    /// A user: her authorizations, marks, affiliations and functional aliases.
    User(&'a User),
    /// A functional alias: who has it.
    Alias(&'a FunctionalAlias),
}

impl fmt::Display for Lock<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration(id) => write!(formatter, "migration/{id}"),
            Self::User(user) => write!(formatter, "user/{}/{}", user.mc_service, user.id),
            Self::Alias(alias) => write!(formatter, "alias/{alias}"),
        }
    }
}

/// Takes the lock, as soon as no other transaction has it; returns how often it was taken, this time included.
pub(crate) async fn take(transaction: &mut Transaction, lock: Lock<'_>) -> Result<i64, StoreError> {
    let (taken,): (i64,) = transaction
        .statement(
            "INSERT INTO lock (name, taken) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET taken = lock.taken + 1 \
             RETURNING taken",
        )
        .bind(lock.to_string())
        .fetch_one()
        .await?;
    Ok(taken)
}

/// How often the lock was taken by transactions that have ended.
pub(crate) async fn taken(database: &Database, lock: Lock<'_>) -> Result<i64, StoreError> {
    let row: Option<(i64,)> = database
        .statement("SELECT taken FROM lock WHERE name = $1")
        .bind(lock.to_string())
        .fetch_optional()
        .await?;
    Ok(row.map_or(0, |(taken,)| taken))
}
