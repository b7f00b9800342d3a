//! Challenges that wait for their answer, each usable once.

use super::SharedStateError;
use crate::domain::challenge::PendingChallenge;
use mcx_aka::Rand;
use mcx_aka::digest::{self, DigestAlgorithm, DigestKey};
use mcx_store::SharedCache;
use mcx_types::{Impi, Impu, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

/// The challenges of all replicas.
#[derive(Debug, Clone)]
pub struct Challenges {
    cache: SharedCache,
    lifetime: Duration,
}

impl Challenges {
    /// Challenges that live for `lifetime`: the reg-await-auth timer of TS 24.229 5.4.1.2.
    #[must_use]
    pub fn new(cache: SharedCache, lifetime: Duration) -> Self {
        Self { cache, lifetime }
    }

    /// How long a challenge waits for its answer.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Keeps a challenge under its nonce.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn put(&self, nonce: &str, challenge: &PendingChallenge) -> Result<(), SharedStateError> {
        let record = Record::from(challenge);
        let bytes = serde_json::to_vec(&record).map_err(|_| SharedStateError::Unreadable)?;
        Ok(self.cache.set(&key(nonce), bytes, self.lifetime).await?)
    }

    /// Takes a challenge out: of concurrent callers exactly one gets it.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn take(&self, nonce: &str) -> Result<Option<PendingChallenge>, SharedStateError> {
        // What is no nonce of ours has no challenge; an endless one is not even looked up.
        let Ok((rand, _, _)) = digest::parse_nonce(nonce) else { return Ok(None) };
        let Some(bytes) = self.cache.take(&key(nonce)).await? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&bytes).map_err(|_| SharedStateError::Unreadable)?;
        record.challenge(rand).map(Some).ok_or(SharedStateError::Unreadable)
    }
}

fn key(nonce: &str) -> String {
    format!("challenge/{nonce}")
}

/// RAND is in the nonce, which is the key.
#[derive(Serialize, Deserialize)]
struct Record {
    impi: Impi,
    impu: Impu,
    associated_impus: Vec<Impu>,
    algorithm: String,
    #[serde(with = "secret")]
    digest_key: Zeroizing<String>,
    opaque: String,
    expires_at: i64,
    trace_parent: Option<String>,
}

impl From<&PendingChallenge> for Record {
    fn from(challenge: &PendingChallenge) -> Self {
        Self {
            impi: challenge.impi.clone(),
            impu: challenge.impu.clone(),
            associated_impus: challenge.associated_impus.clone(),
            algorithm: challenge.algorithm.token().to_owned(),
            digest_key: Zeroizing::new(hex::encode(challenge.digest_key.expose_octets())),
            opaque: challenge.opaque.clone(),
            expires_at: challenge.expires_at.as_micros(),
            trace_parent: challenge.trace_parent.clone(),
        }
    }
}

impl Record {
    fn challenge(self, rand: Rand) -> Option<PendingChallenge> {
        let algorithm: DigestAlgorithm = self.algorithm.parse().ok()?;
        Some(PendingChallenge {
            impi: self.impi,
            impu: self.impu,
            associated_impus: self.associated_impus,
            algorithm,
            rand,
            digest_key: DigestKey::from_octets(hex::decode(self.digest_key.as_str()).ok()?),
            opaque: self.opaque,
            expires_at: Timestamp::from_micros(self.expires_at),
            trace_parent: self.trace_parent,
        })
    }
}

/// Secrets on their way into and out of the cache are wiped from memory once used.
mod secret {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        text: &Zeroizing<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new)
    }
}
