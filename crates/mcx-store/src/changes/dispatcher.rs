//! The two tasks of a feed: one reads what is new and hands it out, one tells the other replicas.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures::StreamExt;
use metrics::counter;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use super::feed::{Shared, Start};
use super::log;
use crate::{Notification, SharedCache, StoreError, Subscription};

/// Changes read by one statement.
const ROWS: usize = 64;

/// At its start a feed takes in this many changes that are already there, so that the clients of a replica that is gone
/// resume at this one without reading the log each for itself.
const HISTORY: i64 = 1024;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    announcements: Subscription,
    /// What this replica itself has committed, which is heard of even while the cache is away.
    announced: watch::Receiver<i64>,
    positions: Interval,
}

impl Dispatcher {
    pub(super) fn new(shared: Arc<Shared>, announcements: Subscription) -> Self {
        let announced = shared.announced.subscribe();
        let period = shared.config.position_interval.max(Duration::from_millis(1));
        let mut positions = interval_at(Instant::now() + period, period);
        positions.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { shared, announcements, announced, positions }
    }

    pub(super) async fn run(mut self) {
        let mut begun = false;
        let mut delay = FIRST_DELAY;
        loop {
            match self.shared.read_on(&mut begun).await {
                Ok(()) => {
                    if delay > FIRST_DELAY {
                        tracing::info!(channel = self.shared.channel, "change log read again");
                    }
                    delay = FIRST_DELAY;
                    self.shared.start.send_replace(Start::Done);
                    self.wait().await;
                }
                Err(error) => {
                    if delay == FIRST_DELAY {
                        tracing::warn!(%error, channel = self.shared.channel, "change log cannot be read, streams wait");
                    }
                    if *self.shared.start.borrow() == Start::Reading {
                        self.shared.start.send_replace(Start::Failed);
                    }
                    sleep(delay).await;
                    delay = (delay * 2).min(LONGEST_DELAY);
                }
            }
        }
    }

    /// Returns when there may be something to read.
    async fn wait(&mut self) {
        let poll = sleep(self.shared.config.poll_interval);
        tokio::pin!(poll);
        loop {
            let announced = tokio::select! {
                () = &mut poll => return,
                Some(notification) = self.announcements.next() => match notification {
                    Notification::Message(message) => sequence(&message),
                    Notification::Resync => None,
                },
                Ok(()) = self.announced.changed() => Some(*self.announced.borrow_and_update()),
                _ = self.positions.tick() => {
                    let wakers = self.shared.window().tell_positions();
                    wake(wakers);
                    continue;
                }
            };
            // This replica may have read it already, woken by its own announcement or by a later one.
            if announced.is_none_or(|announced| announced > self.shared.window().dispatched()) {
                return;
            }
        }
    }
}

impl Shared {
    /// Reads and hands out until there is nothing more.
    async fn read_on(&self, begun: &mut bool) -> Result<(), StoreError> {
        if !*begun {
            let bounds = log::read(&self.database, i64::MAX, 1).await?;
            let history = bounds.compacted_through.max(bounds.last_sequence - HISTORY);
            let wakers = self.window().restart(bounds.log_id, history);
            wake(wakers);
            *begun = true;
        }
        loop {
            let after = self.window().dispatched();
            let page = log::read(&self.database, after, ROWS).await?;
            let changes = page.changes.len();
            let wakers = self.window().route(page);
            wake(wakers);
            self.handed_out.send_replace(self.window().dispatched());
            counter!("mcx_store_change_feed_changes_total", "channel" => self.channel.clone())
                .increment(changes as u64);
            if changes < ROWS {
                return Ok(());
            }
        }
    }
}

/// Publishes what this replica commits. While one announcement is under way the next ones become one.
pub(super) async fn announce_to_replicas(shared: Arc<Shared>, cache: SharedCache) {
    let mut announced = shared.announced.subscribe();
    while announced.changed().await.is_ok() {
        let last = *announced.borrow_and_update();
        if let Err(error) = cache.publish(&shared.channel, last.to_string()).await {
            tracing::debug!(%error, channel = shared.channel, "change not announced, other replicas will poll");
        }
    }
}

fn sequence(message: &[u8]) -> Option<i64> {
    std::str::from_utf8(message).ok()?.parse().ok()
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
