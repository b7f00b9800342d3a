//! Operators who decide on the same users, and hands that are kept off what a migration keeps.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use tonic::Code;
use uuid::Uuid;

use crate::systems::{Systems, fields, of_request, on_every_database, refusal, these};

on_every_database!(
    of_two_operators_who_decide_differently_exactly_one_wins,
    operators_who_decide_the_same_are_both_content,
    unknown_users_are_told_one_by_one,
    primary_cannot_accept_for_its_partner,
    dry_run_of_a_decision_changes_nothing,
    malformed_selection_is_refused,
    binding_and_permit_of_a_migration_are_kept_from_hands,
    agreement_with_a_migration_that_goes_on_stays,
);

async fn of_two_operators_who_decide_differently_exactly_one_wins(systems: Systems) {
    let request_id = systems.pending(&["alice", "bob", "chloe", "dora"]).await;
    let (mut ann, mut ben) = (systems.bravo.migrations_as("ann"), systems.bravo.migrations_as("ben"));
    let listed = systems.bravo.list(&request_id).await;
    let ids: Vec<&str> = listed.iter().map(|migration| migration.migration_id.as_str()).collect();
    let accept = proto::AcceptUserMigrationsRequest { selection: Some(these(&ids)), dry_run: false };
    let refuse = proto::RefuseUserMigrationsRequest { selection: Some(these(&ids)), ..Default::default() };
    let (accepted, refused) =
        tokio::join!(ann.accept_user_migrations(accept), ben.refuse_user_migrations(refuse));
    let accepted = accepted.unwrap().into_inner().results;
    let refused = refused.unwrap().into_inner().results;
    for (accepted, refused) in accepted.iter().zip(&refused) {
        assert_eq!(accepted.migration_id, refused.migration_id);
        let lost = [accepted.reason(), refused.reason()]
            .iter()
            .filter(|reason| **reason == proto::ErrorReason::UserMigrationDecided)
            .count();
        assert_eq!(lost, 1, "{accepted:?} {refused:?}");
    }
    // Whatever was decided is what both systems hold in the end.
    let is_accepted = accepted[0].reason() == proto::ErrorReason::Unspecified;
    let end = if is_accepted { State::InForce } else { State::Refused };
    systems.wait(&request_id, end, end).await;
}

async fn operators_who_decide_the_same_are_both_content(systems: Systems) {
    let request_id = systems.pending(&["alice", "bob"]).await;
    let listed = systems.bravo.list(&request_id).await;
    let ids: Vec<&str> = listed.iter().map(|migration| migration.migration_id.as_str()).collect();
    let (first, second) = tokio::join!(systems.bravo.accept(these(&ids)), systems.bravo.accept(these(&ids)));
    for result in first.iter().chain(&second) {
        assert_eq!(result.reason(), proto::ErrorReason::Unspecified);
    }
    systems.wait(&request_id, State::InForce, State::InForce).await;
    assert_eq!(systems.bravo.binding_count().await, 2);
    let admitted = systems.bravo.audit(ids[0]).await;
    let admitted = admitted.iter().filter(|(action, ..)| action == "ADMIT_USER_MIGRATION").count();
    assert_eq!(admitted, 1);
}

async fn unknown_users_are_told_one_by_one(systems: Systems) {
    let request_id = systems.pending(&["alice"]).await;
    let alice = systems.bravo.list(&request_id).await[0].migration_id.clone();
    let nobody = Uuid::from_u128(1).to_string();
    let results = systems.bravo.accept(these(&[&nobody, &alice])).await;
    assert_eq!(results[0].reason(), proto::ErrorReason::UserMigrationUnknown);
    assert_eq!(results[0].state(), State::Unspecified);
    assert_eq!((results[1].reason(), results[1].state()), (proto::ErrorReason::Unspecified, State::Accepted));
}

async fn primary_cannot_accept_for_its_partner(systems: Systems) {
    let request_id = systems.pending(&["alice"]).await;
    let alice = systems.alpha.list(&request_id).await[0].migration_id.clone();
    let results = systems.alpha.accept(these(&[&alice])).await;
    assert_eq!(results[0].reason(), proto::ErrorReason::UserMigrationDecided);
    assert_eq!(results[0].state(), State::PendingAtPartner);
}

async fn dry_run_of_a_decision_changes_nothing(systems: Systems) {
    let request_id = systems.pending(&["alice"]).await;
    let request =
        proto::AcceptUserMigrationsRequest { selection: Some(of_request(&request_id)), dry_run: true };
    let results = systems.bravo.migrations().accept_user_migrations(request).await.unwrap().into_inner();
    assert_eq!(results.results[0].state(), State::Accepted);
    assert_eq!(systems.bravo.list(&request_id).await[0].state(), State::Pending);
    assert_eq!(systems.bravo.binding_count().await, 0);
}

async fn malformed_selection_is_refused(systems: Systems) {
    let mut client = systems.bravo.migrations();
    let revoke = |selection| proto::RevokeUserMigrationsRequest { selection, ..Default::default() };
    assert_eq!(fields(client.revoke_user_migrations(revoke(None)).await), ["selection"]);
    let nothing = Some(proto::UserMigrationSelection::default());
    assert_eq!(fields(client.revoke_user_migrations(revoke(nothing)).await), ["selection"]);
    let both =
        proto::UserMigrationSelection { peer_mc_system_id: "alpha.example".to_owned(), ..these(&["x"]) };
    let refused = client.revoke_user_migrations(revoke(Some(both))).await;
    assert_eq!(fields(refused), ["selection.migration_ids"]);
    let long = proto::RevokeUserMigrationsRequest {
        selection: Some(these(&["x"])),
        cause: "x".repeat(1_025),
        dry_run: false,
    };
    let refused = client.revoke_user_migrations(long).await;
    assert_eq!(fields(refused), ["selection.migration_ids[0]", "cause"]);
}

async fn binding_and_permit_of_a_migration_are_kept_from_hands(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    let id = alpha.list(&request_id).await[0].migration_id.clone();
    let listed = bravo.bindings().list_bindings(proto::ListBindingsRequest::default()).await.unwrap();
    let binding = listed.into_inner().bindings.remove(0);
    let delete = proto::DeleteBindingRequest { binding_id: binding.binding_id.clone(), ..Default::default() };
    let refused = refusal(bravo.bindings().delete_binding(delete).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "KEPT_BY_USER_MIGRATION"));
    assert_eq!(refused.metadata["migration_id"], id);
    let update = proto::UpdateBindingRequest { binding: Some(binding), ..Default::default() };
    assert_eq!(refusal(bravo.bindings().update_binding(update).await).reason, "KEPT_BY_USER_MIGRATION");

    let listed = alpha.permits().list_permits(proto::ListPermitsRequest::default()).await.unwrap();
    let permit = listed.into_inner().permits.remove(0);
    let delete = proto::DeletePermitRequest { permit_id: permit.permit_id.clone(), ..Default::default() };
    assert_eq!(refusal(alpha.permits().delete_permit(delete).await).reason, "KEPT_BY_USER_MIGRATION");
    let update = proto::UpdatePermitRequest { permit: Some(permit), ..Default::default() };
    assert_eq!(refusal(alpha.permits().update_permit(update).await).reason, "KEPT_BY_USER_MIGRATION");
}

async fn agreement_with_a_migration_that_goes_on_stays(systems: Systems) {
    systems.pending(&["alice"]).await;
    let delete = |partner: &str| proto::DeleteAgreementRequest {
        partner_mc_system_id: partner.to_owned(),
        ..Default::default()
    };
    let refused = refusal(systems.alpha.agreements().delete_agreement(delete("bravo.example")).await);
    assert_eq!(refused.reason, "AGREEMENT_IN_USE");
    let refused = refusal(systems.bravo.agreements().delete_agreement(delete("alpha.example")).await);
    assert_eq!(refused.reason, "AGREEMENT_IN_USE");
}
