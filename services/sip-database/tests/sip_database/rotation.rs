//! Rotating the key-encryption key, and key files that do not fit.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mcx_aka::AuthenticationVector;
use mcx_runtime::readiness::ReadinessState;
use sip_database::client::{ClientError, NewSubscriber, Reason};
use uuid::Uuid;

use crate::fixture::{System, User, on_every_database};

on_every_database!(
    keys_are_rotated_under_load_and_the_old_key_may_leave_the_file,
    subscriber_whose_key_is_missing_is_told_so_and_served_again_once_it_is_back,
    other_key_under_the_same_identifier_is_no_answer_but_a_fault,
    missing_keys_of_subscribers_are_named_by_readiness_until_they_are_back,
);

/// The lines of a key file, with the key of the fixture's first file kept where it is.
fn write_keys(system: &System, active: &str, entries: &[String]) {
    let text = format!("active = \"{active}\"\n[keys]\n{}\n", entries.join("\n"));
    std::fs::write(system.key_file(), text).unwrap();
}

fn entry(key_id: &str, octet: u8) -> String {
    format!("\"{key_id}\" = \"{}\"", BASE64.encode([octet; 32]))
}

async fn key_ids(system: &System) -> Vec<(String, i64)> {
    let statement = "SELECT key_id, COUNT(*) FROM subscriber GROUP BY key_id ORDER BY key_id";
    system.open().statement(statement).fetch_all().await.unwrap()
}

async fn keys_are_rotated_under_load_and_the_old_key_may_leave_the_file(system: System) {
    write_keys(&system, "old", &[entry("old", 1)]);
    let mut config = system.config();
    config.rotation_batch_size = 7;
    let replica = system.replica_with(config, system.dependencies()).await;
    let operator = system.operator(&replica);
    let mut users: Vec<User> = (0..50).map(|number| User::named(&format!("user{number}"))).collect();
    let new: Vec<NewSubscriber> = users.iter().map(|user| user.new.clone()).collect();
    operator.import(new).await.unwrap();
    assert_eq!(key_ids(&system).await, [("old".to_owned(), 50)]);

    write_keys(&system, "new", &[entry("old", 1), entry("new", 2)]);
    let client = system.sip_core(&replica);
    let identities: Vec<_> = users.iter().map(|user| user.identities().clone()).collect();
    let asking = async {
        let mut vectors: Vec<Vec<AuthenticationVector>> = identities.iter().map(|_| Vec::new()).collect();
        for _ in 0..3 {
            for (identities, vectors) in identities.iter().zip(&mut vectors) {
                let made = client.authentication_information(identities, None, 1, None).await.unwrap();
                vectors.extend(made.vectors);
            }
        }
        vectors
    };
    let editing = async {
        for identities in &identities[..20] {
            let mut present = operator.get(&identities.impi).await.unwrap();
            present.amf = vec![0, 1];
            operator.update(present, Uuid::new_v4()).await.unwrap();
        }
    };
    let (vectors, (), rotated) = tokio::join!(asking, editing, operator.rotate_key_encryption_key());
    let rotated = rotated.unwrap();
    assert_eq!((rotated.active_key_id.as_str(), rotated.rotated_count), ("new", 50));
    let uses: Vec<_> = rotated.uses.iter().map(|used| (used.key_id.as_str(), used.count)).collect();
    assert_eq!(uses, [("new", 50)]);
    assert_eq!(key_ids(&system).await, [("new".to_owned(), 50)]);
    for (user, vectors) in users.iter_mut().zip(&vectors) {
        vectors.iter().for_each(|vector| drop(user.answer(vector).unwrap()));
    }

    write_keys(&system, "new", &[entry("new", 2)]);
    let again = operator.rotate_key_encryption_key().await.unwrap();
    assert_eq!((again.active_key_id.as_str(), again.rotated_count), ("new", 0));
    for user in &mut users {
        let made = client.authentication_information(user.identities(), None, 1, None).await.unwrap();
        user.answer(&made.vectors[0]).unwrap();
    }
    let present = operator.get(&identities[0].impi).await.unwrap();
    assert_eq!((present.etag.as_str(), present.key_encryption_key_id.as_str()), ("2", "new"));
}

async fn subscriber_whose_key_is_missing_is_told_so_and_served_again_once_it_is_back(system: System) {
    write_keys(&system, "old", &[entry("old", 1)]);
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let mut alice = User::provisioned("alice", &operator).await;
    write_keys(&system, "new", &[entry("new", 2)]);

    let refused = operator.rotate_key_encryption_key().await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::KeyEncryptionKeyMissing));
    let ClientError::Refused { remote, .. } = refused else { unreachable!() };
    assert_eq!(remote.metadata["key_id"], "old");
    let client = system.sip_core(&replica);
    let refused = client.authentication_information(alice.identities(), None, 1, None).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::KeyEncryptionKeyMissing));
    let mut bob = User::provisioned("bob", &operator).await;
    let made = client.authentication_information(bob.identities(), None, 1, None).await.unwrap();
    bob.answer(&made.vectors[0]).unwrap();

    // Nobody need tell the service that the key is back.
    write_keys(&system, "new", &[entry("old", 1), entry("new", 2)]);
    let made = client.authentication_information(alice.identities(), None, 1, None).await.unwrap();
    alice.answer(&made.vectors[0]).unwrap();
    assert_eq!(operator.rotate_key_encryption_key().await.unwrap().rotated_count, 1);
}

async fn other_key_under_the_same_identifier_is_no_answer_but_a_fault(system: System) {
    write_keys(&system, "a", &[entry("a", 1)]);
    let replica = system.replica().await;
    let alice = User::provisioned("alice", &system.operator(&replica)).await;
    drop(replica);
    write_keys(&system, "a", &[entry("a", 2)]);
    let replica = system.replica().await;
    let client = system.sip_core(&replica);
    let fault = client.authentication_information(alice.identities(), None, 1, None).await.unwrap_err();
    let ClientError::Unexpected { remote } = fault else { panic!("{fault}") };
    assert_eq!((remote.code, remote.reason.as_str()), (tonic::Code::Internal, "INTERNAL"));
    assert!(remote.metadata.contains_key("error_id"));
}

async fn missing_keys_of_subscribers_are_named_by_readiness_until_they_are_back(system: System) {
    let keys = [entry("a", 1), entry("b", 2), entry("c", 3)];
    for (active, user) in [("a", "alice"), ("b", "bob"), ("c", "chloe")] {
        write_keys(&system, active, &keys);
        let replica = system.replica().await;
        User::provisioned(user, &system.operator(&replica)).await;
    }
    write_keys(&system, "c", &keys[2..]);
    let mut config = system.config();
    config.key_file_check_interval = Duration::from_millis(10);
    let replica = system.replica_with(config, system.dependencies()).await;
    let readiness = replica.service.readiness();
    let shown = async |reason: Option<&str>| {
        let mut states = readiness.watch();
        let is_shown = |state: &ReadinessState| state.latches["subscriber keys"].down.as_deref() == reason;
        let waiting = tokio::time::timeout(Duration::from_secs(20), states.wait_for(is_shown));
        drop(waiting.await.unwrap_or_else(|_| panic!("not {reason:?}: {:?}", readiness.state())).unwrap());
        assert!(readiness.is_serving(), "the others are served");
    };
    shown(Some("keys of subscribers are sealed under a, b, which the key file does not have")).await;
    write_keys(&system, "c", &keys);
    shown(None).await;
}
