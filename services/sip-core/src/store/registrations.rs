//! Registrations of all replicas, and the news of their changes.

use super::SharedStateError;
use crate::domain::registration::{Applied, Registration, RegistrationChange};
use futures::{Stream, StreamExt};
use mcx_store::{Notification, SharedCache};
use mcx_types::{Impu, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The index of everybody registered, in the order of the public user identities.
const INDEX: &str = "registrations";
/// The index of what has to be looked at and when: `<zero-padded microseconds>/<impu>`.
const EXPIRY_INDEX: &str = "expiries";
const CHANNEL: &str = "registration-changes";
/// How much longer than its last contact an entry is kept, so that its end can still be told.
const GRACE: Duration = Duration::from_secs(120);
/// How often a lost race with another replica is run again.
const ATTEMPTS: usize = 8;

/// A change of a registration, as told to watchers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationEvent {
    /// What happened.
    pub change: RegistrationChange,
    /// The registration afterwards; the one that ended when it ended.
    pub registration: Registration,
    /// When, in microseconds since 1970.
    pub changed_at_micros: i64,
}

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem {
    /// A change.
    Event(Box<RegistrationEvent>),
    /// Changes before this may have been missed; also the first item.
    Resync,
}

/// The registrations.
#[derive(Debug, Clone)]
pub struct Registrations {
    cache: SharedCache,
}

impl Registrations {
    /// The registrations kept in this cache.
    #[must_use]
    pub fn new(cache: SharedCache) -> Self {
        Self { cache }
    }

    /// The registration of an identity, without what is over.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn get(&self, impu: &Impu, now: Timestamp) -> Result<Option<Registration>, SharedStateError> {
        let Some(bytes) = self.cache.get(&key(impu)).await? else { return Ok(None) };
        let Some(mut registration) = decode(&bytes)? else { return Ok(None) };
        registration.prune(now);
        Ok(Some(registration).filter(|registration| !registration.contacts.is_empty()))
    }

    /// Up to `limit` registrations after the identity `after`, and where the next page begins.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn page(
        &self,
        after: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<Registration>, Option<String>), SharedStateError> {
        let members = self.cache.index_page(INDEX, after, limit).await?;
        let next = if members.len() == limit { members.last().cloned() } else { None };
        let mut registrations = Vec::with_capacity(members.len());
        for member in members {
            let Ok(impu) = member.parse() else { continue };
            registrations.extend(self.get(&impu, now).await?);
        }
        Ok((registrations, next))
    }

    /// Changes a registration: `change` sees what is there and says what shall be there. It is run again when another
    /// replica was faster, so it must be pure. Events are published after the change took effect.
    ///
    /// # Errors
    /// The outer error is that of the store, the inner one that of `change`.
    pub async fn update<E>(
        &self,
        impu: &Impu,
        now: Timestamp,
        mut change: impl FnMut(Option<Registration>) -> Result<Applied, E>,
    ) -> Result<Result<Applied, E>, SharedStateError> {
        let key = key(impu);
        for _ in 0..ATTEMPTS {
            let stored = self.cache.get(&key).await?;
            let before = stored.as_deref().map(decode).transpose()?.flatten();
            let applied = match change(before.clone()) {
                Ok(applied) => applied,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if !self.write(&key, stored.as_deref(), &applied, now).await? {
                continue;
            }
            self.settle(impu, &applied).await?;
            self.publish(before, &applied, now).await?;
            return Ok(Ok(applied));
        }
        Err(SharedStateError::Contended)
    }

    async fn write(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        applied: &Applied,
        now: Timestamp,
    ) -> Result<bool, SharedStateError> {
        match (&applied.registration, expected) {
            (None, None) => Ok(true),
            (Some(registration), expected) => {
                let bytes = serde_json::to_vec(registration).map_err(|_| SharedStateError::Unreadable)?;
                let end = registration.last_expiry().unwrap_or(now).saturating_since(now);
                Ok(self.cache.compare_and_set(key, expected, bytes, end + GRACE).await?)
            }
            // An empty value, soon gone, marks the end: a plain delete could remove what another replica just wrote.
            (None, Some(expected)) => {
                if expected.is_empty() {
                    return Ok(true);
                }
                Ok(self.cache.compare_and_set(key, Some(expected), "", Duration::from_secs(1)).await?)
            }
        }
    }

    async fn settle(&self, impu: &Impu, applied: &Applied) -> Result<(), SharedStateError> {
        let Some(registration) = &applied.registration else {
            return Ok(self.cache.index_remove(INDEX, impu.as_str()).await?);
        };
        let (Some(next), Some(last)) = (registration.next_expiry(), registration.last_expiry()) else {
            return Ok(());
        };
        let lifetime = last.saturating_since(registration.authenticated_at) + GRACE;
        self.cache.index_put(INDEX, impu.as_str(), lifetime).await?;
        Ok(self.cache.index_put(EXPIRY_INDEX, &expiry_member(next, impu), lifetime).await?)
    }

    async fn publish(
        &self,
        before: Option<Registration>,
        applied: &Applied,
        now: Timestamp,
    ) -> Result<(), SharedStateError> {
        let Some(registration) = applied.registration.clone().or(before) else { return Ok(()) };
        let mut changes = applied.changes.clone();
        changes.dedup();
        for change in changes {
            let event = RegistrationEvent {
                change,
                registration: registration.clone(),
                changed_at_micros: now.as_micros(),
            };
            let bytes = serde_json::to_vec(&event).map_err(|_| SharedStateError::Unreadable)?;
            self.cache.publish(CHANNEL, bytes).await?;
        }
        Ok(())
    }

    /// Ends what was not refreshed in time and tells watchers; returns how many registrations it looked at. Every replica
    /// may run it: of those that see the same end one wins and tells.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, SharedStateError> {
        let due = self.cache.index_page(EXPIRY_INDEX, None, 256).await?;
        let mut looked_at = 0;
        for member in due {
            let Some((at, impu)) = member.split_once('/') else { continue };
            if at.parse().is_ok_and(|micros: i64| micros > now.as_micros()) {
                break;
            }
            if let Ok(impu) = impu.parse::<Impu>() {
                self.expire(&impu, now).await?;
            }
            self.cache.index_remove(EXPIRY_INDEX, &member).await?;
            looked_at += 1;
        }
        Ok(looked_at)
    }

    async fn expire(&self, impu: &Impu, now: Timestamp) -> Result<(), SharedStateError> {
        let outcome = self.update(impu, now, |before| {
            let Some(mut registration) = before else { return Err(()) };
            let expired = registration.prune(now);
            if expired == 0 {
                return Err(());
            }
            let registration = Some(registration).filter(|registration| !registration.contacts.is_empty());
            Ok(Applied { registration, changes: vec![RegistrationChange::Expired; expired] })
        });
        // Nothing to expire: it was refreshed, removed, or another replica was faster.
        outcome.await.map(drop)
    }

    /// All changes from now on, of all replicas.
    pub fn watch(&self) -> impl Stream<Item = WatchItem> + Send + 'static {
        self.cache.subscribe(CHANNEL).filter_map(|notification| async {
            match notification {
                Notification::Resync => Some(WatchItem::Resync),
                Notification::Message(bytes) => {
                    serde_json::from_slice(&bytes).ok().map(|event| WatchItem::Event(Box::new(event)))
                }
            }
        })
    }
}

fn key(impu: &Impu) -> String {
    format!("registration/{impu}")
}

fn expiry_member(at: Timestamp, impu: &Impu) -> String {
    format!("{:020}/{impu}", at.as_micros().max(0))
}

/// Nothing when the entry is the mark of an end.
fn decode(bytes: &[u8]) -> Result<Option<Registration>, SharedStateError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|_| SharedStateError::Unreadable)
}
