//! Challenges and their answers, right and wrong.

use crate::home::Fault;
use crate::raw::{RawUe, challenge};
use crate::rig::{OWN_IMPU, Rig, VISITOR_IMPU, randomness};
use ezk_sip_types::Name;
use mcx_aka::digest::DigestKey;
use mcx_aka::isim::{Isim, IsimFailure};
use mcx_aka::{Opc, SubscriberKey};
use mcx_sip::DigestCredentials;
use mcx_ue::{SignallingError, SignallingUserAgent};
use sip_core::app::SourceError;
use std::time::Duration;

#[tokio::test]
async fn a_retransmitted_register_asks_one_vector_and_gets_the_same_answer() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let first = ue.register(&[("Authorization", &ue.blank().to_string())]);
    ue.send(&first).await;
    let answer = ue.receive_bytes().await;
    ue.send(&first).await;
    assert_eq!(ue.receive_bytes().await, answer);
    assert_eq!(rig.visitors.vectors_issued(), 1);
}

#[tokio::test]
async fn a_retransmission_of_the_answer_is_not_a_replay() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let challenge = ue.challenged().await;
    let authorization = ue.answer(&challenge).to_string();
    let second = ue.register(&[("Contact", "<sip:a@192.0.2.77>"), ("Authorization", &authorization)]);
    ue.send(&second).await;
    let answer = ue.receive_bytes().await;
    ue.send(&second).await;
    assert_eq!(ue.receive_bytes().await, answer);
    assert!(answer.starts_with(b"SIP/2.0 200 OK\r\n"));
}

#[tokio::test]
async fn a_register_without_authorization_is_challenged_under_the_identity_derived_from_the_public_one() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let first = ue.register(&[]);
    let response = ue.exchange(&first).await;
    assert_eq!(response.status, 401);
    assert_eq!(challenge(&response).realm, "visitors.bravo.example");
}

#[tokio::test]
async fn a_replayed_nonce_gets_a_fresh_challenge_and_registers_nobody() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let first = ue.challenged().await;
    let authorization = ue.answer(&first).to_string();
    let with_contact = |contact| [("Contact", contact), ("Authorization", authorization.as_str())];
    let request = ue.register(&with_contact("<sip:a@192.0.2.77>"));
    assert_eq!(ue.exchange(&request).await.status, 200);
    let replay = ue.register(&with_contact("<sip:mallory@203.0.113.66>"));
    let response = ue.exchange(&replay).await;
    assert_eq!(response.status, 401);
    let second = challenge(&response);
    assert!(second.stale && second.nonce != first.nonce);
    let contacts = rig.registry.get(&VISITOR_IMPU.parse().unwrap()).await.unwrap().unwrap().contacts;
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].uri, "sip:a@192.0.2.77");
}

#[tokio::test]
async fn a_challenge_expires() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let challenge_sent = ue.challenged().await;
    rig.clock.advance(Duration::from_secs(240));
    let authorization = ue.answer(&challenge_sent).to_string();
    let second = ue.register(&[("Contact", "<sip:a@192.0.2.77>"), ("Authorization", &authorization)]);
    let response = ue.exchange(&second).await;
    assert_eq!((response.status, challenge(&response).stale), (401, true));
}

#[tokio::test]
async fn a_challenge_is_good_only_for_the_identities_it_was_made_for() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let challenge_sent = ue.challenged().await;
    let authorization = ue.answer(&challenge_sent).to_string();
    ue.impu = "tel:+4930123456".to_owned();
    let second = ue.register(&[("Contact", "<sip:a@192.0.2.77>"), ("Authorization", &authorization)]);
    let response = ue.exchange(&second).await;
    assert_eq!((response.status, challenge(&response).stale), (401, true));
    assert_eq!(rig.registry.list(None, 10).await.unwrap().0, []);
}

#[tokio::test]
async fn wrong_responses_lead_to_a_lockout_that_the_right_one_does_not_open() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let mut statuses = Vec::new();
    let mut offered = ue.challenged().await;
    for _ in 0..3 {
        let wrong = ue.sign(&offered, &DigestKey::empty_for_resynchronisation()).to_string();
        let request = ue.register(&[("Authorization", &wrong)]);
        let response = ue.exchange(&request).await;
        statuses.push(response.status);
        if response.status == 401 {
            offered = challenge(&response);
            assert!(!offered.stale);
        }
    }
    assert_eq!(statuses, [401, 401, 403]);
    let right = ue.answer(&offered).to_string();
    let request = ue.register(&[("Authorization", &right)]);
    assert_eq!(ue.exchange(&request).await.status, 403);
    assert_eq!(rig.visitors.vectors_issued(), 3);
}

/// Otherwise whoever knows a user's identity could keep her out.
#[tokio::test]
async fn lockout_at_one_address_leaves_the_user_free_at_another() {
    let rig = Rig::start_with(|setup| setup.attempts.failures_per_identity = 1).await;
    let mut stranger = RawUe::from("127.0.0.2", rig.bound.udp.unwrap()).await;
    let offered = stranger.challenged().await;
    let wrong = stranger.sign(&offered, &DigestKey::empty_for_resynchronisation()).to_string();
    let request = stranger.register(&[("Authorization", &wrong)]);
    assert_eq!(stranger.exchange(&request).await.status, 403);

    let mut alice = RawUe::new(&rig).await;
    let offered = alice.challenged().await;
    let right = alice.answer(&offered).to_string();
    let request = alice.register(&[("Authorization", &right)]);
    assert_eq!(alice.exchange(&request).await.status, 200);
}

#[tokio::test]
async fn wrong_responses_of_one_address_are_counted_over_all_identities() {
    let rig = Rig::start_with(|setup| setup.attempts.failures_per_address = 2).await;
    let mut alice = RawUe::new(&rig).await;
    let mut bob = RawUe::new(&rig).await;
    (bob.impi, bob.impu) = ("bob@bravo.example".to_owned(), OWN_IMPU.to_owned());
    bob.call_id = "call-2".to_owned();
    let mut statuses = Vec::new();
    for ue in [&mut alice, &mut bob] {
        let offered = ue.challenged().await;
        let wrong = ue.sign(&offered, &DigestKey::empty_for_resynchronisation()).to_string();
        let request = ue.register(&[("Authorization", &wrong)]);
        statuses.push(ue.exchange(&request).await.status);
    }
    assert_eq!(statuses, [401, 403]);
}

#[tokio::test]
async fn an_answer_with_another_algorithm_than_offered_is_wrong() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    for (algorithm, expected) in [(None, 401), (Some("MD5"), 401), (Some("AKAv2-MD5"), 403)] {
        let offered = ue.challenged().await;
        let algorithm = algorithm.map(str::to_owned);
        let answer = DigestCredentials { algorithm, ..ue.answer(&offered) };
        let request = ue.register(&[("Authorization", &answer.to_string())]);
        assert_eq!(ue.exchange(&request).await.status, expected);
    }
}

#[tokio::test]
async fn a_quality_of_protection_that_was_not_offered_is_a_bad_request() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let offered = ue.challenged().await;
    let answer = DigestCredentials { qop: Some("auth-int".to_owned()), ..ue.answer(&offered) };
    let request = ue.register(&[("Authorization", &answer.to_string())]);
    let response = ue.exchange(&request).await;
    assert_eq!(
        (response.status, response.header(Name::WARNING)),
        (400, Some("399 sip-core \"qop was not offered\""))
    );
}

#[tokio::test]
async fn an_empty_response_says_that_the_network_was_not_believed() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let offered = ue.challenged().await;
    let answer =
        DigestCredentials { nonce: offered.nonce.clone(), opaque: offered.opaque.clone(), ..ue.blank() };
    let request = ue.register(&[("Authorization", &answer.to_string())]);
    assert_eq!(ue.exchange(&request).await.status, 403);
}

#[tokio::test]
async fn a_ue_with_another_key_refuses_the_network() {
    let rig = Rig::start().await;
    let other = Isim::new(
        &SubscriberKey::from_hex("00000000000000000000000000000001").unwrap(),
        &Opc::from_hex("00000000000000000000000000000002").unwrap(),
    );
    let mut agent = SignallingUserAgent::connect(rig.visitor("udp"), other, randomness()).await.unwrap();
    assert!(matches!(agent.register().await, Err(SignallingError::NetworkAuthenticationFailed)));
}

#[tokio::test]
async fn a_stale_sequence_number_is_healed_by_resynchronisation() {
    for transport in ["udp", "tls"] {
        let rig = Rig::start().await;
        let mut agent = rig.visitor_agent(transport).await;
        rig.visitors.restore_counter(5000);
        assert!(!agent.register().await.unwrap().resynchronised);
        rig.visitors.restore_counter(17);
        assert!(agent.register().await.unwrap().resynchronised);
        assert!(!agent.register().await.unwrap().resynchronised);
        assert_eq!(rig.visitors.resynchronised(), 1);
    }
}

#[tokio::test]
async fn resynchronisations_of_one_identity_are_limited() {
    let rig = Rig::start().await;
    let mut agent = rig.visitor_agent("udp").await;
    agent.register().await.unwrap();
    for _ in 0..2 {
        rig.visitors.restore_counter(0);
        assert!(agent.register().await.unwrap().resynchronised);
    }
    rig.visitors.restore_counter(0);
    assert!(matches!(agent.register().await, Err(SignallingError::Forbidden)));
    assert_eq!(rig.visitors.resynchronised(), 2);
}

#[tokio::test]
async fn auts_for_a_challenge_that_was_never_sent_or_used_before_resynchronises_nothing() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let offered = ue.challenged().await;
    ue.answer(&offered);
    // The ISIM sees the same challenge again and calls it stale.
    let (rand, autn, _) = mcx_aka::digest::parse_nonce(&offered.nonce).unwrap();
    let Err(IsimFailure::SynchronisationFailure { auts }) = ue.isim.authenticate(&rand, &autn) else {
        panic!("the challenge was fresh");
    };
    let answer = ue.synchronisation_failure(&offered, &auts).to_string();
    let request = ue.register(&[("Authorization", &answer)]);
    assert!(!challenge(&ue.exchange(&request).await).stale);
    assert_eq!(rig.visitors.resynchronised(), 1);
    let again = ue.register(&[("Authorization", &answer)]);
    assert!(challenge(&ue.exchange(&again).await).stale);
    assert_eq!(rig.visitors.resynchronised(), 1);
}

#[tokio::test]
async fn forged_auts_is_forbidden() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let offered = ue.challenged().await;
    let answer = ue.synchronisation_failure(&offered, &mcx_aka::Auts([7; 14])).to_string();
    let request = ue.register(&[("Authorization", &answer)]);
    assert_eq!(ue.exchange(&request).await.status, 403);
    assert_eq!(rig.visitors.resynchronised(), 0);
}

#[tokio::test]
async fn a_stranger_is_not_told_what_was_wrong_with_the_identities() {
    let rig = Rig::start().await;
    let mut answers = Vec::new();
    for (impi, impu) in [
        ("nobody@visitors.bravo.example", VISITOR_IMPU),
        ("alice@visitors.bravo.example", "sip:bob@visitors.bravo.example"),
        ("alice@alpha.example", VISITOR_IMPU),
        ("alice", VISITOR_IMPU),
    ] {
        let mut ue = RawUe::new(&rig).await;
        (ue.impi, ue.impu) = (impi.to_owned(), impu.to_owned());
        let credentials = DigestCredentials {
            username: impi.to_owned(),
            realm: "visitors.bravo.example".to_owned(),
            uri: "sip:visitors.bravo.example".to_owned(),
            ..DigestCredentials::default()
        };
        let request = ue.register(&[("Authorization", &credentials.to_string())]);
        let response = ue.exchange(&request).await;
        let names: Vec<String> =
            response.headers.iter().map(|(name, _)| name.as_print_str().to_owned()).collect();
        answers.push((response.status, response.reason, names));
    }
    assert_eq!(answers[0].0, 403);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_source_that_is_away_or_slow_is_told_with_retry_after_and_recovers() {
    let rig = Rig::start().await;
    let mut agent = rig.visitor_agent("udp").await;
    let away = |retry_after| SourceError::Unavailable {
        reason: "PRIMARY_SYSTEM_UNREACHABLE".to_owned(),
        retry_after,
    };
    for (fault, expected) in [
        (Fault::Error(away(Some(Duration::from_secs(2)))), (503, 2)),
        (Fault::Error(away(None)), (503, 7)),
        (Fault::Error(SourceError::RateLimited { retry_after: None }), (503, 7)),
        (Fault::Error(SourceError::TimedOut), (504, 7)),
        (Fault::Silence, (504, 7)),
        (Fault::OtherUser, (503, 7)),
    ] {
        rig.visitors.fail_next(fault);
        match agent.register().await.unwrap_err() {
            SignallingError::ServerUnavailable { status, retry_after } => {
                assert_eq!((status, retry_after.unwrap().as_secs()), expected);
            }
            other => panic!("{other}"),
        }
    }
    agent.register().await.unwrap();
}

#[tokio::test]
async fn refusals_of_the_source_are_forbidden() {
    let rig = Rig::start().await;
    let mut agent = rig.visitor_agent("udp").await;
    for error in [
        SourceError::UserBarred,
        SourceError::NotAllowed { reason: "BINDING_SUSPENDED".to_owned() },
        SourceError::SchemeNotSupported,
    ] {
        rig.visitors.fail_next(Fault::Error(error));
        assert!(matches!(agent.register().await, Err(SignallingError::Forbidden)));
    }
}

#[tokio::test]
async fn a_visitor_with_local_credentials_is_authenticated_from_the_own_sip_database() {
    let rig = Rig::start().await;
    rig.visitors.fail_next(Fault::Error(SourceError::LocalCredentials));
    let mut ue = RawUe::new(&rig).await;
    let request = ue.register(&[]);
    // The own database of this test does not know her: it was asked.
    assert_eq!(ue.exchange(&request).await.status, 403);
    assert_eq!(rig.visitors.vectors_issued(), 0);
}

#[tokio::test]
async fn challenges_for_one_identity_from_one_address_are_limited() {
    let rig = Rig::start_with(|setup| setup.attempts.challenges = 2).await;
    let mut ue = RawUe::new(&rig).await;
    ue.challenged().await;
    ue.challenged().await;
    let third = ue.register(&[]);
    let response = ue.exchange(&third).await;
    assert_eq!((response.status, response.header(Name::RETRY_AFTER)), (503, Some("60")));
    assert_eq!(rig.visitors.vectors_issued(), 2);
}

#[tokio::test]
async fn a_refresh_on_the_authenticated_tls_connection_needs_no_challenge_when_so_configured() {
    let rig = Rig::start_with(|setup| setup.policy.trust_connection_for = Duration::from_secs(60)).await;
    let mut agent = rig.visitor_agent("tls").await;
    assert_eq!(agent.register().await.unwrap().challenges_answered, 1);
    assert_eq!(agent.register().await.unwrap().challenges_answered, 0);
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(agent.register().await.unwrap().challenges_answered, 1);
    let mut other = rig.visitor_agent("tls").await;
    rig.visitors.fail_next(Fault::Error(SourceError::UserBarred));
    assert!(
        matches!(other.register().await, Err(SignallingError::Forbidden)),
        "another connection proves nothing"
    );
}
