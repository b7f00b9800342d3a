//! The initial UE configuration of a partner changes while users are there: their access information at the primary follows.

use std::time::Duration;

use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_testkit::Fault as NetworkFault;

use crate::entities::Fault;
use crate::saga::{of_partner, of_primary, places};
use crate::systems::{Systems, of_request, on_every_database};

on_every_database!(
    changed_ue_configuration_of_the_partner_reaches_the_access_information_of_its_visitors,
    configuration_that_changes_while_the_primary_is_away_is_told_when_it_is_back,
    unchanged_ue_configuration_is_told_to_nobody,
    users_revoked_meanwhile_are_not_brought_back,
    primary_that_dies_while_access_information_is_renewed_goes_on,
);

const NEW: &str = "second.example:7444";

/// Alice and bob at bravo, which looks at its configuration all the time.
async fn visitors(systems: &mut Systems) -> String {
    let request_id = systems.in_force(&["alice", "bob"]).await;
    systems.bravo.kill().await;
    systems.bravo.ue_configuration_interval = Duration::from_millis(20);
    systems.bravo.start().await;
    request_id
}

async fn changed_ue_configuration_of_the_partner_reaches_the_access_information_of_its_visitors(
    mut systems: Systems,
) {
    let request_id = visitors(&mut systems).await;
    let Systems { alpha, bravo } = &systems;
    alpha.entities.told_address("first.example:7444", 2).await;
    let permits = alpha.permit_ids().await;
    bravo.entities.move_mc_service_to(NEW);
    alpha.entities.told_address(NEW, 2).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;

    for own in alpha.list(&request_id).await {
        let access = alpha.get(&own.migration_id).await.access_information.unwrap();
        assert_eq!(access.initial_ue_configuration.unwrap().servers.unwrap().mc_service, NEW);
        let actions: Vec<String> =
            alpha.audit(&own.migration_id).await.into_iter().map(|(action, ..)| action).collect();
        let (admit, complete) = ("ADMIT_USER_MIGRATION", "COMPLETE_USER_MIGRATION");
        assert_eq!(actions, ["REQUEST_USER_MIGRATION", admit, complete, complete], "nothing was decided");
    }
    assert_eq!(alpha.permit_ids().await, permits, "what is permitted stays");
    assert_eq!(places(&alpha.entities), of_primary(2));
    assert_eq!((places(&bravo.entities), bravo.binding_count().await), (of_partner(2), 2));
}

async fn configuration_that_changes_while_the_primary_is_away_is_told_when_it_is_back(mut systems: Systems) {
    let request_id = visitors(&mut systems).await;
    systems.alpha.proxy.set(NetworkFault::Down);
    systems.bravo.entities.move_mc_service_to(NEW);
    systems.bravo.wait(&request_id, State::Accepted).await;
    let obstacle = systems.bravo.wait_for_obstacle(&request_id).await;
    assert_eq!((obstacle.step.as_str(), obstacle.user_count), ("REPORT", 2));
    // And once more, so that what is told is the latest.
    systems.bravo.entities.move_mc_service_to("third.example:7444");
    systems.alpha.proxy.set(NetworkFault::None);
    systems.alpha.entities.told_address("third.example:7444", 2).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
}

async fn unchanged_ue_configuration_is_told_to_nobody(mut systems: Systems) {
    let request_id = visitors(&mut systems).await;
    let before = systems.bravo.list(&request_id).await;
    systems.bravo.entities.further_calls(3).await;
    assert_eq!(systems.bravo.list(&request_id).await, before);
}

async fn users_revoked_meanwhile_are_not_brought_back(mut systems: Systems) {
    let request_id = visitors(&mut systems).await;
    systems.alpha.proxy.set(NetworkFault::Down);
    systems.bravo.entities.move_mc_service_to(NEW);
    systems.bravo.wait(&request_id, State::Accepted).await;
    systems.alpha.revoke(of_request(&request_id)).await;
    systems.alpha.proxy.set(NetworkFault::None);
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    assert!(places(&systems.alpha.entities).is_empty() && places(&systems.bravo.entities).is_empty());
    assert_eq!((systems.alpha.permit_count().await, systems.bravo.binding_count().await), (0, 0));
}

async fn primary_that_dies_while_access_information_is_renewed_goes_on(systems: Systems) {
    let mut systems = Systems { ..systems };
    systems.alpha.kill().await;
    systems.alpha.claim_lifetime = Duration::from_secs(1);
    systems.alpha.start().await;
    let request_id = visitors(&mut systems).await;
    let next = systems.alpha.entities.calls();
    systems.alpha.entities.fault_at(next + 1, Fault::HangsBefore);
    systems.bravo.entities.move_mc_service_to(NEW);
    systems.alpha.entities.hanging().await;
    systems.alpha.kill().await;
    systems.alpha.entities.heal();
    systems.alpha.start().await;
    systems.alpha.entities.told_address(NEW, 2).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
}
