//! Functional aliases in the database, without who may activate them.

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{FunctionalAlias, Timestamp};

use super::{Page, corrupt, parse};
use crate::domain::{AliasTerms, Asker};

/// A functional alias, with what the store knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredAlias {
    pub(crate) alias: FunctionalAlias,
    pub(crate) terms: AliasTerms,
    /// Counts its changes from 1; its text is the `etag` of the protocol.
    pub(crate) version: i64,
    /// Grows with every version, also where the alias is removed and made anew.
    pub(crate) revision: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    functional_alias: String,
    terms: String,
    version: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for StoredAlias {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        Ok(Self {
            alias: parse("functional_alias", &row.functional_alias)?,
            terms: serde_json::from_str(&row.terms).map_err(|_| corrupt("terms"))?,
            version: row.version,
            revision: row.revision,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn read(row: Option<Row>) -> Result<Option<StoredAlias>, StoreError> {
    row.map(TryInto::try_into).transpose()
}

fn page(rows: Vec<Row>, limit: u32) -> Result<Page<StoredAlias>, StoreError> {
    let items = rows.into_iter().map(TryInto::try_into).collect::<Result<Vec<StoredAlias>, _>>()?;
    Ok(Page::cut(items, limit, |stored| stored.alias.to_string()))
}

fn json(terms: &AliasTerms) -> Result<String, StoreError> {
    serde_json::to_string(terms).map_err(|_| corrupt("terms"))
}

pub(crate) async fn find(
    database: &Database,
    alias: &FunctionalAlias,
) -> Result<Option<StoredAlias>, StoreError> {
    let find = "SELECT * FROM functional_alias WHERE functional_alias = $1";
    read(database.statement(find).bind(alias.as_str()).fetch_optional().await?)
}

/// The functional alias, which nobody else changes until the end of the transaction.
pub(crate) async fn find_locked(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
) -> Result<Option<StoredAlias>, StoreError> {
    let lock = "UPDATE functional_alias SET version = version WHERE functional_alias = $1 RETURNING *";
    read(transaction.statement(lock).bind(alias.as_str()).fetch_optional().await?)
}

/// Up to `limit` functional aliases behind `after`, in the order of their identifiers.
pub(crate) async fn list(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Page<StoredAlias>, StoreError> {
    let list =
        "SELECT * FROM functional_alias WHERE functional_alias > $1 ORDER BY functional_alias LIMIT $2";
    page(database.statement(list).bind(after).bind(i64::from(limit) + 1).fetch_all().await?, limit)
}

/// A page of those that the asker may activate; only `among`, unless it is empty.
pub(crate) async fn list_for(
    database: &Database,
    asker: &Asker,
    among: &[FunctionalAlias],
    after: &str,
    limit: u32,
) -> Result<Page<StoredAlias>, StoreError> {
    let list = database.dialect(
        "SELECT * FROM functional_alias WHERE functional_alias > $2 AND ($3 OR functional_alias IN (SELECT unnest($4::text[]))) \
         AND ((allow_visitors AND $5) OR functional_alias IN \
         (SELECT functional_alias FROM allowed_user WHERE mc_service_id IN (SELECT unnest($1::text[])))) \
         ORDER BY functional_alias LIMIT $6",
        "SELECT * FROM functional_alias WHERE functional_alias > $2 \
         AND ($3 OR functional_alias IN (SELECT value FROM json_each($4))) \
         AND ((allow_visitors AND $5) OR functional_alias IN \
         (SELECT functional_alias FROM allowed_user WHERE mc_service_id IN (SELECT value FROM json_each($1)))) \
         ORDER BY functional_alias LIMIT $6",
    );
    let (ids, is_visitor) = match asker {
        Asker::Own(ids) => (ids.as_slice(), false),
        Asker::Visitor => (&[][..], true),
    };
    let rows = database
        .statement(list)
        .bind_text_array(ids.iter().map(ToString::to_string))
        .bind(after)
        .bind(among.is_empty())
        .bind_text_array(among.iter().map(ToString::to_string))
        .bind(is_visitor)
        .bind(i64::from(limit) + 1)
        .fetch_all()
        .await?;
    page(rows, limit)
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    terms: &AliasTerms,
    now: Timestamp,
) -> Result<StoredAlias, StoreError> {
    let row: Row = transaction
        .statement(
            "INSERT INTO functional_alias (functional_alias, terms, allow_visitors, version, revision, created_at, updated_at) \
             VALUES ($1, $2, $3, 1, $4, $4, $4) RETURNING *",
        )
        .bind(alias.as_str())
        .bind(json(terms)?)
        .bind(terms.allow_visitors)
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Replaces a functional alias that is locked.
pub(crate) async fn update(
    transaction: &mut Transaction,
    alias: &FunctionalAlias,
    terms: &AliasTerms,
    now: Timestamp,
) -> Result<StoredAlias, StoreError> {
    let row: Row = transaction
        .statement(
            "UPDATE functional_alias SET terms = $2, allow_visitors = $3, version = version + 1, \
             revision = CASE WHEN revision < $4 THEN $4 ELSE revision + 1 END, updated_at = $4 \
             WHERE functional_alias = $1 RETURNING *",
        )
        .bind(alias.as_str())
        .bind(json(terms)?)
        .bind(terms.allow_visitors)
        .bind(now.as_micros())
        .fetch_one()
        .await?;
    row.try_into()
}

/// Removes a functional alias, with who may activate it.
pub(crate) async fn delete(transaction: &mut Transaction, alias: &FunctionalAlias) -> Result<(), StoreError> {
    let delete = "DELETE FROM functional_alias WHERE functional_alias = $1";
    transaction.statement(delete).bind(alias.as_str()).execute().await.map(drop)
}
