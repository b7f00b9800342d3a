//! How a UE connects to what is being replaced.

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mcx_federation::{ATTEMPT_DELAY, CONNECT_AGAIN_AFTER};
use tokio::time::timeout;

/// Makes an attempt, and tries again for a moment where the connection `was_refused`: a server that is replaced comes back.
pub(crate) async fn connected<T, E, A: Future<Output = Result<T, E>>>(
    mut attempt: impl FnMut() -> A,
    was_refused: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for pause in CONNECT_AGAIN_AFTER {
        match attempt().await {
            Err(error) if was_refused(&error) => tokio::time::sleep(*pause).await,
            ended => return ended,
        }
    }
    attempt().await
}

/// The first outcome of attempts of which another begins whenever all are silent: after [`ATTEMPT_DELAY`], then twice as long, and so on.
///
/// Behind the address of a Kubernetes Service the kernel goes on sending to the pod that a connection was begun with, which may be gone,
/// while a new connection finds another pod. Ends with the attempts' own outcome only: the caller bounds it.
pub(crate) async fn first_of_rivals<T, E, A: Future<Output = Result<T, E>>>(
    mut attempt: impl FnMut() -> A,
) -> Result<T, E> {
    let mut under_way = FuturesUnordered::new();
    let mut silence = ATTEMPT_DELAY;
    loop {
        under_way.push(attempt());
        if let Ok(Some(outcome)) = timeout(silence, under_way.next()).await {
            return outcome;
        }
        silence *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// The outcome, and how many attempts there were, where they end so one after the other.
    async fn attempts(outcomes: &[Result<(), bool>]) -> (Result<(), bool>, usize) {
        let mut left = outcomes.iter();
        let attempt = || std::future::ready(*left.next().expect("there are no more attempts"));
        let outcome = connected(attempt, |was_refused| *was_refused).await;
        (outcome, outcomes.len() - left.len())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_tried_three_times_and_what_fails_otherwise_once() {
        assert_eq!(attempts(&[Ok(())]).await, (Ok(()), 1));
        assert_eq!(attempts(&[Err(false)]).await, (Err(false), 1));
        assert_eq!(attempts(&[Err(true), Err(true), Ok(())]).await, (Ok(()), 3));
        assert_eq!(attempts(&[Err(true), Err(true), Err(true)]).await, (Err(true), 3));
    }

    /// The attempt that has the first outcome, of those that take so many milliseconds in turn, and when.
    async fn first_of(durations: &[u64]) -> (usize, Duration) {
        let begun = Instant::now();
        let mut attempts = durations.iter().enumerate();
        let attempt = || {
            let (number, duration) = attempts.next().expect("there are no more attempts");
            async move {
                sleep(Duration::from_millis(*duration)).await;
                Ok::<_, ()>(number)
            }
        };
        let number = first_of_rivals(attempt).await.unwrap();
        (number, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_silent_gets_rivals_and_the_first_outcome_counts() {
        const NEVER: u64 = 1_000_000;
        assert_eq!(first_of(&[200]).await, (0, Duration::from_millis(200)));
        assert_eq!(first_of(&[NEVER, 10]).await, (1, Duration::from_millis(260)));
        assert_eq!(first_of(&[NEVER, NEVER, NEVER, 10]).await, (3, Duration::from_millis(1_760)));
        assert_eq!(first_of(&[300, NEVER]).await, (0, Duration::from_millis(300)), "the first one goes on");
    }
}
