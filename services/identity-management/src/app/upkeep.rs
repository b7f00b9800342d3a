//! What is done beside the requests: dependencies are watched, keys and revocations followed, keys replaced, the past forgotten.

use std::fmt::Display;
use std::time::Duration;

use futures::StreamExt;
use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::Notification;
use mcx_store::idempotency::forget_requests_before;
use mcx_types::Timestamp;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::bearer::count_unknown_keys_from_zero;
use super::trust::{CHANGES, Extent};
use crate::error::Error;
use crate::store::{grants, logins, revocations};

/// How often the database and the cache are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the key file is read again and it is looked whether a signing key is due.
const KEY_INTERVAL: Duration = Duration::from_secs(60);

/// How often the past is forgotten, and how long what is kept: answers for repetitions, where users logged in, wrong passwords, and logins
/// that ended.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);
const LOGIN_RETENTION: Duration = Duration::from_secs(40 * 24 * 3_600);
const FAILURE_RETENTION: Duration = Duration::from_secs(3_600);
const GRANT_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// What the service needs, and does with less comfort without.
pub(crate) struct Latches {
    database: Latch,
    cache: Latch,
    keys: Latch,
}

/// The latches of the service, closed until [`App::upkeep`] opens them.
pub(crate) fn latches(readiness: &Readiness) -> Latches {
    Latches {
        database: readiness.latch("database", Weight::Required),
        cache: readiness.latch("cache", Weight::Degrading),
        keys: readiness.latch("signing keys", Weight::Required),
    }
}

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        let latches = latches(readiness);
        count_unknown_keys_from_zero();
        tokio::join!(
            self.watch_dependencies(&latches),
            self.follow_trust(&latches),
            self.keep_keys(),
            self.forget_the_past()
        );
    }

    async fn watch_dependencies(&self, latches: &Latches) {
        let mut ticks = every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            let (schema, answer) = tokio::join!(self.database.require_schema(), self.cache.ping());
            show(&latches.database, schema);
            show(&latches.cache, answer);
        }
    }

    /// Hears from other replicas what they revoked, and reads keys and revocations where they say less, and at intervals should something be
    /// missed. Until there is a key that signs the service is not ready.
    async fn follow_trust(&self, latches: &Latches) {
        let mut changes = self.cache.subscribe(CHANGES);
        let mut ticks = every(self.config.trust_refresh_interval);
        let mut extent = Extent::All;
        loop {
            match self.refresh_trust(extent).await {
                Ok(()) => {
                    latches.keys.up();
                    extent = Extent::Recent;
                }
                Err(error) => {
                    if !self.can_sign() {
                        latches.keys.down(error.to_string());
                    }
                    tracing::warn!(%error, "keys and revocations cannot be read, they stay as they are");
                }
            }
            loop {
                tokio::select! {
                    _ = ticks.tick() => break,
                    message = changes.next() => match message {
                        Some(Notification::Message(message)) if self.heard(&message).await => {}
                        _ => {
                            extent = Extent::All;
                            break;
                        }
                    },
                }
            }
        }
    }

    async fn keep_keys(&self) {
        let mut ticks = every(KEY_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.key_file.reload().await {
                tracing::warn!(%error, "key file cannot be read, the keys last read stay in use");
            }
            if let Err(error) = self.keep_signing_keys_fresh().await {
                tracing::warn!(%error, "signing keys not looked after");
            }
            if let Err(error) = self.reseal_signing_keys(&self.key_file.ring()).await {
                tracing::warn!(%error, "signing keys not sealed anew");
            }
        }
    }

    async fn forget_the_past(&self) {
        let mut ticks = every(CLEANUP_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.forget().await {
                tracing::warn!(%error, "the past is not forgotten");
            }
        }
    }

    async fn forget(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let before = |retention: Duration| {
            let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
            Timestamp::from_micros(now.as_micros().saturating_sub(retention))
        };
        forget_requests_before(&self.database, before(REQUEST_RETENTION).as_micros()).await?;
        let failures_before = before(self.config.passwords.failure_window.max(FAILURE_RETENTION));
        logins::forget(&self.database, failures_before, before(LOGIN_RETENTION)).await?;
        grants::forget_before(&self.database, before(GRANT_RETENTION)).await?;
        Ok(revocations::forget_before(&self.database, now).await?)
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn show<T, E: Display>(latch: &Latch, answer: Result<T, E>) {
    match answer {
        Ok(_) => latch.up(),
        Err(error) => latch.down(error.to_string()),
    }
}
