//! Reading and writing subscribers.

use mcx_store::sealing::SealedSecret;
use mcx_store::{Engine, StoreError, Transaction};
use mcx_types::{Impi, Timestamp};
use serde_json::json;

use super::Store;
use super::rows::{SubscriberRow, joined};
use crate::domain::subscriber::{Subscriber, SubscriberContent, Version};
use crate::error::TakenIdentity;

/// A subscriber to be inserted.
#[derive(Debug, Clone)]
pub(crate) struct NewSubscriber {
    pub(crate) content: SubscriberContent,
    pub(crate) keys: SealedSecret,
}

/// What became of inserting subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// All are there.
    All,
    /// One has an identity that is taken: roll back.
    Taken(TakenIdentity),
}

/// What became of updating a subscriber.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// It is now this.
    Done(Box<Subscriber>),
    /// There is none.
    SubscriberUnknown,
    /// It has another version.
    VersionMismatch,
}

/// The new subscribers as a table. Bytes travel as hexadecimal digits, since they travel in JSON.
macro_rules! new_subscribers {
    (postgres) => {
        "json_to_recordset($1::json) AS new (impi text, impus text, scheme text, amf text, barred boolean, \
         key_id text, keys text)"
    };
    (sqlite) => {
        "(SELECT value ->> 'impi' AS impi, value ->> 'impus' AS impus, value ->> 'scheme' AS scheme, \
         value ->> 'amf' AS amf, value ->> 'barred' AS barred, value ->> 'key_id' AS key_id, \
         value ->> 'keys' AS keys FROM json_each($1)) AS new"
    };
}

/// A counter for every new subscriber; one that had been there before goes on where it stood. In the order of the keys,
/// so that concurrent imports do not deadlock.
const INSERT_SEQUENCES: [&str; 2] = [
    concat!(
        "INSERT INTO sequence (impi) SELECT new.impi FROM ",
        new_subscribers!(postgres),
        " WHERE TRUE ORDER BY new.impi ON CONFLICT (impi) DO NOTHING"
    ),
    concat!(
        "INSERT INTO sequence (impi) SELECT new.impi FROM ",
        new_subscribers!(sqlite),
        " WHERE TRUE ORDER BY new.impi ON CONFLICT (impi) DO NOTHING"
    ),
];

/// The first version follows the last one of a subscriber with this identity, so that no old `etag` fits the new one.
const INSERT_SUBSCRIBERS: [&str; 2] = [
    concat!(
        "INSERT INTO subscriber (impi, impus, scheme, amf, barred, version, key_id, keys, created_at, updated_at) \
         SELECT new.impi, new.impus, new.scheme, decode(new.amf, 'hex'), new.barred, sequence.last_version + 1, \
         new.key_id, decode(new.keys, 'hex'), $2, $2 FROM ",
        new_subscribers!(postgres),
        " JOIN sequence ON sequence.impi = new.impi WHERE TRUE ORDER BY new.impi \
         ON CONFLICT (impi) DO NOTHING RETURNING impi"
    ),
    concat!(
        "INSERT INTO subscriber (impi, impus, scheme, amf, barred, version, key_id, keys, created_at, updated_at) \
         SELECT new.impi, new.impus, new.scheme, unhex(new.amf), new.barred, sequence.last_version + 1, \
         new.key_id, unhex(new.keys), $2, $2 FROM ",
        new_subscribers!(sqlite),
        " JOIN sequence ON sequence.impi = new.impi WHERE TRUE ORDER BY new.impi \
         ON CONFLICT (impi) DO NOTHING RETURNING impi"
    ),
];

/// `$1` is a JSON array of pairs.
const INSERT_PUBLIC_IDENTITIES: [&str; 2] = [
    "INSERT INTO public_identity (impu, impi) SELECT impu, impi FROM json_to_recordset($1::json) \
     AS new (impu text, impi text) WHERE TRUE ORDER BY impu ON CONFLICT (impu) DO NOTHING RETURNING impu",
    "INSERT INTO public_identity (impu, impi) SELECT value ->> 'impu', value ->> 'impi' FROM json_each($1) \
     WHERE TRUE ORDER BY 1 ON CONFLICT (impu) DO NOTHING RETURNING impu",
];

fn of_engine(engine: Engine, [postgres, sqlite]: [&'static str; 2]) -> &'static str {
    engine.dialect(postgres, sqlite)
}

/// Inserts subscribers with distinct identities, or finds the first identity that is taken.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn insert(
    transaction: &mut Transaction,
    subscribers: &[NewSubscriber],
    now: Timestamp,
) -> Result<Inserted, StoreError> {
    let engine = transaction.engine();
    let rows: Vec<serde_json::Value> = subscribers.iter().map(row_of).collect();
    let rows = serde_json::Value::Array(rows).to_string();
    transaction.statement(of_engine(engine, INSERT_SEQUENCES)).bind(rows.clone()).execute().await?;
    let inserted: Vec<(String,)> = transaction
        .statement(of_engine(engine, INSERT_SUBSCRIBERS))
        .bind(rows)
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    if inserted.len() != subscribers.len() {
        let is_missing = |new: &&NewSubscriber| {
            !inserted.iter().any(|(impi,)| *impi == new.content.identities.impi.as_str())
        };
        let taken = subscribers.iter().find(is_missing).ok_or(StoreError::Internal)?;
        return Ok(Inserted::Taken(TakenIdentity::Private(taken.content.identities.impi.clone())));
    }
    insert_public_identities(transaction, subscribers.iter().map(|new| &new.content)).await
}

fn row_of(new: &NewSubscriber) -> serde_json::Value {
    let SubscriberContent { identities, scheme, amf, barred } = &new.content;
    json!({
        "impi": identities.impi.as_str(),
        "impus": joined(&identities.impus),
        "scheme": scheme.token(),
        "amf": amf.to_string(),
        "barred": barred,
        "key_id": new.keys.key_id,
        "keys": hex::encode(&new.keys.octets),
    })
}

async fn insert_public_identities(
    transaction: &mut Transaction,
    subscribers: impl Iterator<Item = &SubscriberContent> + Clone,
) -> Result<Inserted, StoreError> {
    let pairs: Vec<serde_json::Value> = subscribers
        .clone()
        .flat_map(|content| {
            let impi = content.identities.impi.as_str();
            content.identities.impus.iter().map(move |impu| json!({"impu": impu.as_str(), "impi": impi}))
        })
        .collect();
    let expected = pairs.len();
    let statement = of_engine(transaction.engine(), INSERT_PUBLIC_IDENTITIES);
    let inserted: Vec<(String,)> = transaction
        .statement(statement)
        .bind(serde_json::Value::Array(pairs).to_string())
        .fetch_all()
        .await?;
    if inserted.len() == expected {
        return Ok(Inserted::All);
    }
    let inserted: std::collections::HashSet<String> = inserted.into_iter().map(|(impu,)| impu).collect();
    let taken = subscribers
        .flat_map(|content| &content.identities.impus)
        .find(|impu| !inserted.contains(impu.as_str()))
        .ok_or(StoreError::Internal)?;
    Ok(Inserted::Taken(TakenIdentity::Public(taken.clone())))
}

/// What an update found out, before its public identities are known to be free.
#[derive(Debug)]
pub(crate) enum Updated {
    /// As [`Update`].
    Update(Update),
    /// A public identity is taken: roll back.
    Taken(TakenIdentity),
}

/// Replaces what is said of a subscriber where it has `version`. Without new keys the stored ones stay as they are now,
/// even where a rotation has changed them since they were read.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn update(
    transaction: &mut Transaction,
    content: &SubscriberContent,
    keys: Option<&SealedSecret>,
    version: Version,
    now: Timestamp,
) -> Result<Updated, StoreError> {
    const UPDATE: &str = "UPDATE subscriber SET impus = $3, scheme = $4, amf = $5, barred = $6, \
         version = version + 1, key_id = COALESCE($7, key_id), keys = COALESCE($8, keys), updated_at = $9 \
         WHERE impi = $1 AND version = $2 RETURNING *";
    const FREE_PUBLIC_IDENTITIES: &str = "DELETE FROM public_identity WHERE impi = $1";
    let impi = content.identities.impi.as_str().to_owned();
    let updated: Option<SubscriberRow> = transaction
        .statement(UPDATE)
        .bind(impi.clone())
        .bind(version.0)
        .bind(joined(&content.identities.impus))
        .bind(content.scheme.token())
        .bind(content.amf.as_octets().to_vec())
        .bind(content.barred)
        .bind(keys.map(|keys| keys.key_id.clone()))
        .bind(keys.map(|keys| keys.octets.clone()))
        .bind(now.as_micros())
        .fetch_optional()
        .await?;
    let Some(row) = updated else {
        let update = match exists(transaction, &content.identities.impi).await? {
            true => Update::VersionMismatch,
            false => Update::SubscriberUnknown,
        };
        return Ok(Updated::Update(update));
    };
    transaction.statement(FREE_PUBLIC_IDENTITIES).bind(impi).execute().await?;
    match insert_public_identities(transaction, std::iter::once(content)).await? {
        Inserted::All => Ok(Updated::Update(Update::Done(Box::new(row.try_into()?)))),
        Inserted::Taken(identity) => Ok(Updated::Taken(identity)),
    }
}

/// What became of removing a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Done,
    SubscriberUnknown,
    VersionMismatch,
}

/// Removes a subscriber, where `version` is given only that one. Its counter stays.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn remove(
    transaction: &mut Transaction,
    impi: &Impi,
    version: Option<Version>,
) -> Result<Removal, StoreError> {
    const REMOVE: &str =
        "DELETE FROM subscriber WHERE impi = $1 AND version = COALESCE($2, version) RETURNING version";
    const KEEP_VERSION: &str = "UPDATE sequence SET last_version = $2 WHERE impi = $1";
    let removed: Option<(i64,)> = transaction
        .statement(REMOVE)
        .bind(impi.as_str().to_owned())
        .bind(version.map(|version| version.0))
        .fetch_optional()
        .await?;
    let Some((version,)) = removed else {
        return Ok(match exists(transaction, impi).await? {
            true => Removal::VersionMismatch,
            false => Removal::SubscriberUnknown,
        });
    };
    transaction.statement(KEEP_VERSION).bind(impi.as_str().to_owned()).bind(version).execute().await?;
    Ok(Removal::Done)
}

async fn exists(transaction: &mut Transaction, impi: &Impi) -> Result<bool, StoreError> {
    const EXISTS: &str = "SELECT version FROM subscriber WHERE impi = $1";
    let found: Option<(i64,)> =
        transaction.statement(EXISTS).bind(impi.as_str().to_owned()).fetch_optional().await?;
    Ok(found.is_some())
}

/// Reads a subscriber within a transaction.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn read(
    transaction: &mut Transaction,
    impi: &Impi,
) -> Result<Option<Subscriber>, StoreError> {
    let row: Option<SubscriberRow> =
        transaction.statement(READ).bind(impi.as_str().to_owned()).fetch_optional().await?;
    row.map(Subscriber::try_from).transpose()
}

const READ: &str = "SELECT * FROM subscriber WHERE impi = $1";

impl Store {
    /// Reads a subscriber.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn subscriber(&self, impi: &Impi) -> Result<Option<Subscriber>, StoreError> {
        let row: Option<SubscriberRow> =
            self.database.statement(READ).bind(impi.as_str().to_owned()).fetch_optional().await?;
        row.map(Subscriber::try_from).transpose()
    }

    /// Up to `limit` subscribers behind `after` in the order of their private user identities.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn page(&self, after: Option<&Impi>, limit: u32) -> Result<Vec<Subscriber>, StoreError> {
        const PAGE: &str = "SELECT * FROM subscriber WHERE impi > $1 ORDER BY impi LIMIT $2";
        let after = after.map(Impi::as_str).unwrap_or_default().to_owned();
        let rows: Vec<SubscriberRow> =
            self.database.statement(PAGE).bind(after).bind(i64::from(limit)).fetch_all().await?;
        rows.into_iter().map(Subscriber::try_from).collect()
    }
}
