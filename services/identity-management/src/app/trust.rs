//! Keys and revocations as they are now: who signs, and what everybody is told to believe.
//!
//! The database is the truth. Each replica keeps what it read last, and reads again at intervals: keys in full, and of the revocations those
//! that were recorded lately; now and then all of them, which also forgets those that have expired. In between it is told what is revoked, by
//! its own requests and by other replicas, and tells those who watch it just that: a revocation costs the same however many there are.

use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use mcx_federation::access_token::{RevokedTokens, TokenKey, TokenTrust};
use mcx_types::{Subject, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, broadcast, watch};

use super::App;
use crate::domain::partner::PublicKey;
use crate::domain::signing_key::{PrivateKey, Signer, SigningKeyState};
use crate::error::Error;
use crate::store::revocations::{self, Revocations};
use crate::store::signing_keys::{self, StoredKey};

/// The channel on which replicas tell each other what is revoked, or, with nothing, that keys changed.
pub(crate) const CHANGES: &str = "trust-changes";

/// How often all revocations are read.
const FULL_READING_INTERVAL: Duration = Duration::from_secs(600);

/// How long before the last reading a revocation may be recorded that it did not find: clocks of replicas differ, and what is recorded is found
/// when its transaction ends.
const RECORDING_MARGIN: Duration = Duration::from_secs(30);

/// More than so many revocations at once are not told to other replicas one by one: they read them.
const TOLD_AT_ONCE: usize = 1_000;

/// So many news a watcher may be behind before it is told everything instead.
const NEWS_KEPT: usize = 1_024;

/// What everybody is told to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) revocations: Revocations,
}

/// What those who watch hear.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Everything is to be told anew.
    KeysChanged,
    /// These count no more, either.
    Revoked(Arc<Revocations>),
}

/// Revocations as one replica tells them to the others; moments in microseconds since 1970.
#[derive(Serialize, Deserialize)]
struct ToldRevocations {
    tokens: Vec<(String, i64)>,
    subjects: Vec<(Subject, i64)>,
}

/// What of the revocations is to be read. Keys are read in full anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of them.
    All,
    /// Those recorded since the last reading, unless it is time for all of them.
    Recent,
}

/// When this replica read revocations.
#[derive(Debug, Default)]
struct Readings {
    last: Option<Timestamp>,
    last_of_all: Option<Timestamp>,
}

impl Readings {
    /// Since when what is recorded is to be read; `None`: all is.
    fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let (last, last_of_all) = (self.last?, self.last_of_all?);
        // Once set back, the own clock says nothing of what was read.
        let is_set_back = now < last;
        if is_set_back || now.saturating_since(last_of_all) >= FULL_READING_INTERVAL {
            return None;
        }
        let margin = i64::try_from(RECORDING_MARGIN.as_micros()).unwrap_or(i64::MAX);
        Some(Timestamp::from_micros(last.as_micros().saturating_sub(margin)))
    }
}

/// What this replica knows.
pub(crate) struct TrustState {
    /// `None`: nothing was read yet.
    known: SyncMutex<Option<Snapshot>>,
    news: broadcast::Sender<News>,
    signer: watch::Sender<Option<Arc<Signer>>>,
    /// One reads, or adds to what was read, at a time, so that what is told never goes back in time.
    reading: Mutex<Readings>,
}

impl TrustState {
    pub(crate) fn new() -> Self {
        Self {
            known: SyncMutex::default(),
            news: broadcast::Sender::new(NEWS_KEPT),
            signer: watch::Sender::new(None),
            reading: Mutex::default(),
        }
    }

    /// How what is to be believed changes from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Looks at what is to be believed; at nothing where nothing was read yet.
    pub(crate) fn known<T>(&self, look: impl FnOnce(Option<&Snapshot>) -> T) -> T {
        look(self.known.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }

    /// Puts what was read in the place of what was known.
    fn replace(&self, read: Snapshot) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match known.as_ref() {
            Some(known) if known.keys == read.keys => {
                News::Revoked(Arc::new(read.revocations.except(&known.revocations)))
            }
            _ => News::KeysChanged,
        };
        *known = Some(read);
        self.tell(news);
    }

    /// Adds to what is known; what of it is news.
    fn add(&self, revoked: &Revocations) -> Arc<Revocations> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let news = known.as_mut().map(|known| known.revocations.add(revoked)).unwrap_or_default();
        let news = Arc::new(news);
        self.tell(News::Revoked(Arc::clone(&news)));
        news
    }

    fn tell(&self, news: News) {
        if !matches!(&news, News::Revoked(revocations) if revocations.is_empty()) {
            // Nobody watches: nobody is to be told.
            let _ = self.news.send(news);
        }
    }
}

impl App {
    /// Reads keys and revocations again, and makes the first keys where there are none.
    pub(crate) async fn refresh_trust(&self, extent: Extent) -> Result<(), Error> {
        let mut readings = self.trust.reading.lock().await;
        let now = self.clock.now();
        let mut keys = signing_keys::list(&self.database).await?;
        if !keys.iter().any(|key| key.facts.state == SigningKeyState::Active) {
            keys = self.make_missing_keys().await?;
        }
        let active = keys.iter().find(|key| key.facts.state == SigningKeyState::Active);
        let active = active.ok_or_else(|| Error::Internal("there is no active signing key".to_owned()))?;
        let signer = Arc::new(self.open_signer(active)?);
        let mut public: Vec<PublicKey> =
            keys.iter().filter(|key| is_published(key, now)).map(|key| key.facts.public.clone()).collect();
        public.sort_by(|one, other| one.kid.cmp(&other.kid));
        let are_known = self.trust.known(|known| known.is_some_and(|known| known.keys == public));
        let since = if extent == Extent::Recent && are_known { readings.since(now) } else { None };
        let revocations = revocations::in_force(&self.database, since, now).await?;
        if since.is_some() {
            self.trust.signer.send_replace(Some(signer));
            self.add_revoked(&revocations);
        } else {
            let snapshot = Snapshot { keys: public, revocations };
            self.verifier.replace_trust(self.token_trust(&snapshot)?);
            self.trust.signer.send_replace(Some(signer));
            self.trust.replace(snapshot);
            readings.last_of_all = Some(now);
        }
        readings.last = Some(now);
        Ok(())
    }

    /// To be called after tokens were revoked, when that is durable: this replica knows at once, the others in a moment.
    pub(crate) async fn tokens_revoked(&self, revoked: Revocations) {
        if revoked.is_empty() {
            return;
        }
        self.note_revoked(&revoked).await;
        let message = if revoked.tokens.len() + revoked.subjects.len() > TOLD_AT_ONCE {
            Vec::new()
        } else {
            ToldRevocations::of(&revoked).to_json()
        };
        if let Err(error) = self.cache.publish(CHANGES, message).await {
            tracing::debug!(%error, "other replicas learn of a revocation at their next interval");
        }
    }

    /// What another replica tells. Whether it says enough; else everything is to be read.
    pub(crate) async fn heard(&self, message: &[u8]) -> bool {
        let Ok(told) = serde_json::from_slice::<ToldRevocations>(message) else { return false };
        self.note_revoked(&told.into()).await;
        true
    }

    /// Should nothing have been read yet, the first reading finds it.
    async fn note_revoked(&self, revoked: &Revocations) {
        let _reading = self.trust.reading.lock().await;
        self.add_revoked(revoked);
    }

    /// To be called by whoever reads, or adds to what was read.
    fn add_revoked(&self, revoked: &Revocations) {
        let news = self.trust.add(revoked);
        if !news.is_empty() {
            self.verifier.revoke(revoked_tokens(&news));
        }
    }

    /// Whether tokens can be signed: a key was read since the start.
    pub(crate) fn can_sign(&self) -> bool {
        self.trust.signer.borrow().is_some()
    }

    /// To be called after each change of keys: this replica knows at once, the others in a moment.
    ///
    /// The change is durable; should it not be readable just now, it is at the next interval.
    pub(crate) async fn trust_changed(&self) {
        if let Err(error) = self.refresh_trust(Extent::All).await {
            tracing::warn!(%error, "keys and revocations cannot be read, they stay as they are");
        }
        if let Err(error) = self.cache.publish(CHANGES, "").await {
            tracing::debug!(%error, "other replicas learn of a changed key at their next interval");
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
            revoked: revoked_tokens(&snapshot.revocations),
        })
    }
}

fn revoked_tokens(revocations: &Revocations) -> RevokedTokens {
    RevokedTokens {
        token_ids: revocations.tokens.keys().cloned().collect(),
        subjects: revocations.subjects.iter().map(|(subject, at)| (subject.clone(), *at)).collect(),
    }
}

impl ToldRevocations {
    fn of(revocations: &Revocations) -> Self {
        let tokens = revocations.tokens.iter();
        let subjects = revocations.subjects.iter();
        Self {
            tokens: tokens.map(|(id, at)| (id.clone(), at.as_micros())).collect(),
            subjects: subjects.map(|(subject, at)| (subject.clone(), at.as_micros())).collect(),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("lists of texts and numbers are json")
    }
}

impl From<ToldRevocations> for Revocations {
    fn from(told: ToldRevocations) -> Self {
        let tokens = told.tokens.into_iter();
        let subjects = told.subjects.into_iter();
        Self {
            tokens: tokens.map(|(id, at)| (id, Timestamp::from_micros(at))).collect(),
            subjects: subjects.map(|(subject, at)| (subject, Timestamp::from_micros(at))).collect(),
        }
    }
}

fn is_published(key: &StoredKey, now: Timestamp) -> bool {
    key.facts.remove_at.is_none_or(|remove_at| now < remove_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn everything_is_read_first_and_every_ten_minutes_and_after_the_clock_was_set_back() {
        let readings = Readings { last: Some(at(1_500)), last_of_all: Some(at(1_000)) };
        assert_eq!(Readings::default().since(at(1_500)), None);
        assert_eq!(readings.since(at(1_500)), Some(at(1_470)));
        assert_eq!(readings.since(at(1_599)), Some(at(1_470)));
        assert_eq!(readings.since(at(1_600)), None);
        assert_eq!(readings.since(at(1_499)), None);
    }
}
