//! Values, counters, indexes and channels.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use mcx_store::{Notification, SharedCache};

use crate::fixture::{EmptyCache, eventually, on_every_cache};

on_every_cache!(
    value_comes_back_until_it_is_deleted,
    value_expires,
    renewed_value_outlives_its_first_time_to_live,
    value_is_set_only_if_absent,
    value_is_taken_exactly_once,
    value_is_replaced_only_if_it_is_the_expected_one,
    events_are_counted_until_the_window_closes,
    concurrent_events_are_all_counted,
    index_is_paged_in_byte_order,
    expired_members_are_not_listed,
    index_outlives_its_shortest_member,
    spaces_do_not_meet,
    messages_reach_every_subscriber_of_the_channel,
    slow_subscriber_is_told_to_resync,
    ping_answers,
);

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(20);

async fn value_comes_back_until_it_is_deleted(cache: SharedCache) {
    let value: Vec<u8> = (0..=255).collect();
    assert_eq!(cache.get("key").await.unwrap(), None);
    cache.set("key", value.clone(), LONG).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap().unwrap(), value);
    assert_eq!(cache.delete("key").await, Ok(true));
    assert_eq!(cache.delete("key").await, Ok(false));
    assert_eq!(cache.get("key").await, Ok(None));
}

async fn value_expires(cache: SharedCache) {
    cache.set("kept", "value", LONG).await.unwrap();
    cache.set("expiring", "value", SHORT).await.unwrap();
    cache.set("at once", "value", Duration::ZERO).await.unwrap();
    eventually("both are gone", async || {
        cache.get("expiring").await.unwrap().is_none() && cache.get("at once").await.unwrap().is_none()
    })
    .await;
    assert!(cache.get("kept").await.unwrap().is_some());
    assert_eq!(cache.set_if_absent("expiring", "again", LONG).await, Ok(true));
}

async fn renewed_value_outlives_its_first_time_to_live(cache: SharedCache) {
    cache.set("renewed", "first", SHORT).await.unwrap();
    cache.set("renewed", "second", LONG).await.unwrap();
    cache.set("witness", "value", SHORT).await.unwrap();
    eventually("the witness is gone", async || cache.get("witness").await.unwrap().is_none()).await;
    assert_eq!(cache.get("renewed").await.unwrap().unwrap(), "second");
}

async fn value_is_set_only_if_absent(cache: SharedCache) {
    assert_eq!(cache.set_if_absent("key", "first", LONG).await, Ok(true));
    assert_eq!(cache.set_if_absent("key", "second", LONG).await, Ok(false));
    assert_eq!(cache.get("key").await.unwrap().unwrap(), "first");
}

async fn value_is_taken_exactly_once(cache: SharedCache) {
    cache.set("nonce", "value", LONG).await.unwrap();
    let takes = futures::future::join_all((0..16).map(|_| cache.take("nonce"))).await;
    assert_eq!(takes.into_iter().filter(|taken| taken.as_ref().unwrap().is_some()).count(), 1);
}

async fn value_is_replaced_only_if_it_is_the_expected_one(cache: SharedCache) {
    assert_eq!(cache.compare_and_set("key", Some(b"first"), "second", LONG).await, Ok(false));
    assert_eq!(cache.get("key").await, Ok(None));
    assert_eq!(cache.compare_and_set("key", None, "first", LONG).await, Ok(true));
    assert_eq!(cache.compare_and_set("key", None, "second", LONG).await, Ok(false));
    assert_eq!(cache.compare_and_set("key", Some(b"other"), "second", LONG).await, Ok(false));
    assert_eq!(cache.get("key").await.unwrap().unwrap(), "first");
    assert_eq!(cache.compare_and_set("key", Some(b"first"), vec![0xff, 0], LONG).await, Ok(true));
    assert_eq!(cache.compare_and_set("key", Some(&[0xff, 0]), "third", SHORT).await, Ok(true));
    eventually("the new time to live counts", async || cache.get("key").await.unwrap().is_none()).await;
}

async fn events_are_counted_until_the_window_closes(cache: SharedCache) {
    for expected in 1..=3 {
        assert_eq!(cache.increment("attempts", LONG).await, Ok(expected));
    }
    assert_eq!(cache.increment("other attempts", LONG).await, Ok(1));
    cache.increment("short", SHORT).await.unwrap();
    // Events do not hold the window open.
    eventually("a new window opens", async || cache.increment("short", SHORT).await.unwrap() == 1).await;
}

async fn concurrent_events_are_all_counted(cache: SharedCache) {
    let counts = futures::future::join_all((0..32).map(|_| cache.increment("attempts", LONG))).await;
    let mut counts: Vec<u64> = counts.into_iter().map(Result::unwrap).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=32).collect::<Vec<_>>());
}

async fn index_is_paged_in_byte_order(cache: SharedCache) {
    for member in ["b", "a", "Z", "aa", "é", "(a", "a"] {
        cache.index_put("index", member, LONG).await.unwrap();
    }
    cache.index_put("index 2", "elsewhere", LONG).await.unwrap();
    cache.index_put("inde", "elsewhere", LONG).await.unwrap();
    let page = |after, limit| cache.index_page("index", after, limit);
    assert_eq!(page(None, 10).await.unwrap(), ["(a", "Z", "a", "aa", "b", "é"]);
    assert_eq!(page(None, 3).await.unwrap(), ["(a", "Z", "a"]);
    assert_eq!(page(Some("a"), 2).await.unwrap(), ["aa", "b"]);
    assert_eq!(page(Some("ab"), 10).await.unwrap(), ["b", "é"]);
    assert!(page(Some("é"), 10).await.unwrap().is_empty());
    cache.index_remove("index", "aa").await.unwrap();
    cache.index_remove("index", "never there").await.unwrap();
    assert_eq!(page(Some("a"), 10).await.unwrap(), ["b", "é"]);
    assert!(cache.index_page("none", None, 10).await.unwrap().is_empty());
}

async fn expired_members_are_not_listed(cache: SharedCache) {
    cache.index_put("index", "kept", LONG).await.unwrap();
    for number in 0..50 {
        cache.index_put("index", &format!("expiring {number:02}"), SHORT).await.unwrap();
    }
    eventually("only one is left", async || cache.index_page("index", None, 100).await.unwrap() == ["kept"])
        .await;
}

async fn index_outlives_its_shortest_member(cache: SharedCache) {
    cache.index_put("index", "short", SHORT).await.unwrap();
    cache.index_put("index", "renewed", SHORT).await.unwrap();
    cache.index_put("index", "renewed", LONG).await.unwrap();
    cache.index_put("index", "short too", SHORT).await.unwrap();
    eventually("only one is left", async || cache.index_page("index", None, 9).await.unwrap() == ["renewed"])
        .await;
}

async fn spaces_do_not_meet(cache: SharedCache) {
    cache.set("same", "value", LONG).await.unwrap();
    assert_eq!(cache.increment("same", LONG).await, Ok(1));
    cache.index_put("same", "member", LONG).await.unwrap();
    cache.publish("same", "message").await.unwrap();
    assert_eq!(cache.get("same").await.unwrap().unwrap(), "value");
    assert_eq!(cache.increment("same", LONG).await, Ok(2));
    assert_eq!(cache.index_page("same", None, 9).await.unwrap(), ["member"]);
}

async fn messages_reach_every_subscriber_of_the_channel(cache: SharedCache) {
    cache.publish("changes", "before anybody listens").await.unwrap();
    let mut subscriptions = [cache.subscribe("changes"), cache.subscribe("changes")];
    let mut elsewhere = cache.subscribe("elsewhere");
    for subscription in subscriptions.iter_mut().chain([&mut elsewhere]) {
        assert_eq!(subscription.next().await, Some(Notification::Resync));
    }
    let messages = ["one", "two", "three"];
    for message in messages {
        cache.publish("changes", message).await.unwrap();
    }
    for subscription in &mut subscriptions {
        for message in messages {
            assert_eq!(subscription.next().await, Some(Notification::Message(message.into())));
        }
    }
    cache.publish("elsewhere", "last").await.unwrap();
    assert_eq!(elsewhere.next().await, Some(Notification::Message("last".into())));
}

async fn slow_subscriber_is_told_to_resync(cache: SharedCache) {
    let mut slow = cache.subscribe("changes");
    assert_eq!(slow.next().await, Some(Notification::Resync));
    let mut last = cache.subscribe("changes");
    assert_eq!(last.next().await, Some(Notification::Resync));
    for number in 0..3000_u32 {
        cache.publish("changes", number.to_be_bytes().to_vec()).await.unwrap();
        // Once the other subscriber has it, Redis has sent it to both.
        assert!(last.next().await.is_some());
    }
    eventually("the slow one is told", async || {
        slow.next().now_or_never() == Some(Some(Notification::Resync))
    })
    .await;
}

async fn ping_answers(cache: SharedCache) {
    assert_eq!(cache.ping().await, Ok(()));
}

#[tokio::test]
async fn prefixes_keep_systems_in_one_redis_apart() {
    let (alpha, bravo) = (EmptyCache::redis().open(), EmptyCache::redis().open());
    alpha.set("key", "value", LONG).await.unwrap();
    assert_eq!(bravo.get("key").await, Ok(None));
}

#[tokio::test]
async fn replicas_share_a_redis() {
    let cache = EmptyCache::redis();
    let (one, other) = (cache.open(), cache.open());
    one.set("key", "value", LONG).await.unwrap();
    assert_eq!(other.take("key").await.unwrap().unwrap(), "value");
    assert_eq!(one.get("key").await, Ok(None));
}
