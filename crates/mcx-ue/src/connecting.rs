//! How a UE connects to what is being replaced.

use std::future::Future;

use mcx_federation::CONNECT_AGAIN_AFTER;

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

#[cfg(test)]
mod tests {
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
}
