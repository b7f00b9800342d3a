//! What goes on beside the requests: old answers are forgotten, the key file is looked at, and the dependencies are watched.

use std::time::Duration;

use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::StoreError;
use mcx_store::idempotency::forget_requests_before;
use tokio::time::{MissedTickBehavior, interval};

use super::App;

/// How often the database and the cache are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What the service waits for before it is ready, closed until the upkeep has seen it.
#[derive(Debug, Clone)]
pub(crate) struct Latches {
    database: Latch,
    cache: Latch,
    subscriber_keys: Latch,
}

impl Latches {
    pub(crate) fn of(readiness: &Readiness) -> Self {
        Self {
            database: readiness.latch("database", Weight::Required),
            cache: readiness.latch("cache", Weight::Degrading),
            subscriber_keys: readiness.latch("subscriber keys", Weight::Degrading),
        }
    }
}

impl App {
    /// Runs until it is dropped.
    pub(crate) async fn upkeep(&self, latches: &Latches) {
        tokio::join!(
            self.watch_dependencies(latches),
            self.follow_key_file(&latches.subscriber_keys),
            self.forget_old_requests()
        );
    }

    async fn watch_dependencies(&self, latches: &Latches) {
        let mut ticks = ticks_every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            let (schema, answer) =
                tokio::join!(self.store.database().require_schema(), self.challenges.cache().ping());
            show(&latches.database, schema);
            show(&latches.cache, answer);
        }
    }

    async fn follow_key_file(&self, subscriber_keys: &Latch) {
        let mut ticks = ticks_every(self.config.key_file_check_interval);
        loop {
            ticks.tick().await;
            if let Err(error) = self.key_file.reload().await {
                tracing::warn!(%error, "key file not read again, the last good one stays in use");
            }
            self.show_missing_keys(subscriber_keys).await;
        }
    }

    /// Subscribers whose keys cannot be opened do not register; the others do.
    async fn show_missing_keys(&self, latch: &Latch) {
        // Where the database is away, its own latch says so.
        let Ok(mut missing) = self.store.keys_in_use().await else { return };
        let ring = self.key_file.ring();
        missing.retain(|key_id| !ring.has(key_id));
        if missing.is_empty() {
            latch.up();
        } else {
            let missing = missing.join(", ");
            latch.down(format!(
                "keys of subscribers are sealed under {missing}, which the key file does not have"
            ));
        }
    }

    async fn forget_old_requests(&self) {
        let mut ticks = ticks_every(self.config.request_cleanup_interval);
        loop {
            ticks.tick().await;
            match self.forget_requests().await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "answers to old requests forgotten"),
                Err(error) => tracing::warn!(%error, "answers to old requests not forgotten"),
            }
        }
    }

    /// Removes the answers that are kept for long enough, and tells how many there were.
    pub(crate) async fn forget_requests(&self) -> Result<u64, StoreError> {
        let retention = i64::try_from(self.config.request_retention.as_micros()).unwrap_or(i64::MAX);
        let before = self.clock.now().as_micros().saturating_sub(retention);
        forget_requests_before(self.store.database(), before).await
    }
}

fn show(latch: &Latch, answer: Result<(), impl std::fmt::Display>) {
    match answer {
        Ok(()) => latch.up(),
        Err(error) => latch.down(error.to_string()),
    }
}

fn ticks_every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
