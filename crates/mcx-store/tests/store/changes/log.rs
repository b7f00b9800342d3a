//! Writing and compacting the log.

use futures::future::join_all;
use mcx_store::changes::{Sequence, append, compact};
use tokio::task::JoinSet;

use super::fixture::{
    Log, announced_only, change, follow, next_change, on_every_log_database, subscribe, told, versions,
};
use crate::fixture::{EmptyCache, EmptyDatabase, eventually};

on_every_log_database!(
    concurrent_writers_leave_nothing_that_a_reader_could_skip,
    rolled_back_change_leaves_neither_trace_nor_gap,
    many_changes_are_written_at_once_and_in_order,
    writing_no_change_tells_the_place_of_the_last,
    change_comes_back_as_it_was_written,
    compaction_removes_only_what_is_older_than_asked,
    concurrent_compactions_remove_each_change_once,
);

async fn sequences(log: &Log) -> Vec<i64> {
    let rows: Vec<(i64,)> = log
        .database
        .statement("SELECT sequence FROM change_log ORDER BY sequence")
        .fetch_all()
        .await
        .unwrap();
    rows.into_iter().map(|(sequence,)| sequence).collect()
}

async fn concurrent_writers_leave_nothing_that_a_reader_could_skip(log: Log) {
    const WRITERS: usize = 12;
    const ROUNDS: i64 = 12;
    let documents: Vec<String> = (0..WRITERS).map(|writer| format!("document {writer}")).collect();
    let feed = log.feed(announced_only());
    let topics: Vec<&str> = documents.iter().map(String::as_str).collect();
    let (mut stream, _) = follow(&feed, &topics).await;

    let mut writers = JoinSet::new();
    for document in documents.clone() {
        let (database, feed) = (log.database.clone(), feed.clone());
        writers.spawn(async move {
            for round in 0..ROUNDS {
                let mut transaction = database.begin().await.unwrap();
                let changes = [change(&document, 2 * round), change(&document, 2 * round + 1)];
                let last = append(&mut transaction, &changes, 0).await.unwrap();
                // Others are begun, and would be committed, between the number and the commit.
                tokio::task::yield_now().await;
                transaction.commit().await.unwrap();
                feed.announce(last);
            }
        });
    }
    let mut last_token = None;
    let mut next_versions = vec![0; WRITERS];
    for _ in 0..WRITERS * ROUNDS as usize * 2 {
        let change = next_change(&mut stream).await;
        let writer = documents.iter().position(|document| *document == change.document).unwrap();
        assert_eq!(change.version, next_versions[writer], "{}", change.document);
        next_versions[writer] += 1;
        last_token = Some(change.token);
    }
    assert_eq!(next_versions, vec![2 * ROUNDS; WRITERS]);
    writers.join_all().await;
    let total = WRITERS as i64 * ROUNDS * 2;
    assert_eq!(sequences(&log).await, (1..=total).collect::<Vec<_>>(), "without gaps");
    let (_, end) = follow(&feed, &[]).await;
    assert_eq!(last_token, Some(end));
}

/// With a sequence of the database the second would be committed, and read, before the first.
#[tokio::test]
async fn postgres_writer_waits_for_the_commit_of_the_one_before() {
    let log = Log::new(EmptyDatabase::postgres(), EmptyCache::memory()).await;
    let feed = log.feed(announced_only());
    let (mut stream, _) = follow(&feed, &["first", "second"]).await;
    let mut first = log.database.begin().await.unwrap();
    let place = append(&mut first, &[change("first", 1)], 0).await.unwrap();
    let second = tokio::spawn({
        let (database, feed) = (log.database.clone(), feed.clone());
        async move {
            let mut second = database.begin().await.unwrap();
            let last = append(&mut second, &[change("second", 1)], 0).await.unwrap();
            second.commit().await.unwrap();
            feed.announce(last);
        }
    });
    eventually("the second waits", async || {
        let waiting = "SELECT COUNT(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database \
             WHERE NOT granted AND datname = current_database()";
        let row = "SELECT COUNT(*) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let (locks,): (i64,) = log.database.statement(waiting).fetch_one().await.unwrap();
        let (sessions,): (i64,) = log.database.statement(row).fetch_one().await.unwrap();
        locks + sessions > 0
    })
    .await;
    first.commit().await.unwrap();
    second.await.unwrap();
    assert_eq!(place.to_string(), "1");
    assert_eq!(told(&mut stream, 2).await, [("first".to_owned(), 1), ("second".to_owned(), 1)]);
}

async fn rolled_back_change_leaves_neither_trace_nor_gap(log: Log) {
    log.write(&[("group/1", 1)]).await;
    let mut transaction = log.database.begin().await.unwrap();
    append(&mut transaction, &[change("group/1", 2), change("group/1", 3)], 0).await.unwrap();
    transaction.rollback().await.unwrap();
    log.write(&[("group/1", 2)]).await;
    assert_eq!(sequences(&log).await, [1, 2]);
}

async fn many_changes_are_written_at_once_and_in_order(log: Log) {
    let feed = log.feed(announced_only());
    let (mut stream, _) = follow(&feed, &["group/1"]).await;
    let changes: Vec<_> = (0..1000).map(|version| ("group/1", version)).collect();
    let last = log.write(&changes).await;
    assert_eq!(last.to_string(), "1000");
    feed.announce(last);
    assert_eq!(told(&mut stream, 1000).await, versions("group/1", 0..1000));
}

async fn writing_no_change_tells_the_place_of_the_last(log: Log) {
    let last: Sequence = log.write(&[("group/1", 1)]).await;
    assert_eq!(log.write(&[]).await, last);
}

async fn change_comes_back_as_it_was_written(log: Log) {
    let feed = log.feed(announced_only());
    let (mut stream, start) = follow(&feed, &["Zoë's topic"]).await;
    let mut written = change("Zoë's topic", i64::MAX);
    written.document = "a \"document\"".to_owned();
    written.payload = (0..=255).collect::<Vec<u8>>().into();
    let mut transaction = log.database.begin().await.unwrap();
    let last = append(&mut transaction, std::slice::from_ref(&written), 1_234_567).await.unwrap();
    transaction.commit().await.unwrap();
    feed.announce(last);
    let live = next_change(&mut stream).await;
    let resumed = next_change(&mut subscribe(&feed, &["Zoë's topic"], Some(start)).await.unwrap()).await;
    for change in [live, resumed] {
        assert_eq!((&*change.topic, &change.document), ("Zoë's topic", &written.document));
        assert_eq!((change.version, &change.payload), (i64::MAX, &written.payload));
        assert_eq!(change.recorded_at_micros, 1_234_567);
    }
}

async fn compaction_removes_only_what_is_older_than_asked(log: Log) {
    for recorded_at in [10, 20, 40, 30, 50] {
        log.write_at(recorded_at, &[("group/1", recorded_at)]).await;
    }
    assert_eq!(compact(&log.database, 10).await, Ok(0));
    assert_eq!(compact(&log.database, 35).await, Ok(2));
    // The clock that recorded 40 was ahead: what came after it stays as long as it does.
    assert_eq!(sequences(&log).await, [3, 4, 5]);
    assert_eq!(compact(&log.database, 41).await, Ok(2));
    assert_eq!(compact(&log.database, 41).await, Ok(0));
    assert_eq!(compact(&log.database, i64::MAX).await, Ok(1));
    assert_eq!(log.write(&[("group/1", 60)]).await.to_string(), "6", "numbers are not used again");
}

async fn concurrent_compactions_remove_each_change_once(log: Log) {
    let changes: Vec<_> = (0..2500).map(|version| ("group/1", version)).collect();
    log.write(&changes).await;
    log.write_at(100, &[("group/1", 2500)]).await;
    let removed = join_all((0..3).map(|_| compact(&log.database, 100))).await;
    assert_eq!(removed.into_iter().map(Result::unwrap).sum::<u64>(), 2500);
    assert_eq!(sequences(&log).await, [2501]);
}
