//! Batches: who is in them, and who hears what.

use std::sync::{Arc, Mutex};

use futures::future::{join_all, poll_immediate};
use mcx_store::{GroupCommit, GroupCommitConfig, GroupCommitError};
use tokio::sync::Semaphore;

/// A flush that answers each request with its negative, one batch per permit; fails on 13, panics on 666, forgets to
/// answer 404.
struct Flushes {
    commit: GroupCommit<i64, i64, String>,
    /// Batches that may be flushed.
    permits: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<i64>>>>,
}

impl Flushes {
    fn start(config: GroupCommitConfig) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let batches = Arc::new(Mutex::new(Vec::new()));
        let commit = GroupCommit::start("test", config, {
            let (permits, batches) = (permits.clone(), batches.clone());
            move |requests: Vec<i64>| {
                let permits = permits.clone();
                batches.lock().unwrap().push(requests.clone());
                async move {
                    permits.acquire().await.unwrap().forget();
                    if requests.contains(&13) {
                        return Err("unlucky".to_owned());
                    }
                    assert!(!requests.contains(&666), "this panic belongs to the test");
                    Ok(requests
                        .into_iter()
                        .filter(|request| *request != 404)
                        .map(|request| -request)
                        .collect())
                }
            }
        });
        Self { commit, permits, batches }
    }

    fn batches(&self) -> Vec<Vec<i64>> {
        self.batches.lock().unwrap().clone()
    }

    /// Submits a request and lets its flush begin, which then waits for a permit.
    async fn occupy(
        &self,
        request: i64,
    ) -> impl Future<Output = Result<i64, GroupCommitError<String>>> + use<> {
        let commit = self.commit.clone();
        let mut submission = Box::pin(async move { commit.submit(request).await });
        let flushes_before = self.batches().len();
        while self.batches().len() == flushes_before {
            assert!(poll_immediate(&mut submission).await.is_none());
            tokio::task::yield_now().await;
        }
        submission
    }
}

#[tokio::test]
async fn requests_gather_while_a_batch_is_being_flushed() {
    let flushes = Flushes::start(GroupCommitConfig::default());
    let first = flushes.occupy(1).await;
    let others = join_all((2..=9).map(|request| flushes.commit.submit(request)));
    flushes.permits.add_permits(2);
    let (first, others) = futures::join!(first, others);
    assert_eq!(first, Ok(-1));
    assert_eq!(others, (2..=9).map(|request| Ok(-request)).collect::<Vec<_>>());
    assert_eq!(flushes.batches(), [vec![1], (2..=9).collect()]);
}

#[tokio::test]
async fn batches_and_the_queue_are_bounded() {
    let flushes = Flushes::start(GroupCommitConfig { max_batch: 3, max_queue: 2 });
    let first = flushes.occupy(1).await;
    let others = join_all((2..=9).map(|request| flushes.commit.submit(request)));
    flushes.permits.add_permits(100);
    let (_, others) = futures::join!(first, others);
    assert_eq!(others, (2..=9).map(|request| Ok(-request)).collect::<Vec<_>>());
    let batches = flushes.batches();
    assert!(batches.iter().all(|batch| batch.len() <= 3), "{batches:?}");
    assert_eq!(batches.concat(), (1..=9).collect::<Vec<_>>());
}

#[tokio::test]
async fn failed_flush_is_told_to_its_whole_batch_and_to_no_other() {
    let flushes = Flushes::start(GroupCommitConfig::default());
    let first = flushes.occupy(1).await;
    let failing = join_all([12, 13, 14].map(|request| flushes.commit.submit(request)));
    flushes.permits.add_permits(3);
    let (first, failing) = futures::join!(first, failing);
    assert_eq!(first, Ok(-1));
    assert_eq!(failing, vec![Err(GroupCommitError::Flush("unlucky".to_owned())); 3]);
    assert_eq!(flushes.commit.submit(15).await, Ok(-15));
}

#[tokio::test]
async fn flush_that_panics_or_forgets_a_request_is_told_to_its_batch() {
    let flushes = Flushes::start(GroupCommitConfig::default());
    flushes.permits.add_permits(10);
    for wrong in [666, 404] {
        let outcomes = join_all([1, wrong, 2].map(|request| flushes.commit.submit(request))).await;
        assert_eq!(outcomes, vec![Err(GroupCommitError::Unanswered); 3]);
    }
    assert_eq!(flushes.commit.submit(3).await, Ok(-3));
}

#[tokio::test]
async fn submitter_that_gives_up_takes_nobody_along() {
    let flushes = Flushes::start(GroupCommitConfig::default());
    let given_up_in_flight = flushes.occupy(1).await;
    let mut given_up_in_queue = Box::pin(flushes.commit.submit(2));
    let mut patient = Box::pin(flushes.commit.submit(3));
    assert!(poll_immediate(&mut given_up_in_queue).await.is_none());
    assert!(poll_immediate(&mut patient).await.is_none());
    drop(given_up_in_flight);
    drop(given_up_in_queue);
    flushes.permits.add_permits(2);
    assert_eq!(patient.await, Ok(-3));
    assert_eq!(flushes.batches(), [[1], [3]], "what was given up before its flush is not flushed");
}

#[tokio::test]
async fn task_ends_with_the_last_handle() {
    let flushes = Flushes::start(GroupCommitConfig::default());
    let Flushes { commit, permits, batches } = flushes;
    drop(commit);
    drop(permits);
    while Arc::strong_count(&batches) > 1 {
        tokio::task::yield_now().await;
    }
}
