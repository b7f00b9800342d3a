//! From the request of alpha's operator until everything is in place in both systems.

use std::collections::BTreeMap;
use std::time::Duration;

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::types::v1::McService;
use mcx_testkit::Fault as NetworkFault;

use crate::entities::{Entities, Place};
use crate::systems::{Systems, count, identities, of_request, on_every_database, user_to_migrate};

on_every_database!(
    accepted_users_are_put_in_place_in_both_systems,
    progress_is_told_from_the_request_to_the_end,
    refused_user_leaves_nothing_in_place_and_both_systems_know_why,
    only_the_services_asked_for_are_migrated,
    every_decision_is_recorded_with_who_made_it,
    user_who_was_refused_can_be_requested_again,
    user_whom_an_entity_refuses_holds_up_nobody_else,
    what_the_partner_could_not_be_told_is_told_once_the_agreement_is_written_anew,
);

/// What is in place at a primary, or at a partner, for some users.
pub(crate) fn places(entities: &Entities) -> BTreeMap<Place, usize> {
    entities.in_place()
}

pub(crate) fn of_primary(users: usize) -> BTreeMap<Place, usize> {
    [Place::ExchangeTargets, Place::MigrationTargets, Place::SharedUsers].map(|place| (place, users)).into()
}

pub(crate) fn of_partner(users: usize) -> BTreeMap<Place, usize> {
    [Place::VisitorIdentities, Place::VisitorConfiguration, Place::VisitorGroups]
        .map(|place| (place, users))
        .into()
}

async fn accepted_users_are_put_in_place_in_both_systems(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice", "bob"]).await;
    assert_eq!(places(&alpha.entities), of_primary(2));
    assert_eq!(places(&bravo.entities), of_partner(2));

    let own = &alpha.list(&request_id).await[0];
    let visitor = &bravo.list(&request_id).await[0];
    assert_eq!(own.migration_id, visitor.migration_id);
    assert_eq!((own.role(), visitor.role()), (proto::MigrationRole::Primary, proto::MigrationRole::Partner));
    assert_eq!((own.mc_id.as_str(), visitor.mc_id.as_str()), ("alice@alpha.example", ""));
    let grant = own.grant.clone().unwrap();
    assert_eq!(visitor.grant.as_ref(), Some(&grant));
    let visitor_identities = identities("alice.alpha-example", "visitors.bravo.example");
    assert_eq!(grant.visitor_identities.as_ref(), Some(&visitor_identities));
    let at_bravo: Vec<_> = grant
        .mc_service_identities
        .iter()
        .map(|identity| (identity.mc_service(), identity.mc_service_id.as_str()))
        .collect();
    let id = "sip:alice.alpha-example@visitors.bravo.example";
    assert_eq!(at_bravo, [(McService::Ptt, id), (McService::Data, id)]);

    let access = alpha.get(&own.migration_id).await.access_information.unwrap();
    assert_eq!(access.visitor_identities, Some(visitor_identities.clone()));
    let servers = access.initial_ue_configuration.unwrap().servers.unwrap();
    assert_eq!(servers.identity_management_token_endpoint, "https://idms.bravo.example/token");

    // What 10.1.6.2 stands on: the binding at the partner, the permit at the primary, of the same identities.
    let key = proto::get_binding_request::Binding::PartnerImpi(visitor_identities.impi.clone());
    let request = proto::GetBindingRequest { binding: Some(key) };
    let binding = bravo.bindings().get_binding(request).await.unwrap().into_inner().binding.unwrap();
    assert_eq!(binding.migration_id, own.migration_id);
    assert_eq!(binding.primary_identities, Some(identities("alice", "alpha.example")));
    let request =
        proto::ListPermitsRequest { primary_impi: "alice@alpha.example".to_owned(), ..Default::default() };
    let permits = alpha.permits().list_permits(request).await.unwrap().into_inner().permits;
    assert_eq!(permits.len(), 1);
    assert_eq!(permits[0].migration_id, own.migration_id);
    assert_eq!(permits[0].partner_identities, Some(visitor_identities));
}

async fn progress_is_told_from_the_request_to_the_end(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.pending(&["alice", "bob"]).await;
    let mut stream = alpha.watch(&request_id).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.user_count, first.settled_count), (2, 0));
    assert_eq!(count(&first, State::PendingAtPartner), 2);
    bravo.accept(of_request(&request_id)).await;
    let mut last = first;
    while let Some(progress) = stream.message().await.unwrap() {
        assert_ne!(progress, last);
        last = progress;
    }
    assert_eq!((last.settled_count, count(&last, State::InForce)), (2, 2));
    let unknown = uuid::Uuid::from_u128(1).to_string();
    let refused = crate::systems::refusal(alpha.watch(&unknown).await);
    assert_eq!(refused.reason, "USER_MIGRATION_REQUEST_UNKNOWN");
}

async fn refused_user_leaves_nothing_in_place_and_both_systems_know_why(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.pending(&["alice"]).await;
    bravo.refuse(of_request(&request_id)).await;
    systems.wait(&request_id, State::Refused, State::Refused).await;
    let own = &alpha.list(&request_id).await[0];
    assert_eq!(own.reason(), proto::ErrorReason::RefusedByOperator);
    assert_eq!(own.cause, "no radio to spare");
    assert_eq!(places(&alpha.entities), BTreeMap::new());
    assert_eq!(places(&bravo.entities), BTreeMap::new());
    assert_eq!((alpha.permit_count().await, bravo.binding_count().await), (0, 0));
}

async fn only_the_services_asked_for_are_migrated(systems: Systems) {
    let user = proto::UserToMigrate { mc_services: vec![McService::Data.into()], ..user_to_migrate("alice") };
    let request_id = systems.request_users(vec![user]).await;
    systems.wait(&request_id, State::PendingAtPartner, State::Pending).await;
    systems.bravo.accept(of_request(&request_id)).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
    let grant = systems.alpha.list(&request_id).await[0].grant.clone().unwrap();
    let services: Vec<_> = grant.mc_service_identities.iter().map(|identity| identity.mc_service()).collect();
    assert_eq!(services, [McService::Data]);
    assert!(grant.scopes.contains(&"3gpp:mc:data_service".to_owned()));
    assert!(!grant.scopes.contains(&"3gpp:mc:ptt_service".to_owned()));
}

async fn every_decision_is_recorded_with_who_made_it(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    bravo.revoke(of_request(&request_id)).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    let id = alpha.list(&request_id).await[0].migration_id.clone();
    let record = |action: &str, by: &str| (action.to_owned(), "DONE".to_owned(), format!("spiffe://{by}"));
    let alphas = "alpha.example/migration-management";
    let bravos = "bravo.example/migration-management";
    assert_eq!(
        alpha.audit(&id).await,
        [
            record("REQUEST_USER_MIGRATION", "alpha.example/operator/duty"),
            record("ADMIT_USER_MIGRATION", bravos),
            record("COMPLETE_USER_MIGRATION", alphas),
            record("REVOKE_USER_MIGRATION", bravos),
            record("COMPLETE_REVOCATION", alphas),
        ]
    );
    assert_eq!(
        bravo.audit(&id).await,
        [
            record("REQUEST_USER_MIGRATION", alphas),
            record("ADMIT_USER_MIGRATION", "bravo.example/operator/duty"),
            record("COMPLETE_USER_MIGRATION", bravos),
            record("REVOKE_USER_MIGRATION", "bravo.example/operator/duty"),
            record("COMPLETE_REVOCATION", bravos),
        ]
    );
}

async fn user_who_was_refused_can_be_requested_again(systems: Systems) {
    let request_id = systems.pending(&["alice"]).await;
    systems.bravo.refuse(of_request(&request_id)).await;
    systems.wait(&request_id, State::Refused, State::Refused).await;
    systems.in_force(&["alice"]).await;
    assert_eq!(places(&systems.bravo.entities), of_partner(1));
}

async fn user_whom_an_entity_refuses_holds_up_nobody_else(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    bravo.entities.refuse("bob@alpha.example");
    let request_id = systems.pending(&["alice", "bob", "chloe"]).await;
    let mut stream = alpha.watch(&request_id).await.unwrap();
    bravo.accept(of_request(&request_id)).await;
    loop {
        let progress = stream.message().await.unwrap().unwrap();
        if count(&progress, State::InForce) == 2 {
            break;
        }
    }
    let obstacle = bravo.wait_for_obstacle(&request_id).await;
    assert_eq!((obstacle.step.as_str(), obstacle.user_count), ("PUT_VISITOR_IDENTITIES", 1));
    assert!(obstacle.last_error.starts_with("ENTITY_REFUSED: "), "{}", obstacle.last_error);
    let listed = bravo.list(&request_id).await;
    let stuck = listed.iter().find(|migration| migration.state() == State::Accepted).unwrap();
    assert_eq!(stuck.primary_identities, Some(identities("bob", "alpha.example")));
    assert!(stuck.failed_attempt_count > 0 && stuck.next_attempt_time.is_some());
}

async fn what_the_partner_could_not_be_told_is_told_once_the_agreement_is_written_anew(systems: Systems) {
    let mut systems = Systems { ..systems };
    systems.alpha.kill().await;
    systems.alpha.first_retry = Duration::from_secs(24 * 3_600);
    systems.alpha.start().await;
    systems.bravo.proxy.set(NetworkFault::Down);
    let request_id = systems.request(&["alice", "bob"]).await;
    let obstacle = systems.alpha.wait_for_obstacle(&request_id).await;
    assert_eq!((obstacle.step.as_str(), obstacle.user_count), ("OFFER", 2));

    systems.bravo.proxy.set(NetworkFault::None);
    systems.alpha.renew_agreement_with(&systems.bravo).await;
    systems.wait(&request_id, State::PendingAtPartner, State::Pending).await;
}
