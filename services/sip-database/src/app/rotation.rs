//! Moving all subscribers' keys under the active key-encryption key.

use metrics::counter;

use super::{App, open_error};
use crate::domain::subscriber::SubscriberKeys;
use crate::error::SipDatabaseError;
use crate::store::Reseal;

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rotated {
    pub(crate) active_key_id: String,
    pub(crate) count: u64,
    /// How many subscribers' keys are sealed under which key now, in the order of the keys' identifiers.
    pub(crate) uses: Vec<(String, u64)>,
}

impl App {
    /// Reads the key file again and seals what is not under its active key anew, until nothing is left.
    ///
    /// Works in batches beside all other requests and may be interrupted or run on several replicas at once: each row is
    /// replaced only as it was read, and what changed meanwhile is found by the next pass.
    pub(crate) async fn rotate(&self) -> Result<Rotated, SipDatabaseError> {
        let ring = self.key_file.reload().await.map_err(|error| {
            tracing::error!(%error, "key file cannot be read again");
            SipDatabaseError::Internal("the key file cannot be read")
        })?;
        let active = ring.active_key_id();
        let mut count = 0;
        loop {
            let mut after = None;
            let mut seen = 0;
            let mut failure = None;
            loop {
                let page = self
                    .store
                    .not_sealed_under(active, after.as_ref(), self.config.rotation_batch_size)
                    .await
                    .map_err(|error| self.store_error(error))?;
                let Some(last) = page.last() else { break };
                after = Some(last.impi().clone());
                let mut batch = Vec::with_capacity(page.len());
                for subscriber in &page {
                    match SubscriberKeys::open(&ring, subscriber.impi(), &subscriber.keys) {
                        Ok(keys) => batch.push(Reseal {
                            impi: subscriber.impi().clone(),
                            former_key_id: subscriber.keys.key_id.clone(),
                            version: subscriber.version,
                            keys: self.seal_keys(&ring, subscriber.impi(), &keys),
                        }),
                        // The others are rotated first; then this one is told.
                        Err(error) => failure = Some(open_error(subscriber, error)),
                    }
                }
                seen += page.len();
                count += self.store.reseal(&batch).await.map_err(|error| self.store_error(error))?;
            }
            match failure {
                Some(error) => return Err(error),
                None if seen == 0 => break,
                None => {}
            }
        }
        counter!("mcx_sip_database_keys_rotated_total").increment(count);
        tracing::info!(active_key_id = active, count, "subscribers' keys rotated");
        let uses = self.store.key_uses().await.map_err(|error| self.store_error(error))?;
        Ok(Rotated { active_key_id: active.to_owned(), count, uses })
    }
}
