//! Waiting for what can be observed, without a guess of how long it takes.

use std::time::Duration;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Far more than anything here takes: a test that waits this long has failed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Looks until `look` sees what is waited for, and returns that.
///
/// # Panics
/// Where it is not seen within a minute; `what` says what it was.
pub async fn wait_until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    let seen = tokio::time::timeout(GIVE_UP_AFTER, looking).await;
    seen.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}
