//! Accounts in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{McId, McService, McServiceId, Subject, Timestamp};
use secrecy::SecretString;

use super::columns::{corrupt, parse, scopes, service_identities, service_identities_json, time};
use super::{Hold, Page, Stored};
use crate::domain::account::{Account, AccountState, AccountTerms, ServiceIdentities};

#[derive(sqlx::FromRow)]
struct Row {
    mc_id: String,
    subject: String,
    display_name: String,
    mc_service_identities: String,
    scopes: String,
    state: String,
    password_hash: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Stored<Account> {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            value: Account {
                subject: parse("subject", &row.subject)?,
                terms: AccountTerms {
                    mc_id: parse("mc_id", &row.mc_id)?,
                    display_name: row.display_name,
                    service_identities: service_identities(&row.mc_service_identities)?,
                    scopes: scopes(&row.scopes),
                    state: match row.state.as_str() {
                        "ENABLED" => AccountState::Enabled,
                        "DISABLED" => AccountState::Disabled,
                        _ => return Err(corrupt("state")),
                    },
                },
                has_password: row.password_hash.is_some(),
            },
            version: row.version,
            created_at: time(row.created_at),
            updated_at: time(row.updated_at),
        })
    }
}

fn state_name(state: AccountState) -> &'static str {
    match state {
        AccountState::Enabled => "ENABLED",
        AccountState::Disabled => "DISABLED",
    }
}

fn read(row: Option<Row>) -> Result<Option<Stored<Account>>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

const BY_MC_ID: &str = "SELECT * FROM account WHERE mc_id = $1";
const BY_SUBJECT: &str = "SELECT * FROM account WHERE subject = $1";

pub(crate) async fn find(database: &Database, mc_id: &McId) -> Result<Option<Stored<Account>>, StoreError> {
    read(database.statement(BY_MC_ID).bind(mc_id.as_str()).fetch_optional().await?)
}

pub(crate) async fn find_by_subject(
    database: &Database,
    subject: &Subject,
) -> Result<Option<Stored<Account>>, StoreError> {
    read(database.statement(BY_SUBJECT).bind(subject.as_str()).fetch_optional().await?)
}

/// The account as the transaction sees it.
pub(crate) async fn find_in(
    transaction: &mut Transaction,
    mc_id: &McId,
) -> Result<Option<Stored<Account>>, StoreError> {
    read(transaction.statement(BY_MC_ID).bind(mc_id.as_str()).fetch_optional().await?)
}

/// The account of a subject as the transaction sees it.
pub(crate) async fn find_by_subject_in(
    transaction: &mut Transaction,
    subject: &Subject,
) -> Result<Option<Stored<Account>>, StoreError> {
    read(transaction.statement(BY_SUBJECT).bind(subject.as_str()).fetch_optional().await?)
}

/// The account as it stays until the transaction ends.
pub(crate) async fn hold_to_change(
    transaction: &mut Transaction,
    mc_id: &McId,
) -> Result<Option<Stored<Account>>, StoreError> {
    const HOLD: &str = "SELECT * FROM account WHERE mc_id = $1 FOR NO KEY UPDATE";
    let statement = transaction.engine().dialect(HOLD, BY_MC_ID);
    read(transaction.statement(statement).bind(mc_id.as_str()).fetch_optional().await?)
}

/// The account of a subject as it stays until the transaction ends.
pub(crate) async fn hold_by_subject(
    transaction: &mut Transaction,
    subject: &Subject,
    hold: Hold,
) -> Result<Option<Stored<Account>>, StoreError> {
    let on_postgres = match hold {
        Hold::ToIssue => "SELECT * FROM account WHERE subject = $1 FOR SHARE",
        // Exchange targets may still be given to her.
        Hold::ToRevoke => "SELECT * FROM account WHERE subject = $1 FOR NO KEY UPDATE",
    };
    let statement = transaction.engine().dialect(on_postgres, BY_SUBJECT);
    read(transaction.statement(statement).bind(subject.as_str()).fetch_optional().await?)
}

/// An account with the hash of its password.
pub(crate) type WithPassword = (Stored<Account>, Option<SecretString>);

/// An account with the hash of its password, for a login.
pub(crate) async fn find_with_password(
    database: &Database,
    mc_id: &McId,
) -> Result<Option<WithPassword>, StoreError> {
    read_with_password(database.statement(BY_MC_ID).bind(mc_id.as_str()).fetch_optional().await?)
}

/// The same as it stays until the transaction ends: held to issue.
pub(crate) async fn hold_with_password(
    transaction: &mut Transaction,
    mc_id: &McId,
) -> Result<Option<WithPassword>, StoreError> {
    let statement =
        transaction.engine().dialect("SELECT * FROM account WHERE mc_id = $1 FOR SHARE", BY_MC_ID);
    read_with_password(transaction.statement(statement).bind(mc_id.as_str()).fetch_optional().await?)
}

fn read_with_password(row: Option<Row>) -> Result<Option<WithPassword>, StoreError> {
    row.map(|mut row| {
        let hash = row.password_hash.clone().map(SecretString::from);
        row.password_hash = row.password_hash.map(|_| String::new());
        Ok((row.try_into()?, hash))
    })
    .transpose()
}

/// Up to `limit` accounts behind `after`, in the order of their MC IDs.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<Stored<Account>>, StoreError> {
    let rows: Vec<Row> = database
        .statement("SELECT * FROM account WHERE mc_id > $1 ORDER BY mc_id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<Stored<Account>>, _>>()?;
    Ok(Page::cut(items, limit, |account| account.value.terms.mc_id.to_string()))
}

/// The accounts that there are among these, in no order.
pub(crate) async fn find_all(
    database: &Database,
    mc_ids: &[McId],
) -> Result<Vec<Stored<Account>>, StoreError> {
    let statement = database.dialect(
        "SELECT * FROM account WHERE mc_id = ANY ($1)",
        "SELECT * FROM account WHERE mc_id IN (SELECT value FROM json_each($1))",
    );
    let rows: Vec<Row> = database
        .statement(statement)
        .bind_text_array(mc_ids.iter().map(ToString::to_string))
        .fetch_all()
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    subject: &Subject,
    terms: &AccountTerms,
    password_hash: Option<&str>,
    now: Timestamp,
) -> Result<Stored<Account>, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO account (mc_id, subject, display_name, mc_service_identities, scopes, state, password_hash, \
             version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8) RETURNING *",
        )
        .bind(terms.mc_id.as_str())
        .bind(subject.as_str())
        .bind(terms.display_name.as_str())
        .bind(service_identities_json(&terms.service_identities)?)
        .bind(terms.scopes.to_string())
        .bind(state_name(terms.state))
        .bind(password_hash)
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    allot(transaction, subject, &terms.service_identities).await?;
    row.try_into()
}

/// Replaces the account if it still has `version`; `None` where it has not, or is gone.
pub(crate) async fn update(
    transaction: &mut Transaction,
    terms: &AccountTerms,
    version: i64,
    now: Timestamp,
) -> Result<Option<Stored<Account>>, StoreError> {
    let row: Option<Row> = transaction
        .statement(
            "UPDATE account SET display_name = $3, mc_service_identities = $4, scopes = $5, state = $6, \
             version = version + 1, updated_at = $7 WHERE mc_id = $1 AND version = $2 RETURNING *",
        )
        .bind(terms.mc_id.as_str())
        .bind(version)
        .bind(terms.display_name.as_str())
        .bind(service_identities_json(&terms.service_identities)?)
        .bind(terms.scopes.to_string())
        .bind(state_name(terms.state))
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    let updated = read(row)?;
    if let Some(account) = &updated {
        allot(transaction, &account.value.subject, &terms.service_identities).await?;
    }
    Ok(updated)
}

/// Sets the password; the subject of the account, if there is one.
pub(crate) async fn set_password(
    transaction: &mut Transaction,
    mc_id: &McId,
    password_hash: &str,
    now: Timestamp,
) -> Result<Option<Subject>, StoreError> {
    let row: Option<(String,)> = transaction
        .statement(
            "UPDATE account SET password_hash = $2, version = version + 1, updated_at = $3 WHERE mc_id = $1 \
             RETURNING subject",
        )
        .bind(mc_id.as_str())
        .bind(password_hash)
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    row.map(|(subject,)| parse("subject", &subject)).transpose()
}

/// Removes the account if it has `version` (`None`: whichever); its subject, if it did.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    mc_id: &McId,
    version: Option<i64>,
) -> Result<Option<Subject>, StoreError> {
    let row: Option<(String,)> = transaction
        .statement(
            "DELETE FROM account WHERE mc_id = $1 AND version = COALESCE($2, version) RETURNING subject",
        )
        .bind(mc_id.as_str())
        .bind(version)
        .fetch_optional()
        .await?;
    let Some((subject,)) = row else { return Ok(None) };
    let subject: Subject = parse("subject", &subject)?;
    allot(transaction, &subject, &ServiceIdentities::new()).await?;
    Ok(Some(subject))
}

/// Makes these the MC service IDs of a subject, and no others.
pub(crate) async fn allot(
    transaction: &mut Transaction,
    subject: &Subject,
    identities: &ServiceIdentities,
) -> Result<(), StoreError> {
    transaction
        .statement("DELETE FROM mc_service_identity WHERE subject = $1")
        .bind(subject.as_str())
        .execute()
        .await?;
    for (service, id) in identities {
        transaction
            .statement(
                "INSERT INTO mc_service_identity (mc_service, mc_service_id, subject) VALUES ($1, $2, $3)",
            )
            .bind(service.as_str())
            .bind(id.as_str())
            .bind(subject.as_str())
            .execute()
            .await?;
    }
    Ok(())
}

/// Which of these MC service IDs another subject has.
pub(crate) async fn taken_by_others(
    database: &Database,
    subject: Option<&Subject>,
    identities: &ServiceIdentities,
) -> Result<Option<(McService, McServiceId)>, StoreError> {
    for (service, id) in identities {
        let holder: Option<(String,)> = database
            .statement("SELECT subject FROM mc_service_identity WHERE mc_service = $1 AND mc_service_id = $2")
            .bind(service.as_str())
            .bind(id.as_str())
            .fetch_optional()
            .await?;
        if holder.is_some_and(|(holder,)| subject.is_none_or(|subject| subject.as_str() != holder)) {
            return Ok(Some((*service, id.clone())));
        }
    }
    Ok(None)
}
