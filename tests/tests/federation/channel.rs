//! Who does not even get to ask: the peer listener, and partners that are not who they should be.

use std::net::SocketAddr;
use std::sync::Arc;

use crossband_tests::callers::{
    authority_of, expired, federation_client, identity_of, issue, mms_of, new_authority, valid_for_an_hour,
};
use crossband_tests::fake_primary::FakePrimary;
use crossband_tests::records::{all_records, latest_decision};
use crossband_tests::world::sip_answer;
use crossband_tests::{Stores, World};
use mcx_federation::{CertificateAuthority, ConnectFailure, OwnIdentity, connect_failure};
use mcx_proto::migration::v1 as proto;
use mcx_runtime::error::decode_status;
use mcx_types::SpiffeId;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use uuid::Uuid;

async fn world() -> World {
    World::start(Stores::Embedded).await
}

/// What the primary says to this caller, who asks for what a real partner would get.
async fn ask(world: &World, caller: OwnIdentity) -> Status {
    let alice = world.user("alice");
    let request = proto::FederationServiceGetSipAuthenticationInformationRequest {
        transaction_id: Uuid::new_v4().to_string(),
        primary_identities: Some(alice.identities.clone().into()),
        partner_impi: alice.partner.identities.impi.to_string(),
        ..Default::default()
    };
    let mut client = federation_client(caller, world.alpha());
    client.get_sip_authentication_information(request).await.unwrap_err()
}

async fn assert_not_let_in(world: &World, caller: OwnIdentity) {
    let refused = ask(world, caller).await;
    assert_eq!(connect_failure(&refused), Some(ConnectFailure::RefusedByPeer), "{refused:?}");
    assert_eq!(all_records(world.alpha()).await, [], "nothing was at stake");
}

fn partners_mms(world: &World, authority: &CertificateAuthority) -> OwnIdentity {
    issue(authority, &mms_of(&world.bravo().system.id), valid_for_an_hour())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_with_a_certificate_of_its_own_authority_is_let_in() {
    let world = world().await;
    let caller = partners_mms(&world, &authority_of(world.bravo()));
    world.change_agreement_of_primary(|agreement| agreement.partner_may_ask.clear()).await;
    assert_eq!(decode_status(&ask(&world, caller).await).reason, "NOT_AGREED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_without_a_certificate_is_not_let_in() {
    let world = world().await;
    let mut roots = rustls::RootCertStore::empty();
    let authority = world.alpha().certificates.authority_pem.as_bytes();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(world.alpha().system.addresses.peer.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    // The client of TLS 1.3 has done its part before the server looks for a certificate; the alert is the first it reads.
    let refused = handshake.unwrap().read_u8().await.unwrap_err().into_inner().unwrap();
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
    assert_eq!(refused.downcast_ref::<rustls::Error>(), Some(&alert));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_with_an_expired_certificate_is_not_let_in() {
    let world = world().await;
    let mms = mms_of(&world.bravo().system.id);
    assert_not_let_in(&world, issue(&authority_of(world.bravo()), &mms, expired())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn system_without_an_agreement_is_not_let_in() {
    let world = world().await;
    let charlie = new_authority("charlie.example");
    assert_not_let_in(&world, issue(&charlie, &mms_of(charlie.mc_system_id()), valid_for_an_hour())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_whose_certificate_another_authority_issued_is_not_let_in() {
    let world = world().await;
    let impostor = new_authority("bravo.example");
    assert_not_let_in(&world, partners_mms(&world, &impostor)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_operator_is_not_let_in_where_partners_knock() {
    let world = world().await;
    assert_not_let_in(&world, identity_of(world.alpha(), "operator")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_entities_and_operators_of_a_partner_may_not_ask_for_vectors() {
    let world = world().await;
    let authority = authority_of(world.bravo());
    let operator = SpiffeId::operator(world.bravo().system.id.clone(), "eve").unwrap();
    let callers = [
        identity_of(world.bravo(), "sip-core"),
        identity_of(world.bravo(), "sip-database"),
        issue(&authority, &operator, valid_for_an_hour()),
    ];
    for caller in callers {
        let refused = decode_status(&ask(&world, caller).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    }
    assert_eq!(all_records(world.alpha()).await, []);
}

async fn point_partner_to(world: &World, endpoint: SocketAddr) {
    world
        .change_agreement_of_partner(|agreement| agreement.peer_endpoints = vec![endpoint.to_string()])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primary_that_is_somebody_else_is_asked_nothing() {
    let world = world().await;
    let charlie = new_authority("charlie.example");
    let impostor = new_authority("alpha.example");
    let identities = [
        issue(&charlie, &mms_of(charlie.mc_system_id()), valid_for_an_hour()),
        issue(&impostor, &mms_of(impostor.mc_system_id()), valid_for_an_hour()),
        issue(&authority_of(world.alpha()), &mms_of(&world.alpha().system.id), expired()),
        identity_of(world.alpha(), "sip-core"),
    ];
    let alice = world.user("alice").identities.impi.as_str();
    for own in identities {
        let who = own.spiffe_id().clone();
        let fake = FakePrimary::start(own, world.bravo(), |_| panic!("nobody asks an impostor")).await;
        point_partner_to(&world, fake.address).await;
        assert_eq!(sip_answer(&world.register("alice").await).0, 503, "{who}");
        assert_eq!(latest_decision(world.bravo(), alice).await, "REFUSED PARTNER_REFUSED_US");
        assert_eq!(fake.calls(), 0);
    }
    point_partner_to(&world, world.alpha().system.addresses.peer.unwrap()).await;
    assert_eq!(sip_answer(&world.register("alice").await).0, 200, "the genuine one is believed at once");
}
