//! Bindings as operators provision them, and the rules that the store holds to.

use futures::stream;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::get_binding_request::Binding as Key;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{System, fields, identities, on_every_database, reason, refusal};

on_every_database!(
    binding_is_found_by_its_identifier_and_by_the_visitor,
    malformed_binding_is_refused_with_every_field_at_once,
    binding_to_a_system_without_agreement_is_refused,
    identities_of_a_visitor_are_of_one_binding_only,
    stale_etag_overwrites_nothing,
    repeated_request_gets_the_first_answer_and_another_one_is_refused,
    pages_hold_every_binding_once,
    import_is_repeatable_and_tells_what_it_refused,
    unknown_binding_is_not_found,
);

fn binding(user: &str) -> proto::Binding {
    proto::Binding {
        partner_identities: Some(identities(&format!("{user}.alpha"), "visitors.bravo.example")),
        primary_identities: Some(identities(user, "alpha.example")),
        primary_mc_system_id: "alpha.example".to_owned(),
        ..Default::default()
    }
}

fn create(binding: proto::Binding) -> proto::CreateBindingRequest {
    proto::CreateBindingRequest { binding: Some(binding), ..Default::default() }
}

fn update(binding: proto::Binding) -> proto::UpdateBindingRequest {
    proto::UpdateBindingRequest { binding: Some(binding), ..Default::default() }
}

fn get(key: Key) -> proto::GetBindingRequest {
    proto::GetBindingRequest { binding: Some(key) }
}

async fn created(system: &System, wanted: proto::Binding) -> proto::Binding {
    system.bindings().create_binding(create(wanted)).await.unwrap().into_inner().binding.unwrap()
}

async fn binding_is_found_by_its_identifier_and_by_the_visitor(system: System) {
    system.agree().await;
    let made = created(&system, binding("alice")).await;
    assert_eq!((made.etag.as_str(), made.state()), ("1", proto::BindingState::Enabled));
    assert_eq!(made.signalling_access(), proto::SignallingAccess::FederatedAuth);
    assert_eq!(made.partner_identities, binding("alice").partner_identities);
    assert_eq!(made.primary_identities, binding("alice").primary_identities);
    for key in [
        Key::BindingId(made.binding_id.clone()),
        Key::PartnerImpi("alice.alpha@visitors.bravo.example".to_owned()),
    ] {
        let found = system.bindings().get_binding(get(key)).await.unwrap().into_inner().binding;
        assert_eq!(found.as_ref(), Some(&made));
    }
}

async fn malformed_binding_is_refused_with_every_field_at_once(system: System) {
    let broken = proto::Binding {
        partner_identities: None,
        primary_identities: Some(mcx_proto::types::v1::SipIdentities {
            impi: "alice".to_owned(),
            impus: vec!["sip:alice@alpha.example".to_owned(), "alice".to_owned()],
        }),
        primary_mc_system_id: "bravo.example".to_owned(),
        signalling_access: 99,
        state: 99,
        ..Default::default()
    };
    let outcome = system.bindings().create_binding(create(broken)).await;
    assert_eq!(
        fields(outcome),
        [
            "binding.partner_identities",
            "binding.primary_identities.impi",
            "binding.primary_identities.impus[1]",
            "binding.primary_mc_system_id",
            "binding.signalling_access",
            "binding.state",
        ]
    );
}

async fn binding_to_a_system_without_agreement_is_refused(system: System) {
    let refused = refusal(system.bindings().create_binding(create(binding("alice"))).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "AGREEMENT_UNKNOWN"));
    assert_eq!(refused.metadata.get("mc_system_id").map(String::as_str), Some("alpha.example"));
}

async fn identities_of_a_visitor_are_of_one_binding_only(system: System) {
    system.agree().await;
    created(&system, binding("alice")).await;
    let other = || binding("bob");
    let taken = [
        (
            proto::Binding { partner_identities: binding("alice").partner_identities, ..other() },
            "binding_partner_impi_key",
        ),
        (
            proto::Binding { primary_identities: binding("alice").primary_identities, ..other() },
            "binding_primary_mc_system_id_primary_impi_key",
        ),
        (
            proto::Binding {
                partner_identities: Some(mcx_proto::types::v1::SipIdentities {
                    impi: "bob.alpha@visitors.bravo.example".to_owned(),
                    impus: vec!["sip:alice.alpha@visitors.bravo.example".to_owned()],
                }),
                ..other()
            },
            "binding_partner_impu_pkey",
        ),
    ];
    for (second, constraint) in taken {
        let refused = refusal(system.bindings().create_binding(create(second)).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "IDENTITY_TAKEN"));
        assert_eq!(refused.metadata.get("constraint").map(String::as_str), Some(constraint));
    }
    created(&system, other()).await;
}

async fn stale_etag_overwrites_nothing(system: System) {
    system.agree().await;
    let first = created(&system, binding("alice")).await;
    let suspended = proto::Binding { state: proto::BindingState::Suspended.into(), ..first.clone() };
    let mut client = system.bindings();
    let second = client.update_binding(update(suspended)).await.unwrap().into_inner().binding.unwrap();
    assert_eq!((second.etag.as_str(), second.state()), ("2", proto::BindingState::Suspended));

    let refused = refusal(client.update_binding(update(first.clone())).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let stale = proto::DeleteBindingRequest {
        binding_id: first.binding_id.clone(),
        etag: "1".to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(client.delete_binding(stale).await), "ETAG_MISMATCH");
    let found = client.get_binding(get(Key::BindingId(first.binding_id))).await.unwrap().into_inner();
    assert_eq!(found.binding, Some(second));
}

async fn repeated_request_gets_the_first_answer_and_another_one_is_refused(system: System) {
    system.agree().await;
    let request_id = Uuid::from_u128(7).to_string();
    let first = proto::CreateBindingRequest { request_id: request_id.clone(), ..create(binding("alice")) };
    let mut client = system.bindings();
    let answer = client.create_binding(first.clone()).await.unwrap().into_inner();
    let repeated = client.create_binding(first).await.unwrap().into_inner();
    assert_eq!(repeated, answer);

    let other = proto::CreateBindingRequest { request_id, ..create(binding("bob")) };
    let refused = refusal(client.create_binding(other).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
}

async fn pages_hold_every_binding_once(system: System) {
    system.agree().await;
    let users = ["alice", "bob", "chloe", "dora", "emil"];
    let mut wanted = Vec::new();
    for user in users {
        wanted.push(created(&system, binding(user)).await.binding_id);
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = proto::ListBindingsRequest {
            page_size: 2,
            page_token,
            primary_mc_system_id: "alpha.example".to_owned(),
        };
        let page = system.bindings().list_bindings(request).await.unwrap().into_inner();
        assert!(page.bindings.len() <= 2);
        seen.extend(page.bindings.into_iter().map(|binding| binding.binding_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, wanted);
    let of_others = proto::ListBindingsRequest {
        primary_mc_system_id: "charlie.example".to_owned(),
        ..Default::default()
    };
    assert!(system.bindings().list_bindings(of_others).await.unwrap().into_inner().bindings.is_empty());
    let too_many = proto::ListBindingsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(system.bindings().list_bindings(too_many).await), ["page_size"]);
}

async fn import_is_repeatable_and_tells_what_it_refused(system: System) {
    system.agree().await;
    let nonsense = proto::Binding { primary_mc_system_id: "?".to_owned(), ..binding("bob") };
    let taken =
        proto::Binding { primary_identities: binding("alice").primary_identities, ..binding("chloe") };
    let items = [binding("alice"), nonsense, taken, binding("dora")];
    let items =
        || stream::iter(items.clone().map(|binding| proto::ImportBindingsRequest { binding: Some(binding) }));
    let first = system.bindings().import_bindings(items()).await.unwrap().into_inner();
    assert_eq!((first.created_count, first.unchanged_count, first.refused_count), (2, 0, 2));
    let refusals: Vec<_> = first
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.reason(), refusal.description.as_str()))
        .collect();
    assert_eq!(refusals[0].0, 1);
    assert_eq!(refusals[0].1, proto::ErrorReason::InvalidRequest);
    assert!(refusals[0].2.starts_with("binding.primary_mc_system_id "), "{}", refusals[0].2);
    assert_eq!((refusals[1].0, refusals[1].1), (2, proto::ErrorReason::IdentityTaken));

    let second = system.bindings().import_bindings(items()).await.unwrap().into_inner();
    assert_eq!((second.created_count, second.unchanged_count, second.refused_count), (0, 2, 2));
}

async fn unknown_binding_is_not_found(system: System) {
    let unknown = Uuid::from_u128(7).to_string();
    let mut client = system.bindings();
    for key in [Key::BindingId(unknown.clone()), Key::PartnerImpi("nobody@visitors.bravo.example".to_owned())]
    {
        let refused = refusal(client.get_binding(get(key)).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "BINDING_UNKNOWN"));
    }
    let request = proto::DeleteBindingRequest { binding_id: unknown, ..Default::default() };
    assert_eq!(reason(client.delete_binding(request).await), "BINDING_UNKNOWN");
}
