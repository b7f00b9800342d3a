//! A subscription that outlives its connection.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Client, RedisError};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::task::AbortOnDropHandle;

use super::Notification;
use crate::cache::CHANNEL_CAPACITY;

const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// A channel silent for this long is asked for a sign of life: a connection cut without a word shows no other way.
const SILENCE: Duration = Duration::from_secs(10);

struct Connected {
    sink: PubSubSink,
    messages: PubSubStream,
}

struct Subscriber {
    client: Client,
    channel: String,
    response_timeout: Duration,
    connected: Option<Connected>,
}

/// A task moves what Redis sends into a bounded queue, so a slow consumer misses messages, and learns so, instead of
/// filling the memory. Dropping the stream ends the task and the connection.
pub(super) fn subscribe(
    client: Client,
    channel: String,
    response_timeout: Duration,
) -> BoxStream<'static, Notification> {
    let (sender, receiver) = broadcast::channel(CHANNEL_CAPACITY);
    let mut subscriber = Subscriber { client, channel, response_timeout, connected: None };
    let pump =
        AbortOnDropHandle::new(tokio::spawn(
            async move { while sender.send(subscriber.next().await).is_ok() {} },
        ));
    BroadcastStream::new(receiver)
        .map(move |notification| {
            let _running = &pump;
            notification.unwrap_or(Notification::Resync)
        })
        .boxed()
}

impl Subscriber {
    async fn next(&mut self) -> Notification {
        if let Some(connected) = &mut self.connected
            && let Some(message) = connected.next(self.response_timeout).await
        {
            return Notification::Message(message);
        }
        self.connected = None;
        let mut delay = FIRST_DELAY;
        loop {
            match timeout(self.response_timeout, self.connect()).await {
                Ok(Ok(connected)) => {
                    self.connected = Some(connected);
                    return Notification::Resync;
                }
                Ok(Err(error)) => tracing::debug!(%error, channel = self.channel, "cannot subscribe"),
                Err(_) => tracing::debug!(channel = self.channel, "subscribing timed out"),
            }
            sleep(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    async fn connect(&self) -> Result<Connected, RedisError> {
        let mut connection: PubSub = self.client.get_async_pubsub().await?;
        connection.subscribe(&self.channel).await?;
        let (sink, messages) = connection.split();
        Ok(Connected { sink, messages })
    }
}

impl Connected {
    /// The next message; `None` when the connection is lost.
    async fn next(&mut self, response_timeout: Duration) -> Option<Bytes> {
        loop {
            match timeout(SILENCE, self.messages.next()).await {
                Ok(message) => {
                    return message.map(|message| Bytes::copy_from_slice(message.get_payload_bytes()));
                }
                Err(_silent) => {
                    let answer: Result<redis::Value, _> =
                        timeout(response_timeout, self.sink.ping()).await.ok()?;
                    answer.ok()?;
                }
            }
        }
    }
}
