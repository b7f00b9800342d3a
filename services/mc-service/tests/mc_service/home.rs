//! Service authorization in the primary MC system: TS 23.280 10.1.1.1, 10.1.4.6.

use std::time::Duration;

use mcx_federation::access_token::AccessTokenClaims;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::authorize_communication_request::Target;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_types::{Entity, McService, ProfileIndex};
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{OTHER_UE, Systems, UE, fields, on_every_database, reason, refusal, rescue, user, wire};
use crate::sources::profile;

on_every_database!(
    pre_selected_profile_becomes_active_and_its_implicit_affiliations_are_made,
    profile_asked_for_becomes_active_in_the_place_of_the_pre_selected_one,
    user_without_a_profile_in_force_is_refused_by_rule,
    token_without_identity_or_scope_of_the_service_is_refused,
    malformed_requests_name_every_field_at_once,
    configuration_management_away_is_told_with_the_hop_and_a_time_to_retry,
    changing_the_active_profile_ends_affiliations_that_it_does_not_name,
    profile_for_partners_is_not_for_use_at_home,
    logging_off_ends_affiliations_and_is_told_to_who_watches,
    authorization_that_is_not_refreshed_expires,
    refreshing_finds_that_the_profile_is_gone,
    user_has_as_many_clients_as_the_settings_allow,
    watch_begins_with_the_status_and_is_resumed_without_a_gap,
    client_that_begins_anew_begins_without_affiliations,
    watch_ends_with_the_access_token_and_with_the_replica,
    what_changes_at_one_replica_is_told_by_another,
    database_away_is_told_and_nothing_else,
);

async fn pre_selected_profile_becomes_active_and_its_implicit_affiliations_are_made(systems: Systems) {
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.change_profile(&alice, 1, |profile| {
        profile.groups.get_mut(&rescue()).unwrap().implicit_affiliation = true;
    });
    let answer = systems.alice().log_on(McService::Ptt, None, UE).await.unwrap().into_inner();
    let authorization = answer.authorization.unwrap();
    assert_eq!(authorization.rule(), proto::DecisionRule::PreSelectedProfile);
    assert_eq!((authorization.profile_index, answer.profile_etag.as_str()), (1, "etag-1"));
    assert_eq!(authorization.mc_service_id, alice.id.as_str());
    let [outcome] = answer.implicit_affiliations.as_slice() else { panic!("there is one group") };
    assert!(outcome.affiliated, "{outcome:?}");
    assert_eq!(systems.alice().affiliated().await, [(rescue().to_string(), UE.to_string())]);
    assert_eq!(systems.alice().status(McService::Ptt).await.authorizations, [authorization]);
    assert!(systems.alice().status(McService::Video).await.authorizations.is_empty());
}

async fn profile_asked_for_becomes_active_in_the_place_of_the_pre_selected_one(systems: Systems) {
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.put_profile(&alice, profile(2, &[]));
    let answer = systems.alice().log_on(McService::Ptt, Some(2), UE).await.unwrap().into_inner();
    let authorization = answer.authorization.unwrap();
    assert_eq!(authorization.rule(), proto::DecisionRule::RequestedProfile);
    assert_eq!(authorization.profile_index, 2);
}

async fn user_without_a_profile_in_force_is_refused_by_rule(systems: Systems) {
    let refused = |rule: &str| ("SERVICE_AUTHORIZATION_REFUSED".to_owned(), rule.to_owned());
    let outcome = systems.alice().log_on(McService::Ptt, Some(9), UE).await;
    assert_eq!(reason(outcome), refused("PROFILE_UNKNOWN"));
    let outcome = systems.alpha.user("nobody").log_on(McService::Ptt, None, UE).await;
    assert_eq!(reason(outcome), refused("PROFILE_UNKNOWN"));
    let carol = user(McService::Ptt, "carol", &systems.alpha.id);
    systems.alpha.sources.disable_profile(&carol, 1);
    let outcome = systems.alpha.user("carol").log_on(McService::Ptt, None, UE).await;
    let refused_status = refusal(outcome);
    assert_eq!(refused_status.code, Code::PermissionDenied);
    assert_eq!(refused_status.metadata["rule"], "PROFILE_DISABLED");
    // A visitor is served after migration service authorization only.
    let outcome = systems.visitor().log_on(McService::Ptt, None, UE).await;
    assert_eq!(reason(outcome), refused("VISITOR_HAS_TO_MIGRATE"));
}

async fn token_without_identity_or_scope_of_the_service_is_refused(systems: Systems) {
    let claims = systems.alpha.claims("alice");
    let without_scope = AccessTokenClaims { scope: "3gpp:mc:video_service".to_owned(), ..claims.clone() };
    let without_identity = AccessTokenClaims { mcptt_id: None, ..claims };
    for claims in [without_scope, without_identity] {
        let caller = systems.alpha.with_claims(&claims);
        let refused = refusal(caller.log_on(McService::Ptt, None, UE).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "SERVICE_NOT_IN_TOKEN"));
        assert_eq!(refused.metadata["mc_service"], "ptt");
        assert!(caller.log_on(McService::Video, None, UE).await.is_ok());
    }
}

async fn malformed_requests_name_every_field_at_once(systems: Systems) {
    let alice = systems.alice();
    let mut service = alice.service();
    let broken = proto::AuthorizeServiceRequest {
        mc_service: 9,
        profile_index: Some(256),
        client_instance: "ue".to_owned(),
    };
    let outcome = service.authorize_service(alice.request(broken)).await;
    assert_eq!(fields(outcome), ["mc_service", "client_instance", "profile_index"]);
    let outcome = service
        .authorize_migration_service(alice.request(proto::AuthorizeMigrationServiceRequest::default()))
        .await;
    assert_eq!(fields(outcome), ["mc_service", "client_instance", "primary_mc_service_id"]);
    let broken = proto::WatchServiceStatusRequest {
        client_instance: String::new(),
        resume_token: "yesterday".to_owned(),
    };
    let outcome = service.watch_service_status(alice.request(broken)).await;
    assert_eq!(fields(outcome.map(drop)), ["client_instance", "resume_token"]);
    let broken = proto::DeaffiliateRequest {
        group_ids: vec!["sip:a@b.example".to_owned(), "b".to_owned(), "sip:a@b.example".to_owned()],
        ..Default::default()
    };
    let outcome = alice.affiliations().deaffiliate(alice.request(broken)).await;
    assert_eq!(fields(outcome), ["mc_service", "client_instance", "group_ids[1]", "group_ids[2]", "scope"]);
    let broken = proto::ActivateFunctionalAliasRequest::default();
    let outcome = alice.aliases().activate_functional_alias(alice.request(broken)).await;
    assert_eq!(fields(outcome), ["mc_service", "client_instance", "functional_alias"]);
}

async fn configuration_management_away_is_told_with_the_hop_and_a_time_to_retry(systems: Systems) {
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, true);
    let refused = refusal(systems.alice().log_on(McService::Ptt, None, UE).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::Unavailable, "CONFIGURATION_MANAGEMENT_UNREACHABLE")
    );
    assert_eq!(refused.metadata["hop"], "alpha.example/configuration-management");
    assert!(refused.retry_after.is_some());
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, false);
    // Where only group management is away, she is authorized, and told that an implicit affiliation waits.
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.change_profile(&alice, 1, |profile| {
        profile.groups.get_mut(&rescue()).unwrap().implicit_affiliation = true;
    });
    systems.alpha.sources.set_away(Entity::GroupManagement, true);
    let answer = systems.alice().log_on(McService::Ptt, None, UE).await.unwrap().into_inner();
    let [outcome] = answer.implicit_affiliations.as_slice() else { panic!("there is one group") };
    assert_eq!(
        (outcome.affiliated, outcome.rule()),
        (false, proto::DecisionRule::GroupManagementUnreachable)
    );
}

async fn changing_the_active_profile_ends_affiliations_that_it_does_not_name(systems: Systems) {
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.put_profile(&id, profile(2, &[]));
    let alice = systems.alice().logged_on().await;
    alice.affiliate(UE, &[&rescue()]).await.unwrap();
    let mut watching = alice.watch(UE).await;
    let change = |profile_index| {
        alice.request(proto::ChangeActiveUserProfileRequest {
            mc_service: wire(McService::Ptt),
            client_instance: UE.to_string(),
            profile_index,
        })
    };
    let answer = alice.service().change_active_user_profile(change(2)).await.unwrap().into_inner();
    assert_eq!(answer.ended_affiliations, [rescue().to_string()]);
    assert_eq!(answer.authorization.unwrap().profile_index, 2);
    assert!(alice.affiliated().await.is_empty());
    let Event::Authorized(told) = watching.event().await else { panic!("the new profile is told") };
    assert_eq!(told.profile_index, 2);
    // One that is not there changes nothing.
    let outcome = alice.service().change_active_user_profile(change(7)).await;
    assert_eq!(reason(outcome).1, "PROFILE_UNKNOWN");
    assert_eq!(alice.status(McService::Ptt).await.authorizations[0].profile_index, 2);
    assert!(alice.log_off(McService::Ptt, UE).await);
    let outcome = alice.service().change_active_user_profile(change(1)).await;
    assert_eq!(reason(outcome).0, "NOT_AUTHORIZED");
}

async fn profile_for_partners_is_not_for_use_at_home(systems: Systems) {
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    let mut abroad = profile(2, &[&rescue()]);
    abroad.valid_in.insert(systems.bravo.id.clone());
    systems.alpha.sources.put_profile(&id, abroad);
    let refused = ("SERVICE_AUTHORIZATION_REFUSED".to_owned(), "PROFILE_IS_FOR_MIGRATION".to_owned());
    let outcome = systems.alice().log_on(McService::Ptt, Some(2), UE).await;
    assert_eq!(reason(outcome), refused);
    let alice = systems.alice().logged_on().await;
    let change = alice.request(proto::ChangeActiveUserProfileRequest {
        mc_service: wire(McService::Ptt),
        client_instance: UE.to_string(),
        profile_index: 2,
    });
    assert_eq!(reason(alice.service().change_active_user_profile(change).await), refused);
    // One that is in use, and made one for partners, is no longer to be called with, and is not kept.
    let carol = user(McService::Ptt, "carol", &systems.alpha.id).id.to_string();
    let may_call = || alice.may_call(proto::CommunicationKind::Private, Target::McServiceId(carol.clone()));
    assert_eq!(may_call().await.unwrap().into_inner().decision(), proto::CommunicationDecision::Allowed);
    systems.alpha.sources.change_profile(&id, 1, |profile| {
        profile.valid_in.insert(systems.bravo.id.clone());
    });
    assert_eq!(may_call().await.unwrap().into_inner().rule(), proto::DecisionRule::ProfileIsForMigration);
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await), refused);
    assert_eq!(reason(alice.refresh(McService::Ptt, UE).await), refused);
    assert!(alice.status(McService::Ptt).await.authorizations.is_empty());
}

async fn logging_off_ends_affiliations_and_is_told_to_who_watches(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    alice.affiliate(UE, &[&rescue()]).await.unwrap();
    let mut watching = alice.watch(UE).await;
    let mut other_client = alice.watch(OTHER_UE).await;
    assert!(alice.log_off(McService::Ptt, UE).await);
    assert_eq!(watching.ended().await, proto::EndReason::Left);
    assert!(alice.affiliated().await.is_empty());
    assert!(!alice.log_off(McService::Ptt, UE).await, "there is nothing left to end");
    // The other client hears of its own only.
    alice.log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    let Event::Authorized(told) = other_client.event().await else { panic!("it was told of another") };
    assert_eq!(told.client_instance, OTHER_UE.to_string());
}

async fn authorization_that_is_not_refreshed_expires(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    let mut watching = alice.watch(UE).await;
    systems.clock.advance(Duration::from_secs(1_800));
    let answer = alice.refresh(McService::Ptt, UE).await.unwrap().into_inner();
    assert_eq!(answer.refresh_after.unwrap().seconds, 1_800);
    systems.clock.advance(Duration::from_secs(3_599));
    assert_eq!(alice.status(McService::Ptt).await.authorizations.len(), 1, "the refresh counts");
    systems.clock.advance(Duration::from_secs(1));
    assert_eq!(watching.ended().await, proto::EndReason::Expired);
    assert!(alice.status(McService::Ptt).await.authorizations.is_empty());
    assert_eq!(reason(alice.refresh(McService::Ptt, UE).await).0, "NOT_AUTHORIZED");
}

async fn refreshing_finds_that_the_profile_is_gone(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    let mut watching = alice.watch(UE).await;
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, true);
    let outcome = alice.refresh(McService::Ptt, UE).await;
    assert_eq!(reason(outcome).0, "CONFIGURATION_MANAGEMENT_UNREACHABLE");
    assert_eq!(alice.status(McService::Ptt).await.authorizations.len(), 1, "who is away ends nothing");
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, false);
    systems.alpha.sources.remove_profiles(&user(McService::Ptt, "alice", &systems.alpha.id));
    let outcome = alice.refresh(McService::Ptt, UE).await;
    assert_eq!(reason(outcome).1, "PROFILE_UNKNOWN");
    assert_eq!(watching.ended().await, proto::EndReason::ProfileGone);
}

async fn user_has_as_many_clients_as_the_settings_allow(systems: Systems) {
    let alice = systems.alice();
    for client in 1..=8 {
        alice.log_on(McService::Ptt, None, Uuid::from_u128(client)).await.unwrap();
    }
    let outcome = alice.log_on(McService::Ptt, None, Uuid::from_u128(9)).await;
    assert_eq!(reason(outcome).1, "TOO_MANY_CLIENTS");
    // One of them may begin anew, and another MC service is counted by itself.
    alice.log_on(McService::Ptt, None, Uuid::from_u128(8)).await.unwrap();
    alice.log_on(McService::Video, None, Uuid::from_u128(9)).await.unwrap();
}

async fn watch_begins_with_the_status_and_is_resumed_without_a_gap(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    alice.log_on(McService::Video, None, UE).await.unwrap();
    let mut watching = alice.resume(UE, String::new()).await.unwrap();
    let mut services = Vec::new();
    let position = loop {
        let message = watching.next().await;
        match message.event {
            Some(Event::Authorized(authorization)) => services.push(authorization.mc_service),
            Some(other) => panic!("unexpected: {other:?}"),
            None => break message.resume_token,
        }
    };
    assert_eq!(services, [wire(McService::Ptt), wire(McService::Video)]);
    drop(watching);
    assert!(alice.log_off(McService::Ptt, UE).await);
    assert!(alice.log_off(McService::Video, UE).await);
    let mut resumed = alice.resume(UE, position).await.unwrap();
    assert_eq!(resumed.ended().await, proto::EndReason::Left);
    assert_eq!(resumed.ended().await, proto::EndReason::Left);
    // A token of another system's log is of no use.
    let foreign = systems.bravo.user("bob").watch(UE).await;
    drop(foreign);
    let mut of_bravo = systems.bravo.user("bob").resume(UE, String::new()).await.unwrap();
    let foreign = of_bravo.next().await.resume_token;
    let refused = refusal(alice.resume(UE, foreign).await.map(|_| ()));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::OutOfRange, "RESUME_TOKEN_UNUSABLE"));
    assert_eq!(refused.metadata["cause"], "FOREIGN");
}

async fn client_that_begins_anew_begins_without_affiliations(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    alice.affiliate(UE, &[&rescue()]).await.unwrap();
    let again = alice.log_on(McService::Ptt, None, UE).await.unwrap().into_inner();
    assert!(alice.affiliated().await.is_empty());
    let active = again.authorization.unwrap().profile_index;
    assert_eq!(u32::from(ProfileIndex(1).0), active);
    assert_eq!(alice.status(McService::Ptt).await.authorizations.len(), 1);
}

/// Reads a watch to its end.
async fn end_of(mut watching: crate::caller::Watching) -> mcx_runtime::error::RemoteError {
    loop {
        if let Err(status) = watching.message().await {
            return mcx_runtime::error::decode_status(&status);
        }
    }
}

async fn watch_ends_with_the_access_token_and_with_the_replica(systems: Systems) {
    let watching = systems.alice().resume(UE, String::new()).await.unwrap();
    systems.alpha.stop.cancel();
    let stopped = end_of(watching).await;
    assert_eq!((stopped.code, stopped.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(stopped.retry_after.is_some());
    // By the clock of the service the token is over; the layers before it ask the machine's.
    systems.clock.advance(Duration::from_secs(3_600));
    let watching = systems.bravo.user("bob").resume(UE, String::new()).await.unwrap();
    let expired = end_of(watching).await;
    assert_eq!((expired.code, expired.reason.as_str()), (Code::Unauthenticated, "ACCESS_TOKEN_EXPIRED"));
}

async fn what_changes_at_one_replica_is_told_by_another(systems: Systems) {
    let replica = systems.alpha.replica().await;
    let there = systems.alpha.user_at(&replica, "alice");
    let mut watching = there.watch(UE).await;
    let here = systems.alice().logged_on().await;
    let Event::Authorized(told) = watching.event().await else { panic!("it was told of another") };
    assert_eq!(there.status(McService::Ptt).await.authorizations, [told]);
    // Whichever replica is asked, and whichever of them ends it.
    there.affiliate(UE, &[&rescue()]).await.unwrap();
    assert_eq!(here.affiliated().await.len(), 1);
    assert!(here.log_off(McService::Ptt, UE).await);
    assert_eq!(watching.ended().await, proto::EndReason::Left);
}

async fn database_away_is_told_and_nothing_else(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    systems.alpha.database.close().await;
    let refused = refusal(alice.log_on(McService::Ptt, None, UE).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert!(refused.retry_after.is_some() && refused.metadata.is_empty(), "{refused:?}");
}
