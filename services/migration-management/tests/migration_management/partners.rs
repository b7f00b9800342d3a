//! The agreements as the other entities of the system follow them.

use std::sync::Arc;

use mcx_federation::{BreakerSettings, PartnerDirectory, PartnerRefusal, TrustBundles};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::partner_service_client::PartnerServiceClient;
use mcx_testkit::TrustDomain;
use mcx_types::{Entity, SystemClock};
use migration_management::client::follow_partners;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::fixture::{System, agreement_with, fields, on_every_database};

on_every_database!(
    entity_is_told_of_every_change_of_the_agreements,
    stream_ends_when_the_server_stops,
    follower_keeps_what_it_knows_while_migration_management_is_away,
    malformed_peer_services_are_refused_with_every_field_at_once,
);

fn channel(system: &System, entity: Entity) -> Channel {
    system.own.channel(system.own.entity(entity), Entity::MigrationManagement, system.grpc)
}

async fn watch(system: &System) -> Streaming<proto::WatchPartnersResponse> {
    let mut client = PartnerServiceClient::new(channel(system, Entity::GroupManagement));
    client.watch_partners(proto::WatchPartnersRequest {}).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<proto::WatchPartnersResponse>) -> Vec<proto::Partner> {
    stream.message().await.unwrap().unwrap().partners
}

fn group_management() -> proto::PeerService {
    proto::PeerService {
        entity: "group-management".to_owned(),
        endpoints: vec!["gms.alpha.example:7444".to_owned()],
        presented_entity: String::new(),
    }
}

async fn entity_is_told_of_every_change_of_the_agreements(system: System) {
    let mut stream = watch(&system).await;
    assert_eq!(next(&mut stream).await, []);

    let agreement = system.agree().await;
    let partners = next(&mut stream).await;
    assert_eq!(partners.len(), 1);
    assert_eq!(partners[0].mc_system_id, "alpha.example");
    assert_eq!(partners[0].trust_bundle_pem, system.neighbour.bundle_pem());
    assert_eq!(partners[0].state(), proto::AgreementState::Active);
    let at_one_place = |entity: &str| proto::PeerService {
        entity: entity.to_owned(),
        endpoints: agreement.peer_endpoints.clone(),
        presented_entity: "migration-management".to_owned(),
    };
    let entities = ["migration-management", "configuration-management", "group-management", "mc-service"];
    assert_eq!(partners[0].services, entities.map(at_one_place));

    let changed = proto::Agreement {
        state: proto::AgreementState::Suspended.into(),
        peer_services: vec![group_management()],
        ..agreement.clone()
    };
    let request = proto::UpdateAgreementRequest { agreement: Some(changed), ..Default::default() };
    let changed = system.agreements().update_agreement(request).await.unwrap().into_inner().agreement;
    let named = proto::PeerService { presented_entity: "group-management".to_owned(), ..group_management() };
    assert_eq!(changed.unwrap().peer_services, std::slice::from_ref(&named));
    let partners = next(&mut stream).await;
    assert_eq!(partners[0].state(), proto::AgreementState::Suspended);
    assert_eq!(partners[0].services, [at_one_place("migration-management"), named]);

    let request = proto::DeleteAgreementRequest {
        partner_mc_system_id: "alpha.example".to_owned(),
        ..Default::default()
    };
    system.agreements().delete_agreement(request).await.unwrap();
    assert_eq!(next(&mut stream).await, []);
}

async fn stream_ends_when_the_server_stops(system: System) {
    let mut stream = watch(&system).await;
    next(&mut stream).await;
    drop(system);
    assert_eq!(stream.message().await.unwrap(), None);
}

async fn follower_keeps_what_it_knows_while_migration_management_is_away(system: System) {
    system.agree().await;
    let own = system.own.entity(Entity::McService);
    let bundles = TrustBundles::new(own.clone());
    let dialer = TrustDomain::dialer(own, bundles.clone());
    let directory = PartnerDirectory::new(dialer, bundles, BreakerSettings::default(), Arc::new(SystemClock));
    let alpha = system.neighbour.mc_system_id().clone();
    assert_eq!(directory.partner(&alpha).err(), Some(PartnerRefusal::NotYetKnown));

    let mut stream = watch(&system).await;
    let follower = tokio::spawn(follow_partners(channel(&system, Entity::McService), directory.clone()));
    directory.wait_until_known().await;
    directory.partner(&alpha).unwrap().channel(Entity::McService).unwrap();

    drop(system);
    while stream.message().await.unwrap().is_some() {}
    assert!(!follower.is_finished());
    directory.partner(&alpha).unwrap();
    follower.abort();
}

async fn malformed_peer_services_are_refused_with_every_field_at_once(system: System) {
    let service = |entity: &str, endpoint: &str, presented: &str| proto::PeerService {
        entity: entity.to_owned(),
        endpoints: vec![endpoint.to_owned()],
        presented_entity: presented.to_owned(),
    };
    let broken = proto::Agreement {
        peer_services: vec![
            service("mc-service", "mcs.alpha.example:7443", "mc-service"),
            service("mc-service", "mcs.alpha.example", "nobody"),
            service("sip-core", "sip.alpha.example:7443", ""),
            service("", "gms.alpha.example:7443", ""),
            proto::PeerService { entity: "group-management".to_owned(), ..Default::default() },
        ],
        ..agreement_with(&system.neighbour)
    };
    let request = proto::CreateAgreementRequest { agreement: Some(broken), ..Default::default() };
    assert_eq!(
        fields(system.agreements().create_agreement(request).await),
        [
            "agreement.peer_services[1].entity",
            "agreement.peer_services[1].endpoints[0]",
            "agreement.peer_services[1].presented_entity",
            "agreement.peer_services[2].entity",
            "agreement.peer_services[3].entity",
            "agreement.peer_services[4].endpoints",
        ]
    );
}
