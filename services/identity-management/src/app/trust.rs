//! Keys and revocations as they are now: who signs, and what everybody is told to believe.
//!
//! The database is the truth. Each replica keeps what it read last, reads again at each notification of another replica and at intervals,
//! and tells those who watch it.

use std::sync::Arc;

use mcx_federation::access_token::{RevokedTokens, TokenKey, TokenTrust};
use mcx_types::Timestamp;
use tokio::sync::{Mutex, watch};

use super::App;
use crate::domain::partner::PublicKey;
use crate::domain::signing_key::{PrivateKey, Signer, SigningKeyState};
use crate::error::Error;
use crate::store::revocations::{self, Revocations};
use crate::store::signing_keys::{self, StoredKey};

/// The channel on which replicas tell each other that keys or revocations changed.
pub(crate) const CHANGES: &str = "trust-changes";

/// What everybody is told to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) revocations: Revocations,
}

/// What this replica knows.
pub(crate) struct TrustState {
    /// `None`: nothing was read yet.
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    signer: watch::Sender<Option<Arc<Signer>>>,
    /// One reads at a time, so that what is told never goes back in time.
    reading: Mutex<()>,
}

impl TrustState {
    pub(crate) fn new() -> Self {
        Self { snapshot: watch::Sender::new(None), signer: watch::Sender::new(None), reading: Mutex::new(()) }
    }

    /// What is to be believed, now and whenever it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }
}

impl App {
    /// Reads keys and revocations again, and makes the first keys where there are none.
    pub(crate) async fn refresh_trust(&self) -> Result<(), Error> {
        let _reading = self.trust.reading.lock().await;
        let now = self.clock.now();
        let mut keys = signing_keys::list(&self.database).await?;
        if !keys.iter().any(|key| key.facts.state == SigningKeyState::Active) {
            keys = self.make_missing_keys().await?;
        }
        let revocations = revocations::all(&self.database, now).await?;
        let active = keys.iter().find(|key| key.facts.state == SigningKeyState::Active);
        let active = active.ok_or_else(|| Error::Internal("there is no active signing key".to_owned()))?;
        let signer = Arc::new(self.open_signer(active)?);
        let mut public: Vec<PublicKey> =
            keys.iter().filter(|key| is_published(key, now)).map(|key| key.facts.public.clone()).collect();
        public.sort_by(|one, other| one.kid.cmp(&other.kid));
        let snapshot = Snapshot { keys: public, revocations };
        self.verifier.replace_trust(self.token_trust(&snapshot)?);
        self.trust.signer.send_replace(Some(signer));
        self.trust.snapshot.send_if_modified(|present| {
            let is_new = present.as_deref() != Some(&snapshot);
            if is_new {
                *present = Some(Arc::new(snapshot));
            }
            is_new
        });
        Ok(())
    }

    /// Whether tokens can be signed: a key was read since the start.
    pub(crate) fn can_sign(&self) -> bool {
        self.trust.signer.borrow().is_some()
    }

    /// To be called after each change of keys and revocations: this replica knows at once, the others in a moment.
    ///
    /// The change is durable; should it not be readable just now, it is at the next interval.
    pub(crate) async fn trust_changed(&self) {
        if let Err(error) = self.refresh_trust().await {
            tracing::warn!(%error, "keys and revocations cannot be read, they stay as they are");
        }
        if let Err(error) = self.cache.publish(CHANGES, "").await {
            tracing::debug!(%error, "other replicas learn of a revocation at their next interval");
        }
    }

    /// The key that signs.
    pub(crate) fn signer(&self) -> Result<Arc<Signer>, Error> {
        self.trust.signer.borrow().clone().ok_or(Error::StoreUnavailable)
    }

    fn open_signer(&self, key: &StoredKey) -> Result<Signer, Error> {
        let kid = key.facts.public.kid.as_str();
        let octets = self
            .key_file
            .ring()
            .open(&super::signing_keys::bound_to(kid), &key.sealed)
            .map_err(|error| super::signing_keys::unseal_error(kid, error))?;
        let private = PrivateKey::from_octets(&octets)
            .filter(|private| private.public() == key.facts.public)
            .ok_or_else(|| Error::Internal(format!("signing key {kid} is not the one it is stored as")))?;
        Signer::new(&private).map_err(|error| Error::Internal(error.to_string()))
    }

    fn token_trust(&self, snapshot: &Snapshot) -> Result<TokenTrust, Error> {
        let key = |key: &PublicKey| TokenKey::from_jwk(key.kid.as_str(), &key.x, &key.y);
        let keys = snapshot.keys.iter().map(key).collect::<Result<_, _>>();
        Ok(TokenTrust {
            issuer: self.issuer.clone(),
            keys: keys.map_err(|error| Error::Internal(format!("a stored signing key {error}")))?,
            revoked: RevokedTokens {
                token_ids: snapshot.revocations.tokens.iter().map(|(id, _)| id.clone()).collect(),
                subjects: snapshot.revocations.subjects.iter().cloned().collect(),
            },
        })
    }
}

fn is_published(key: &StoredKey, now: Timestamp) -> bool {
    key.facts.remove_at.is_none_or(|remove_at| now < remove_at)
}
