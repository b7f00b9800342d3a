//! What is done beside the requests: partners are given what is due, watchers are told of policies, visitors' time runs out, dependencies
//! are watched, what is old is forgotten.

use std::fmt::Display;
use std::time::Duration;

use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::changes;
use mcx_store::idempotency::forget_requests_before;
use mcx_types::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use crate::error::Error;
use crate::store::shares;

/// How often the database and the cache are asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often another replica's work is looked for, should it have died with it.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often visitors whose time is over are looked for. They are not served from that moment on; this only tells their watchers.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(5);

/// How often what is old is looked for, and how long answers are kept for repetitions.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// How many visitors share a transaction.
const VISITORS: i64 = 100;

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        tokio::join!(
            self.watch_dependencies(readiness),
            self.await_partners(readiness),
            self.give_shares(),
            self.follow_policies(),
            self.expire_visitors(),
            self.forget_old(),
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

    /// Until the agreements are known every partner would be taken for a stranger.
    async fn await_partners(&self, readiness: &Readiness) {
        let agreements = readiness.latch("agreements", Weight::Required);
        self.partners.wait_until_known().await;
        agreements.up();
    }

    async fn give_shares(&self) {
        loop {
            match self.push_due().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "user profiles are not given to partners now"),
            }
            let wait = match shares::next_due(&self.database).await {
                Ok(Some(at)) => at.saturating_since(self.clock.now()).min(POLL_INTERVAL),
                _ => POLL_INTERVAL,
            };
            woken_or_after(&self.shares_due, wait).await;
        }
    }

    async fn follow_policies(&self) {
        loop {
            match self.tell_policy_news(VISITORS).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "watchers are not told of policies now"),
            }
            woken_or_after(&self.policy_news, POLL_INTERVAL).await;
        }
    }

    async fn expire_visitors(&self) {
        let mut ticks = every(EXPIRY_INTERVAL);
        loop {
            ticks.tick().await;
            while self.remove_expired_visitors(VISITORS).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "visitors whose time is over are not removed now");
                false
            }) {}
        }
    }

    async fn forget_old(&self) {
        let mut ticks = every(CLEANUP_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.forget_old_once().await {
                tracing::warn!(%error, "what is old is not forgotten now");
            }
        }
    }

    async fn forget_old_once(&self) -> Result<(), Error> {
        let now = self.clock.now();
        forget_requests_before(&self.database, before(now, REQUEST_RETENTION)).await?;
        changes::compact(&self.database, before(now, self.config.change_retention)).await?;
        Ok(())
    }
}

fn before(now: Timestamp, retention: Duration) -> i64 {
    now.as_micros().saturating_sub(i64::try_from(retention.as_micros()).unwrap_or(i64::MAX))
}

/// Waits until there is work, or long enough to look for it.
async fn woken_or_after(notify: &Notify, wait: Duration) {
    // Either is a reason to look.
    let _ = tokio::time::timeout(wait, notify.notified()).await;
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
