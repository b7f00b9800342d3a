//! Ending a process in good order: one token that says "stop", and the tasks that are waited for.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Says when to stop, and knows who has not stopped yet. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A shutdown that only [`Shutdown::begin`] begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// A shutdown that SIGTERM or SIGINT begins too.
    ///
    /// The handlers are in place when this returns, so that a signal during start is not lost.
    ///
    /// # Errors
    /// Where the signals cannot be listened to.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = shutdown.token.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                () = token.cancelled() => return,
            };
            tracing::info!(signal = name, "shutting down");
            token.cancel();
        });
        Ok(shutdown)
    }

    /// Begins the shutdown; further calls change nothing.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// The token that is cancelled when the shutdown begins.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Starts a task that [`Shutdown::wait`] waits for; the task ends by itself once the token is cancelled.
    ///
    /// It runs in the span of the caller.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(tracing::Instrument::in_current_span(task))
    }

    /// Waits until the shutdown has begun and every task has ended, but no longer than `bound` after it began.
    ///
    /// Returns whether all tasks ended; where not, a warning tells how many did not.
    pub async fn wait(&self, bound: Duration) -> bool {
        self.token.cancelled().await;
        self.tasks.close();
        let all_ended = tokio::time::timeout(bound, self.tasks.wait()).await.is_ok();
        if !all_ended {
            tracing::warn!(tasks = self.tasks.len(), ?bound, "tasks did not end in time and are cut off");
        }
        all_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_heeds_the_token_is_waited_for() {
        let shutdown = Shutdown::new();
        let token = shutdown.token().clone();
        let task = shutdown.spawn(async move { token.cancelled().await });
        shutdown.begin();
        assert!(shutdown.wait(Duration::from_secs(60)).await);
        assert!(task.is_finished());
    }

    #[tokio::test]
    async fn a_task_that_never_ends_does_not_hold_up_the_end_of_the_process() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        shutdown.begin();
        assert!(!shutdown.wait(Duration::from_millis(1)).await);
    }
}
