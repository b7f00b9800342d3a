//! What is done beside the requests: user migrations go on, partners are kept in step with the agreements, dependencies are watched, old answers are forgotten.

use std::fmt::Display;
use std::time::Duration;

use futures::StreamExt;
use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::idempotency::forget_requests_before;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::agreements::CHANGES;

/// How often the database and the cache are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often old answers are looked for, and how long an answer is kept for repetitions.
const REQUEST_CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        tokio::join!(
            self.watch_dependencies(readiness),
            self.follow_agreements(readiness),
            self.forget_requests(),
            self.follow_user_migrations(),
            self.reconcile_user_migrations(),
            self.follow_ue_configuration()
        );
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

    /// Reads the agreements at each notification of another replica, and at intervals should one be missed. Until they were read once
    /// the service is not ready: it would take every partner for a stranger.
    async fn follow_agreements(&self, readiness: &Readiness) {
        let agreements = readiness.latch("agreements", Weight::Required);
        let mut changes = self.cache.subscribe(CHANGES);
        let mut ticks = every(self.config.agreement_refresh_interval);
        loop {
            match self.reconcile_peers().await {
                Ok(()) => agreements.up(),
                Err(error) => {
                    tracing::warn!(%error, "agreements cannot be read, the partners stay as they are")
                }
            }
            tokio::select! {
                _ = ticks.tick() => {}
                _ = changes.next() => {}
            }
        }
    }

    async fn forget_requests(&self) {
        let retention_micros = i64::try_from(REQUEST_RETENTION.as_micros()).unwrap_or(i64::MAX);
        let mut ticks = every(REQUEST_CLEANUP_INTERVAL);
        loop {
            ticks.tick().await;
            let before = self.clock.now().as_micros().saturating_sub(retention_micros);
            if let Err(error) = forget_requests_before(&self.database, before).await {
                tracing::warn!(%error, "answers to old requests not forgotten");
            }
        }
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
