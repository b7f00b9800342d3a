//! What the primary answers a partner's migration management server that asks for more than it may.

use crossband_tests::World;
use crossband_tests::callers::{FederationClient, federation_client, identity_of};
use crossband_tests::records::latest_decision;
use mcx_aka::isim::{Isim, IsimFailure, SequenceArray};
use mcx_aka::{Autn, Auts, IndexValue, Rand};
use mcx_proto::migration::v1 as proto;
use mcx_proto::types::v1 as types;
use mcx_runtime::error::decode_status;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::on_both_kinds_of_stores;

on_both_kinds_of_stores!(
    two_vectors_at_once_are_refused,
    scheme_of_which_the_user_is_not_is_refused,
    user_whom_nobody_knows_looks_like_one_who_is_not_permitted,
    auts_is_honoured_once_and_only_for_a_released_challenge,
);

type Asked = proto::FederationServiceGetSipAuthenticationInformationRequest;

fn partner(world: &World) -> FederationClient {
    federation_client(identity_of(world.bravo(), "migration-management"), world.alpha())
}

fn request(world: &World, name: &str) -> Asked {
    let user = world.user(name);
    Asked {
        transaction_id: Uuid::new_v4().to_string(),
        primary_identities: Some(user.identities.clone().into()),
        partner_impi: user.partner.identities.impi.to_string(),
        ..Default::default()
    }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let refused = decode_status(&answer.unwrap_err());
    (refused.code, refused.reason)
}

async fn decided(world: &World) -> String {
    latest_decision(world.alpha(), world.user("alice").identities.impi.as_str()).await
}

async fn two_vectors_at_once_are_refused(world: World) {
    let greedy = Asked { vector_count: 2, ..request(&world, "alice") };
    let refused = refusal(partner(&world).get_sip_authentication_information(greedy).await);
    assert_eq!(refused, (Code::InvalidArgument, "VECTOR_COUNT_EXCEEDED".to_owned()));
    assert_eq!(decided(&world).await, "REFUSED VECTOR_COUNT_EXCEEDED");
}

async fn scheme_of_which_the_user_is_not_is_refused(world: World) {
    let scheme = types::AuthenticationScheme::DigestAkav2Sha256.into();
    let asked = Asked { scheme, ..request(&world, "alice") };
    let refused = refusal(partner(&world).get_sip_authentication_information(asked).await);
    assert_eq!(refused, (Code::FailedPrecondition, "SCHEME_NOT_SUPPORTED".to_owned()));
    assert_eq!(decided(&world).await, "REFUSED SCHEME_NOT_SUPPORTED");
}

async fn user_whom_nobody_knows_looks_like_one_who_is_not_permitted(world: World) {
    let nobody = types::SipIdentities {
        impi: "nobody@alpha.example".to_owned(),
        impus: vec!["sip:nobody@alpha.example".to_owned()],
    };
    let unknown = Asked { primary_identities: Some(nobody), ..request(&world, "alice") };
    let unknown = partner(&world).get_sip_authentication_information(unknown).await.unwrap_err();
    world.change_permit("alice", |_| None).await;
    let asked = request(&world, "alice");
    let not_permitted = partner(&world).get_sip_authentication_information(asked).await.unwrap_err();
    let (unknown, not_permitted) = (decode_status(&unknown), decode_status(&not_permitted));
    assert_eq!(unknown.reason, "MIGRATION_NOT_PERMITTED");
    assert_eq!(
        (unknown.code, &unknown.message, &unknown.metadata),
        (not_permitted.code, &not_permitted.message, &not_permitted.metadata)
    );
}

async fn auts_is_honoured_once_and_only_for_a_released_challenge(world: World) {
    let mut client = partner(&world);
    let refused = (Code::FailedPrecondition, "RESYNCHRONISATION_REFUSED".to_owned());

    let (rand, auts) = stale_challenge(&world, &mut client, 1_000_000).await;
    let never_issued = resynchronise(&world, &mut client, Rand([7; 16]), auts).await;
    assert_eq!(refusal(never_issued), refused);
    assert_eq!(decided(&world).await, "REFUSED RESYNCHRONISATION_REFUSED");

    resynchronise(&world, &mut client, rand, auts).await.unwrap();
    assert_eq!(decided(&world).await, "RELEASED");
    assert_eq!(refusal(resynchronise(&world, &mut client, rand, auts).await), refused, "replayed");

    let (rand, mut auts) = stale_challenge(&world, &mut client, 2_000_000).await;
    auts.0[13] ^= 1;
    assert_eq!(refusal(resynchronise(&world, &mut client, rand, auts).await), refused, "MAC-S is wrong");
    auts.0[13] ^= 1;
    assert_eq!(refusal(resynchronise(&world, &mut client, rand, auts).await), refused, "a RAND has one try");
}

/// The RAND of a vector just released, and the AUTS of an ISIM that has seen `sequence` already.
async fn stale_challenge(world: &World, client: &mut FederationClient, sequence: u64) -> (Rand, Auts) {
    let asked = request(world, "alice");
    let answer = client.get_sip_authentication_information(asked).await.unwrap().into_inner();
    let vector = answer.authentication_information.unwrap().vectors.remove(0);
    let (rand, autn) = (Rand(vector.rand.try_into().unwrap()), Autn(vector.autn.try_into().unwrap()));
    let alice = world.user("alice");
    let ahead = SequenceArray::try_from([sequence; IndexValue::COUNT].as_slice()).unwrap();
    let mut isim = Isim::new(&alice.key, &alice.opc).with_sequences(ahead);
    match isim.authenticate(&rand, &autn) {
        Err(IsimFailure::SynchronisationFailure { auts }) => (rand, auts),
        other => panic!("the challenge is stale: {other:?}"),
    }
}

async fn resynchronise(
    world: &World,
    client: &mut FederationClient,
    rand: Rand,
    auts: Auts,
) -> Result<proto::FederationServiceResynchroniseResponse, Status> {
    let Asked { transaction_id, primary_identities, partner_impi, .. } = request(world, "alice");
    let failure = types::SynchronisationFailure { rand: rand.0.to_vec(), auts: auts.0.to_vec() };
    let request = proto::FederationServiceResynchroniseRequest {
        transaction_id,
        primary_identities,
        partner_impi,
        synchronisation_failure: Some(failure),
    };
    client.resynchronise(request).await.map(tonic::Response::into_inner)
}
