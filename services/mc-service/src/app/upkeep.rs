//! What is done beside the requests: what has expired ends, notices are told, dependencies are watched, old answers are forgotten.

use std::fmt::Display;
use std::time::Duration;

use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::changes;
use mcx_store::idempotency::forget_requests_before;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::App;
use super::ending::Telling;
use crate::domain::EndReason;
use crate::error::Error;
use crate::store::locks::Lock;
use crate::store::{authorizations, notices, partner_affiliations, served_by};

/// How often the database is asked for a sign of life.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often what is kept for a time only is looked for, and how long an answer is kept for repetitions.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);
/// How many expired rows are cleared away at once.
const BATCH: u32 = 100;

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        tokio::join!(
            self.watch_database(readiness),
            self.watch_agreements(readiness),
            self.end_what_expired(),
            self.keep_telling(),
            self.forget()
        );
    }

    async fn watch_database(&self, readiness: &Readiness) {
        let database = readiness.latch("database", Weight::Required);
        let mut ticks = every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            show(&database, self.database.require_schema().await);
        }
    }

    /// Until the agreements are known, own users are served and visitors are not.
    async fn watch_agreements(&self, readiness: &Readiness) {
        let agreements = readiness.latch("agreements", Weight::Degrading);
        self.partners.wait_until_known().await;
        agreements.up();
    }

    async fn end_what_expired(&self) {
        let mut ticks = every(self.config.upkeep_interval);
        loop {
            ticks.tick().await;
            if let Err(error) = self.end_expired().await {
                tracing::warn!(%error, "what has expired is not cleared away");
            }
        }
    }

    /// A UE that does not refresh is lost: what it had ends, here and, by its own lease, in the other MC system.
    async fn end_expired(&self) -> Result<(), Error> {
        let now = self.clock.now();
        loop {
            let expired = authorizations::expired(&self.database, now, BATCH).await?;
            for seen in &expired {
                let mut work = self.begin().await?;
                work.lock(Lock::User(&seen.client.user)).await?;
                let present = authorizations::of_client(&mut work.transaction, &seen.client).await?;
                // It may have been refreshed, or have begun anew, while the lock was waited for.
                let present = present.filter(|present| present.expires_at <= work.now);
                if let Some(present) = present {
                    self.end_authorization(&mut work, &present, EndReason::Expired, Telling::Told).await?;
                    self.commit(work).await?;
                }
            }
            if expired.len() < BATCH as usize {
                break;
            }
        }
        loop {
            let expired = served_by::expired(&self.database, now, BATCH).await?;
            for seen in &expired {
                let mut work = self.begin().await?;
                work.lock(Lock::User(&seen.client.user)).await?;
                let present = served_by::of_client(&mut work.transaction, &seen.client).await?;
                if let Some(present) = present.filter(|present| present.expires_at <= work.now) {
                    self.end_mark(&mut work, &present, EndReason::Expired, Telling::Silent).await?;
                    self.commit(work).await?;
                }
            }
            if expired.len() < BATCH as usize {
                break;
            }
        }
        partner_affiliations::remove_expired(&self.database, now).await?;
        Ok(())
    }

    async fn keep_telling(&self) {
        let mut ticks = every(self.config.upkeep_interval);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.notices_left.notified() => {}
            }
            if let Err(error) = self.tell_notices().await {
                tracing::warn!(%error, "notices are not told");
            }
            if let Ok(count) = notices::count_tried(&self.database).await {
                metrics::gauge!("mcx_mc_service_notices_waiting").set(count as f64);
            }
        }
    }

    async fn forget(&self) {
        let mut ticks = every(CLEANUP_INTERVAL);
        loop {
            ticks.tick().await;
            let before = |age: Duration| {
                let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
                self.clock.now().as_micros().saturating_sub(age)
            };
            if let Err(error) = forget_requests_before(&self.database, before(REQUEST_RETENTION)).await {
                tracing::warn!(%error, "answers to old requests not forgotten");
            }
            if let Err(error) = changes::compact(&self.database, before(self.config.change_retention)).await {
                tracing::warn!(%error, "old changes not forgotten");
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
