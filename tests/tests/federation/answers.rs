//! Answers of a genuine primary to something else than was asked: they are thrown away.

use crossband_tests::callers::{authority_of, issue, mms_of, valid_for_an_hour, visitor_client};
use crossband_tests::fake_primary::FakePrimary;
use crossband_tests::records::latest_decision;
use crossband_tests::world::sip_answer;
use crossband_tests::{Stores, World};
use mcx_proto::migration::v1 as proto;
use mcx_proto::types::v1 as types;
use mcx_runtime::error::decode_status;
use tonic::Code;

type Asked = proto::FederationServiceGetSipAuthenticationInformationRequest;
type Answered = proto::FederationServiceGetSipAuthenticationInformationResponse;

/// An answer that only a holder of the user's keys could tell from a good one.
fn plausible(asked: Asked) -> Answered {
    let vector = types::AuthenticationVector {
        rand: vec![1; 16],
        autn: vec![2; 16],
        xres: vec![3; 8],
        ck: vec![4; 16],
        ik: vec![5; 16],
    };
    Answered {
        transaction_id: asked.transaction_id,
        primary_identities: asked.primary_identities,
        authentication_information: Some(types::AuthenticationInformation {
            scheme: types::AuthenticationScheme::DigestAkav1Md5.into(),
            vectors: vec![vector],
        }),
    }
}

/// Both systems, and a primary with alpha's genuine certificate that changes its answers.
async fn world_with(change: fn(&mut Answered)) -> (World, FakePrimary) {
    let world = World::start(Stores::Embedded).await;
    let own = issue(&authority_of(world.alpha()), &mms_of(&world.alpha().system.id), valid_for_an_hour());
    let answer = move |asked| {
        let mut answer = plausible(asked);
        change(&mut answer);
        answer
    };
    let fake = FakePrimary::start(own, world.bravo(), answer).await;
    let endpoints = vec![fake.address.to_string()];
    world.change_agreement_of_partner(|agreement| agreement.peer_endpoints = endpoints).await;
    (world, fake)
}

async fn assert_thrown_away(change: fn(&mut Answered)) {
    let (world, fake) = world_with(change).await;
    let outcome = world.register("alice").await;
    let (status, retry_after) = sip_answer(&outcome);
    assert_eq!(status, 503);
    assert!(retry_after.is_some());
    assert_eq!(fake.calls(), 1);
    let alice = world.user("alice").identities.impi.as_str();
    assert_eq!(latest_decision(world.bravo(), alice).await, "FAILED PRIMARY_SYSTEM_ANSWER_INVALID");
}

fn information(answer: &mut Answered) -> &mut types::AuthenticationInformation {
    answer.authentication_information.as_mut().unwrap()
}

/// The others would prove nothing if the fake were not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_to_what_was_asked_is_taken() {
    let (world, fake) = world_with(|_| ()).await;
    let outcome = world.register("alice").await;
    let refused_by_isim = matches!(outcome, Err(mcx_ue::SignallingError::NetworkAuthenticationFailed));
    assert!(refused_by_isim, "the UE was challenged with the vector: {outcome:?}");
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_to_another_request_is_thrown_away() {
    assert_thrown_away(|answer| answer.transaction_id = uuid::Uuid::new_v4().to_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_about_another_user_is_thrown_away() {
    assert_thrown_away(|answer| {
        answer.primary_identities.as_mut().unwrap().impi = "bob@alpha.example".to_owned();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_with_two_vectors_is_thrown_away() {
    assert_thrown_away(|answer| {
        let vectors = &mut information(answer).vectors;
        let other = types::AuthenticationVector { rand: vec![9; 16], ..vectors[0].clone() };
        vectors.push(other);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_without_a_vector_is_thrown_away() {
    assert_thrown_away(|answer| information(answer).vectors.clear()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_with_a_malformed_vector_is_thrown_away() {
    assert_thrown_away(|answer| information(answer).vectors[0].autn.truncate(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_by_another_scheme_than_asked_for_is_thrown_away() {
    let (world, _fake) = world_with(|_| ()).await;
    let request = proto::GetSipAuthenticationInformationRequest {
        partner_identities: Some(world.user("alice").partner.identities.clone().into()),
        scheme: types::AuthenticationScheme::DigestAkav2Sha256.into(),
    };
    let answer = visitor_client(world.bravo()).get_sip_authentication_information(request).await;
    let refused = decode_status(&answer.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "PRIMARY_SYSTEM_ANSWER_INVALID"));
    assert_eq!(refused.metadata.get("mismatch").map(String::as_str), Some("scheme"));
}
