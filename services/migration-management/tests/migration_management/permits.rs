//! Permits as operators provision them.

use futures::stream;
use mcx_proto::migration::v1 as proto;
use tonic::Code;

use crate::fixture::{System, fields, identities, on_every_database, reason, refusal};

on_every_database!(
    permit_is_read_back_changed_and_removed,
    malformed_permit_is_refused_with_every_field_at_once,
    permit_for_a_system_without_agreement_is_refused,
    user_has_one_permit_per_partner,
    listing_shows_only_what_was_asked_for,
    import_is_repeatable,
);

fn permit(user: &str) -> proto::MigrationPermit {
    proto::MigrationPermit {
        primary_impi: format!("{user}@bravo.example"),
        partner_mc_system_id: "alpha.example".to_owned(),
        partner_identities: Some(identities(&format!("{user}.bravo"), "visitors.alpha.example")),
        ..Default::default()
    }
}

fn create(permit: proto::MigrationPermit) -> proto::CreatePermitRequest {
    proto::CreatePermitRequest { permit: Some(permit), ..Default::default() }
}

async fn created(system: &System, wanted: proto::MigrationPermit) -> proto::MigrationPermit {
    system.permits().create_permit(create(wanted)).await.unwrap().into_inner().permit.unwrap()
}

async fn permit_is_read_back_changed_and_removed(system: System) {
    system.agree().await;
    let made = created(&system, permit("alice")).await;
    let get = proto::GetPermitRequest { permit_id: made.permit_id.clone() };
    let mut client = system.permits();
    let read = client.get_permit(get.clone()).await.unwrap().into_inner().permit;
    assert_eq!(read.as_ref(), Some(&made));

    let suspended = proto::MigrationPermit { state: proto::PermitState::Suspended.into(), ..made.clone() };
    let update = |permit| proto::UpdatePermitRequest { permit: Some(permit), ..Default::default() };
    let changed = client.update_permit(update(suspended)).await.unwrap().into_inner().permit.unwrap();
    assert_eq!((changed.etag.as_str(), changed.state()), ("2", proto::PermitState::Suspended));
    assert_eq!(reason(client.update_permit(update(made.clone())).await), "ETAG_MISMATCH");

    let delete = proto::DeletePermitRequest { permit_id: made.permit_id, ..Default::default() };
    client.delete_permit(delete.clone()).await.unwrap();
    assert_eq!(reason(client.get_permit(get).await), "PERMIT_UNKNOWN");
    assert_eq!(reason(client.delete_permit(delete).await), "PERMIT_UNKNOWN");
    assert_eq!(reason(client.update_permit(update(changed)).await), "PERMIT_UNKNOWN");
}

async fn malformed_permit_is_refused_with_every_field_at_once(system: System) {
    let broken = proto::MigrationPermit {
        primary_impi: "alice".to_owned(),
        partner_mc_system_id: "bravo.example".to_owned(),
        state: 99,
        ..Default::default()
    };
    assert_eq!(
        fields(system.permits().create_permit(create(broken)).await),
        ["permit.primary_impi", "permit.partner_mc_system_id", "permit.partner_identities", "permit.state",]
    );
}

async fn permit_for_a_system_without_agreement_is_refused(system: System) {
    let refused = refusal(system.permits().create_permit(create(permit("alice"))).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "AGREEMENT_UNKNOWN"));
}

async fn user_has_one_permit_per_partner(system: System) {
    system.agree().await;
    created(&system, permit("alice")).await;
    let second =
        proto::MigrationPermit { partner_identities: permit("bob").partner_identities, ..permit("alice") };
    let refused = refusal(system.permits().create_permit(create(second)).await);
    assert_eq!(
        refused.metadata.get("constraint").map(String::as_str),
        Some("permit_primary_impi_partner_mc_system_id_key")
    );
    let same_visitor =
        proto::MigrationPermit { partner_identities: permit("alice").partner_identities, ..permit("bob") };
    let refused = refusal(system.permits().create_permit(create(same_visitor)).await);
    assert_eq!(
        refused.metadata.get("constraint").map(String::as_str),
        Some("permit_partner_mc_system_id_partner_impi_key")
    );
}

async fn listing_shows_only_what_was_asked_for(system: System) {
    system.agree().await;
    let alice = created(&system, permit("alice")).await;
    let bob = created(&system, permit("bob")).await;
    let list = |request| async { system.permits().list_permits(request).await.unwrap().into_inner().permits };
    assert_eq!(list(proto::ListPermitsRequest::default()).await, [alice, bob.clone()]);
    let of_bob =
        proto::ListPermitsRequest { primary_impi: "bob@bravo.example".to_owned(), ..Default::default() };
    assert_eq!(list(of_bob).await, [bob]);
    let of_others = proto::ListPermitsRequest {
        partner_mc_system_id: "charlie.example".to_owned(),
        ..Default::default()
    };
    assert!(list(of_others).await.is_empty());
}

async fn import_is_repeatable(system: System) {
    system.agree().await;
    let items = || {
        let permits = [permit("alice"), permit("bob")];
        stream::iter(permits.map(|permit| proto::ImportPermitsRequest { permit: Some(permit) }))
    };
    let first = system.permits().import_permits(items()).await.unwrap().into_inner();
    assert_eq!((first.created_count, first.unchanged_count, first.refused_count), (2, 0, 0));
    let second = system.permits().import_permits(items()).await.unwrap().into_inner();
    assert_eq!((second.created_count, second.unchanged_count, second.refused_count), (0, 2, 0));
}
