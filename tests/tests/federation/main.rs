//! Two whole MC systems: what a visitor gets, and whom the systems refuse.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod answers;
mod channel;
mod outages;
mod policy;
mod refusals;
mod registration;
mod release;
mod visitors;

/// Runs each of these on both kinds of stores, on systems of its own.
macro_rules! on_both_kinds_of_stores {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crossband_tests::World::start(crossband_tests::Stores::Embedded).await).await;
            })*
        }

        mod postgres_and_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crossband_tests::World::start(crossband_tests::Stores::PostgresAndRedis).await).await;
            })*
        }
    };
}
pub(crate) use on_both_kinds_of_stores;
