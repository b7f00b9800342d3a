//! What is done beside the requests: dependencies are watched, old answers and changes are forgotten.

use std::fmt::Display;
use std::time::Duration;

use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::changes::compact;
use mcx_store::idempotency::forget_requests_before;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;

/// How often the database and the cache are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often old answers and changes are looked for, and how long an answer is kept for repetitions.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        tokio::join!(self.watch_dependencies(readiness), self.forget());
    }

    async fn watch_dependencies(&self, readiness: &Readiness) {
        let database = readiness.latch("database", Weight::Required);
        let cache = readiness.latch("cache", Weight::Degrading);
        let mut ticks = every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            let (schema, answer) = tokio::join!(self.database.require_schema(), self.cache.ping());
            show(&database, schema);
            show(&cache, answer);
        }
    }

    async fn forget(&self) {
        let mut ticks = every(CLEANUP_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = forget_requests_before(&self.database, self.before(REQUEST_RETENTION)).await {
                tracing::warn!(%error, "answers to old requests not forgotten");
            }
            if let Err(error) = compact(&self.database, self.before(self.config.change_retention)).await {
                tracing::warn!(%error, "old changes not forgotten");
            }
        }
    }

    fn before(&self, retention: Duration) -> i64 {
        let retention_micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        self.clock.now().as_micros().saturating_sub(retention_micros)
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
