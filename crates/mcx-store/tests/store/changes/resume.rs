//! Clients that come back, or are slow.

use futures::StreamExt;
use mcx_store::changes::{ChangeEvent, MalformedResumeToken, ResumeToken, SubscribeError, compact};

use super::fixture::{
    Log, announced_only, event, follow, forgetful, item, next_change, next_position, on_every_log_database,
    subscribe, told, versions,
};
use crate::fixture::{EmptyCache, EmptyDatabase};

on_every_log_database!(
    client_resumes_where_it_left_and_goes_on_live,
    client_resumes_from_the_log_what_the_replica_has_forgotten,
    reconnecting_all_the_time_loses_and_repeats_nothing,
    token_before_the_compaction_is_refused_with_the_oldest,
    token_beyond_the_end_is_refused,
    token_of_another_log_is_refused,
    slow_stream_is_told_everything_in_order,
    slow_stream_overtaken_by_the_compaction_is_told_and_ends,
    position_is_where_a_subscription_begins,
);

async fn client_resumes_where_it_left_and_goes_on_live(log: Log) {
    let feed = log.feed(announced_only());
    let (mut stream, start) = follow(&feed, &["group/1"]).await;
    feed.announce(log.write_versions("group/1", 1..=5).await);
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 1..=2));
    let ChangeEvent::Change(third) = event(&mut stream).await else { panic!("a change is there") };
    drop(stream);
    log.write(&[("group/2", 1)]).await;

    // As text, as a client has it.
    let token: ResumeToken = third.token.to_string().parse().unwrap();
    let mut stream = subscribe(&feed, &["group/1"], Some(token)).await.unwrap();
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 4..=5));
    feed.announce(log.write_versions("group/1", 6..=7).await);
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 6..=7));

    let mut from_start = subscribe(&feed, &["group/1"], Some(start)).await.unwrap();
    assert_eq!(told(&mut from_start, 7).await, versions("group/1", 1..=7));
    assert_eq!(next_position(&mut from_start).await, next_position_of(&feed).await);
}

async fn next_position_of(feed: &mcx_store::changes::ChangeFeed) -> ResumeToken {
    follow(feed, &[]).await.1
}

async fn client_resumes_from_the_log_what_the_replica_has_forgotten(log: Log) {
    let (stream, start) = follow(&log.feed(announced_only()), &["group/1"]).await;
    drop(stream);
    // More than a page, between changes of other topics, of which there are more than a replica takes in at its start.
    for round in 0..4 {
        let changes: Vec<_> = (0..400)
            .map(|n| if n % 8 == 0 { ("group/1", round * 50 + n / 8) } else { ("other", n) })
            .collect();
        log.write(&changes).await;
    }
    let feed = log.feed(forgetful());
    let mut stream = subscribe(&feed, &["group/1", "unheard of"], Some(start)).await.unwrap();
    assert_eq!(told(&mut stream, 200).await, versions("group/1", 0..200));
    assert_eq!(next_position(&mut stream).await, next_position_of(&feed).await);
    feed.announce(log.write(&[("group/1", 200)]).await);
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [200]));
}

async fn reconnecting_all_the_time_loses_and_repeats_nothing(log: Log) {
    const CHANGES: i64 = 150;
    let feeds = [log.feed(announced_only()), log.feed(forgetful())];
    let (_, mut token) = follow(&feeds[0], &["group/1", "group/2"]).await;
    let writer = async {
        for version in 0..CHANGES {
            let last = log.write(&[("group/1", version), ("other", version), ("group/2", version)]).await;
            feeds.iter().for_each(|feed| feed.announce(last));
        }
    };
    let reader = async {
        let mut told = Vec::new();
        for round in 0.. {
            if told.len() == 2 * CHANGES as usize {
                break;
            }
            let feed = &feeds[round % 2];
            let mut stream = subscribe(feed, &["group/1", "group/2"], Some(token)).await.unwrap();
            for _ in 0..(round % 7 + 1).min(2 * CHANGES as usize - told.len()) {
                let change = next_change(&mut stream).await;
                token = change.token;
                told.push((change.document.clone(), change.version));
            }
        }
        told
    };
    let ((), told) = futures::join!(writer, reader);
    let expected: Vec<_> = (0..CHANGES)
        .flat_map(|version| [("group/1".to_owned(), version), ("group/2".to_owned(), version)])
        .collect();
    assert_eq!(told, expected);
}

async fn token_before_the_compaction_is_refused_with_the_oldest(log: Log) {
    let feed = log.feed(forgetful());
    let (mut stream, start) = follow(&feed, &["group/1"]).await;
    let mut tokens = vec![start];
    for version in 1..=4 {
        feed.announce(log.write_at(version, &[("group/1", version)]).await);
        tokens.push(next_change(&mut stream).await.token);
    }
    assert_eq!(compact(&log.database, 3).await, Ok(2));
    // A replica that has just come up knows no more than the log.
    let feed = log.feed(forgetful());
    for token in &tokens[..2] {
        let refused = subscribe(&feed, &["group/1"], Some(*token)).await.unwrap_err();
        assert_eq!(refused, SubscribeError::Compacted { oldest: tokens[2] });
    }
    let mut stream = subscribe(&feed, &["group/1"], Some(tokens[2])).await.unwrap();
    assert_eq!(told(&mut stream, 2).await, versions("group/1", 3..=4));
}

async fn token_beyond_the_end_is_refused(log: Log) {
    log.write(&[("group/1", 1)]).await;
    let feed = log.feed(announced_only());
    let (_, end) = follow(&feed, &["group/1"]).await;
    let text = end.to_string();
    let beyond: ResumeToken = format!("{}2", &text[..text.len() - 1]).parse().unwrap();
    let refused = subscribe(&feed, &["group/1"], Some(beyond)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::Future { last: end });

    // Another replica has told of it; this one has not heard yet.
    log.write(&[("group/1", 2)]).await;
    let mut stream = subscribe(&feed, &["group/1"], Some(beyond)).await.unwrap();
    assert_eq!(next_position(&mut stream).await, beyond);
    feed.announce(log.write(&[("group/1", 3)]).await);
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [3]));
}

async fn token_of_another_log_is_refused(log: Log) {
    let other = Log::new(EmptyDatabase::sqlite(), EmptyCache::memory()).await;
    let (_, token) = follow(&other.feed(announced_only()), &[]).await;
    let refused = subscribe(&log.feed(announced_only()), &["group/1"], Some(token)).await.unwrap_err();
    assert_eq!(refused, SubscribeError::Foreign);
    let malformed: Result<ResumeToken, MalformedResumeToken> = "7".parse();
    assert_eq!(malformed.map_err(SubscribeError::from), Err(SubscribeError::Malformed(MalformedResumeToken)));
}

async fn slow_stream_is_told_everything_in_order(log: Log) {
    let feed = log.feed(forgetful());
    let (mut slow, _) = follow(&feed, &["group/1", "group/2"]).await;
    let (mut quick, _) = follow(&feed, &["group/1"]).await;
    for version in 0..100 {
        feed.announce(
            log.write(&[("group/1", 2 * version), ("group/2", version), ("group/1", 2 * version + 1)]).await,
        );
        assert_eq!(told(&mut quick, 2).await, versions("group/1", [2 * version, 2 * version + 1]));
    }
    for version in 0..100 {
        let expected = [("group/1", 2 * version), ("group/2", version), ("group/1", 2 * version + 1)];
        assert_eq!(
            told(&mut slow, 3).await,
            expected.map(|(document, version)| (document.to_owned(), version))
        );
    }
}

async fn slow_stream_overtaken_by_the_compaction_is_told_and_ends(log: Log) {
    let feed = log.feed(forgetful());
    let (mut slow, _) = follow(&feed, &["group/1"]).await;
    let (mut quick, _) = follow(&feed, &["group/1"]).await;
    feed.announce(log.write_versions("group/1", 1..=10).await);
    assert_eq!(told(&mut quick, 10).await, versions("group/1", 1..=10));
    assert_eq!(compact(&log.database, i64::MAX).await, Ok(10));
    let oldest = next_position_of(&feed).await;
    assert_eq!(item(&mut slow).await, Some(Err(SubscribeError::Compacted { oldest })));
    assert_eq!(slow.next().await, None);
    // Who was told everything is not concerned.
    feed.announce(log.write(&[("group/1", 11)]).await);
    assert_eq!(told(&mut quick, 1).await, versions("group/1", [11]));
}

async fn position_is_where_a_subscription_begins(log: Log) {
    log.write(&[("group/1", 1)]).await;
    let feed = log.feed(announced_only());
    let mut stream = subscribe(&feed, &["group/1"], None).await.unwrap();
    // Even though there is a change before anybody looks.
    feed.announce(log.write(&[("group/1", 2)]).await);
    let (mut witness, _) = (subscribe(&feed, &["group/1"], None).await.unwrap(), ());
    let position = next_position(&mut stream).await;
    assert_eq!(told(&mut stream, 1).await, versions("group/1", [2]));
    next_position(&mut witness).await;
    let mut resumed = subscribe(&feed, &["group/1"], Some(position)).await.unwrap();
    assert_eq!(told(&mut resumed, 1).await, versions("group/1", [2]));
}
