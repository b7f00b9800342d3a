//! Who is told what.

use futures::StreamExt;
use futures::future::poll_immediate;
use mcx_store::changes::{ChangeFeedConfig, compact};

use super::fixture::{
    Log, SOON, announced_only, follow, forgetful, next_change, next_position, on_every_log_database, told,
    versions,
};

on_every_log_database!(
    only_the_topics_subscribed_to_are_told,
    change_is_shared_by_all_who_are_told,
    added_topic_is_told_from_the_last_event_on,
    topics_kept_lose_and_repeat_nothing_while_others_change,
    quiet_stream_tells_its_position_while_others_change,
    quiet_stream_reads_no_log_however_much_others_change,
    topic_subscribed_to_twice_is_told_once,
    stream_without_topics_tells_positions_alone,
    what_was_announced_is_not_told_to_who_begins_after_it,
);

async fn only_the_topics_subscribed_to_are_told(log: Log) {
    let feed = log.feed(announced_only());
    let (mut first, _) = follow(&feed, &["group/1", "user/1"]).await;
    let (mut second, _) = follow(&feed, &["group/2"]).await;
    feed.announce(log.write(&[("group/1", 1), ("group/2", 1), ("group/11", 1), ("user/1", 1)]).await);
    assert_eq!(told(&mut first, 2).await, [("group/1".to_owned(), 1), ("user/1".to_owned(), 1)]);
    assert_eq!(told(&mut second, 1).await, versions("group/2", [1]));
    for stream in [&mut first, &mut second] {
        assert_eq!(poll_immediate(stream.next()).await, None, "nothing more");
    }
}

async fn what_was_announced_is_not_told_to_who_begins_after_it(log: Log) {
    let feed = log.feed(announced_only());
    for version in 1..20 {
        feed.announce(log.write(&[("group/1", version)]).await);
        let (mut stream, _) = follow(&feed, &["group/1"]).await;
        let later = version + 100;
        feed.announce(log.write(&[("group/1", later)]).await);
        assert_eq!(told(&mut stream, 1).await, versions("group/1", [later]));
    }
}

async fn change_is_shared_by_all_who_are_told(log: Log) {
    let feed = log.feed(announced_only());
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(follow(&feed, &["group/1"]).await.0);
    }
    feed.announce(log.write(&[("group/1", 1)]).await);
    let first = next_change(&mut streams[0]).await;
    for stream in &mut streams[1..] {
        assert!(std::sync::Arc::ptr_eq(&first, &next_change(stream).await));
    }
}

async fn added_topic_is_told_from_the_last_event_on(log: Log) {
    for config in [announced_only(), forgetful()] {
        let feed = log.feed(config);
        let (mut stream, _) = follow(&feed, &["user/1"]).await;
        // She joins the group, which changes before the service has looked.
        let last = log.write(&[("group/1", 1), ("user/1", 1), ("group/1", 2), ("group/2", 1)]).await;
        feed.announce(last);
        assert_eq!(told(&mut stream, 1).await, versions("user/1", [1]));
        let handle = stream.handle();
        handle.set_topics(["user/1".to_owned(), "group/1".to_owned()]);
        assert_eq!(told(&mut stream, 1).await, versions("group/1", [2]));
        next_position(&mut stream).await;
        feed.announce(log.write(&[("user/1", 2), ("group/1", 3)]).await);
        assert_eq!(told(&mut stream, 2).await, [("user/1".to_owned(), 2), ("group/1".to_owned(), 3)]);

        // She leaves it; the stream, which waits, is woken and says so.
        let leave = async { handle.set_topics(["user/1".to_owned()]) };
        futures::join!(next_position(&mut stream), leave);
        feed.announce(log.write(&[("group/1", 4), ("user/1", 3)]).await);
        assert_eq!(told(&mut stream, 1).await, versions("user/1", [3]));
        drop(stream);
        handle.set_topics(["group/1".to_owned()]);
    }
}

async fn topics_kept_lose_and_repeat_nothing_while_others_change(log: Log) {
    const CHANGES: i64 = 100;
    for config in [announced_only(), forgetful()] {
        let feed = log.feed(config);
        let (mut stream, _) = follow(&feed, &["kept"]).await;
        let handle = stream.handle();
        let writer = async {
            for version in 0..CHANGES {
                feed.announce(log.write(&[("now and then", version), ("kept", version)]).await);
                if version % 3 == 0 {
                    handle.set_topics(["kept".to_owned(), "now and then".to_owned()]);
                } else if version % 3 == 2 {
                    handle.set_topics(["kept".to_owned()]);
                }
            }
        };
        let reader = async {
            let (mut kept, mut others) = (Vec::new(), Vec::new());
            while kept.len() < CHANGES as usize {
                let change = next_change(&mut stream).await;
                let told = if change.document == "kept" { &mut kept } else { &mut others };
                told.push(change.version);
            }
            (kept, others)
        };
        let ((), (kept, others)) = futures::join!(writer, reader);
        assert_eq!(kept, (0..CHANGES).collect::<Vec<_>>());
        assert!(others.is_sorted_by(|a, b| a < b), "{others:?}");
    }
}

async fn quiet_stream_tells_its_position_while_others_change(log: Log) {
    let feed = log.feed(ChangeFeedConfig { position_interval: SOON, ..announced_only() });
    let (mut quiet, start) = follow(&feed, &["quiet"]).await;
    assert_eq!(poll_immediate(quiet.next()).await, None, "nothing has changed");
    feed.announce(log.write(&[("other", 1)]).await);
    let later = next_position(&mut quiet).await;
    assert_ne!(later, start);
    assert_eq!(follow(&feed, &[]).await.1, later);
}

/// Or the next change of a quiet topic would send all of its watchers to the log at once.
async fn quiet_stream_reads_no_log_however_much_others_change(log: Log) {
    let feed = log.feed(forgetful());
    let (mut quiet, _) = follow(&feed, &["quiet"]).await;
    let (mut witness, _) = follow(&feed, &["other"]).await;
    feed.announce(log.write_versions("other", 1..=10).await);
    assert_eq!(told(&mut witness, 10).await, versions("other", 1..=10));
    compact(&log.database, i64::MAX).await.unwrap();
    feed.announce(log.write(&[("quiet", 1)]).await);
    // Had it read the log, it would have been told of the compaction.
    assert_eq!(told(&mut quiet, 1).await, versions("quiet", [1]));
}

async fn topic_subscribed_to_twice_is_told_once(log: Log) {
    let feed = log.feed(announced_only());
    let (mut stream, _) = follow(&feed, &["group/1", "group/1"]).await;
    feed.announce(log.write(&[("group/1", 1), ("group/1", 2)]).await);
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 1..=2));
}

async fn stream_without_topics_tells_positions_alone(log: Log) {
    let feed = log.feed(ChangeFeedConfig { position_interval: SOON, ..announced_only() });
    let (mut stream, _) = follow(&feed, &[]).await;
    feed.announce(log.write(&[("group/1", 1)]).await);
    next_position(&mut stream).await;
}
