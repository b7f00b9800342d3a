//! Tokens that count no more.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Subject, Timestamp};

use super::columns::{parse, time};

/// What was revoked and may not have expired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Revocations {
    /// Single tokens, and when they expire.
    pub(crate) tokens: Vec<(String, Timestamp)>,
    /// Users, and up to when their tokens are void.
    pub(crate) subjects: Vec<(Subject, Timestamp)>,
}

pub(crate) async fn all(database: &Database, now: Timestamp) -> Result<Revocations, StoreError> {
    let tokens: Vec<(String, i64)> = database
        .statement("SELECT token_id, expires_at FROM revoked_token WHERE expires_at > $1 ORDER BY token_id")
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    let subjects: Vec<(String, i64)> = database
        .statement("SELECT subject, revoked_at FROM revoked_subject WHERE forget_at > $1 ORDER BY subject")
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    let subjects = subjects
        .into_iter()
        .map(|(subject, revoked_at)| Ok((parse("subject", &subject)?, time(revoked_at))))
        .collect::<Result<_, StoreError>>()?;
    let tokens = tokens.into_iter().map(|(id, expires_at)| (id, time(expires_at))).collect();
    Ok(Revocations { tokens, subjects })
}

pub(crate) async fn revoke_token(
    transaction: &mut Transaction,
    token_id: &str,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO revoked_token (token_id, expires_at) VALUES ($1, $2) ON CONFLICT (token_id) DO NOTHING",
        )
        .bind(token_id)
        .bind(expires_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn revoke_subject(
    transaction: &mut Transaction,
    subject: &Subject,
    revoked_at: Timestamp,
    forget_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO revoked_subject (subject, revoked_at, forget_at) VALUES ($1, $2, $3) \
             ON CONFLICT (subject) DO UPDATE SET revoked_at = excluded.revoked_at, forget_at = excluded.forget_at",
        )
        .bind(subject.as_str())
        .bind(revoked_at.as_micros())
        .bind(forget_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Up to when the tokens of a user are void.
pub(crate) async fn subject_revoked_at(
    transaction: &mut Transaction,
    subject: &Subject,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT revoked_at FROM revoked_subject WHERE subject = $1")
        .bind(subject.as_str())
        .fetch_optional()
        .await?;
    Ok(row.map(|(revoked_at,)| time(revoked_at)))
}

/// Notes that a security token is taken; whether it was not before.
pub(crate) async fn take_security_token(
    transaction: &mut Transaction,
    issuer: &str,
    token_id: &str,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let taken = transaction
        .statement(
            "INSERT INTO used_security_token (issuer, token_id, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (issuer, token_id) DO NOTHING",
        )
        .bind(issuer)
        .bind(token_id)
        .bind(expires_at.as_micros())
        .execute()
        .await?;
    Ok(taken == 1)
}

/// Forgets what has expired.
pub(crate) async fn forget_before(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM revoked_token WHERE expires_at < $1",
        "DELETE FROM revoked_subject WHERE forget_at < $1",
        "DELETE FROM used_security_token WHERE expires_at < $1",
    ] {
        database.statement(statement).bind(now.as_micros()).execute().await?;
    }
    Ok(())
}
