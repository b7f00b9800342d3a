//! Watches that go on: a stream that breaks is opened again where it was, so that no change is lost; where that cannot be told any
//! more, everything is told anew.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::stream::{self, BoxStream};
use tonic::{Code, Streaming};

use super::{Caller, ServerError};

/// How long is waited before a broken watch is opened again: `shortest` first, then twice as long each time up to `longest`, each
/// up to doubled at random, so that not all UEs come back at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// The first wait.
    pub shortest: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { shortest: Duration::from_millis(200), longest: Duration::from_secs(15) }
    }
}

impl Patience {
    fn begin(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.shortest)
            .with_max_delay(self.longest)
            .without_max_times()
            .with_jitter()
            .build()
    }
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Told<E> {
    /// All documents are told now; those that are not told before [`Told::CaughtUp`] are no more.
    SnapshotBegins,
    /// Something is so.
    Event(E),
    /// All was told that there was when the stream began.
    CaughtUp,
}

/// What a watch tells, and where to go on once that is taken note of.
#[derive(Debug, Clone, PartialEq)]
pub struct Update<E> {
    /// What there is to know; none: nothing but the token.
    pub told: Option<Told<E>>,
    /// Where to go on; none: from the beginning.
    pub resume_token: Option<String>,
}

/// The updates of a watch. It ends after an error only, which nothing but the user or an operator can put right.
pub type Watch<E> = BoxStream<'static, Result<Update<E>, ServerError>>;

/// One message of a stream, taken apart.
pub(super) struct Message<E> {
    pub(super) resume_token: String,
    pub(super) event: Option<E>,
    /// Whether the snapshot, or what was missed, is told with this.
    pub(super) caught_up: bool,
}

/// Something that can be watched.
pub(super) trait Watched: Send + Sync + 'static {
    type Answer: Send + 'static;
    type Event: Send + 'static;

    fn caller(&self) -> &Caller;

    /// Opens a stream that goes on after the token, or begins when that is empty.
    fn open(
        &self,
        resume_token: String,
    ) -> impl Future<Output = Result<Streaming<Self::Answer>, ServerError>> + Send;

    /// Takes a message apart.
    fn read(&self, answer: Self::Answer) -> Result<Message<Self::Event>, ServerError>;
}

/// Watches from where the token says, or from the beginning.
pub(super) fn watch<W: Watched>(watched: W, resume_token: Option<String>) -> Watch<W::Event> {
    let resume_token = resume_token.filter(|token| !token.is_empty());
    let patience = watched.caller().patience.begin();
    let watching = Watching {
        watched,
        resume_token,
        stream: None,
        is_snapshot: false,
        pending_caught_up: false,
        patience,
        has_ended: false,
    };
    Box::pin(stream::unfold(watching, Watching::next))
}

struct Watching<W: Watched> {
    watched: W,
    /// Where to go on. Not known before a snapshot is whole: one that breaks begins again.
    resume_token: Option<String>,
    stream: Option<Streaming<W::Answer>>,
    is_snapshot: bool,
    /// The message was an event and the end of the snapshot.
    pending_caught_up: bool,
    patience: ExponentialBackoff,
    has_ended: bool,
}

type Item<W> = Result<Update<<W as Watched>::Event>, ServerError>;

impl<W: Watched> Watching<W> {
    async fn next(mut self) -> Option<(Item<W>, Self)> {
        if self.has_ended {
            return None;
        }
        if std::mem::take(&mut self.pending_caught_up) {
            return Some((Ok(self.update(Some(Told::CaughtUp))), self));
        }
        loop {
            let outcome = match &mut self.stream {
                None => match self.watched.open(self.resume_token.clone().unwrap_or_default()).await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        if self.resume_token.is_none() {
                            self.is_snapshot = true;
                            return Some((Ok(self.update(Some(Told::SnapshotBegins))), self));
                        }
                        continue;
                    }
                    Err(error) => Err((error, true)),
                },
                Some(stream) => match stream.message().await {
                    Ok(Some(answer)) => self.watched.read(answer).map_err(|error| (error, true)),
                    // The server has nothing more to say on this stream: as good as broken.
                    Ok(None) => {
                        self.wait(None).await;
                        continue;
                    }
                    Err(status) => Err((self.watched.caller().error(&status), false)),
                },
            };
            match outcome {
                Ok(message) => {
                    self.patience = self.watched.caller().patience.begin();
                    return Some((Ok(self.take(message)), self));
                }
                Err((error, was_refused)) => match remedy(&error, was_refused) {
                    Remedy::BeginAgain => {
                        tracing::info!(%error, "watch begins again");
                        self.stream = None;
                        // One that is refused a second time is not asked for without a pause.
                        if self.resume_token.take().is_none() {
                            self.wait(None).await;
                        }
                    }
                    Remedy::GoOn => {
                        tracing::info!(%error, "watch is interrupted");
                        self.wait(error.retry_after()).await;
                    }
                    Remedy::None => {
                        self.has_ended = true;
                        return Some((Err(error), self));
                    }
                },
            }
        }
    }

    fn take(&mut self, message: Message<W::Event>) -> Update<W::Event> {
        if message.caught_up {
            self.is_snapshot = false;
        }
        if !self.is_snapshot && !message.resume_token.is_empty() {
            self.resume_token = Some(message.resume_token);
        }
        match (message.event, message.caught_up) {
            (Some(event), caught_up) => {
                self.pending_caught_up = caught_up;
                self.update(Some(Told::Event(event)))
            }
            (None, true) => self.update(Some(Told::CaughtUp)),
            (None, false) => self.update(None),
        }
    }

    fn update(&self, told: Option<Told<W::Event>>) -> Update<W::Event> {
        Update { told, resume_token: self.resume_token.clone() }
    }

    /// Waits as long as the server asks, or else as the patience says.
    async fn wait(&mut self, asked: Option<Duration>) {
        self.stream = None;
        let next = self.patience.next().unwrap_or(self.watched.caller().patience.longest);
        tokio::time::sleep(asked.map_or(next, |asked| asked.max(next))).await;
    }
}

enum Remedy {
    /// Everything has to be told anew.
    BeginAgain,
    /// Open again, after a pause.
    GoOn,
    /// Nothing helps.
    None,
}

/// `was_refused`: the stream was not opened, or broke a rule; else it broke while it was open.
fn remedy(error: &ServerError, was_refused: bool) -> Remedy {
    match error {
        ServerError::Answered { remote, .. } => match (remote.code, remote.reason.as_str()) {
            (_, "RESUME_TOKEN_COMPACTED" | "RESUME_TOKEN_FOREIGN" | "RESUME_TOKEN_UNUSABLE") => {
                Remedy::BeginAgain
            }
            // The token that it was opened with has ended; the next one is fresh.
            (Code::Unauthenticated, _) if !was_refused => Remedy::GoOn,
            (
                Code::Unauthenticated
                | Code::PermissionDenied
                | Code::InvalidArgument
                | Code::NotFound
                | Code::FailedPrecondition
                | Code::Unimplemented,
                _,
            ) => Remedy::None,
            _ => Remedy::GoOn,
        },
        ServerError::NoToken { source, .. } if source.may_pass() => Remedy::GoOn,
        ServerError::TimedOut { .. } => Remedy::GoOn,
        ServerError::NoToken { .. } | ServerError::Malformed { .. } | ServerError::Unusable { .. } => {
            Remedy::None
        }
    }
}
