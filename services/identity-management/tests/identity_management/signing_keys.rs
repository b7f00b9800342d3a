//! Signing keys as they come and go.

use std::time::Duration;

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::SigningKeyState::{Active, Next, Retiring};
use uuid::Uuid;

use crate::fixture::{System, fields, on_every_database, reason, refusal};

on_every_database!(
    rotation_leaves_no_token_behind,
    repeated_rotation_rotates_once,
    removed_key_signs_and_proves_nothing,
    private_keys_are_sealed,
    keys_are_sealed_anew_when_the_key_file_changes,
    rotation_on_request_tells_what_is_sealed_under_which_key,
    key_whose_key_encryption_key_is_missing_is_told_and_the_others_are_rotated,
);

async fn keys(system: &System) -> Vec<(String, proto::SigningKeyState)> {
    let request = proto::ListSigningKeysRequest {};
    let keys = system.signing_keys().list_signing_keys(request).await.unwrap().into_inner().signing_keys;
    keys.into_iter().map(|key| (key.key.as_ref().unwrap().kid.clone(), key.state())).collect()
}

async fn kid_in(system: &System, state: proto::SigningKeyState) -> String {
    keys(system).await.into_iter().find(|(_, present)| *present == state).unwrap().0
}

async fn rotate(system: &System) {
    system.advance(Duration::from_millis(1));
    system.signing_keys().rotate_signing_key(proto::RotateSigningKeyRequest::default()).await.unwrap();
}

fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

async fn rotation_leaves_no_token_behind(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let (active, next) = (kid_in(&system, Active).await, kid_in(&system, Next).await);
    let old = agent.log_in(&alice.mc_id).await;
    assert_eq!(kid_of(old.access_token()), active);

    rotate(&system).await;
    assert_eq!(kid_in(&system, Active).await, next);
    assert_eq!(kid_in(&system, Retiring).await, active);
    let new = agent.log_in(&alice.mc_id).await;
    assert_eq!(kid_of(new.access_token()), next);
    for token in [&old, &new] {
        assert!(system.introspect(token.access_token()).await.active);
    }
    let published = agent.document("/jwks").await;
    assert_eq!(published.body["keys"].as_array().unwrap().len(), 3);

    // Long after the last token of the old key expired, it is gone.
    system.advance(Duration::from_secs(600 + 120));
    assert!(!system.introspect(old.access_token()).await.active);
    let published = agent.document("/jwks").await.body.to_string();
    assert!(!published.contains(&active) && published.contains(&next), "{published}");
}

async fn repeated_rotation_rotates_once(system: System) {
    let next = kid_in(&system, Next).await;
    let request = proto::RotateSigningKeyRequest { request_id: Uuid::new_v4().to_string() };
    for _ in 0..2 {
        system.signing_keys().rotate_signing_key(request.clone()).await.unwrap();
    }
    assert_eq!(kid_in(&system, Active).await, next);
    let bad = proto::RotateSigningKeyRequest { request_id: "1".to_owned() };
    assert_eq!(fields(system.signing_keys().rotate_signing_key(bad).await), ["request_id"]);
}

async fn removed_key_signs_and_proves_nothing(system: System) {
    let alice = system.user("alice").await;
    let agent = system.user_agent();
    let old = agent.log_in(&alice.mc_id).await;
    let (active, next) = (kid_in(&system, Active).await, kid_in(&system, Next).await);
    let retire = proto::RetireSigningKeyRequest { kid: active.clone(), ..Default::default() };
    system.signing_keys().retire_signing_key(retire.clone()).await.unwrap();
    assert_eq!(kid_in(&system, Active).await, next);
    assert!(keys(&system).await.iter().all(|(kid, _)| *kid != active));
    assert!(!system.introspect(old.access_token()).await.active);
    let new = agent.log_in(&alice.mc_id).await;
    assert!(system.introspect(new.access_token()).await.active);
    assert_eq!(reason(system.signing_keys().retire_signing_key(retire).await), "SIGNING_KEY_UNKNOWN");
    let nothing = proto::RetireSigningKeyRequest::default();
    assert_eq!(fields(system.signing_keys().retire_signing_key(nothing).await), ["kid"]);
}

async fn private_keys_are_sealed(system: System) {
    let rows: Vec<(Vec<u8>, String)> = system
        .ground
        .database()
        .statement("SELECT sealed_key, key_encryption_key_id FROM signing_key")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    for (sealed, key_id) in rows {
        // Nonce, scalar, tag.
        assert_eq!((sealed.len(), key_id.as_str()), (12 + 32 + 16, "2026-01"));
    }
}

async fn keys_are_sealed_anew_when_the_key_file_changes(system: System) {
    let ground = &system.ground;
    let kids = keys(&system).await;
    mcx_store::sealing::add_key(&ground.config().key_file, "2026-02", [8; 32]).unwrap();
    // Every replica reads the file when it starts, and each minute.
    let other = ground.replica(ground.config(), ground.own_cache()).await;
    let database = ground.database();
    let sealed_anew = async {
        loop {
            let rows: Vec<(String,)> = database
                .statement("SELECT key_encryption_key_id FROM signing_key")
                .fetch_all()
                .await
                .unwrap();
            if rows.iter().all(|(id,)| id == "2026-02") {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sealed_anew).await.unwrap();
    drop(other);
    // The old one may go: whoever starts now opens the keys with the new one alone.
    let text = std::fs::read_to_string(ground.config().key_file).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("\"2026-01\"")).collect();
    std::fs::write(ground.config().key_file, without.join("\n")).unwrap();
    let mut config = ground.config();
    config.issuer = Some(system.replica.issuer.clone());
    let other = ground.replica(config, ground.own_cache()).await;
    assert_eq!(keys(&system).await, kids);
    let alice = system.user("alice").await;
    let tokens = system.user_agent().log_in(&alice.mc_id).await;
    assert!(other.verifier.verify(tokens.access_token()).is_ok());
}

fn uses(rotated: &proto::RotateKeyEncryptionKeyResponse) -> Vec<(&str, u64)> {
    rotated.uses.iter().map(|used| (used.key_id.as_str(), used.count)).collect()
}

async fn rotation_on_request_tells_what_is_sealed_under_which_key(system: System) {
    let mut sealing = system.sealing();
    let request = proto::RotateKeyEncryptionKeyRequest {};
    let nothing_to_do = sealing.rotate_key_encryption_key(request).await.unwrap().into_inner();
    assert_eq!((nothing_to_do.rotated_count, uses(&nothing_to_do)), (0, vec![("2026-01", 2)]));

    // The replica that runs reads the file on request, and need not wait for its next look.
    mcx_store::sealing::add_key(&system.ground.config().key_file, "2026-02", [8; 32]).unwrap();
    let rotated = sealing.rotate_key_encryption_key(request).await.unwrap().into_inner();
    assert_eq!((rotated.active_key_id.as_str(), rotated.rotated_count), ("2026-02", 2));
    assert_eq!(uses(&rotated), [("2026-02", 2)]);
}

async fn key_whose_key_encryption_key_is_missing_is_told_and_the_others_are_rotated(system: System) {
    let database = system.ground.database();
    let lost = "UPDATE signing_key SET key_encryption_key_id = 'lost' WHERE state = 'ACTIVE'";
    database.statement(lost).execute().await.unwrap();
    mcx_store::sealing::add_key(&system.ground.config().key_file, "2026-02", [8; 32]).unwrap();
    let outcome = system.sealing().rotate_key_encryption_key(proto::RotateKeyEncryptionKeyRequest {}).await;
    let refused = refusal(outcome);
    assert_eq!(refused.reason, "KEY_ENCRYPTION_KEY_MISSING");
    assert_eq!(refused.metadata["key_id"], "lost");
    let statement = "SELECT key_encryption_key_id FROM signing_key ORDER BY key_encryption_key_id";
    let under: Vec<(String,)> = database.statement(statement).fetch_all().await.unwrap();
    assert_eq!(under, [("2026-02".to_owned(),), ("lost".to_owned(),)]);
}
