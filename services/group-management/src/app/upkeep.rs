//! What is done beside the requests: partners are told and asked, migrations that are over are undone, dependencies are watched, old answers
//! and changes are forgotten.

use std::fmt::Display;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use mcx_runtime::readiness::{Latch, Readiness, Weight};
use mcx_store::StoreError;
use mcx_store::changes::compact;
use mcx_store::idempotency::forget_requests_before;
use mcx_types::McSystemId;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::App;
use super::pauses::Pauses;
use crate::error::Error;
use crate::store::{shared_users, shares, visitors};

/// How often the database and the cache are asked for a sign of life, and migrations are looked for that are over.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often old answers and changes are looked for, and how long an answer is kept for repetitions.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
const REQUEST_RETENTION: Duration = Duration::from_secs(24 * 3_600);

impl App {
    /// Runs until it is dropped; without it the service never becomes ready.
    pub(crate) async fn upkeep(&self, readiness: &Readiness) {
        let (tell, tell_due, ask, ask_due) = (self.clone(), self.clone(), self.clone(), self.clone());
        let talks = [
            self.talk(
                &self.to_tell,
                move || {
                    let app = tell_due.clone();
                    async move { shares::partners_to_tell(&app.database).await }.boxed()
                },
                move |partner| {
                    let app = tell.clone();
                    async move { app.tell_partner(partner).await }.boxed()
                },
            )
            .boxed(),
            self.talk(
                &self.to_ask,
                move || {
                    let app = ask_due.clone();
                    async move { visitors::primaries_to_ask(&app.database, app.clock.now()).await }.boxed()
                },
                move |primary| {
                    let app = ask.clone();
                    async move { app.ask_primary(primary).await }.boxed()
                },
            )
            .boxed(),
        ];
        tokio::join!(
            self.watch_dependencies(readiness),
            join_all(talks),
            self.end_migrations(),
            self.forget()
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

    /// Talks to every partner with which there is something to talk about, to each on its own: one that does not answer holds up nobody.
    async fn talk(
        &self,
        news: &Notify,
        due: impl Fn() -> BoxFuture<'static, Result<Vec<McSystemId>, StoreError>> + Send,
        talk_to: impl Fn(McSystemId) -> BoxFuture<'static, bool> + Send,
    ) {
        let mut pauses = Pauses::new(self.config.retry_pause, self.config.retry_pause_limit);
        let mut talks = FuturesUnordered::new();
        let mut ticks = every(self.config.sharing_interval);
        loop {
            match due().await {
                Ok(partners) => {
                    for partner in partners {
                        if pauses.begin(&partner, Instant::now()) {
                            let talk = talk_to(partner.clone());
                            talks.push(async move { (partner, talk.await) });
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "it is not known which partners to talk to"),
            }
            let pause_over = pauses.next();
            tokio::select! {
                () = news.notified() => {}
                _ = ticks.tick() => {}
                () = sleep_until(pause_over.unwrap_or_else(Instant::now)), if pause_over.is_some() => {}
                Some((partner, is_good)) = talks.next(), if !talks.is_empty() => {
                    pauses.ended(&partner, is_good, Instant::now());
                }
            }
        }
    }

    async fn end_migrations(&self) {
        let mut ticks = every(WATCH_INTERVAL);
        loop {
            ticks.tick().await;
            if let Err(error) = self.end_migrations_once().await {
                tracing::warn!(%error, "migrations that are over are not undone yet");
            }
        }
    }

    async fn end_migrations_once(&self) -> Result<(), Error> {
        let gone = visitors::expired(&self.database, self.clock.now()).await?;
        if !gone.is_empty() {
            self.delete_visitors(&gone).await?;
        }
        let gone = shared_users::expired(&self.database, self.clock.now()).await?;
        if !gone.is_empty() {
            self.delete_shared_users(&gone).await?;
        }
        Ok(())
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
