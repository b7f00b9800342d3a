//! Changing the key-encryption key under which subscribers' keys are stored.

use mcx_store::StoreError;
use mcx_store::sealing::SealedSecret;
use mcx_types::Impi;
use serde_json::json;

use super::Store;
use super::rows::SubscriberRow;
use crate::domain::subscriber::{Subscriber, Version};

/// The keys of a subscriber sealed anew.
#[derive(Debug, Clone)]
pub(crate) struct Reseal {
    pub(crate) impi: Impi,
    /// What they were sealed under when they were read.
    pub(crate) former_key_id: String,
    /// The version when they were read.
    pub(crate) version: Version,
    pub(crate) keys: SealedSecret,
}

impl Store {
    /// Up to `limit` subscribers behind `after` whose keys are not sealed under this key, in the order of their private
    /// user identities.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn not_sealed_under(
        &self,
        active_key_id: &str,
        after: Option<&Impi>,
        limit: usize,
    ) -> Result<Vec<Subscriber>, StoreError> {
        const PAGE: &str = "SELECT * FROM subscriber WHERE key_id <> $1 AND impi > $2 ORDER BY impi LIMIT $3";
        let rows: Vec<SubscriberRow> = self
            .database
            .statement(PAGE)
            .bind(active_key_id.to_owned())
            .bind(after.map(Impi::as_str).unwrap_or_default().to_owned())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all()
            .await?;
        rows.into_iter().map(Subscriber::try_from).collect()
    }

    /// How many subscribers' keys are sealed under which key. Reads all subscribers: for an operator's question only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn key_uses(&self) -> Result<Vec<(String, u64)>, StoreError> {
        const USES: &str = "SELECT key_id, COUNT(*) FROM subscriber GROUP BY key_id ORDER BY key_id";
        let uses: Vec<(String, i64)> = self.database.statement(USES).fetch_all().await?;
        Ok(uses.into_iter().map(|(key_id, count)| (key_id, count.unsigned_abs())).collect())
    }

    /// Under which keys subscribers' keys are sealed. One look at the index for each of them, however many subscribers there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn keys_in_use(&self) -> Result<Vec<String>, StoreError> {
        const IN_USE: &str = "WITH RECURSIVE used (key_id) AS (\
             SELECT MIN(key_id) FROM subscriber UNION ALL \
             SELECT (SELECT MIN(key_id) FROM subscriber WHERE key_id > used.key_id) FROM used \
             WHERE used.key_id IS NOT NULL) \
             SELECT key_id FROM used WHERE key_id IS NOT NULL ORDER BY key_id";
        let used: Vec<(String,)> = self.database.statement(IN_USE).fetch_all().await?;
        Ok(used.into_iter().map(|(key_id,)| key_id).collect())
    }

    /// Stores keys sealed anew, each only where the subscriber is still as it was read, and tells how many were stored.
    /// Versions stay: nothing that an operator said has changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn reseal(&self, batch: &[Reseal]) -> Result<u64, StoreError> {
        let statement = self.database.dialect(
            "UPDATE subscriber SET key_id = new.key_id, keys = decode(new.keys, 'hex') \
             FROM json_to_recordset($1::json) \
             AS new (impi text, former_key_id text, version bigint, key_id text, keys text) \
             WHERE subscriber.impi = new.impi AND subscriber.key_id = new.former_key_id \
             AND subscriber.version = new.version",
            "UPDATE subscriber SET key_id = new.key_id, keys = unhex(new.keys) \
             FROM (SELECT value ->> 'impi' AS impi, value ->> 'former_key_id' AS former_key_id, \
             value ->> 'version' AS version, value ->> 'key_id' AS key_id, value ->> 'keys' AS keys \
             FROM json_each($1)) AS new \
             WHERE subscriber.impi = new.impi AND subscriber.key_id = new.former_key_id \
             AND subscriber.version = new.version",
        );
        let rows: Vec<serde_json::Value> = batch
            .iter()
            .map(|reseal| {
                json!({
                    "impi": reseal.impi.as_str(),
                    "former_key_id": reseal.former_key_id,
                    "version": reseal.version.0,
                    "key_id": reseal.keys.key_id,
                    "keys": hex::encode(&reseal.keys.octets),
                })
            })
            .collect();
        self.database.statement(statement).bind(serde_json::Value::Array(rows).to_string()).execute().await
    }
}
