//! Asking for vectors: what is granted, and every refusal.

use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::isim::IsimFailure;
use mcx_types::{Entity, SipIdentities};
use sip_database::client::{ClientError, Reason, SipAuthenticationClient};
use tonic::Code;

use crate::fixture::{System, User, on_every_database, system_id};

on_every_database!(
    vectors_are_accepted_by_the_isim_in_their_order,
    each_requester_has_an_ind_of_its_own_that_survives_a_restart,
    refusals_name_their_reason_and_their_facts,
    requests_that_are_not_as_they_must_be_are_refused_with_every_field,
    only_the_own_sip_core_and_migration_management_may_ask_and_each_for_its_own,
);

async fn vectors_are_accepted_by_the_isim_in_their_order(system: System) {
    let replica = system.replica().await;
    let mut alice = User::provisioned("alice", &system.operator(&replica)).await;
    let client = system.sip_core(&replica);
    let five = client.authentication_information(alice.identities(), None, 5, None).await.unwrap();
    assert_eq!((five.vectors.len(), five.scheme), (5, DigestAlgorithm::AkaV1Md5));
    let one = client.authentication_information(alice.identities(), None, 0, None).await.unwrap();
    assert_eq!(one.vectors.len(), 1);
    for vector in five.vectors.iter().chain(&one.vectors) {
        alice.answer(vector).unwrap();
    }
    let replayed = alice.answer(&one.vectors[0]);
    assert!(matches!(replayed, Err(IsimFailure::SynchronisationFailure { .. })), "{replayed:?}");
}

async fn each_requester_has_an_ind_of_its_own_that_survives_a_restart(system: System) {
    let replica = system.replica().await;
    let mut alice = User::provisioned("alice", &system.operator(&replica)).await;
    let core = system.sip_core(&replica);
    let management = system.migration_management(&replica);
    let bravo = system_id("bravo.example");
    let partners = [bravo.clone(), system_id("charlie.example"), bravo.clone()];

    // A vector that lies with a partner stays good while the own SIP core uses later ones, and the other way round.
    let mut vectors = Vec::new();
    for partner in &partners {
        let made = management.authentication_information(alice.identities(), None, 1, Some(partner)).await;
        vectors.extend(made.unwrap().vectors);
    }
    vectors.extend(core.authentication_information(alice.identities(), None, 1, None).await.unwrap().vectors);
    let [first_of_bravo, of_charlie, second_of_bravo, own] = vectors.try_into().unwrap();
    for vector in [&own, &second_of_bravo, &of_charlie] {
        alice.answer(vector).unwrap();
    }
    let overtaken = alice.answer(&first_of_bravo);
    assert!(matches!(overtaken, Err(IsimFailure::SynchronisationFailure { .. })), "same ind, lower seq");

    let numbers = "SELECT mc_system_id, number FROM requester ORDER BY number";
    let expected = [("bravo.example".to_owned(), 1_i64), ("charlie.example".to_owned(), 2)];
    drop(replica);
    let replica = system.replica().await;
    let management = system.migration_management(&replica);
    let made = management.authentication_information(alice.identities(), None, 1, Some(&partners[1])).await;
    alice.answer(&made.unwrap().vectors[0]).unwrap();
    let found: Vec<(String, i64)> = system.open().statement(numbers).fetch_all().await.unwrap();
    assert_eq!(found, expected);
}

async fn reason_of(
    client: &SipAuthenticationClient,
    identities: &SipIdentities,
    scheme: Option<DigestAlgorithm>,
) -> (Code, Reason, Vec<(String, String)>) {
    match client.authentication_information(identities, scheme, 1, None).await {
        Err(ClientError::Refused { reason, remote }) => {
            let mut metadata: Vec<(String, String)> = remote.metadata.into_iter().collect();
            metadata.sort();
            (remote.code, reason, metadata)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn facts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn refusals_name_their_reason_and_their_facts(system: System) {
    let replica = system.replica().await;
    let operator = system.operator(&replica);
    let alice = User::provisioned("alice", &operator).await;
    let bob = User::provisioned("bob", &operator).await;
    let client = system.sip_core(&replica);

    let nobody = User::named("nobody");
    assert_eq!(
        reason_of(&client, nobody.identities(), None).await,
        (Code::NotFound, Reason::SubscriberUnknown, facts(&[("impi", "nobody@alpha.example")]))
    );
    let mixed = SipIdentities {
        impi: alice.identities().impi.clone(),
        impus: [alice.identities().impus.clone(), bob.identities().impus.clone()].concat(),
    };
    assert_eq!(
        reason_of(&client, &mixed, None).await,
        (
            Code::FailedPrecondition,
            Reason::IdentitiesDoNotMatch,
            facts(&[("impi", "alice@alpha.example"), ("impu", "sip:bob@alpha.example")])
        )
    );
    assert_eq!(
        reason_of(&client, alice.identities(), Some(DigestAlgorithm::AkaV2Sha256)).await,
        (
            Code::FailedPrecondition,
            Reason::SchemeNotSupported,
            facts(&[("impi", "alice@alpha.example"), ("scheme", "AKAv2-SHA-256")])
        )
    );
    let mut barred = operator.get(&alice.identities().impi).await.unwrap();
    barred.barred = true;
    operator.update(barred, uuid::Uuid::new_v4()).await.unwrap();
    assert_eq!(
        reason_of(&client, alice.identities(), None).await,
        (Code::FailedPrecondition, Reason::SubscriberBarred, facts(&[("impi", "alice@alpha.example")]))
    );

    let almost_used_up = "UPDATE sequence SET last_issued = 8796093022206 WHERE impi = 'bob@alpha.example'";
    system.open().statement(almost_used_up).execute().await.unwrap();
    client.authentication_information(bob.identities(), None, 1, None).await.unwrap();
    assert_eq!(
        reason_of(&client, bob.identities(), None).await,
        (Code::FailedPrecondition, Reason::SequenceExhausted, facts(&[("impi", "bob@alpha.example")]))
    );
}

async fn requests_that_are_not_as_they_must_be_are_refused_with_every_field(system: System) {
    use mcx_proto::sipdatabase::v1::GetSipAuthenticationInformationRequest;
    use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
    use mcx_proto::types::v1::SipIdentities as Message;

    let replica = system.replica().await;
    let channel = system.channel(&replica, system.own.entity(Entity::SipCore));
    let request = GetSipAuthenticationInformationRequest {
        identities: Some(Message { impi: "alice".to_owned(), impus: vec!["nonsense".to_owned()] }),
        scheme: 77,
        vector_count: 6,
        requesting_mc_system_id: "not a system".to_owned(),
    };
    let status = SipAuthenticationServiceClient::new(channel)
        .get_sip_authentication_information(request)
        .await
        .unwrap_err();
    let remote = mcx_runtime::error::decode_status(&status);
    let fields: Vec<&str> = remote.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((remote.code, remote.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert_eq!(
        fields,
        ["identities.impi", "identities.impus[0]", "scheme", "requesting_mc_system_id", "vector_count"]
    );

    let alice = User::provisioned("alice", &system.operator(&replica)).await;
    let two_for_partner = system
        .migration_management(&replica)
        .authentication_information(alice.identities(), None, 2, Some(&system_id("bravo.example")))
        .await;
    let Err(ClientError::Refused { reason: Reason::InvalidRequest, remote }) = two_for_partner else {
        panic!("a partner got two vectors at once");
    };
    assert_eq!(remote.violations[0].field, "vector_count");
}

async fn only_the_own_sip_core_and_migration_management_may_ask_and_each_for_its_own(system: System) {
    let replica = system.replica().await;
    let alice = User::provisioned("alice", &system.operator(&replica)).await;
    let bravo = system_id("bravo.example");
    let identities = alice.identities();

    let core = system.sip_core(&replica);
    let refused = core.authentication_information(identities, None, 1, Some(&bravo)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::RequesterNotAllowed));
    let management = system.migration_management(&replica);
    for own in [None, Some(system.own.mc_system_id().clone())] {
        let refused = management.authentication_information(identities, None, 1, own.as_ref()).await;
        assert_eq!(refused.unwrap_err().reason(), Some(Reason::RequesterNotAllowed));
    }
    let counter = "SELECT last_issued FROM sequence";
    let (last_issued,): (i64,) = system.open().statement(counter).fetch_one().await.unwrap();
    assert_eq!(last_issued, 0, "a refused requester uses nothing up");

    // The policy table stops operators before the service is asked.
    let operator = SipAuthenticationClient::new(system.operator_channel(&replica));
    let stopped = operator.authentication_information(identities, None, 1, None).await.unwrap_err();
    let ClientError::Unexpected { remote } = stopped else { panic!("{stopped}") };
    assert_eq!(remote.code, Code::PermissionDenied);
}

#[tokio::test]
async fn caller_without_a_certificate_does_not_get_as_far_as_a_request() {
    let system = System::new(crate::fixture::Engine::Sqlite).await;
    let replica = system.replica().await;
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", replica.address)).unwrap();
    let alice = User::named("alice");
    let client = SipAuthenticationClient::new(plain.connect_lazy());
    let error = client.authentication_information(alice.identities(), None, 1, None).await.unwrap_err();
    assert!(error.reason().is_none(), "{error}");
    assert!(replica.service.readiness().is_serving());
}
