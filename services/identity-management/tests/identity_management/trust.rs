//! What other entities are told to believe, by every replica.

use std::sync::Arc;
use std::time::Duration;

use identity_management::client::follow_token_trust;
use mcx_federation::access_token::{AccessTokenVerifier, TokenRefusal};
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_trust_service_client::TokenTrustServiceClient;
use mcx_testkit::{Fault, FaultProxy};
use mcx_types::{Clock, Entity};
use tokio::time::timeout;

use crate::fixture::{Ground, Replica, System, on_every_database};

on_every_database!(
    verifier_follows_keys_and_revocations,
    revocation_is_told_alone_and_another_key_with_everything,
    verifier_goes_on_with_what_it_knew,
    replicas_agree_by_notification,
    replicas_agree_without_notifications,
    replicas_make_one_set_of_keys,
    each_look_reads_what_was_recorded_lately_and_now_and_then_everything,
    revocations_of_expired_tokens_are_forgotten,
);

/// A verifier of another entity.
fn verifier(system: &System) -> AccessTokenVerifier {
    AccessTokenVerifier::new(
        system.ground.domain.mc_system_id().clone(),
        Arc::clone(&system.ground.clock) as _,
    )
}

/// Waits until the verifier sees the token like that.
async fn until(
    verifier: &AccessTokenVerifier,
    token: &str,
    expected: impl Fn(&Result<(), TokenRefusal>) -> bool,
) {
    let seen = timeout(Duration::from_secs(20), async {
        while !expected(&verifier.verify(token).map(drop)) {
            tokio::task::yield_now().await;
        }
    });
    seen.await.unwrap_or_else(|_| panic!("still {:?}", verifier.verify(token)));
}

async fn revoke(system: &System, subject: &str) {
    let request = proto::RevokeSubjectsRequest { subjects: vec![subject.to_owned()], ..Default::default() };
    system.tokens().revoke_subjects(request).await.unwrap();
}

async fn verifier_follows_keys_and_revocations(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let verifier = verifier(&system);
    let follower = tokio::spawn(follow_token_trust(system.channel(Entity::McService), verifier.clone()));
    let tokens = agent.log_in(&alice.mc_id).await;
    until(&verifier, tokens.access_token(), Result::is_ok).await;

    revoke(&system, &alice.subject).await;
    until(&verifier, tokens.access_token(), |seen| matches!(seen, Err(TokenRefusal::Revoked { .. }))).await;
    let tokens = agent.log_in(&alice.mc_id).await;
    until(&verifier, tokens.access_token(), Result::is_ok).await;
    agent.revoke(tokens.access_token()).await;
    until(&verifier, tokens.access_token(), |seen| matches!(seen, Err(TokenRefusal::Revoked { .. }))).await;

    system.signing_keys().rotate_signing_key(proto::RotateSigningKeyRequest::default()).await.unwrap();
    let tokens = agent.log_in(&alice.mc_id).await;
    until(&verifier, tokens.access_token(), Result::is_ok).await;
    let kid = jsonwebtoken::decode_header(tokens.access_token()).unwrap().kid.unwrap();
    let retire = proto::RetireSigningKeyRequest { kid, ..Default::default() };
    system.signing_keys().retire_signing_key(retire).await.unwrap();
    until(&verifier, tokens.access_token(), |seen| *seen == Err(TokenRefusal::UnknownKey)).await;
    follower.abort();
}

async fn revocation_is_told_alone_and_another_key_with_everything(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let revoked_before = agent.log_in(&alice.mc_id).await;
    agent.revoke(revoked_before.access_token()).await;
    let mut client = TokenTrustServiceClient::new(system.channel(Entity::McService));
    let mut told = client.watch_token_trust(proto::WatchTokenTrustRequest {}).await.unwrap().into_inner();
    let everything = told.message().await.unwrap().unwrap();
    assert_eq!(
        (everything.is_addition, everything.keys.len(), everything.revoked_tokens.len()),
        (false, 2, 1)
    );

    agent.revoke(agent.log_in(&alice.mc_id).await.access_token()).await;
    let token = told.message().await.unwrap().unwrap();
    assert_eq!((token.is_addition, token.keys.len(), token.revoked_tokens.len()), (true, 0, 1));
    assert_ne!(token.revoked_tokens, everything.revoked_tokens);
    revoke(&system, &alice.subject).await;
    let subject = told.message().await.unwrap().unwrap();
    assert_eq!((subject.is_addition, subject.revoked_tokens.len()), (true, 0));
    assert_eq!(subject.revoked_subjects[0].subject, alice.subject);

    system.signing_keys().rotate_signing_key(proto::RotateSigningKeyRequest::default()).await.unwrap();
    let everything = told.message().await.unwrap().unwrap();
    assert_eq!(
        (everything.is_addition, everything.keys.len(), everything.revoked_tokens.len()),
        (false, 3, 2)
    );
    assert_eq!(everything.revoked_subjects, subject.revoked_subjects);
}

async fn verifier_goes_on_with_what_it_knew(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let (kept, revoked) = (agent.log_in(&alice.mc_id).await, agent.log_in(&alice.mc_id).await);
    let proxy = FaultProxy::start(system.replica.grpc).await;
    let domain = &system.ground.domain;
    let channel =
        domain.channel(domain.entity(Entity::GroupManagement), Entity::IdentityManagement, proxy.address());
    let verifier = verifier(&system);
    let follower = tokio::spawn(follow_token_trust(channel, verifier.clone()));
    until(&verifier, revoked.access_token(), Result::is_ok).await;

    proxy.set(Fault::Down);
    agent.revoke(revoked.access_token()).await;
    assert!(verifier.verify(kept.access_token()).is_ok());
    // What was revoked meanwhile is learnt when the way is free again.
    proxy.set(Fault::None);
    until(&verifier, revoked.access_token(), Result::is_err).await;
    assert!(verifier.verify(kept.access_token()).is_ok());
    follower.abort();
}

/// A second replica of the same issuer.
async fn second(system: &System, ground: &Ground, trust_refresh: Duration) -> Replica {
    let mut config = ground.config();
    config.issuer = Some(system.replica.issuer.clone());
    config.trust_refresh_interval = trust_refresh;
    ground.replica(config, ground.own_cache()).await
}

async fn replicas_agree_by_notification(system: System) {
    // Two replicas that share a cache and look on their own only once an hour.
    let ground = &system.ground;
    let cache = ground.own_cache();
    let mut config = ground.config();
    config.issuer = Some(system.replica.issuer.clone());
    config.trust_refresh_interval = Duration::from_secs(3_600);
    let one = ground.replica(config.clone(), cache.clone()).await;
    let two = ground.replica(config, cache).await;
    let alice = system.user("alice").await;
    let tokens = system.user_agent().log_in(&alice.mc_id).await;
    until(&two.verifier, tokens.access_token(), Result::is_ok).await;

    let domain = &ground.domain;
    let at_one = domain.channel(domain.operator(), Entity::IdentityManagement, one.grpc);
    let mut at_one = proto::token_service_client::TokenServiceClient::new(at_one);
    let request = proto::RevokeSubjectsRequest { subjects: vec![alice.subject], ..Default::default() };
    at_one.revoke_subjects(request).await.unwrap();
    assert!(one.verifier.verify(tokens.access_token()).is_err());
    until(&two.verifier, tokens.access_token(), |seen| matches!(seen, Err(TokenRefusal::Revoked { .. })))
        .await;
}

async fn replicas_agree_without_notifications(system: System) {
    // They share nothing but the database.
    let other = second(&system, &system.ground, Duration::from_secs(1)).await;
    let alice = system.user("alice").await;
    let tokens = system.user_agent().log_in(&alice.mc_id).await;
    until(&other.verifier, tokens.access_token(), Result::is_ok).await;
    revoke(&system, &alice.subject).await;
    until(&other.verifier, tokens.access_token(), |seen| matches!(seen, Err(TokenRefusal::Revoked { .. })))
        .await;
}

async fn replicas_make_one_set_of_keys(system: System) {
    let (one, two) = tokio::join!(
        second(&system, &system.ground, Duration::from_secs(1)),
        second(&system, &system.ground, Duration::from_secs(1))
    );
    let mut seen = Vec::new();
    for replica in [&one, &two, &system.replica] {
        let domain = &system.ground.domain;
        let channel =
            domain.channel(domain.entity(Entity::SipCore), Entity::IdentityManagement, replica.grpc);
        let mut client = TokenTrustServiceClient::new(channel);
        let mut stream =
            client.watch_token_trust(proto::WatchTokenTrustRequest {}).await.unwrap().into_inner();
        seen.push(stream.message().await.unwrap().unwrap());
    }
    assert_eq!(seen[0].keys.len(), 2);
    assert_eq!(seen[0].issuer, system.replica.issuer);
    assert!(seen.iter().all(|snapshot| snapshot.keys == seen[0].keys), "{seen:?}");
}

async fn each_look_reads_what_was_recorded_lately_and_now_and_then_everything(system: System) {
    const RECORD: &str = "INSERT INTO revoked_token (token_id, expires_at, recorded_at) VALUES ($1, $2, $3)";
    let other = second(&system, &system.ground, Duration::from_millis(100)).await;
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let database = system.ground.database();
    let now = system.ground.clock.now();
    let record = async |recorded_at: i64| {
        let token = agent.log_in(&alice.mc_id).await.access_token().to_owned();
        let token_id = other.verifier.verify(&token).unwrap().token_id;
        let expires_at = now.saturating_add(Duration::from_secs(3_600)).as_micros();
        let statement = database.statement(RECORD).bind(token_id).bind(expires_at).bind(recorded_at);
        statement.execute().await.unwrap();
        token
    };
    let is_revoked = |seen: &Result<(), TokenRefusal>| matches!(seen, Err(TokenRefusal::Revoked { .. }));
    // At its start it reads everything, and once more.
    for _ in 0..2 {
        let token = record(now.as_micros()).await;
        until(&other.verifier, &token, is_revoked).await;
    }
    let long_ago = record(now.as_micros() - 31_000_000).await;
    // By a clock that is slow, or in a transaction that took long; and by a program that does not say when.
    for recorded_at in [now.as_micros() - 29_000_000, 0] {
        let token = record(recorded_at).await;
        until(&other.verifier, &token, is_revoked).await;
    }
    assert!(other.verifier.verify(&long_ago).is_ok());
    system.advance(Duration::from_secs(600));
    until(&other.verifier, &long_ago, is_revoked).await;
}

async fn revocations_of_expired_tokens_are_forgotten(system: System) {
    let other = second(&system, &system.ground, Duration::from_millis(100)).await;
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    agent.revoke(agent.log_in(&alice.mc_id).await.access_token()).await;
    let domain = &system.ground.domain;
    let channel = domain.channel(domain.entity(Entity::SipCore), Entity::IdentityManagement, other.grpc);
    let mut client = TokenTrustServiceClient::new(channel);
    let mut told = async || {
        let everything = client.watch_token_trust(proto::WatchTokenTrustRequest {}).await.unwrap();
        everything.into_inner().message().await.unwrap().unwrap().revoked_tokens.len()
    };
    for (seconds, expected) in [(0, 1), (700, 0)] {
        system.advance(Duration::from_secs(seconds));
        let is_told = async {
            while told().await != expected {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), is_told).await.unwrap();
    }
}
