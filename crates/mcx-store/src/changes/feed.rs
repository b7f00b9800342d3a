//! The feed of one replica: what the dispatcher, the subscribers and the writers share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::dispatcher::{Dispatcher, announce_to_replicas};
use super::log::{self, LogPage};
use super::stream::ChangeStream;
use super::window::{LogRequest, Window};
use super::{ResumeToken, Sequence, SubscribeError};
use crate::{Database, SharedCache, StoreError};

/// Changes read for one stream by one statement.
const STREAM_ROWS: usize = 64;

/// A stream that could not read the log tries again after this.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Bounds of a [`ChangeFeed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFeedConfig {
    /// The log is read this often even though nothing is announced, in case an announcement is lost or the cache is away.
    pub poll_interval: Duration,
    /// While other topics change, a quiet stream tells its position this often. A small part of the time after which
    /// changes are compacted.
    pub position_interval: Duration,
    /// Memory for the latest changes. Streams that are further behind read the log.
    pub window_bytes: usize,
    /// Streams that may read the log at a time; the others wait for their turn.
    pub concurrent_reads: usize,
}

impl Default for ChangeFeedConfig {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            position_interval: Duration::from_secs(60),
            window_bytes: 16 << 20,
            concurrent_reads: 4,
        }
    }
}

/// Tells the changes of one log to the clients of this replica. Clones share it; its tasks end with the last clone and the
/// last stream.
#[derive(Clone)]
pub struct ChangeFeed {
    feed: Arc<Feed>,
}

/// The feed with its tasks.
pub(super) struct Feed {
    shared: Arc<Shared>,
    _dispatcher: AbortOnDropHandle<()>,
    _announcer: AbortOnDropHandle<()>,
}

/// What the tasks need, which must not keep themselves alive.
pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) config: ChangeFeedConfig,
    pub(super) channel: String,
    pub(super) start: watch::Sender<Start>,
    /// The last change committed by this replica.
    pub(super) announced: watch::Sender<i64>,
    /// The last change handed out to streams.
    pub(super) handed_out: watch::Sender<i64>,
    window: Mutex<Window>,
    reads: Semaphore,
    closed: CancellationToken,
}

/// Whether the dispatcher knows where the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Reading,
    Failed,
    Done,
}

impl ChangeFeed {
    /// Starts to read the log in `database`. `channel` names the channel of the cache by which replicas tell each other
    /// that there is something to read, and labels the metrics. Neither is contacted yet, so a service starts while they
    /// are away; call from within a Tokio runtime.
    pub fn start(
        database: Database,
        cache: SharedCache,
        channel: impl Into<String>,
        config: ChangeFeedConfig,
    ) -> Self {
        let shared = Arc::new(Shared {
            window: Mutex::new(Window::new(config.window_bytes)),
            reads: Semaphore::new(config.concurrent_reads.max(1)),
            start: watch::Sender::new(Start::Reading),
            announced: watch::Sender::new(0),
            handed_out: watch::Sender::new(0),
            closed: CancellationToken::new(),
            channel: channel.into(),
            database,
            config,
        });
        let dispatcher = Dispatcher::new(shared.clone(), cache.subscribe(&shared.channel));
        let feed = Feed {
            _dispatcher: AbortOnDropHandle::new(tokio::spawn(dispatcher.run())),
            _announcer: AbortOnDropHandle::new(tokio::spawn(announce_to_replicas(shared.clone(), cache))),
            shared,
        };
        Self { feed: Arc::new(feed) }
    }

    /// Tells this and every other replica that the log has been written up to here, after the commit. It does not wait,
    /// and concurrent announcements become one.
    pub fn announce(&self, last: Sequence) {
        self.feed.shared.announced.send_if_modified(|announced| {
            let newer = last.0 > *announced;
            *announced = (*announced).max(last.0);
            newer
        });
    }

    /// The changes of these topics, after the token, or from now on.
    ///
    /// Without a token the first event is a position: what is read of a document after this call, together with the
    /// changes told, leaves nothing out. A change may be both in what was read and told, and its version says so; one that this replica
    /// announced before is told again only while the log cannot be read.
    ///
    /// # Errors
    /// [`SubscribeError::Compacted`], [`SubscribeError::Foreign`] and [`SubscribeError::Future`] as the token is;
    /// [`SubscribeError::Unavailable`] when the log is needed and cannot be read, or after [`ChangeFeed::close`].
    pub async fn subscribe(
        &self,
        topics: impl IntoIterator<Item = String>,
        after: Option<ResumeToken>,
    ) -> Result<ChangeStream, SubscribeError> {
        let mut start = self.feed.shared.start.subscribe();
        match start.wait_for(|start| *start != Start::Reading).await.as_deref() {
            Ok(Start::Done) => {}
            _ => return Err(SubscribeError::Unavailable),
        }
        if after.is_none() {
            self.feed.shared.hand_out_what_was_announced().await;
        }
        let stream = self.feed.subscribe(topics, after)?;
        // A token of no use is refused here, not in the midst of the stream.
        let id = stream.id();
        let to_check = self.feed.window().to_check(id);
        if let Some(request) = to_check {
            let page = self.feed.read(&request).await.map_err(|_| SubscribeError::Unavailable)?;
            self.feed.window().deliver(id, &request, page)?;
        }
        Ok(stream)
    }

    /// Ends every stream, and refuses new ones: what a service does when it drains, since streams have no end of their
    /// own. Clients resume at another replica.
    pub fn close(&self) {
        self.feed.shared.closed.cancel();
        let wakers = self.feed.window().close();
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}

impl Feed {
    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        self.shared.window()
    }

    fn subscribe(
        self: &Arc<Self>,
        topics: impl IntoIterator<Item = String>,
        after: Option<ResumeToken>,
    ) -> Result<ChangeStream, SubscribeError> {
        let mut window = self.window();
        let id = window.subscribe(topics, after)?;
        self.shared.count(window.subscribers());
        drop(window);
        Ok(ChangeStream::new(self.clone(), id))
    }

    pub(super) fn unsubscribe(&self, id: u64) {
        let mut window = self.window();
        window.unsubscribe(id);
        self.shared.count(window.subscribers());
    }

    async fn read(&self, request: &LogRequest) -> Result<LogPage, StoreError> {
        let shared = &self.shared;
        let Ok(_turn) = shared.reads.acquire().await else { return Err(StoreError::Unavailable) };
        counter!("mcx_store_change_feed_log_reads_total", "channel" => shared.channel.clone()).increment(1);
        log::read_topics(&shared.database, &request.topics, request.after, STREAM_ROWS).await
    }

    /// Reads until it succeeds; `None` when the feed is closed before.
    pub(super) async fn read_patiently(
        self: Arc<Self>,
        request: LogRequest,
    ) -> Option<(LogRequest, LogPage)> {
        let reading = async {
            loop {
                match self.read(&request).await {
                    Ok(page) => return page,
                    // The dispatcher reads the same database, and logs what is wrong with it.
                    Err(_) => sleep(RETRY_DELAY).await,
                }
            }
        };
        let page = self.shared.closed.run_until_cancelled(reading).await?;
        Some((request, page))
    }
}

impl Shared {
    pub(super) fn window(&self) -> MutexGuard<'_, Window> {
        // No code that can panic runs between two changes that belong together, so a poisoned window is still sound.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is done, and no longer than it usually takes.
    async fn hand_out_what_was_announced(&self) {
        let announced = *self.announced.borrow();
        let mut handed_out = self.handed_out.subscribe();
        let done = handed_out.wait_for(|handed_out| *handed_out >= announced);
        // What is late is told, and told again.
        let _ = tokio::time::timeout(self.config.poll_interval, done).await;
    }

    fn count(&self, subscribers: usize) {
        gauge!("mcx_store_change_feed_streams", "channel" => self.channel.clone()).set(subscribers as f64);
    }
}

impl fmt::Debug for ChangeFeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ChangeFeed")
            .field("channel", &self.feed.shared.channel)
            .finish_non_exhaustive()
    }
}
