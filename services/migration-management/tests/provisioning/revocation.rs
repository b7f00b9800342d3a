//! Taking it back, from either side, while the other one is there or away.

use std::collections::BTreeMap;

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_testkit::Fault;
use mcx_types::Entity;
use migration_management::collaborators::EndReason;

use crate::saga::{of_partner, of_primary, places};
use crate::systems::{System, Systems, of_request, on_every_database, user_to_migrate};

on_every_database!(
    revocation_by_the_primary_undoes_everything_on_both_sides,
    revocation_by_the_partner_undoes_everything_on_both_sides,
    primary_revokes_at_once_while_the_partner_is_away,
    partner_revokes_at_once_while_the_primary_is_away,
    both_revoke_while_they_cannot_reach_each_other,
    revocation_before_any_decision_is_told_to_the_partner,
    offers_wait_for_a_partner_that_is_away_and_say_so,
    revocation_waits_for_an_entity_that_is_away,
    migration_ends_with_its_validity,
    partner_that_is_gone_for_good_can_be_forgotten,
);

async fn nothing_is_left(systems: &Systems) {
    assert_eq!(places(&systems.alpha.entities), BTreeMap::new());
    assert_eq!(places(&systems.bravo.entities), BTreeMap::new());
    assert_eq!(systems.alpha.permit_count().await, 0);
    assert_eq!(systems.bravo.binding_count().await, 0);
}

/// The first user of a request, as a system has her.
async fn state_in(system: &System, request_id: &str) -> (State, String) {
    let migration = system.list(request_id).await.remove(0);
    (migration.state(), migration.next_step)
}

async fn revocation_by_the_primary_undoes_everything_on_both_sides(systems: Systems) {
    let request_id = systems.in_force(&["alice", "bob"]).await;
    let results = systems.alpha.revoke(of_request(&request_id)).await;
    assert!(results.iter().all(|result| result.state() == State::Revoking));
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
    assert_eq!(systems.alpha.entities.ended().len(), 2);
    assert_eq!(systems.bravo.entities.ended().len(), 2);
    assert!(systems.bravo.entities.ended().iter().all(|(_, reason)| *reason == EndReason::Revoked));
    assert_eq!(
        systems.bravo.entities.deregistered(),
        ["sip:alice.alpha-example@visitors.bravo.example", "sip:bob.alpha-example@visitors.bravo.example"]
    );
    assert_eq!(systems.bravo.list(&request_id).await[0].cause, "the exercise is over");
    // Again, and nothing more happens.
    let ids: Vec<String> = results.into_iter().map(|result| result.migration_id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let again = systems.alpha.revoke(crate::systems::these(&ids)).await;
    assert!(again.iter().all(|result| result.reason() == proto::ErrorReason::Unspecified));
    assert!(again.iter().all(|result| result.state() == State::Revoked));
}

async fn revocation_by_the_partner_undoes_everything_on_both_sides(systems: Systems) {
    let request_id = systems.in_force(&["alice"]).await;
    systems.bravo.revoke(of_request(&request_id)).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
    assert_eq!(systems.alpha.list(&request_id).await[0].cause, "the exercise is over");
}

async fn primary_revokes_at_once_while_the_partner_is_away(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    bravo.proxy.set(Fault::Down);
    alpha.revoke(of_request(&request_id)).await;
    assert_eq!(alpha.permit_count().await, 0);
    let obstacle = alpha.wait_for_obstacle(&request_id).await;
    assert_eq!((obstacle.step.as_str(), obstacle.user_count), ("REPORT", 1));
    assert!(obstacle.last_error.starts_with("PARTNER_UNREACHABLE: "), "{}", obstacle.last_error);
    // The own side is done; only the partner's knowing is left.
    assert_eq!(places(&alpha.entities), BTreeMap::new());
    assert_eq!(state_in(alpha, &request_id).await, (State::Revoking, "REPORT".to_owned()));
    assert_eq!(places(&bravo.entities), of_partner(1));

    bravo.proxy.set(Fault::None);
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
}

async fn partner_revokes_at_once_while_the_primary_is_away(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    alpha.proxy.set(Fault::Down);
    bravo.revoke(of_request(&request_id)).await;
    assert_eq!(bravo.binding_count().await, 0);
    assert_eq!(bravo.wait_for_obstacle(&request_id).await.step, "REPORT");
    assert_eq!(places(&bravo.entities), BTreeMap::new());
    assert_eq!(places(&alpha.entities), of_primary(1));
    assert_eq!(state_in(alpha, &request_id).await.0, State::InForce);

    alpha.proxy.set(Fault::None);
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
}

async fn both_revoke_while_they_cannot_reach_each_other(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    alpha.proxy.set(Fault::Down);
    bravo.proxy.set(Fault::Down);
    alpha.revoke(of_request(&request_id)).await;
    bravo.revoke(of_request(&request_id)).await;
    alpha.wait_for_obstacle(&request_id).await;
    bravo.wait_for_obstacle(&request_id).await;
    nothing_is_left(&systems).await;
    alpha.proxy.set(Fault::None);
    bravo.proxy.set(Fault::None);
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
}

async fn revocation_before_any_decision_is_told_to_the_partner(systems: Systems) {
    let request_id = systems.pending(&["alice"]).await;
    systems.alpha.revoke(of_request(&request_id)).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
    // It is over: nobody can accept it any more.
    let id = systems.bravo.list(&request_id).await[0].migration_id.clone();
    let results = systems.bravo.accept(crate::systems::these(&[&id])).await;
    assert_eq!(results[0].reason(), proto::ErrorReason::UserMigrationDecided);
}

async fn offers_wait_for_a_partner_that_is_away_and_say_so(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    bravo.proxy.set(Fault::Down);
    let request_id = systems.request(&["alice", "bob"]).await;
    let obstacle = alpha.wait_for_obstacle(&request_id).await;
    assert_eq!((obstacle.step.as_str(), obstacle.user_count), ("OFFER", 2));
    let waiting = alpha.list(&request_id).await.remove(0);
    assert_eq!(waiting.state(), State::Requested);
    assert!(waiting.failed_attempt_count >= 1);
    bravo.proxy.set(Fault::None);
    systems.wait(&request_id, State::PendingAtPartner, State::Pending).await;
    assert_eq!(alpha.list(&request_id).await[0].last_error, "");
}

async fn revocation_waits_for_an_entity_that_is_away(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    bravo.entities.set_away(Entity::ConfigurationManagement, true);
    bravo.revoke(of_request(&request_id)).await;
    let obstacle = bravo.wait_for_obstacle(&request_id).await;
    assert_eq!(obstacle.step, "DELETE_VISITOR_CONFIGURATION");
    assert!(obstacle.last_error.starts_with("ENTITY_UNREACHABLE: "), "{}", obstacle.last_error);
    // She is out already: her tokens are refused, her registration and her authorizations have ended.
    assert_eq!(bravo.entities.deregistered().len(), 1);
    assert_eq!(bravo.entities.ended().len(), 1);
    assert!(!places(&bravo.entities).contains_key(&crate::entities::Place::VisitorIdentities));
    bravo.entities.set_away(Entity::ConfigurationManagement, false);
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    assert_eq!(places(&alpha.entities), BTreeMap::new());
    nothing_is_left(&systems).await;
}

async fn migration_ends_with_its_validity(systems: Systems) {
    let now = mcx_types::Clock::now(&mcx_types::SystemClock);
    let soon = now.saturating_add(std::time::Duration::from_secs(2));
    let user = proto::UserToMigrate { valid_until: Some(soon.into()), ..user_to_migrate("alice") };
    let request_id = systems.request_users(vec![user]).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    nothing_is_left(&systems).await;
    let migration = systems.alpha.list(&request_id).await.remove(0);
    assert_eq!(migration.cause, "its validity is over");
}

async fn partner_that_is_gone_for_good_can_be_forgotten(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    bravo.proxy.set(Fault::Down);
    alpha.revoke(of_request(&request_id)).await;
    assert_eq!(alpha.wait_for_obstacle(&request_id).await.step, "REPORT");
    let delete = proto::DeleteAgreementRequest {
        partner_mc_system_id: "bravo.example".to_owned(),
        ..Default::default()
    };
    alpha.agreements().delete_agreement(delete).await.unwrap();
    alpha.wait(&request_id, State::Revoked).await;
    assert_eq!(places(&alpha.entities), BTreeMap::new());
}
