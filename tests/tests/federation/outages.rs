//! What is away, slow or dying: the visitor is told when to try again, and everything works again by itself.

use crossband::dev::{DevSystem, PRIMARY, StoreUrls};
use crossband_tests::callers::{federation_client, identity_of};
use crossband_tests::records::latest_decision;
use crossband_tests::wait::wait_until;
use crossband_tests::world::sip_answer;
use crossband_tests::{Stores, World};
use mcx_proto::migration::v1 as proto;
use mcx_runtime::error::decode_status;
use mcx_testkit::{Fault, FaultProxy, PostgresOptions, PostgresServer, RedisServer};
use serde_json::Value;
use tonic::Code;

/// Both systems, with a proxy between the partner and the primary.
async fn world_with_proxy() -> (World, FaultProxy) {
    let world = World::start(Stores::Embedded).await;
    let proxy = FaultProxy::start(world.alpha().system.addresses.peer.unwrap()).await;
    let endpoints = vec![proxy.address().to_string()];
    world.change_agreement_of_partner(|agreement| agreement.peer_endpoints = endpoints).await;
    assert_registered(&world).await;
    (world, proxy)
}

async fn assert_registered(world: &World) {
    assert_eq!(sip_answer(&world.register("alice").await).0, 200);
}

async fn assert_told_to_try_again(world: &World) {
    let outcome = world.register("alice").await;
    let (status, retry_after) = sip_answer(&outcome);
    assert!(matches!(status, 503 | 504), "{status}");
    assert!(retry_after.is_some(), "the UE is told when to try again");
}

async fn assert_primary_unreachable(world: &World) {
    assert_told_to_try_again(world).await;
    let alice = world.user("alice").identities.impi.as_str();
    assert_eq!(latest_decision(world.bravo(), alice).await, "FAILED PRIMARY_SYSTEM_UNREACHABLE");
}

/// Nobody does anything but try again.
async fn assert_recovers(world: &World) {
    wait_until("the visitor can register again", async || {
        (sip_answer(&world.register("alice").await).0 == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_down_is_left_alone_for_a_while_and_found_again() {
    let (world, proxy) = world_with_proxy().await;
    proxy.set(Fault::Down);
    wait_until("the primary is not even tried", async || {
        let tried = proxy.connections();
        assert_primary_unreachable(&world).await;
        (proxy.connections() == tried).then_some(())
    })
    .await;
    proxy.set(Fault::None);
    assert_recovers(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_falls_silent_costs_the_visitor_no_more_than_the_deadline() {
    let (world, proxy) = world_with_proxy().await;
    proxy.set(Fault::Blackhole);
    assert_primary_unreachable(&world).await;
    proxy.set(Fault::None);
    assert_recovers(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_slow_within_the_deadline_is_waited_for() {
    let (world, proxy) = world_with_proxy().await;
    proxy.set(Fault::Delay(std::time::Duration::from_millis(200)));
    assert_registered(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_slower_than_the_deadline_is_not_waited_for() {
    let (world, proxy) = world_with_proxy().await;
    proxy.set(Fault::Delay(std::time::Duration::from_secs(60)));
    assert_primary_unreachable(&world).await;
    assert_eq!(sip_answer(&world.register_at_home("alice").await).0, 200, "the primary itself is well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_breaks_before_the_answer_is_no_registration_and_is_made_anew() {
    let (world, proxy) = world_with_proxy().await;
    let before = proxy.connections();
    proxy.set(Fault::CutAtAnswer);
    assert_primary_unreachable(&world).await;
    proxy.set(Fault::None);
    assert_recovers(&world).await;
    assert!(proxy.connections() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_stopped_and_started_again_needs_nothing_from_the_partner() {
    let (mut world, proxy) = world_with_proxy().await;
    assert!(world.alpha().system.stop().await, "everything ends by itself");
    assert_primary_unreachable(&world).await;
    world.federation.primary = DevSystem::start(PRIMARY, &world.options, None).await.unwrap();
    proxy.redirect(world.alpha().system.addresses.peer.unwrap());
    assert_recovers(&world).await;
}

async fn is_ready(system: &DevSystem) -> bool {
    readyz(system).await.starts_with("HTTP/1.1 200")
}

/// Whether an entity of the system has all that it cannot serve without.
async fn is_serving(system: &DevSystem, entity: &str) -> bool {
    let answer = readyz(system).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("the answer has a body");
    let body: Value = serde_json::from_str(body).unwrap();
    let latches = body["services"][entity]["latches"].as_object().expect("the entity is among them");
    latches.values().all(|latch| latch["up"] == true || latch["required"] == false)
}

async fn readyz(system: &DevSystem) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut probe = tokio::net::TcpStream::connect(system.system.addresses.admin).await.unwrap();
    probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_without_its_database_releases_nothing_and_comes_back_with_it() {
    let of_alpha = PostgresServer::private(PostgresOptions { fsync: false });
    let of_bravo = PostgresServer::shared();
    let stores =
        StoreUrls { databases: Some([of_alpha.create_database(), of_bravo.create_database()]), cache: None };
    let world = World::start_on(stores).await;
    assert_registered(&world).await;

    of_alpha.stop_immediate();
    wait_until("the primary says that it is not ready", async || {
        (!is_ready(world.alpha()).await).then_some(())
    })
    .await;
    assert!(is_ready(world.bravo()).await, "the partner is not concerned");
    assert_primary_unreachable(&world).await;
    let alice = world.user("alice");
    let request = proto::FederationServiceGetSipAuthenticationInformationRequest {
        transaction_id: uuid::Uuid::new_v4().to_string(),
        primary_identities: Some(alice.identities.clone().into()),
        partner_impi: alice.partner.identities.impi.to_string(),
        ..Default::default()
    };
    let caller = identity_of(world.bravo(), "migration-management");
    let answer = federation_client(caller, world.alpha()).get_sip_authentication_information(request).await;
    let refused = decode_status(&answer.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert!(refused.retry_after.is_some());

    of_alpha.start();
    assert_recovers(&world).await;
    wait_until("the primary says that it is ready", async || is_ready(world.alpha()).await.then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_pause_while_the_cache_is_away_and_go_on_when_it_is_back() {
    let redis = RedisServer::private();
    let stores = StoreUrls { databases: None, cache: Some(redis.url().to_owned()) };
    let world = World::start_on(stores).await;
    assert_registered(&world).await;

    redis.stop();
    assert_told_to_try_again(&world).await;
    // A vector is worth nothing without the memory of the challenge, but the systems go on answering each other.
    wait_until("the SIP core says that it is not ready", async || {
        (!is_serving(world.bravo(), "sip-core").await).then_some(())
    })
    .await;
    for entity in ["migration-management", "sip-database"] {
        assert!(is_serving(world.alpha(), entity).await, "losing the cache does not stop {entity}");
    }

    redis.start();
    assert_recovers(&world).await;
    wait_until("the partner is ready", async || is_ready(world.bravo()).await.then_some(())).await;
}
