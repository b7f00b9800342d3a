//! TS 23.280 10.1.6.2 from one end to the other.

use crossband_tests::World;
use crossband_tests::records::{all_records, decision, records_of};
use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::isim::SequenceArray;
use mcx_proto::migration::v1::AuditRole;
use mcx_proto::sipcore::v1 as sipcore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

use crate::on_both_kinds_of_stores;

on_both_kinds_of_stores!(
    visitor_registers_with_a_vector_from_her_primary,
    registration_is_refreshed_and_ended,
    ended_registration_is_told_to_watchers,
    user_of_the_sha_256_scheme_registers_with_it,
    stale_sequence_number_heals_over_both_systems,
);

async fn registration_of(world: &World, name: &str) -> Option<sipcore::Registration> {
    let impu = world.user(name).partner.identities.impus[0].to_string();
    let mut client = world.bravo().operator.registrations.clone();
    match client.get_registration(sipcore::GetRegistrationRequest { impu }).await {
        Ok(answer) => answer.into_inner().registration,
        Err(status) if status.code() == tonic::Code::NotFound => None,
        Err(status) => panic!("{status}"),
    }
}

fn fingerprint_of_the_partner(world: &World) -> String {
    let file = world.bravo().certificates.directory.join("migration-management.pem");
    hex::encode(Sha256::digest(CertificateDer::from_pem_file(file).unwrap()))
}

async fn visitor_registers_with_a_vector_from_her_primary(world: World) {
    let alice = world.user("alice");
    assert_eq!(registration_of(&world, "alice").await, None);
    let registered = world.register("alice").await.unwrap();
    assert_eq!(registered.associated_impus, alice.partner.identities.impus);
    assert_eq!((registered.challenges_answered, registered.resynchronised), (1, false));

    let seen = registration_of(&world, "alice").await.unwrap();
    assert_eq!(seen.impi, alice.partner.identities.impi.as_str());
    assert!(seen.visitor);
    assert_eq!(seen.contacts.len(), 1);
    assert_eq!(seen.contacts[0].transport(), sipcore::SipTransport::Udp);

    let records = records_of(world.alpha(), alice.identities.impi.as_str()).await;
    let [record] = records.as_slice() else { panic!("one vector was released: {records:?}") };
    assert_eq!((decision(record).as_str(), record.role()), ("RELEASED", AuditRole::Primary));
    assert_eq!(record.peer_mc_system_id, "bravo.example");
    assert_eq!(record.partner_impi, alice.partner.identities.impi.as_str());
    assert_eq!(record.vector_count, 1);
    assert!(record.transaction_id.parse::<uuid::Uuid>().is_ok());
    assert_eq!(record.peer_certificate_sha256, fingerprint_of_the_partner(&world));
    assert_eq!(all_records(world.bravo()).await, [], "the partner refused nothing");
}

async fn registration_is_refreshed_and_ended(world: World) {
    let mut phone = world.phone("alice").connect().await.unwrap();
    phone.register().await.unwrap();
    let first = registration_of(&world, "alice").await.unwrap();
    let refreshed = phone.register().await.unwrap();
    assert_eq!((refreshed.contacts.len(), refreshed.resynchronised), (1, false));
    let second = registration_of(&world, "alice").await.unwrap();
    assert_eq!(second.contacts[0].uri, first.contacts[0].uri);
    assert_ne!(second.contacts[0].expire_time, first.contacts[0].expire_time);
    assert!(phone.deregister().await.unwrap().contacts.is_empty());
    assert_eq!(registration_of(&world, "alice").await, None);
    let alice = world.user("alice").identities.impi.to_string();
    assert_eq!(records_of(world.alpha(), &alice).await.len(), 3, "every REGISTER is authenticated");
}

async fn ended_registration_is_told_to_watchers(world: World) {
    let impu = world.user("bob").partner.identities.impus[0].to_string();
    let request = sipcore::WatchRegistrationsRequest { impu, include_current: true };
    let mut changes =
        world.bravo().operator.registrations.clone().watch_registrations(request).await.unwrap().into_inner();
    let mut phone = world.phone("bob").connect().await.unwrap();
    phone.register().await.unwrap();
    let change = changes.message().await.unwrap().unwrap().change();
    assert_eq!(change, sipcore::RegistrationChange::Registered);
    phone.deregister_all().await.unwrap();
    let change = changes.message().await.unwrap().unwrap().change();
    assert_eq!(change, sipcore::RegistrationChange::Deregistered);
}

async fn user_of_the_sha_256_scheme_registers_with_it(mut world: World) {
    world.add_user("dora", "chloe", DigestAlgorithm::AkaV2Sha256).await;
    let mut phone = world.phone("dora").connect().await.unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let observed = Arc::clone(&seen);
    phone.observe(Arc::new(move |event| {
        observed.lock().unwrap().push(String::from_utf8_lossy(&event.message).into_owned());
    }));
    phone.register().await.unwrap();
    let seen = seen.lock().unwrap();
    let challenge = seen.iter().find(|message| message.starts_with("SIP/2.0 401")).unwrap();
    assert!(challenge.contains("AKAv2-SHA-256"), "{challenge}");
}

async fn stale_sequence_number_heals_over_both_systems(world: World) {
    let mut phone = world.phone("alice");
    let ahead = phone.sequences.to_integers().map(|sequence| sequence + 100_000);
    phone.sequences = SequenceArray::try_from(ahead.as_slice()).unwrap();
    let registered = crossband_tests::world::register(phone).await.unwrap();
    assert!(registered.resynchronised);
    let alice = world.user("alice").identities.impi.to_string();
    let records = records_of(world.alpha(), &alice).await;
    let actions: Vec<_> =
        records.iter().map(|record| (record.action().as_str_name(), decision(record))).collect();
    let released = |action| (action, "RELEASED".to_owned());
    assert_eq!(
        actions,
        [
            released("AUDITED_ACTION_RESYNCHRONISE"),
            released("AUDITED_ACTION_GET_SIP_AUTHENTICATION_INFORMATION")
        ]
    );
}
