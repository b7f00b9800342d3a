//! Return and its exceptions: recall, ejection, revocation, lost UEs, partners that are away. TS 23.280 10.6.3, 10.17.5; facts 4.16.

use std::time::Duration;

use mc_service::client::MigratedUserClient;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::authorize_communication_request::Target;
use mcx_proto::mcservice::v1::federation_service_client::FederationServiceClient;
use mcx_testkit::Fault;
use mcx_types::{Entity, McService};
use uuid::Uuid;

use crate::fixture::{
    MIGRATION, OTHER_UE, Systems, UE, fields, on_every_database, reason, refusal, service_id, user, wire,
};

on_every_database!(
    recalled_user_is_told_by_the_partner_and_may_come_again,
    recall_reaches_a_partner_that_was_away,
    ejected_visitor_is_told_at_once_and_her_primary_as_soon_as_it_is_there,
    lost_ue_is_noticed_in_both_systems,
    partner_that_falls_silent_does_not_keep_the_mark_for_ever,
    refresh_keeps_both_leases,
    refresh_finds_that_the_primary_does_not_permit_any_more,
    refresh_while_the_primary_is_away_changes_nothing,
    ended_migration_is_over_at_once_on_both_sides_and_stays_so,
    visitor_whose_profile_has_gone_is_decided_on_by_that_rule,
    notice_of_an_earlier_authorization_does_not_end_a_later_one,
);

fn all_of(system: &str) -> Option<proto::MigratedUserSelection> {
    Some(proto::MigratedUserSelection { mc_system_id: system.to_owned(), ..Default::default() })
}

async fn recall(systems: &Systems) -> Vec<proto::MigratedUser> {
    let request = proto::RecallUsersRequest { selection: all_of("bravo.example"), request_id: String::new() };
    systems.alpha.operator().recall_users(request).await.unwrap().into_inner().recalled
}

async fn eject(systems: &Systems) -> Vec<proto::MigratedUser> {
    let request =
        proto::EjectVisitorsRequest { selection: all_of("alpha.example"), request_id: String::new() };
    systems.bravo.operator().eject_visitors(request).await.unwrap().into_inner().ejected
}

async fn recalled_user_is_told_by_the_partner_and_may_come_again(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    let [recalled] = recall(&systems).await.try_into().unwrap();
    assert_eq!(recalled.mc_system_id, "bravo.example");
    assert_eq!(at_home.home_again().await, proto::EndReason::Recalled);
    assert_eq!(away.ended().await, proto::EndReason::Recalled);
    assert!(systems.served_by().await.is_empty());
    assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    assert!(recall(&systems).await.is_empty(), "there is nobody left to call back");
    systems.migrated().await;
}

async fn recall_reaches_a_partner_that_was_away(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    systems.bravo.network.set(Fault::Down);
    assert_eq!(recall(&systems).await.len(), 1);
    assert!(systems.served_by().await.is_empty(), "she counts as home at once");
    // While it is away, the partner goes on: but it cannot renew what was taken back.
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations.len(), 1);
    systems.bravo.network.set(Fault::None);
    systems.clock.advance(Duration::from_secs(120));
    assert_eq!(away.ended().await, proto::EndReason::Recalled);
}

async fn ejected_visitor_is_told_at_once_and_her_primary_as_soon_as_it_is_there(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    systems.alpha.network.set(Fault::Down);
    let [ejected] = eject(&systems).await.try_into().unwrap();
    assert_eq!(ejected.identity.unwrap().primary_mc_service_id, "sip:alice@ptt.alpha.example");
    assert_eq!(away.ended().await, proto::EndReason::Ejected);
    assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    assert_eq!(systems.served_by().await.len(), 1, "the primary does not know yet");
    systems.alpha.network.set(Fault::None);
    systems.clock.advance(Duration::from_secs(120));
    assert_eq!(at_home.home_again().await, proto::EndReason::Ejected);
    assert!(systems.served_by().await.is_empty());
}

async fn lost_ue_is_noticed_in_both_systems(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    systems.clock.advance(Duration::from_secs(3_599));
    assert_eq!(systems.served_by().await.len(), 1);
    systems.clock.advance(Duration::from_secs(1));
    assert_eq!(away.ended().await, proto::EndReason::Expired);
    assert_eq!(at_home.home_again().await, proto::EndReason::Expired);
    assert!(systems.served_by().await.is_empty());
    assert_eq!(reason(systems.visitor().refresh(McService::Ptt, UE).await).0, "NOT_AUTHORIZED");
}

async fn partner_that_falls_silent_does_not_keep_the_mark_for_ever(systems: Systems) {
    systems.migrated().await;
    let mut at_home = systems.alice().watch(UE).await;
    systems.alpha.network.set(Fault::Down);
    systems.clock.advance(Duration::from_secs(3_600));
    assert_eq!(at_home.home_again().await, proto::EndReason::Expired);
}

async fn refresh_keeps_both_leases(systems: Systems) {
    systems.migrated().await;
    systems.clock.advance(Duration::from_secs(1_800));
    let kept = systems.visitor().refresh(McService::Ptt, UE).await.unwrap().into_inner();
    systems.clock.advance(Duration::from_secs(3_500));
    let [present] = systems.visitor().status(McService::Ptt).await.authorizations.try_into().unwrap();
    assert_eq!(Some(present), kept.authorization);
    assert_eq!(systems.served_by().await.len(), 1);
}

async fn refresh_finds_that_the_primary_does_not_permit_any_more(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.forbid(&alice, &systems.bravo.id);
    let outcome = systems.visitor().refresh(McService::Ptt, UE).await;
    assert_eq!(reason(outcome).0, "MIGRATION_REFUSED_BY_PRIMARY");
    assert_eq!(away.ended().await, proto::EndReason::Recalled);
    assert_eq!(at_home.home_again().await, proto::EndReason::Recalled);
}

async fn refresh_while_the_primary_is_away_changes_nothing(systems: Systems) {
    let before = systems.migrated().await;
    systems.alpha.network.set(Fault::Down);
    let refused = refusal(systems.visitor().refresh(McService::Ptt, UE).await);
    assert_eq!(refused.reason, "PRIMARY_SYSTEM_UNREACHABLE");
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations, [before]);
    systems.alpha.network.set(Fault::None);
    systems.visitor().refresh(McService::Ptt, UE).await.unwrap();
}

async fn ended_migration_is_over_at_once_on_both_sides_and_stays_so(systems: Systems) {
    let visitor = systems.visitor();
    visitor.migrate(systems.migrate(McService::Ptt, UE)).await.unwrap();
    visitor.migrate(systems.migrate(McService::Ptt, OTHER_UE)).await.unwrap();
    let mut away = visitor.watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    let bob = Target::McServiceId(service_id(McService::Ptt, "bob", &systems.bravo.id).to_string());
    let private = proto::CommunicationKind::Private;
    let before = visitor.may_call(private, bob.clone()).await.unwrap().into_inner();
    assert_eq!(before.decision(), proto::CommunicationDecision::Allowed);

    let migration_management =
        |system: &crate::fixture::System| MigratedUserClient::new(system.entity(Entity::MigrationManagement));
    let of_bravo = migration_management(&systems.bravo);
    assert_eq!(of_bravo.end_migrations(&[MIGRATION, Uuid::from_u128(5)]).await, Ok(2));
    let after = visitor.may_call(private, bob).await.unwrap().into_inner();
    assert_eq!(
        (after.decision(), after.rule()),
        (proto::CommunicationDecision::Refused, proto::DecisionRule::CallerNotAuthorized)
    );
    assert_eq!(away.ended().await, proto::EndReason::Revoked);
    assert_eq!(of_bravo.end_migrations(&[MIGRATION]).await, Ok(0), "a repetition changes nothing");
    // Each side is told by its own migration management.
    assert_eq!(systems.served_by().await.len(), 2);
    assert_eq!(migration_management(&systems.alpha).end_migrations(&[MIGRATION]).await, Ok(2));
    assert_eq!(at_home.home_again().await, proto::EndReason::Revoked);
    // What comes late begins nothing: neither here, although the profile is still there, nor at the primary.
    let outcome = visitor.migrate(systems.migrate(McService::Ptt, UE)).await;
    assert_eq!(reason(outcome).0, "MIGRATION_REFUSED_BY_PRIMARY");
    assert!(systems.served_by().await.is_empty());
}

async fn visitor_whose_profile_has_gone_is_decided_on_by_that_rule(systems: Systems) {
    systems.migrated().await;
    let here = user(McService::Ptt, "alice.alpha", &systems.bravo.id);
    systems.bravo.sources.remove_profiles(&here);
    let visitor = systems.visitor();
    let bob = Target::McServiceId(service_id(McService::Ptt, "bob", &systems.bravo.id).to_string());
    let decided = visitor.may_call(proto::CommunicationKind::Private, bob).await.unwrap().into_inner();
    assert_eq!(
        (decided.decision(), decided.rule()),
        (proto::CommunicationDecision::Refused, proto::DecisionRule::ProfileGone)
    );
    let mut away = visitor.watch(UE).await;
    let mut at_home = systems.alice().watch(UE).await;
    let outcome = visitor.refresh(McService::Ptt, UE).await;
    assert_eq!(reason(outcome).1, "PROFILE_UNKNOWN");
    assert_eq!(away.ended().await, proto::EndReason::ProfileGone);
    assert_eq!(at_home.home_again().await, proto::EndReason::ProfileGone);
}

async fn notice_of_an_earlier_authorization_does_not_end_a_later_one(systems: Systems) {
    let caller = systems.bravo.own.entity(Entity::McService);
    let channel = systems.alpha.own.channel(caller, Entity::McService, systems.alpha.peer);
    let mut bravo = FederationServiceClient::new(channel);
    let identity = Some(mcx_proto::types::v1::MigratedServiceIdentity {
        mc_service: wire(McService::Ptt),
        primary_mc_service_id: service_id(McService::Ptt, "alice", &systems.alpha.id).to_string(),
        partner_mc_service_id: service_id(McService::Ptt, "alice.alpha", &systems.bravo.id).to_string(),
    });
    let authorize = |id: u128, renewal| proto::FederationServiceAuthorizeMigrationServiceRequest {
        identity: identity.clone(),
        profile_index: 1,
        client_instance: UE.to_string(),
        migration_id: MIGRATION.to_string(),
        authorization_id: Uuid::from_u128(id).to_string(),
        renewal,
    };
    let ended = |id: u128| proto::FederationServiceDeauthorizeMigrationServiceRequest {
        identity: identity.clone(),
        client_instance: UE.to_string(),
        reason: proto::EndReason::Left.into(),
        authorization_id: Uuid::from_u128(id).to_string(),
    };
    // She left and came again; that she left is told late, and twice.
    bravo.authorize_migration_service(authorize(1, false)).await.unwrap();
    bravo.authorize_migration_service(authorize(2, false)).await.unwrap();
    for _ in 0..2 {
        bravo.deauthorize_migration_service(ended(1)).await.unwrap();
    }
    assert_eq!(systems.served_by().await.len(), 1);
    bravo.authorize_migration_service(authorize(2, true)).await.unwrap();
    bravo.deauthorize_migration_service(ended(2)).await.unwrap();
    assert!(systems.served_by().await.is_empty());
    let broken = proto::FederationServiceDeauthorizeMigrationServiceRequest::default();
    let outcome = bravo.deauthorize_migration_service(broken).await;
    assert_eq!(fields(outcome), ["identity", "client_instance", "reason", "authorization_id"]);

    // The other way round: the primary calls back an authorization that is not the present one.
    systems.migrated().await;
    let caller = systems.alpha.own.entity(Entity::McService);
    let channel = systems.bravo.own.channel(caller, Entity::McService, systems.bravo.peer);
    let mut alpha = FederationServiceClient::new(channel);
    let recall = proto::EndMigrationServiceRequest {
        identity,
        client_instance: UE.to_string(),
        reason: proto::EndReason::Recalled.into(),
        authorization_id: Uuid::from_u128(1).to_string(),
    };
    let answer = alpha.end_migration_service(recall).await.unwrap().into_inner();
    assert!(!answer.was_authorized);
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations.len(), 1);
    let outcome = alpha.end_migration_service(proto::EndMigrationServiceRequest::default()).await;
    assert_eq!(fields(outcome), ["identity", "client_instance", "reason", "authorization_id"]);
}
