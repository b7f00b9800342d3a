//! The database away and back, and the cache away.

use std::sync::Arc;
use std::time::Duration;

use mcx_aka::isim::IsimFailure;
use mcx_store::{CacheConfig, SharedCache};
use mcx_testkit::{PostgresOptions, PostgresServer, RedisServer};
use mcx_types::ManualClock;
use mcx_types::wire::SynchronisationFailure;
use sip_database::Dependencies;
use sip_database::client::{ClientError, Reason};
use uuid::Uuid;

use crate::fixture::{Engine, SOME_DAY, System, User};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_is_unavailable_while_its_database_is_away_and_recovers_by_itself() {
    let server = PostgresServer::private(PostgresOptions::default());
    let system = System::on(&server).await;
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let mut alice = User::provisioned("alice", &operator).await;
    let client = system.sip_core(&replica);
    let before = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();

    server.stop_immediate();
    let error = client.authentication_information(alice.identities(), None, 1, None).await.unwrap_err();
    let ClientError::Unavailable { retry_after, remote } = error else { panic!("{error}") };
    assert_eq!((remote.reason.as_str(), retry_after), ("STORE_UNAVAILABLE", Some(Duration::from_secs(1))));
    let error = operator.create(&User::named("bob").new, Uuid::new_v4()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    replica.service.readiness().wait_until_not_serving().await;

    server.start();
    replica.service.readiness().wait_until_serving().await;
    let after = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();
    alice.answer(&before.vectors[0]).unwrap();
    alice.answer(&after.vectors[0]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_go_out_without_the_cache_but_cannot_be_resynchronised() {
    let redis = RedisServer::private();
    let system = System::new(Engine::Sqlite).await;
    let cache = SharedCache::open(&CacheConfig::from_url(redis.url()), "alpha.example/sip-database").unwrap();
    let dependencies = Dependencies { cache, ..system.dependencies() };
    let replica = system.replica_with(system.config(), dependencies).await;
    let mut alice = User::provisioned("alice", &system.operator(&replica)).await;
    let client = system.sip_core(&replica);
    let remembered = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();

    redis.stop();
    let made = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();
    alice.answer(&made.vectors[0]).unwrap();
    assert!(replica.service.readiness().is_serving());
    // The older vector of the same requester is stale now.
    let Err(IsimFailure::SynchronisationFailure { auts }) = alice.answer(&remembered.vectors[0]) else {
        panic!("a stale vector was accepted");
    };
    let failure = SynchronisationFailure { rand: remembered.vectors[0].rand, auts };
    let error = client.resynchronise(alice.identities(), failure, None).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");

    // The cache comes back empty.
    redis.start();
    let mut outcome = client.resynchronise(alice.identities(), failure, None).await;
    while outcome.as_ref().is_err_and(ClientError::is_retryable) {
        outcome = client.resynchronise(alice.identities(), failure, None).await;
    }
    assert_eq!(outcome.unwrap_err().reason(), Some(Reason::ChallengeUnknown));
}

#[tokio::test]
async fn answers_to_requests_are_forgotten_after_their_retention() {
    let system = System::new(Engine::Sqlite).await;
    let clock = Arc::new(ManualClock::starting_at(SOME_DAY));
    let mut config = system.config();
    config.request_cleanup_interval = Duration::from_millis(10);
    let dependencies = Dependencies { clock: Arc::clone(&clock) as _, ..system.dependencies() };
    let replica = system.replica_with(config, dependencies).await;
    let operator = system.operator(&replica);
    let request_id = Uuid::new_v4();
    operator.create(&User::named("alice").new, request_id).await.unwrap();
    clock.advance(Duration::from_secs(23 * 60 * 60));
    operator.create(&User::named("alice").new, request_id).await.unwrap();

    clock.advance(Duration::from_secs(2 * 60 * 60));
    let database = system.open();
    let forgotten = async {
        loop {
            let count: (i64,) = database.statement("SELECT COUNT(*) FROM request").fetch_one().await.unwrap();
            if count == (0,) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("old answers are forgotten");
    let carried_out = operator.create(&User::named("alice").new, request_id).await.unwrap_err();
    assert_eq!(carried_out.reason(), Some(Reason::IdentityTaken));
}
