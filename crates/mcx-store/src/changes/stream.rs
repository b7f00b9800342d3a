//! The changes of some topics, as one client is told of them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, Stream};

use super::feed::Feed;
use super::log::LogPage;
use super::window::{LogRequest, Next};
use super::{ChangeEvent, SubscribeError};

/// The changes of some topics, from where the subscription began, without gap or repetition.
///
/// It has no end but an error, after which it ends, and [`ChangeFeed::close`](super::ChangeFeed::close). An outage of the
/// database only delays it. However slow its reader is, it holds no more than one page of the log; dropping it ends the
/// subscription.
pub struct ChangeStream {
    subscription: Subscription,
    /// A page of the log on its way; boxed, since most streams never need one.
    reading: Option<BoxFuture<'static, Option<(LogRequest, LogPage)>>>,
    ended: bool,
}

/// Ends with the stream.
struct Subscription {
    feed: Arc<Feed>,
    id: u64,
}

/// Changes the topics of a running [`ChangeStream`].
#[derive(Clone)]
pub struct ChangeStreamHandle {
    feed: Arc<Feed>,
    id: u64,
}

impl ChangeStream {
    pub(super) fn new(feed: Arc<Feed>, id: u64) -> Self {
        Self { subscription: Subscription { feed, id }, reading: None, ended: false }
    }

    pub(super) fn id(&self) -> u64 {
        self.subscription.id
    }

    /// Lets others change its topics while it is read.
    pub fn handle(&self) -> ChangeStreamHandle {
        ChangeStreamHandle { feed: self.subscription.feed.clone(), id: self.subscription.id }
    }
}

impl ChangeStreamHandle {
    /// Replaces the topics, as if the client had come back with the token of the last event told and these topics: no
    /// change of a topic kept is lost or told twice, and of a topic added all changes since that event are told. A
    /// [`ChangeEvent::Position`] tells that this has been done. Without effect on a stream that has ended.
    pub fn set_topics(&self, topics: impl IntoIterator<Item = String>) {
        let waker = self.feed.window().set_topics(self.id, topics);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Stream for ChangeStream {
    type Item = Result<ChangeEvent, SubscribeError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut *self;
        let Subscription { feed, id } = &stream.subscription;
        while !stream.ended {
            if let Some(reading) = &mut stream.reading {
                let read = std::task::ready!(reading.poll_unpin(context));
                stream.reading = None;
                if let Some((request, page)) = read
                    && let Err(error) = feed.window().deliver(*id, &request, page)
                {
                    stream.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let next = feed.window().next(*id, context.waker());
            match next {
                Next::Tell(event) => {
                    stream.ended = event.is_err();
                    return Poll::Ready(Some(event));
                }
                Next::Read(request) => stream.reading = Some(feed.clone().read_patiently(request).boxed()),
                Next::Wait => return Poll::Pending,
                Next::End => stream.ended = true,
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.unsubscribe(self.id);
    }
}

impl fmt::Debug for ChangeStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChangeStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl fmt::Debug for ChangeStreamHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ChangeStreamHandle").finish_non_exhaustive()
    }
}
