//! Signing keys in the database; their private parts are sealed.

use mcx_store::sealing::SealedSecret;
use mcx_store::{Database, StoreError, Transaction};
use mcx_types::Timestamp;

use super::columns::{corrupt, optional_time, time};
use crate::domain::partner::PublicKey;
use crate::domain::signing_key::{SigningKeyFacts, SigningKeyState};

/// A signing key as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredKey {
    pub(crate) facts: SigningKeyFacts,
    pub(crate) sealed: SealedSecret,
}

#[derive(sqlx::FromRow)]
struct Row {
    kid: String,
    state: String,
    x: String,
    y: String,
    sealed_key: Vec<u8>,
    key_encryption_key_id: String,
    created_at: i64,
    activated_at: Option<i64>,
    remove_at: Option<i64>,
}

impl TryFrom<Row> for StoredKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            facts: SigningKeyFacts {
                public: PublicKey { kid: row.kid, x: row.x, y: row.y },
                state: match row.state.as_str() {
                    "NEXT" => SigningKeyState::Next,
                    "ACTIVE" => SigningKeyState::Active,
                    "RETIRING" => SigningKeyState::Retiring,
                    _ => return Err(corrupt("state")),
                },
                created_at: time(row.created_at),
                activated_at: optional_time(row.activated_at),
                remove_at: optional_time(row.remove_at),
            },
            sealed: SealedSecret { key_id: row.key_encryption_key_id, octets: row.sealed_key },
        })
    }
}

// The youngest first; a key that was made in the same moment as another comes behind it by its name.
const LIST: &str = "SELECT * FROM signing_key ORDER BY created_at DESC, kid";

pub(crate) async fn list(database: &Database) -> Result<Vec<StoredKey>, StoreError> {
    let rows: Vec<Row> = database.statement(LIST).fetch_all().await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn list_in(transaction: &mut Transaction) -> Result<Vec<StoredKey>, StoreError> {
    let rows: Vec<Row> = transaction.statement(LIST).fetch_all().await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    public: &PublicKey,
    sealed: &SealedSecret,
    state: SigningKeyState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (state, activated_at) = match state {
        SigningKeyState::Active => ("ACTIVE", Some(now.as_micros())),
        SigningKeyState::Next | SigningKeyState::Retiring => ("NEXT", None),
    };
    transaction
        .statement(
            "INSERT INTO signing_key (kid, state, x, y, sealed_key, key_encryption_key_id, created_at, activated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(public.kid.as_str())
        .bind(state)
        .bind(public.x.as_str())
        .bind(public.y.as_str())
        .bind(sealed.octets.clone())
        .bind(sealed.key_id.as_str())
        .bind(now.as_micros())
        .bind(activated_at)
        .execute()
        .await?;
    Ok(())
}

/// The active key signs no more and is removed at `remove_at`.
pub(crate) async fn retire_active(
    transaction: &mut Transaction,
    remove_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE signing_key SET state = 'RETIRING', remove_at = $1 WHERE state = 'ACTIVE'")
        .bind(remove_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// The next key signs.
pub(crate) async fn activate_next(transaction: &mut Transaction, now: Timestamp) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE signing_key SET state = 'ACTIVE', activated_at = $1 WHERE state = 'NEXT'")
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Stores a key sealed anew, if it is still sealed as it was read.
pub(crate) async fn reseal(
    database: &Database,
    kid: &str,
    former_key_id: &str,
    sealed: &SealedSecret,
) -> Result<(), StoreError> {
    database
        .statement(
            "UPDATE signing_key SET sealed_key = $3, key_encryption_key_id = $4 \
             WHERE kid = $1 AND key_encryption_key_id = $2",
        )
        .bind(kid)
        .bind(former_key_id)
        .bind(sealed.octets.clone())
        .bind(sealed.key_id.as_str())
        .execute()
        .await?;
    Ok(())
}

/// Removes a key; says whether it was there.
pub(crate) async fn delete(transaction: &mut Transaction, kid: &str) -> Result<bool, StoreError> {
    Ok(transaction.statement("DELETE FROM signing_key WHERE kid = $1").bind(kid).execute().await? == 1)
}

/// Removes the keys whose time is over; how many there were.
pub(crate) async fn remove_retired(database: &Database, now: Timestamp) -> Result<u64, StoreError> {
    database
        .statement("DELETE FROM signing_key WHERE state = 'RETIRING' AND remove_at <= $1")
        .bind(now.as_micros())
        .execute()
        .await
}
