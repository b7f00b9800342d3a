//! What operators see of migrated users, and put an end to.

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::migrated_user_service_client::MigratedUserServiceClient;
use mcx_types::{Entity, McService};
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{MIGRATION, Systems, fields, on_every_database, reason, refusal, service_id, wire};

on_every_database!(
    migrated_users_are_listed_page_by_page_on_both_sides,
    repeated_request_ejects_nobody_who_has_come_since,
    only_the_users_meant_are_ejected,
    malformed_requests_of_operators_name_every_field_at_once,
    operators_and_migration_management_have_their_own_methods,
);

/// Three clients with MCPTT and one with MCVideo.
async fn four_clients(systems: &Systems) {
    for client in 1..=3 {
        systems.visitor().migrate(systems.migrate(McService::Ptt, Uuid::from_u128(client))).await.unwrap();
    }
    systems.visitor().migrate(systems.migrate(McService::Video, Uuid::from_u128(1))).await.unwrap();
}

async fn migrated_users_are_listed_page_by_page_on_both_sides(systems: Systems) {
    four_clients(&systems).await;
    for (system, direction, other) in [
        (&systems.bravo, proto::MigrationDirection::In, "alpha.example"),
        (&systems.alpha, proto::MigrationDirection::Out, "bravo.example"),
    ] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = proto::ListMigratedUsersRequest {
                mc_system_id: other.to_owned(),
                page_size: 3,
                page_token,
                ..Default::default()
            };
            let page = system.operator().list_migrated_users(request).await.unwrap().into_inner();
            seen.extend(page.migrated_users);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen.len(), 4);
        for user in &seen {
            assert_eq!((user.direction(), user.mc_system_id.as_str()), (direction, other));
            let identity = user.identity.as_ref().unwrap();
            assert!(identity.primary_mc_service_id.ends_with("alpha.example"), "{identity:?}");
            assert!(identity.partner_mc_service_id.ends_with("bravo.example"), "{identity:?}");
            assert_eq!(user.migration_id, MIGRATION.to_string());
        }
        let count = |direction: proto::MigrationDirection, mc_system_id: &str| {
            let request = proto::ListMigratedUsersRequest {
                direction: direction.into(),
                mc_system_id: mc_system_id.to_owned(),
                ..Default::default()
            };
            let mut operator = system.operator();
            async move { operator.list_migrated_users(request).await.unwrap().into_inner().migrated_users.len() }
        };
        assert_eq!(count(direction, "").await, 4);
        assert_eq!(count(direction, "charlie.example").await, 0);
        let opposite = match direction {
            proto::MigrationDirection::In => proto::MigrationDirection::Out,
            _ => proto::MigrationDirection::In,
        };
        assert_eq!(count(opposite, "").await, 0);
    }
}

async fn repeated_request_ejects_nobody_who_has_come_since(systems: Systems) {
    systems.migrated().await;
    let selection =
        proto::MigratedUserSelection { mc_system_id: "alpha.example".to_owned(), ..Default::default() };
    let request = proto::EjectVisitorsRequest {
        selection: Some(selection.clone()),
        request_id: Uuid::from_u128(9).to_string(),
    };
    let first = systems.bravo.operator().eject_visitors(request.clone()).await.unwrap().into_inner();
    assert_eq!(first.ejected.len(), 1);
    systems.migrated().await;
    let second = systems.bravo.operator().eject_visitors(request.clone()).await.unwrap().into_inner();
    assert_eq!(second, first);
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations.len(), 1);
    let other = proto::EjectVisitorsRequest {
        selection: Some(proto::MigratedUserSelection { mc_service: wire(McService::Ptt), ..selection }),
        ..request
    };
    assert_eq!(reason(systems.bravo.operator().eject_visitors(other).await).0, "REQUEST_ID_REUSED");
}

async fn only_the_users_meant_are_ejected(systems: Systems) {
    four_clients(&systems).await;
    let eject = |selection: proto::MigratedUserSelection| {
        let request = proto::EjectVisitorsRequest { selection: Some(selection), request_id: String::new() };
        let mut operator = systems.bravo.operator();
        async move { operator.eject_visitors(request).await.unwrap().into_inner().ejected.len() }
    };
    let by_id = |subject: &str| proto::MigratedUserSelection {
        mc_service_ids: vec![service_id(McService::Ptt, subject, &systems.bravo.id).to_string()],
        ..Default::default()
    };
    assert_eq!(eject(by_id("bob")).await, 0);
    let of_charlie =
        proto::MigratedUserSelection { mc_system_id: "charlie.example".to_owned(), ..Default::default() };
    assert_eq!(eject(of_charlie).await, 0);
    let video = proto::MigratedUserSelection {
        mc_service: wire(McService::Video),
        mc_system_id: "alpha.example".to_owned(),
        ..Default::default()
    };
    assert_eq!(eject(video).await, 1);
    assert_eq!(eject(by_id("alice.alpha")).await, 3);
}

async fn malformed_requests_of_operators_name_every_field_at_once(systems: Systems) {
    let mut operator = systems.alpha.operator();
    let broken = proto::ListMigratedUsersRequest {
        direction: 7,
        mc_system_id: "-".to_owned(),
        page_size: 5_000,
        page_token: "first".to_owned(),
    };
    let outcome = operator.list_migrated_users(broken).await;
    assert_eq!(fields(outcome), ["direction", "mc_system_id", "page_size", "page_token"]);
    let outcome = operator.get_serving_system(proto::GetServingSystemRequest::default()).await;
    assert_eq!(fields(outcome), ["identity"]);
    let broken = proto::EjectVisitorsRequest {
        selection: Some(proto::MigratedUserSelection::default()),
        request_id: "once".to_owned(),
    };
    assert_eq!(fields(operator.eject_visitors(broken).await), ["request_id", "selection"]);
    let broken = proto::RecallUsersRequest {
        selection: Some(proto::MigratedUserSelection {
            mc_service: 7,
            mc_service_ids: vec!["alice".to_owned()],
            mc_system_id: String::new(),
        }),
        request_id: String::new(),
    };
    let outcome = operator.recall_users(broken).await;
    assert_eq!(fields(outcome), ["selection.mc_service", "selection.mc_service_ids[0]"]);
    let mut migration_management =
        MigratedUserServiceClient::new(systems.alpha.entity(Entity::MigrationManagement));
    let broken = proto::EndMigrationsRequest { migration_ids: vec!["7".to_owned()], reason: 99 };
    let outcome = migration_management.end_migrations(broken).await;
    assert_eq!(fields(outcome), ["migration_ids[0]", "reason"]);
}

async fn operators_and_migration_management_have_their_own_methods(systems: Systems) {
    let request = proto::EndMigrationsRequest { migration_ids: vec![MIGRATION.to_string()], reason: 0 };
    let refused = refusal(systems.alpha.operator().end_migrations(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    let mut migration_management =
        MigratedUserServiceClient::new(systems.alpha.entity(Entity::MigrationManagement));
    let refused = refusal(migration_management.recall_users(proto::RecallUsersRequest::default()).await);
    assert_eq!(refused.reason, "METHOD_NOT_ALLOWED");
}
