//! Agreements as operators provision them.

use futures::stream;
use mcx_proto::migration::v1 as proto;
use tonic::Code;

use crate::fixture::{System, agreement_with, fields, identities, on_every_database, reason, refusal};

on_every_database!(
    agreement_is_read_back_as_created,
    malformed_agreement_is_refused_with_every_field_at_once,
    second_agreement_with_the_same_system_is_refused,
    stale_etag_overwrites_nothing,
    agreement_that_a_binding_names_stays,
    unknown_agreement_is_not_found,
    import_is_repeatable_and_tells_what_it_refused,
);

fn create(agreement: proto::Agreement) -> proto::CreateAgreementRequest {
    proto::CreateAgreementRequest { agreement: Some(agreement), ..Default::default() }
}

fn get(system: &System) -> proto::GetAgreementRequest {
    proto::GetAgreementRequest { partner_mc_system_id: system.neighbour.mc_system_id().to_string() }
}

fn delete(system: &System) -> proto::DeleteAgreementRequest {
    let partner_mc_system_id = system.neighbour.mc_system_id().to_string();
    proto::DeleteAgreementRequest { partner_mc_system_id, ..Default::default() }
}

async fn agreement_is_read_back_as_created(system: System) {
    let limits = proto::AgreementLimits { requests_per_minute: Some(7), ..Default::default() };
    let wanted = proto::Agreement {
        limits: Some(limits),
        valid_until: Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 }),
        ..agreement_with(&system.neighbour)
    };
    let mut client = system.agreements();
    let created =
        client.create_agreement(create(wanted.clone())).await.unwrap().into_inner().agreement.unwrap();
    let as_wanted = proto::Agreement {
        etag: String::new(),
        create_time: None,
        update_time: None,
        state: wanted.state,
        ..created.clone()
    };
    assert_eq!(as_wanted, wanted);
    assert_eq!((created.etag.as_str(), created.state()), ("1", proto::AgreementState::Active));
    let read = client.get_agreement(get(&system)).await.unwrap().into_inner().agreement;
    assert_eq!(read.as_ref(), Some(&created));
    let listed = client.list_agreements(proto::ListAgreementsRequest::default()).await.unwrap().into_inner();
    assert_eq!((listed.agreements, listed.next_page_token), (vec![created], String::new()));
}

async fn malformed_agreement_is_refused_with_every_field_at_once(system: System) {
    let broken = proto::Agreement {
        partner_mc_system_id: system.own.mc_system_id().to_string(),
        peer_endpoints: vec!["mms.alpha.example".to_owned()],
        trust_bundle_pem: "no certificate".to_owned(),
        state: 99,
        partner_may_ask: vec![0],
        limits: Some(proto::AgreementLimits { requests_per_minute: Some(0), ..Default::default() }),
        valid_from: Some(prost_types::Timestamp { seconds: 20, nanos: 0 }),
        valid_until: Some(prost_types::Timestamp { seconds: 10, nanos: 0 }),
        ..Default::default()
    };
    let request = proto::CreateAgreementRequest { agreement: Some(broken), request_id: "seven".to_owned() };
    let outcome = system.agreements().create_agreement(request).await;
    assert_eq!(
        fields(outcome),
        [
            "request_id",
            "agreement.partner_mc_system_id",
            "agreement.peer_endpoints[0]",
            "agreement.trust_bundle_pem",
            "agreement.state",
            "agreement.valid_until",
            "agreement.partner_may_ask[0]",
            "agreement.limits.requests_per_minute",
        ]
    );
}

async fn second_agreement_with_the_same_system_is_refused(system: System) {
    system.agree().await;
    let outcome = system.agreements().create_agreement(create(agreement_with(&system.neighbour))).await;
    let refused = refusal(outcome);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "IDENTITY_TAKEN"));
    assert_eq!(refused.metadata.get("constraint").map(String::as_str), Some("agreement_pkey"));
}

async fn stale_etag_overwrites_nothing(system: System) {
    let first = system.agree().await;
    let suspended = proto::Agreement { state: proto::AgreementState::Suspended.into(), ..first.clone() };
    let update =
        |agreement| proto::UpdateAgreementRequest { agreement: Some(agreement), ..Default::default() };
    let mut client = system.agreements();
    let second = client.update_agreement(update(suspended)).await.unwrap().into_inner().agreement.unwrap();
    assert_eq!((second.etag.as_str(), second.state()), ("2", proto::AgreementState::Suspended));

    let refused = refusal(client.update_agreement(update(first)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let stale = proto::DeleteAgreementRequest { etag: "1".to_owned(), ..delete(&system) };
    assert_eq!(reason(client.delete_agreement(stale).await), "ETAG_MISMATCH");
    assert_eq!(client.get_agreement(get(&system)).await.unwrap().into_inner().agreement, Some(second));
}

async fn agreement_that_a_binding_names_stays(system: System) {
    system.agree().await;
    let binding = proto::Binding {
        partner_identities: Some(identities("alice.alpha", "visitors.bravo.example")),
        primary_identities: Some(identities("alice", "alpha.example")),
        primary_mc_system_id: "alpha.example".to_owned(),
        ..Default::default()
    };
    let request = proto::CreateBindingRequest { binding: Some(binding), ..Default::default() };
    let created = system.bindings().create_binding(request).await.unwrap().into_inner().binding.unwrap();
    let mut client = system.agreements();
    assert_eq!(reason(client.delete_agreement(delete(&system)).await), "AGREEMENT_IN_USE");

    let request = proto::DeleteBindingRequest { binding_id: created.binding_id, ..Default::default() };
    system.bindings().delete_binding(request).await.unwrap();
    client.delete_agreement(delete(&system)).await.unwrap();
    assert_eq!(reason(client.get_agreement(get(&system)).await), "AGREEMENT_UNKNOWN");
}

async fn unknown_agreement_is_not_found(system: System) {
    let mut client = system.agreements();
    let refused = refusal(client.get_agreement(get(&system)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "AGREEMENT_UNKNOWN"));
    assert_eq!(reason(client.delete_agreement(delete(&system)).await), "AGREEMENT_UNKNOWN");
    let unknown = proto::Agreement { etag: "1".to_owned(), ..agreement_with(&system.neighbour) };
    let request = proto::UpdateAgreementRequest { agreement: Some(unknown), ..Default::default() };
    assert_eq!(reason(client.update_agreement(request).await), "AGREEMENT_UNKNOWN");
}

async fn import_is_repeatable_and_tells_what_it_refused(system: System) {
    let nowhere = proto::Agreement { peer_endpoints: Vec::new(), ..agreement_with(&system.neighbour) };
    let other = proto::Agreement {
        peer_endpoints: vec!["mms2.alpha.example:7443".to_owned()],
        ..agreement_with(&system.neighbour)
    };
    let items = [agreement_with(&system.neighbour), nowhere, other];
    let items = || {
        stream::iter(
            items.clone().map(|agreement| proto::ImportAgreementsRequest { agreement: Some(agreement) }),
        )
    };
    let mut client = system.agreements();
    let first = client.import_agreements(items()).await.unwrap().into_inner();
    assert_eq!((first.created_count, first.unchanged_count, first.refused_count), (1, 0, 2));
    let reasons: Vec<_> = first.refusals.iter().map(|refusal| (refusal.index, refusal.reason())).collect();
    assert_eq!(reasons, [(1, proto::ErrorReason::InvalidRequest), (2, proto::ErrorReason::IdentityTaken)]);

    let second = client.import_agreements(items()).await.unwrap().into_inner();
    assert_eq!((second.created_count, second.unchanged_count, second.refused_count), (0, 1, 2));

    // What was imported is in force: the neighbour's certificates are believed now, so that it is answered, if with a refusal.
    let asked = proto::FederationServiceGetSipAuthenticationInformationRequest::default();
    let outcome = system.as_neighbour().get_sip_authentication_information(asked).await;
    assert_eq!(reason(outcome), "INVALID_REQUEST");
}
