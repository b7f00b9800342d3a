//! Healing a desynchronised ISIM, and everything that must not heal one.

use mcx_aka::isim::{IsimFailure, SequenceArray};
use mcx_aka::{AuthenticationVector, Auts, Rand};
use mcx_types::wire::SynchronisationFailure;
use sip_database::client::{ClientError, Reason, SipAuthenticationClient};

use crate::fixture::{System, User, on_every_database, system_id};

on_every_database!(
    isim_that_is_ahead_is_healed_once_and_a_replay_is_refused,
    token_that_does_not_verify_is_refused_and_uses_the_challenge_up,
    challenge_of_another_requester_or_subscriber_is_unknown,
    counter_is_kept_where_the_isim_would_accept_its_next_value_anyway,
    isim_at_the_end_of_its_sequence_is_told_so,
);

/// The ISIM accepted SEQ 1000 under IND 0 before: the network's counter lies behind.
fn ahead(user: User) -> User {
    let mut array = [0; 32];
    array[0] = 1000;
    let array = SequenceArray::try_from(&array[..]).unwrap();
    User { isim: user.isim.with_sequences(array), ..user }
}

async fn one_vector(client: &SipAuthenticationClient, user: &User) -> AuthenticationVector {
    let made = client.authentication_information(user.identities(), None, 1, None).await.unwrap();
    made.vectors.into_iter().next().unwrap()
}

fn token(user: &mut User, vector: &AuthenticationVector) -> SynchronisationFailure {
    match user.answer(vector) {
        Err(IsimFailure::SynchronisationFailure { auts }) => {
            SynchronisationFailure { rand: vector.rand, auts }
        }
        other => panic!("expected a synchronisation failure, got {other:?}"),
    }
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Option<Reason> {
    outcome.unwrap_err().reason()
}

async fn isim_that_is_ahead_is_healed_once_and_a_replay_is_refused(system: System) {
    let replica = system.replica().await;
    let mut alice = ahead(User::provisioned("alice", &system.operator(&replica)).await);
    let client = system.sip_core(&replica);
    let stale = one_vector(&client, &alice).await;
    let failure = token(&mut alice, &stale);

    let healed = client.resynchronise(alice.identities(), failure, None).await.unwrap();
    alice.answer(&healed.vectors[0]).unwrap();
    let next = one_vector(&client, &alice).await;
    alice.answer(&next).unwrap();
    let (last_issued,): (i64,) =
        system.open().statement("SELECT last_issued FROM sequence").fetch_one().await.unwrap();
    assert_eq!(last_issued, 1002);

    let replayed = client.resynchronise(alice.identities(), failure, None).await;
    assert_eq!(reason(replayed), Some(Reason::ChallengeUnknown));
    let after = one_vector(&client, &alice).await;
    alice.answer(&after).unwrap();
}

async fn token_that_does_not_verify_is_refused_and_uses_the_challenge_up(system: System) {
    let replica = system.replica().await;
    let mut alice = ahead(User::provisioned("alice", &system.operator(&replica)).await);
    let client = system.sip_core(&replica);
    let stale = one_vector(&client, &alice).await;
    let good = token(&mut alice, &stale);
    let mut forged = *good.auts.as_octets();
    forged[13] ^= 1;
    let forged = SynchronisationFailure { rand: good.rand, auts: Auts(forged) };

    let refused = client.resynchronise(alice.identities(), forged, None).await;
    assert_eq!(reason(refused), Some(Reason::ResynchronisationRefused));
    let second_try = client.resynchronise(alice.identities(), good, None).await;
    assert_eq!(reason(second_try), Some(Reason::ChallengeUnknown), "one try for each challenge");
    let (last_issued,): (i64,) =
        system.open().statement("SELECT last_issued FROM sequence").fetch_one().await.unwrap();
    assert_eq!(last_issued, 1, "nothing but the first vector moved the counter");
}

async fn challenge_of_another_requester_or_subscriber_is_unknown(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let mut alice = ahead(User::provisioned("alice", &operator).await);
    let bob = User::provisioned("bob", &operator).await;
    let client = system.sip_core(&replica);
    let management = system.migration_management(&replica);
    let stale = one_vector(&client, &alice).await;
    let failure = token(&mut alice, &stale);

    let by_partner =
        management.resynchronise(alice.identities(), failure, Some(&system_id("bravo.example"))).await;
    assert_eq!(reason(by_partner), Some(Reason::ChallengeUnknown));
    let for_bob = client.resynchronise(bob.identities(), failure, None).await;
    assert_eq!(reason(for_bob), Some(Reason::ChallengeUnknown));
    let never_issued = SynchronisationFailure { rand: Rand([7; 16]), ..failure };
    let made_up = client.resynchronise(alice.identities(), never_issued, None).await;
    assert_eq!(reason(made_up), Some(Reason::ChallengeUnknown));

    // None of these used the challenge of alice up.
    let healed = client.resynchronise(alice.identities(), failure, None).await.unwrap();
    alice.answer(&healed.vectors[0]).unwrap();
}

async fn counter_is_kept_where_the_isim_would_accept_its_next_value_anyway(system: System) {
    let replica = system.replica().await;
    let mut alice = User::provisioned("alice", &system.operator(&replica)).await;
    let client = system.sip_core(&replica);
    let old = one_vector(&client, &alice).await;
    for _ in 0..3 {
        let vector = one_vector(&client, &alice).await;
        alice.answer(&vector).unwrap();
    }
    let failure = token(&mut alice, &old);
    // Sequence 5 lies with somebody by now; the counter must not fall back behind it.
    let outstanding = one_vector(&client, &alice).await;
    let healed = client.resynchronise(alice.identities(), failure, None).await.unwrap();
    let (last_issued,): (i64,) =
        system.open().statement("SELECT last_issued FROM sequence").fetch_one().await.unwrap();
    assert_eq!(last_issued, 6);
    alice.answer(&outstanding).unwrap();
    alice.answer(&healed.vectors[0]).unwrap();
}

async fn isim_at_the_end_of_its_sequence_is_told_so(system: System) {
    let replica = system.replica().await;
    let mut alice = User::provisioned("alice", &system.operator(&replica)).await;
    let client = system.sip_core(&replica);
    let mut array = [0; 32];
    array[0] = (1 << 43) - 1;
    alice.isim = alice.isim.with_sequences(SequenceArray::try_from(&array[..]).unwrap());
    let stale = one_vector(&client, &alice).await;
    let failure = token(&mut alice, &stale);
    let refused = client.resynchronise(alice.identities(), failure, None).await;
    assert_eq!(reason(refused), Some(Reason::SequenceExhausted));
}
