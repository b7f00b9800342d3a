//! Several SIP cores with one Redis: it does not matter which of them a UE talks to.

use crate::raw::{RawUe, challenge};
use crate::rig::{Rig, VISITOR_IMPU};
use futures::StreamExt;
use mcx_store::{CacheConfig, SharedCache};
use mcx_testkit::RedisServer;
use sip_core::app::WatchEvent;
use sip_core::domain::registration::RegistrationChange;
use std::time::Duration;

fn redis() -> (SharedCache, SharedCache) {
    let server = RedisServer::shared();
    let prefix = server.unique_prefix();
    let open = || SharedCache::open(&CacheConfig::from_url(server.url()), &prefix).unwrap();
    (open(), open())
}

#[tokio::test]
async fn a_challenge_of_one_replica_is_answered_at_another_and_only_once() {
    let (first, second) = redis();
    let (first, second) = (Rig::replica(first, |_| {}).await, Rig::replica(second, |_| {}).await);
    let mut ue = RawUe::new(&first).await;
    let offered = ue.challenged().await;
    let authorization = ue.answer(&offered).to_string();
    let answer = ue.register(&[("Contact", "<sip:a@192.0.2.1>"), ("Authorization", &authorization)]);
    ue.socket.connect(second.bound.udp.unwrap()).await.unwrap();
    assert_eq!(ue.exchange(&answer).await.status, 200);
    ue.socket.connect(first.bound.udp.unwrap()).await.unwrap();
    let replay = ue.register(&[("Contact", "<sip:b@192.0.2.2>"), ("Authorization", &authorization)]);
    let response = ue.exchange(&replay).await;
    assert_eq!((response.status, challenge(&response).stale), (401, true));
    assert_eq!(first.registry.get(&VISITOR_IMPU.parse().unwrap()).await.unwrap().unwrap().contacts.len(), 1);
}

#[tokio::test]
async fn changes_at_one_replica_are_seen_at_another_and_an_end_is_told_once() {
    let (first, second) = redis();
    let (first, second) = (Rig::replica(first, |_| {}).await, Rig::replica(second, |_| {}).await);
    let mut ue = RawUe::new(&first).await;
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=100")]).await;
    let mut watch = second.registry.watch(None, true);
    let Some(Ok(WatchEvent::Current(_))) = watch.next().await else { panic!("not in effect") };
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=100")]).await;
    for rig in [&first, &second] {
        rig.clock.advance(Duration::from_secs(100));
    }
    let now = mcx_types::Clock::now(&*first.clock);
    let (one, other) = tokio::join!(first.registrations.sweep(now), second.registrations.sweep(now));
    assert!(one.unwrap() + other.unwrap() >= 1);
    ue.registered(&[("Contact", "<sip:a@192.0.2.1>;expires=100")]).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let Some(Ok(WatchEvent::Changed(event))) = watch.next().await else { panic!("no change") };
        seen.push(event.change);
    }
    use RegistrationChange::{Expired, Refreshed, Registered};
    assert_eq!(seen, [Refreshed, Expired, Registered]);
}

#[tokio::test]
async fn a_cache_that_is_away_is_told_with_retry_after_and_heals() {
    let server = RedisServer::private();
    let cache = SharedCache::open(&CacheConfig::from_url(server.url()), &server.unique_prefix()).unwrap();
    let rig = Rig::replica(cache, |_| {}).await;
    let mut agent = rig.visitor_agent("tcp").await;
    agent.register().await.unwrap();
    server.stop();
    match agent.register().await.unwrap_err() {
        mcx_ue::SignallingError::ServerUnavailable { status, retry_after } => {
            assert_eq!((status, retry_after), (503, Some(Duration::from_secs(7))));
        }
        other => panic!("{other}"),
    }
    server.start();
    // The cache connects again in its own time.
    let mut healed = false;
    for _ in 0..200 {
        healed = agent.register().await.is_ok();
        if healed {
            break;
        }
    }
    assert!(healed);
}
