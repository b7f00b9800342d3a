//! TS 23.280 10.17.5 over all services of both systems: put in place, and undone.

use crossband::admin::Catalogue;
use crossband::dev::{CREW_GROUP, DevSystem, INCIDENT_GROUP, PARTNER, operator_client};
use crossband_tests::World;
use mcx_proto::mcservice::v1::CommunicationKind;
use mcx_types::McService;
use mcx_ue::servers::Called;
use serde_json::{Value, json};

use crate::{alice_at_home, alice_at_the_partner, operator};

/// The one user migration of a system.
async fn user_migration(system: &DevSystem) -> Value {
    let mut listed = operator(system, "UserMigrationService/ListUserMigrations", json!({})).await;
    assert_eq!(listed["user_migrations"].as_array().unwrap().len(), 1);
    listed["user_migrations"][0].take()
}

/// Waits until nothing is left to be done for a request in a system.
async fn settled(system: &DevSystem, request: &Value) {
    let catalogue = Catalogue::load().unwrap();
    let (entity, method) = catalogue.method("UserMigrationService/WatchUserMigrationRequest").unwrap();
    let watched = json!({ "user_migration_request_id": request });
    operator_client(system).unwrap().server_stream(entity, method, &watched, |_| true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_puts_binding_identities_profile_and_groups_in_place_on_both_sides() {
    let world = World::start_for_migration().await;
    for (system, role) in [(world.alpha(), "PRIMARY"), (world.bravo(), "PARTNER")] {
        let migration = user_migration(system).await;
        assert_eq!(migration["state"], "USER_MIGRATION_STATE_IN_FORCE", "{role}");
        assert_eq!(migration["role"], format!("MIGRATION_ROLE_{role}"));
    }
    let visitor = world.user("alice").partner.identities.impi.to_string();
    let bindings = operator(world.bravo(), "BindingService/ListBindings", json!({})).await;
    assert!(bindings.to_string().contains(&visitor), "{bindings}");
    let permits = operator(world.alpha(), "PermitService/ListPermits", json!({})).await;
    assert!(permits.to_string().contains(&visitor), "{permits}");

    let ue = alice_at_the_partner(&world).await;
    let documents = ue.partner_documents();
    let groups: Vec<&str> = documents
        .groups()
        .filter_map(|group| group.group.as_ref())
        .map(|group| group.group_id.as_str())
        .collect();
    assert!(groups.contains(&CREW_GROUP) && groups.contains(&INCIDENT_GROUP), "{groups:?}");
    let (_, _, profile) = documents.user_profiles().next().unwrap();
    assert_eq!(profile.priority, 100, "the partner's ceiling");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_undoes_everything_on_both_sides() {
    let world = World::start_for_migration().await;
    let ue = alice_at_the_partner(&world).await;
    let visitor = world.user("alice").partner.identities.clone();
    let migration = user_migration(world.alpha()).await;
    let selection =
        json!({ "selection": { "migration_ids": [migration["migration_id"]] }, "cause": "the end" });
    operator(world.alpha(), "UserMigrationService/RevokeUserMigrations", selection).await;
    for system in [world.alpha(), world.bravo()] {
        settled(system, &migration["user_migration_request_id"]).await;
        assert_eq!(user_migration(system).await["state"], "USER_MIGRATION_STATE_REVOKED");
    }

    let dispatcher = Called::User("sip:dora@bravo.example".parse().unwrap());
    let call = ue.authorize_communication(McService::Ptt, CommunicationKind::Private, &dispatcher).await;
    assert!(call.is_err(), "her token is refused: {call:?}");
    let bindings = operator(world.bravo(), "BindingService/ListBindings", json!({})).await;
    assert!(!bindings.to_string().contains(visitor.impi.as_str()), "{bindings}");
    let permits = operator(world.alpha(), "PermitService/ListPermits", json!({})).await;
    assert!(!permits.to_string().contains(visitor.impi.as_str()), "{permits}");
    let registrations = operator(world.bravo(), "RegistrationService/ListRegistrations", json!({})).await;
    assert!(!registrations.to_string().contains(visitor.impi.as_str()), "{registrations}");
    let audit = operator(world.bravo(), "AuditService/ListAuditRecords", json!({})).await;
    assert!(audit.to_string().contains(visitor.impi.as_str()), "the records stay: {audit}");

    let mut newcomer = alice_at_home(&world).await;
    assert!(newcomer.partners().iter().all(|option| option.access_information.is_none()));
    assert!(newcomer.migrate(&PARTNER.parse().unwrap(), None).await.is_err());
}
