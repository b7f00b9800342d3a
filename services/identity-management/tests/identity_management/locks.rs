//! Wrong passwords, and many requests.

use std::time::Duration;

use futures::future::join_all;
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_store::Database;
use reqwest::StatusCode;

use crate::fixture::{Engine, Ground, PASSWORD, System, client, create_client, on_every_database, password};
use crate::user_agent::{UserAgent, sent_back};

on_every_database!(
    wrong_passwords_lock_for_a_while_and_longer_each_time,
    unknown_users_are_locked_like_others,
    right_password_forgets_the_wrong_ones,
    stranger_locks_a_user_out_only_of_new_places_and_not_for_long,
    operator_lifts_a_lock,
    lock_is_never_shortened,
    of_many_passwords_at_once_no_more_are_looked_at_than_one_by_one,
);

const WRONG: &str = "wrong-wrong-wrong";

async fn status(system: &System, mc_id: &str, password: &str) -> StatusCode {
    system.user_agent().login(mc_id, password).await.status
}

async fn wrong_passwords_lock_for_a_while_and_longer_each_time(system: System) {
    let alice = system.user("alice").await;
    for _ in 0..5 {
        assert_eq!(status(&system, &alice.mc_id, WRONG).await, StatusCode::FORBIDDEN);
    }
    // Not even the right one is looked at.
    let locked = system.user_agent().login(&alice.mc_id, PASSWORD).await;
    assert_eq!(locked.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(locked.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 6);
    system.advance(Duration::from_secs(5));
    assert_eq!(status(&system, &alice.mc_id, WRONG).await, StatusCode::FORBIDDEN);
    system.advance(Duration::from_secs(5));
    assert_eq!(status(&system, &alice.mc_id, PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    system.advance(Duration::from_secs(5));
    sent_back(&system.user_agent().login(&alice.mc_id, PASSWORD).await);
}

async fn unknown_users_are_locked_like_others(system: System) {
    for _ in 0..5 {
        assert_eq!(status(&system, "nobody@alpha.example", WRONG).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(status(&system, "nobody@alpha.example", WRONG).await, StatusCode::TOO_MANY_REQUESTS);
}

async fn right_password_forgets_the_wrong_ones(system: System) {
    let alice = system.user("alice").await;
    for _ in 0..3 {
        for _ in 0..4 {
            assert_eq!(status(&system, &alice.mc_id, WRONG).await, StatusCode::FORBIDDEN);
        }
        assert_eq!(status(&system, &alice.mc_id, PASSWORD).await, StatusCode::SEE_OTHER);
    }
}

/// Writes down what strangers all over the world did.
async fn attacked(database: &Database, mc_id: &str, until_micros: i64) {
    database
        .statement(
            "INSERT INTO login_source (mc_id, source, failures, locked_until, updated_at) VALUES ($1, '', 99, $2, $2) \
             ON CONFLICT (mc_id, source) DO UPDATE SET failures = 99, locked_until = excluded.locked_until",
        )
        .bind(mc_id)
        .bind(until_micros)
        .execute()
        .await
        .unwrap();
}

async fn stranger_locks_a_user_out_only_of_new_places_and_not_for_long(system: System) {
    use mcx_types::Clock;
    let (alice, bob) = (system.user("alice").await, system.user("bob").await);
    sent_back(&system.user_agent().login(&alice.mc_id, PASSWORD).await);
    let until = system.ground.clock.now().saturating_add(Duration::from_secs(30));
    for user in [&alice, &bob] {
        attacked(&system.ground.database(), &user.mc_id, until.as_micros()).await;
    }
    let get = |mc_id: &str| proto::GetAccountRequest {
        key: Some(proto::get_account_request::Key::McId(mc_id.to_owned())),
    };
    let shown = system.accounts().get_account(get(&bob.mc_id)).await.unwrap().into_inner().account.unwrap();
    assert_eq!(shown.locked_until, Some(until.into()));
    // Alice logged in from here before, Bob did not.
    assert_eq!(status(&system, &bob.mc_id, PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    sent_back(&system.user_agent().login(&alice.mc_id, PASSWORD).await);
    system.advance(Duration::from_secs(30));
    sent_back(&system.user_agent().login(&bob.mc_id, PASSWORD).await);
}

async fn operator_lifts_a_lock(system: System) {
    let alice = system.user("alice").await;
    for _ in 0..5 {
        status(&system, &alice.mc_id, WRONG).await;
    }
    assert_eq!(status(&system, &alice.mc_id, PASSWORD).await, StatusCode::TOO_MANY_REQUESTS);
    let request = proto::UnlockAccountRequest { mc_id: alice.mc_id.clone(), ..Default::default() };
    system.accounts().unlock_account(request).await.unwrap();
    assert_eq!(status(&system, &alice.mc_id, PASSWORD).await, StatusCode::SEE_OTHER);
}

async fn lock_is_never_shortened(system: System) {
    use mcx_types::Clock;
    let alice = system.user("alice").await;
    sent_back(&system.user_agent().login(&alice.mc_id, PASSWORD).await);
    let until = system.ground.clock.now().saturating_add(Duration::from_secs(300));
    attacked(&system.ground.database(), &alice.mc_id, until.as_micros()).await;
    // She is looked at here, and a hundred wrong passwords lock for 30 seconds.
    assert_eq!(status(&system, &alice.mc_id, WRONG).await, StatusCode::FORBIDDEN);
    let get =
        proto::GetAccountRequest { key: Some(proto::get_account_request::Key::McId(alice.mc_id.clone())) };
    let shown = system.accounts().get_account(get).await.unwrap().into_inner().account.unwrap();
    assert_eq!(shown.locked_until, Some(until.into()));
}

async fn of_many_passwords_at_once_no_more_are_looked_at_than_one_by_one(system: System) {
    // A replica that takes its time over each, so that all have arrived when the first one is counted.
    let ground = &system.ground;
    let mut config = ground.config();
    config.passwords.hash_memory_kib = 4 * 1_024;
    config.passwords.hash_concurrency = 1;
    config.passwords.hash_queue_timeout = Duration::from_secs(60);
    let slow = ground.replica(config, ground.own_cache()).await;
    let channel =
        ground.domain.channel(ground.domain.operator(), mcx_types::Entity::IdentityManagement, slow.grpc);
    let create = proto::CreateAccountRequest {
        account: Some(system.account("alice")),
        password: Some(password(PASSWORD)),
        ..Default::default()
    };
    let alice = AccountServiceClient::new(channel).create_account(create).await.unwrap().into_inner();
    let mc_id = alice.account.unwrap().mc_id;
    let agent = UserAgent::new(&ground.domain, &format!("https://{}", slow.https));
    let request = UserAgent::request(&[]);
    let pages = join_all((0..40).map(|_| agent.open(&request))).await;

    let submitted = pages.iter().map(|page| agent.submit(page, &mc_id, WRONG));
    let statuses: Vec<StatusCode> =
        join_all(submitted).await.into_iter().map(|answer| answer.status).collect();
    let looked_at = statuses.iter().filter(|&&status| status == StatusCode::FORBIDDEN).count();
    let locked = statuses.iter().filter(|&&status| status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!((looked_at, locked), (5, 35), "{statuses:?}");
    assert_eq!(agent.submit(&pages[0], &mc_id, PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn source_that_asks_too_often_is_told_to_wait() {
    let ground = Ground::new("alpha.example", Engine::Sqlite);
    let mut config = ground.config();
    config.limits.logins_per_source_per_minute = 2;
    config.limits.token_requests_per_source_per_minute = 2;
    let replica = ground.replica(config, ground.own_cache()).await;
    let system = System { ground, replica };
    system.clients().create_client(create_client(client(crate::fixture::UE))).await.unwrap();
    let agent = system.user_agent();
    for expected in [StatusCode::FORBIDDEN, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(agent.login("nobody@alpha.example", WRONG).await.status, expected);
    }
    for expected in [400, 400, 429] {
        assert_eq!(agent.token(&[]).await.refusal().0, expected);
    }
    assert_eq!(agent.token(&[]).await.headers["retry-after"], "60");
}
