//! Thousands of users at once.

use mcx_proto::migration::v1::UserMigrationState as State;

use crate::saga::{of_partner, of_primary, places};
use crate::systems::{Systems, of_request, on_every_database};

on_every_database!(two_thousand_users_are_put_in_place_and_taken_back);

const USERS: usize = 2_000;

async fn two_thousand_users_are_put_in_place_and_taken_back(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let names: Vec<String> = (0..USERS).map(|index| format!("user{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let request_id = systems.pending(&names).await;
    let results = bravo.accept(of_request(&request_id)).await;
    assert_eq!(results.len(), USERS);
    assert!(results.iter().all(|result| result.state() == State::Accepted));
    systems.wait(&request_id, State::InForce, State::InForce).await;
    assert_eq!(places(&alpha.entities), of_primary(USERS));
    assert_eq!(places(&bravo.entities), of_partner(USERS));
    // In batches: a call for each user would be ten times as many.
    let calls = alpha.entities.calls() + bravo.entities.calls();
    assert!(calls < USERS / 5, "{calls} calls");

    bravo.revoke(of_request(&request_id)).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    assert!(places(&alpha.entities).is_empty() && places(&bravo.entities).is_empty());
    assert_eq!((alpha.permit_count().await, bravo.binding_count().await), (0, 0));
}
