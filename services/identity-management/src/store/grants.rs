//! Logins and what came of them: codes, refresh tokens, access tokens.

use std::collections::BTreeMap;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Subject, Timestamp};
use uuid::Uuid;

use super::columns::{optional_time, parse, scopes, time};
use crate::domain::grant::{AuthorizationCode, RefreshToken, TokenFamily};

#[derive(sqlx::FromRow)]
struct FamilyRow {
    family_id: String,
    client_id: String,
    subject: String,
    scopes: String,
    nonce: Option<String>,
    authenticated_at: i64,
    ends_at: i64,
    revoked_at: Option<i64>,
}

impl TryFrom<FamilyRow> for TokenFamily {
    type Error = StoreError;

    fn try_from(row: FamilyRow) -> Result<Self, Self::Error> {
        Ok(Self {
            id: parse("family_id", &row.family_id)?,
            client_id: row.client_id,
            subject: parse("subject", &row.subject)?,
            scopes: scopes(&row.scopes),
            nonce: row.nonce,
            authenticated_at: time(row.authenticated_at),
            ends_at: time(row.ends_at),
            revoked_at: optional_time(row.revoked_at),
        })
    }
}

async fn family(transaction: &mut Transaction, id: &str) -> Result<TokenFamily, StoreError> {
    let row: FamilyRow =
        transaction.statement("SELECT * FROM token_family WHERE family_id = $1").bind(id).fetch_one().await?;
    row.try_into()
}

/// A login as it stays until the transaction ends: held to issue, after the user.
pub(crate) async fn hold_family(
    transaction: &mut Transaction,
    id: Uuid,
) -> Result<Option<TokenFamily>, StoreError> {
    let statement = transaction.engine().dialect(
        "SELECT * FROM token_family WHERE family_id = $1 FOR SHARE",
        "SELECT * FROM token_family WHERE family_id = $1",
    );
    let row: Option<FamilyRow> =
        transaction.statement(statement).bind(id.to_string()).fetch_optional().await?;
    row.map(TryInto::try_into).transpose()
}

pub(crate) async fn insert_family(
    transaction: &mut Transaction,
    family: &TokenFamily,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO token_family (family_id, client_id, subject, scopes, nonce, authenticated_at, ends_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(family.id.to_string())
        .bind(family.client_id.as_str())
        .bind(family.subject.as_str())
        .bind(family.scopes.to_string())
        .bind(family.nonce.as_deref())
        .bind(family.authenticated_at.as_micros())
        .bind(family.ends_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn insert_code(
    transaction: &mut Transaction,
    code_hash: &str,
    code: &AuthorizationCode,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO authorization_code (code_hash, family_id, redirect_uri, code_challenge, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(code_hash)
        .bind(code.family.id.to_string())
        .bind(code.redirect_uri.as_str())
        .bind(code.code_challenge.as_str())
        .bind(code.expires_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Takes a code into use and tells what it was before: of concurrent callers one finds it unused.
pub(crate) async fn use_code(
    transaction: &mut Transaction,
    code_hash: &str,
    now: Timestamp,
) -> Result<Option<AuthorizationCode>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        family_id: String,
        redirect_uri: String,
        code_challenge: String,
        expires_at: i64,
        used_at: Option<i64>,
    }
    let marked = transaction
        .statement("UPDATE authorization_code SET used_at = $2 WHERE code_hash = $1 AND used_at IS NULL")
        .bind(code_hash)
        .bind(now.as_micros())
        .execute()
        .await?;
    let row: Option<Row> = transaction
        .statement(
            "SELECT family_id, redirect_uri, code_challenge, expires_at, used_at FROM authorization_code \
             WHERE code_hash = $1",
        )
        .bind(code_hash)
        .fetch_optional()
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(AuthorizationCode {
        family: family(transaction, &row.family_id).await?,
        redirect_uri: row.redirect_uri,
        code_challenge: row.code_challenge,
        expires_at: time(row.expires_at),
        used_at: if marked == 1 { None } else { optional_time(row.used_at) },
    }))
}

pub(crate) async fn insert_refresh_token(
    transaction: &mut Transaction,
    token_hash: &str,
    family_id: Uuid,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement("INSERT INTO refresh_token (token_hash, family_id, expires_at) VALUES ($1, $2, $3)")
        .bind(token_hash)
        .bind(family_id.to_string())
        .bind(expires_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Takes a refresh token into use and tells what it was before: of concurrent callers one finds it unused.
pub(crate) async fn use_refresh_token(
    transaction: &mut Transaction,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<RefreshToken>, StoreError> {
    let marked = transaction
        .statement("UPDATE refresh_token SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL")
        .bind(token_hash)
        .bind(now.as_micros())
        .execute()
        .await?;
    let found = find_refresh_token(transaction, token_hash).await?;
    Ok(found.map(|token| RefreshToken { used_at: token.used_at.filter(|_| marked == 0), ..token }))
}

pub(crate) async fn find_refresh_token(
    transaction: &mut Transaction,
    token_hash: &str,
) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<(String, i64, Option<i64>)> = transaction
        .statement("SELECT family_id, expires_at, used_at FROM refresh_token WHERE token_hash = $1")
        .bind(token_hash)
        .fetch_optional()
        .await?;
    let Some((family_id, expires_at, used_at)) = row else { return Ok(None) };
    Ok(Some(RefreshToken {
        family: family(transaction, &family_id).await?,
        expires_at: time(expires_at),
        used_at: optional_time(used_at),
    }))
}

pub(crate) async fn insert_issued_token(
    transaction: &mut Transaction,
    token_id: &str,
    family_id: Uuid,
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement("INSERT INTO issued_token (token_id, family_id, expires_at) VALUES ($1, $2, $3)")
        .bind(token_id)
        .bind(family_id.to_string())
        .bind(expires_at.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Revokes all that came of a login; its access tokens become revoked ones. Waits for whoever holds the login to issue one more.
pub(crate) async fn revoke_family(
    transaction: &mut Transaction,
    family_id: Uuid,
    now: Timestamp,
) -> Result<BTreeMap<String, Timestamp>, StoreError> {
    let id = family_id.to_string();
    transaction
        .statement("UPDATE token_family SET revoked_at = COALESCE(revoked_at, $2) WHERE family_id = $1")
        .bind(id.as_str())
        .bind(now.as_micros())
        .execute()
        .await?;
    let revoked: Vec<(String, i64)> = transaction
        .statement(
            "INSERT INTO revoked_token (token_id, expires_at, recorded_at) \
             SELECT token_id, expires_at, $2 FROM issued_token WHERE family_id = $1 AND expires_at > $2 \
             ON CONFLICT (token_id) DO NOTHING RETURNING token_id, expires_at",
        )
        .bind(id.as_str())
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    Ok(revoked.into_iter().map(|(id, expires_at)| (id, time(expires_at))).collect())
}

/// Revokes all logins of a subject; access tokens are another matter.
pub(crate) async fn revoke_families_of(
    transaction: &mut Transaction,
    subject: &Subject,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement("UPDATE token_family SET revoked_at = $2 WHERE subject = $1 AND revoked_at IS NULL")
        .bind(subject.as_str())
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Forgets logins of which nothing can come any more.
pub(crate) async fn forget_before(database: &Database, before: Timestamp) -> Result<u64, StoreError> {
    database
        .statement("DELETE FROM issued_token WHERE expires_at < $1")
        .bind(before.as_micros())
        .execute()
        .await?;
    database.statement("DELETE FROM token_family WHERE ends_at < $1").bind(before.as_micros()).execute().await
}
