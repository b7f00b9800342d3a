//! Users who migrate, in the database.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::Subject;
use uuid::Uuid;

use super::columns::{micros, optional_time, parse, scopes, service_identities, service_identities_json};
use super::{Hold, accounts};
use crate::domain::account::{ExchangeTarget, ServiceIdentities, Visitor, VisitorTerms};

#[derive(sqlx::FromRow)]
struct VisitorRow {
    migration_id: String,
    subject: String,
    primary_mc_system_id: String,
    primary_issuer: String,
    primary_subject: String,
    mc_service_identities: String,
    scopes: String,
    valid_until: Option<i64>,
}

impl TryFrom<VisitorRow> for Visitor {
    type Error = StoreError;

    fn try_from(row: VisitorRow) -> Result<Self, Self::Error> {
        Ok(Self {
            subject: parse("subject", &row.subject)?,
            terms: VisitorTerms {
                migration_id: parse("migration_id", &row.migration_id)?,
                primary: parse("primary_mc_system_id", &row.primary_mc_system_id)?,
                primary_issuer: row.primary_issuer,
                primary_subject: parse("primary_subject", &row.primary_subject)?,
                service_identities: service_identities(&row.mc_service_identities)?,
                scopes: scopes(&row.scopes),
                valid_until: optional_time(row.valid_until),
            },
        })
    }
}

fn read(row: Option<VisitorRow>) -> Result<Option<Visitor>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

const BY_MIGRATION: &str = "SELECT * FROM visitor WHERE migration_id = $1";
const BY_SUBJECT: &str = "SELECT * FROM visitor WHERE subject = $1";
const BY_PRIMARY: &str = "SELECT * FROM visitor WHERE primary_issuer = $1 AND primary_subject = $2";

/// The visitor of a migration as she stays until the transaction ends: held to revoke.
pub(crate) async fn hold_visitor(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Option<Visitor>, StoreError> {
    const HOLD: &str = "SELECT * FROM visitor WHERE migration_id = $1 FOR NO KEY UPDATE";
    held(transaction, transaction.engine().dialect(HOLD, BY_MIGRATION), &[&migration_id.to_string()]).await
}

pub(crate) async fn find_visitor_by_subject(
    transaction: &mut Transaction,
    subject: &Subject,
) -> Result<Option<Visitor>, StoreError> {
    read(transaction.statement(BY_SUBJECT).bind(subject.as_str()).fetch_optional().await?)
}

/// The visitor of a subject as she stays until the transaction ends.
pub(crate) async fn hold_visitor_by_subject(
    transaction: &mut Transaction,
    subject: &Subject,
    hold: Hold,
) -> Result<Option<Visitor>, StoreError> {
    let on_postgres = match hold {
        Hold::ToIssue => "SELECT * FROM visitor WHERE subject = $1 FOR SHARE",
        Hold::ToRevoke => "SELECT * FROM visitor WHERE subject = $1 FOR NO KEY UPDATE",
    };
    held(transaction, transaction.engine().dialect(on_postgres, BY_SUBJECT), &[subject.as_str()]).await
}

/// The visitor who is that user of a partner as she stays until the transaction ends: held to issue.
pub(crate) async fn hold_visitor_of(
    transaction: &mut Transaction,
    issuer: &str,
    primary_subject: &Subject,
) -> Result<Option<Visitor>, StoreError> {
    const HOLD: &str = "SELECT * FROM visitor WHERE primary_issuer = $1 AND primary_subject = $2 FOR SHARE";
    let statement = transaction.engine().dialect(HOLD, BY_PRIMARY);
    held(transaction, statement, &[issuer, primary_subject.as_str()]).await
}

/// A mapping is changed by removing it and putting another in its place: whoever waited for that finds neither, and has to look again.
async fn held(
    transaction: &mut Transaction,
    statement: &'static str,
    key: &[&str],
) -> Result<Option<Visitor>, StoreError> {
    for _ in 0..2 {
        let statement = transaction.statement(statement);
        let statement = key.iter().fold(statement, |statement, part| statement.bind(*part));
        if let Some(row) = statement.fetch_optional().await? {
            return read(Some(row));
        }
    }
    Ok(None)
}

/// Who a user of a partner is here: `fresh`, unless she was here before.
pub(crate) async fn visitor_subject(
    transaction: &mut Transaction,
    issuer: &str,
    primary_subject: &Subject,
    fresh: Uuid,
) -> Result<Subject, StoreError> {
    transaction
        .statement(
            "INSERT INTO visitor_subject (issuer, primary_subject, subject) VALUES ($1, $2, $3) \
             ON CONFLICT (issuer, primary_subject) DO NOTHING",
        )
        .bind(issuer)
        .bind(primary_subject.as_str())
        .bind(fresh.to_string())
        .execute()
        .await?;
    let (subject,): (String,) = transaction
        .statement("SELECT subject FROM visitor_subject WHERE issuer = $1 AND primary_subject = $2")
        .bind(issuer)
        .bind(primary_subject.as_str())
        .fetch_one()
        .await?;
    parse("subject", &subject)
}

pub(crate) async fn insert_visitor(
    transaction: &mut Transaction,
    visitor: &Visitor,
) -> Result<(), StoreError> {
    let terms = &visitor.terms;
    transaction
        .statement(
            "INSERT INTO visitor (migration_id, subject, primary_mc_system_id, primary_issuer, primary_subject, \
             mc_service_identities, scopes, valid_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(terms.migration_id.to_string())
        .bind(visitor.subject.as_str())
        .bind(terms.primary.as_str())
        .bind(terms.primary_issuer.as_str())
        .bind(terms.primary_subject.as_str())
        .bind(service_identities_json(&terms.service_identities)?)
        .bind(terms.scopes.to_string())
        .bind(micros(terms.valid_until))
        .execute()
        .await?;
    accounts::allot(transaction, &visitor.subject, &terms.service_identities).await
}

/// Removes a visitor; who she was.
pub(crate) async fn delete_visitor(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<Option<Subject>, StoreError> {
    let row: Option<(String,)> = transaction
        .statement("DELETE FROM visitor WHERE migration_id = $1 RETURNING subject")
        .bind(migration_id.to_string())
        .fetch_optional()
        .await?;
    let Some((subject,)) = row else { return Ok(None) };
    let subject: Subject = parse("subject", &subject)?;
    accounts::allot(transaction, &subject, &ServiceIdentities::new()).await?;
    Ok(Some(subject))
}

pub(crate) async fn put_target(
    transaction: &mut Transaction,
    target: &ExchangeTarget,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO exchange_target (migration_id, subject, partner_mc_system_id, resource, valid_until) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration_id) DO UPDATE SET subject = excluded.subject, \
             partner_mc_system_id = excluded.partner_mc_system_id, resource = excluded.resource, \
             valid_until = excluded.valid_until",
        )
        .bind(target.migration_id.to_string())
        .bind(target.subject.as_str())
        .bind(target.partner.as_str())
        .bind(target.resource.as_str())
        .bind(micros(target.valid_until))
        .execute()
        .await?;
    Ok(())
}

/// Removes a target; says whether it was there.
pub(crate) async fn delete_target(
    transaction: &mut Transaction,
    migration_id: Uuid,
) -> Result<bool, StoreError> {
    let removed = transaction
        .statement("DELETE FROM exchange_target WHERE migration_id = $1")
        .bind(migration_id.to_string())
        .execute()
        .await?;
    Ok(removed == 1)
}

/// Where an own user may go under that name.
pub(crate) async fn targets(
    database: &Database,
    subject: &Subject,
    resource: &str,
) -> Result<Vec<ExchangeTarget>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        migration_id: String,
        partner_mc_system_id: String,
        valid_until: Option<i64>,
    }
    let rows: Vec<Row> = database
        .statement(
            "SELECT migration_id, partner_mc_system_id, valid_until FROM exchange_target \
             WHERE subject = $1 AND resource = $2",
        )
        .bind(subject.as_str())
        .bind(resource)
        .fetch_all()
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ExchangeTarget {
                migration_id: parse("migration_id", &row.migration_id)?,
                subject: subject.clone(),
                partner: parse("partner_mc_system_id", &row.partner_mc_system_id)?,
                resource: resource.to_owned(),
                valid_until: optional_time(row.valid_until),
            })
        })
        .collect()
}
