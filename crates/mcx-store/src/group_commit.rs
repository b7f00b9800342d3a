//! One commit for many concurrent requests.
//!
//! While one batch is being flushed the next one gathers, so the batch grows with the load and a lone request waits for
//! nobody.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use metrics::histogram;
use tokio::sync::{mpsc, oneshot};

/// Bounds of a [`GroupCommit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupCommitConfig {
    /// Most requests in one batch.
    pub max_batch: usize,
    /// Most requests waiting for a batch; beyond it submitters wait for room.
    pub max_queue: usize,
}

impl Default for GroupCommitConfig {
    fn default() -> Self {
        Self { max_batch: 256, max_queue: 4096 }
    }
}

/// Why a submitted request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupCommitError<E> {
    /// The flush of its batch failed.
    #[error(transparent)]
    Flush(E),
    /// The flush panicked, or did not answer every request; whether it took effect is unknown.
    #[error("the batch was not answered")]
    Unanswered,
}

struct Submission<Request, Response, E> {
    request: Request,
    reply: oneshot::Sender<Result<Response, GroupCommitError<E>>>,
}

/// Gathers concurrent requests into batches, flushed one at a time in order of arrival. Clones share the batches.
pub struct GroupCommit<Request, Response, E> {
    submissions: mpsc::Sender<Submission<Request, Response, E>>,
}

impl<Request, Response, E> GroupCommit<Request, Response, E>
where
    Request: Send + 'static,
    Response: Send + 'static,
    E: Clone + Send + 'static,
{
    /// Starts the task that flushes; it ends when the last clone is dropped. `name` labels the metrics. Call from within
    /// a Tokio runtime.
    ///
    /// `flush` takes the requests of a batch and returns as many responses, in the same order. It runs outside the span
    /// of any single request.
    pub fn start<Flush, Flushing>(name: &'static str, config: GroupCommitConfig, mut flush: Flush) -> Self
    where
        Flush: FnMut(Vec<Request>) -> Flushing + Send + 'static,
        Flushing: Future<Output = Result<Vec<Response>, E>> + Send + 'static,
    {
        let (submissions, mut queue) =
            mpsc::channel::<Submission<Request, Response, E>>(config.max_queue.max(1));
        tokio::spawn(async move {
            let max_batch = config.max_batch.max(1);
            let mut batch = Vec::with_capacity(max_batch);
            while queue.recv_many(&mut batch, max_batch).await > 0 {
                // Whoever gave up before the flush has nothing committed in its name.
                batch.retain(|submission| !submission.reply.is_closed());
                if batch.is_empty() {
                    continue;
                }
                histogram!("mcx_store_group_commit_batch_requests", "name" => name)
                    .record(batch.len() as f64);
                let (requests, replies): (Vec<_>, Vec<_>) =
                    batch.drain(..).map(|submission| (submission.request, submission.reply)).unzip();
                let flushing = AssertUnwindSafe(async { flush(requests).await }).catch_unwind();
                answer(name, replies, flushing.await);
            }
        });
        Self { submissions }
    }

    /// Waits until the request has been flushed. A caller that stops waiting disturbs nobody else; its request may
    /// still take effect.
    ///
    /// # Errors
    /// The error of the flush, the same for every request of the batch.
    pub async fn submit(&self, request: Request) -> Result<Response, GroupCommitError<E>> {
        let (reply, response) = oneshot::channel();
        let submission = Submission { request, reply };
        if self.submissions.send(submission).await.is_err() {
            return Err(GroupCommitError::Unanswered);
        }
        response.await.unwrap_or(Err(GroupCommitError::Unanswered))
    }
}

type Reply<Response, E> = oneshot::Sender<Result<Response, GroupCommitError<E>>>;

/// Sends each submitter its part of the outcome; one that no longer listens is passed over.
fn answer<Response, E: Clone>(
    name: &'static str,
    replies: Vec<Reply<Response, E>>,
    outcome: std::thread::Result<Result<Vec<Response>, E>>,
) {
    let failure = match outcome {
        Ok(Ok(responses)) if responses.len() == replies.len() => {
            for (reply, response) in replies.into_iter().zip(responses) {
                let _gone = reply.send(Ok(response));
            }
            return;
        }
        Ok(Ok(responses)) => {
            tracing::error!(
                name,
                expected = replies.len(),
                actual = responses.len(),
                "batch answered in part"
            );
            GroupCommitError::Unanswered
        }
        Ok(Err(error)) => GroupCommitError::Flush(error),
        // The panic hook has logged it.
        Err(_panic) => GroupCommitError::Unanswered,
    };
    for reply in replies {
        let _gone = reply.send(Err(failure.clone()));
    }
}

impl<Request, Response, E> Clone for GroupCommit<Request, Response, E> {
    fn clone(&self) -> Self {
        Self { submissions: self.submissions.clone() }
    }
}

impl<Request, Response, E> std::fmt::Debug for GroupCommit<Request, Response, E> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}
