//! Migration service authorization between two MC systems: TS 23.280 10.6.3.

use std::time::Duration;

use mc_service::domain::user::Visitor;
use mcx_federation::access_token::AccessTokenClaims;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::federation_service_client::FederationServiceClient;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_testkit::{Fault, TrustDomain};
use mcx_types::{Clock, Entity, McService, ProfileIndex, SystemClock, Timestamp};
use tonic::Code;
use tonic::transport::Channel;
use uuid::Uuid;

use crate::fixture::{
    MIGRATION, OTHER_UE, System, Systems, UE, fields, on_every_database, reason, refusal, service_id, user,
    wire,
};

on_every_database!(
    visitor_is_served_once_her_primary_agrees_and_records_it,
    partner_refuses_who_is_no_visitor_or_another_one,
    primary_refuses_a_partner_to_which_its_user_may_not_migrate,
    primary_lets_a_partner_apply_only_the_profiles_that_go_to_it,
    primary_believes_a_partner_no_other_migration_than_the_one_agreed,
    only_the_services_agreed_are_migrated,
    two_ues_of_one_user_are_served_each_by_itself,
    primary_away_leaves_nothing_half_done_and_the_step_can_be_repeated,
    without_a_usable_agreement_nothing_is_asked,
    partner_that_does_not_know_us_refuses_us,
    visitor_changes_her_profile_with_the_consent_of_her_primary,
    primary_tells_a_partner_nothing_of_why_it_refuses,
    only_mc_service_servers_of_partners_are_answered,
    client_that_goes_to_another_partner_leaves_the_first_one,
    until_the_agreements_are_known_visitors_have_to_wait,
);

async fn visitor_is_served_once_her_primary_agrees_and_records_it(systems: Systems) {
    let mut at_home = systems.alice().watch(UE).await;
    let mut away = systems.visitor().watch(UE).await;
    let request = systems.migrate(McService::Ptt, UE);
    let answer = systems.visitor().migrate(request).await.unwrap().into_inner();
    let authorization = answer.authorization.unwrap();
    assert_eq!(authorization.rule(), proto::DecisionRule::MigrationPermitted);
    assert_eq!(authorization.primary_mc_system_id, "alpha.example");
    assert_eq!(authorization.primary_mc_service_id, "sip:alice@ptt.alpha.example");
    assert_eq!(authorization.mc_service_id, "sip:alice.alpha@ptt.bravo.example");
    assert_eq!(authorization.migration_id, MIGRATION.to_string());
    assert_eq!(answer.refresh_after.unwrap().seconds, 1_800);

    let [mark] = systems.served_by().await.try_into().unwrap();
    assert_eq!(mark.partner_mc_system_id, "bravo.example");
    assert_eq!(mark.partner_mc_service_id, authorization.mc_service_id);
    assert_eq!((mark.client_instance, mark.migration_id), (UE.to_string(), MIGRATION.to_string()));
    let Event::ServedByChanged(told) = at_home.event().await else { panic!("she is told at home") };
    assert_eq!(told.ended(), proto::EndReason::Unspecified);
    assert_eq!(away.event().await, Event::Authorized(authorization.clone()));
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations, [authorization]);
    assert_eq!(systems.alice().status(McService::Ptt).await.served_by.len(), 1);
}

async fn partner_refuses_who_is_no_visitor_or_another_one(systems: Systems) {
    let refused = |rule: &str| ("MIGRATION_NOT_PERMITTED".to_owned(), rule.to_owned());
    let request = systems.migrate(McService::Ptt, UE);
    let outcome = systems.bravo.user("bob").migrate(request.clone()).await;
    assert_eq!(reason(outcome), refused("NOT_A_VISITOR"));
    let outcome = systems.bravo.visitor("bob", &systems.alpha).migrate(request.clone()).await;
    assert_eq!(reason(outcome), refused("NOT_A_VISITOR"));
    let mallory = proto::AuthorizeMigrationServiceRequest {
        primary_mc_service_id: "sip:mallory@ptt.alpha.example".to_owned(),
        ..request.clone()
    };
    let outcome = systems.visitor().migrate(mallory).await;
    assert_eq!(reason(outcome), refused("PRIMARY_IDENTITY_DIFFERS"));
    let outcome = systems.bravo.visitor("stranger", &systems.alpha).migrate(request.clone()).await;
    assert_eq!(reason(outcome), refused("PROFILE_UNKNOWN"));
    systems.bravo.sources.disable_profile(&user(McService::Ptt, "alice.alpha", &systems.bravo.id), 1);
    assert_eq!(reason(systems.visitor().migrate(request).await), refused("PROFILE_DISABLED"));
    assert!(systems.served_by().await.is_empty(), "the primary was not even asked");
}

async fn primary_refuses_a_partner_to_which_its_user_may_not_migrate(systems: Systems) {
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.forbid(&alice, &systems.bravo.id);
    let refused = refusal(systems.visitor().migrate(systems.migrate(McService::Ptt, UE)).await);
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (Code::PermissionDenied, "MIGRATION_REFUSED_BY_PRIMARY")
    );
    assert_eq!(refused.metadata["hop"], "alpha.example/mc-service");
    assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    assert!(systems.served_by().await.is_empty());
}

async fn primary_lets_a_partner_apply_only_the_profiles_that_go_to_it(systems: Systems) {
    systems.migrated().await;
    let alice = user(McService::Ptt, "alice", &systems.alpha.id);
    let mut for_bravo = crate::sources::profile(2, &[]);
    for_bravo.valid_in.insert(systems.bravo.id.clone());
    systems.alpha.sources.put_profile(&alice, for_bravo);
    // The one of home use, by which she is served, goes there no more.
    let visitor = systems.visitor();
    assert_eq!(reason(visitor.refresh(McService::Ptt, UE).await).0, "MIGRATION_REFUSED_BY_PRIMARY");
    assert!(visitor.status(McService::Ptt).await.authorizations.is_empty());
    let mut bravo = as_bravo(&systems, Entity::McService);
    let with = |profile_index| proto::FederationServiceAuthorizeMigrationServiceRequest {
        profile_index,
        ..question(&systems)
    };
    assert_eq!(reason(bravo.authorize_migration_service(with(1)).await).0, "MIGRATION_NOT_PERMITTED");
    bravo.authorize_migration_service(with(2)).await.unwrap();
    assert_eq!(systems.served_by().await[0].profile_index, 2);
}

async fn primary_believes_a_partner_no_other_migration_than_the_one_agreed(systems: Systems) {
    let mut bravo = as_bravo(&systems, Entity::McService);
    let invented = Uuid::from_u128(0xbad).to_string();
    let lie = proto::FederationServiceAuthorizeMigrationServiceRequest {
        migration_id: invented,
        ..question(&systems)
    };
    assert_eq!(reason(bravo.authorize_migration_service(lie.clone()).await).0, "MIGRATION_NOT_PERMITTED");
    assert!(systems.served_by().await.is_empty(), "no mark that the end of the migration would not find");
    // Nor does a renewal move a mark to another migration.
    let agreed = question(&systems);
    bravo.authorize_migration_service(agreed.clone()).await.unwrap();
    let renewal = proto::FederationServiceAuthorizeMigrationServiceRequest {
        migration_id: lie.migration_id,
        renewal: true,
        ..agreed
    };
    assert_eq!(reason(bravo.authorize_migration_service(renewal).await).0, "MIGRATION_NOT_PERMITTED");
    let [mark] = systems.served_by().await.try_into().unwrap();
    assert_eq!(mark.migration_id, MIGRATION.to_string());
}

async fn only_the_services_agreed_are_migrated(systems: Systems) {
    let visitor = systems.visitor();
    for service in [McService::Ptt, McService::Video] {
        visitor.migrate(systems.migrate(service, UE)).await.unwrap();
    }
    let outcome = visitor.migrate(systems.migrate(McService::Data, UE)).await;
    assert_eq!(reason(outcome).0, "MIGRATION_REFUSED_BY_PRIMARY");
    // The end of one is not the end of the other.
    assert!(visitor.log_off(McService::Ptt, UE).await);
    assert!(visitor.status(McService::Ptt).await.authorizations.is_empty());
    assert_eq!(visitor.status(McService::Video).await.authorizations.len(), 1);
}

async fn two_ues_of_one_user_are_served_each_by_itself(systems: Systems) {
    let visitor = systems.visitor();
    let mut at_home = systems.alice().watch(UE).await;
    for client in [UE, OTHER_UE] {
        visitor.migrate(systems.migrate(McService::Ptt, client)).await.unwrap();
    }
    assert_eq!(systems.served_by().await.len(), 2);
    at_home.event().await;
    let request = proto::DeauthorizeMigrationServiceRequest {
        mc_service: wire(McService::Ptt),
        client_instance: UE.to_string(),
    };
    let mut service = visitor.service();
    let answer = service.deauthorize_migration_service(visitor.request(request)).await.unwrap();
    assert!(answer.into_inner().was_authorized);
    assert_eq!(at_home.home_again().await, proto::EndReason::Left);
    let [left] = systems.served_by().await.try_into().unwrap();
    assert_eq!(left.client_instance, OTHER_UE.to_string());
    let [present] = visitor.status(McService::Ptt).await.authorizations.try_into().unwrap();
    assert_eq!(present.client_instance, OTHER_UE.to_string());
}

async fn primary_away_leaves_nothing_half_done_and_the_step_can_be_repeated(systems: Systems) {
    let request = systems.migrate(McService::Ptt, UE);
    systems.alpha.network.set(Fault::Down);
    let refused = refusal(systems.visitor().migrate(request.clone()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "PRIMARY_SYSTEM_UNREACHABLE"));
    assert_eq!(refused.metadata["hop"], "alpha.example/mc-service");
    assert!(refused.retry_after.is_some());
    assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    systems.alpha.network.set(Fault::None);
    // The primary's own configuration management is away: the same, for the visitor.
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, true);
    let refused = refusal(systems.visitor().migrate(request.clone()).await);
    assert_eq!(refused.reason, "PRIMARY_SYSTEM_UNREACHABLE");
    systems.alpha.sources.set_away(Entity::ConfigurationManagement, false);
    systems.visitor().migrate(request).await.unwrap();
}

async fn without_a_usable_agreement_nothing_is_asked(systems: Systems) {
    let request = systems.migrate(McService::Ptt, UE);
    let mut suspended = systems.alpha.terms();
    suspended.is_suspended = true;
    let mut unreachable = systems.alpha.terms();
    unreachable.services.clear();
    let now = SystemClock.now();
    let (earlier, later) =
        (Timestamp::from_micros(now.as_micros() - 1), now.saturating_add(Duration::from_secs(3_600)));
    let mut not_yet = systems.alpha.terms();
    not_yet.validity.from = Some(later);
    let mut expired = systems.alpha.terms();
    expired.validity.until = Some(earlier);
    let cases = [
        (vec![suspended], "AGREEMENT_SUSPENDED"),
        (vec![not_yet], "AGREEMENT_NOT_YET_VALID"),
        (vec![expired], "AGREEMENT_EXPIRED"),
        (vec![unreachable], "PARTNER_HAS_NO_ENDPOINT"),
        (Vec::new(), "AGREEMENT_UNKNOWN"),
    ];
    for (terms, expected) in cases {
        systems.bravo.partners.replace(terms);
        let refused = refusal(systems.visitor().migrate(request.clone()).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, expected));
        assert_eq!(refused.metadata["mc_system_id"], "alpha.example");
    }
}

async fn partner_that_does_not_know_us_refuses_us(systems: Systems) {
    let request = systems.migrate(McService::Ptt, UE);
    let mut suspended = systems.bravo.terms();
    suspended.is_suspended = true;
    systems.alpha.partners.replace(vec![suspended]);
    let refused = refusal(systems.visitor().migrate(request.clone()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "PARTNER_REFUSED_US"));
    assert_eq!(refused.metadata["peer_reason"], "AGREEMENT_SUSPENDED");
    // Without an agreement even the certificate is not believed.
    systems.alpha.partners.replace(Vec::new());
    systems.bravo.partners.replace(Vec::new());
    systems.bravo.partners.replace(vec![systems.alpha.terms()]);
    let refused = refusal(systems.visitor().migrate(request).await);
    assert_eq!(refused.reason, "PARTNER_REFUSED_US");
    assert_eq!(refused.metadata["peer_reason"], "CERTIFICATE_REFUSED");
}

async fn visitor_changes_her_profile_with_the_consent_of_her_primary(systems: Systems) {
    systems.migrated().await;
    let (alpha, bravo) = (&systems.alpha, &systems.bravo);
    let visitor = systems.visitor();
    let change = |profile_index| {
        visitor.request(proto::ChangeActiveUserProfileRequest {
            mc_service: wire(McService::Ptt),
            client_instance: UE.to_string(),
            profile_index,
        })
    };
    // The partner has a second profile that the primary does not have.
    let here = user(McService::Ptt, "alice.alpha", &bravo.id);
    let mut second = None;
    bravo.sources.change_profile(&here, 1, |profile| second = Some(profile.clone()));
    let mut second = second.unwrap();
    second.index = ProfileIndex(2);
    bravo.sources.put_profile(&here, second);
    let outcome = visitor.service().change_active_user_profile(change(2)).await;
    assert_eq!(reason(outcome).0, "MIGRATION_REFUSED_BY_PRIMARY");
    assert_eq!(visitor.status(McService::Ptt).await.authorizations[0].profile_index, 1);

    let home = user(McService::Ptt, "alice", &alpha.id);
    let mut for_bravo = crate::sources::profile(2, &[]);
    for_bravo.valid_in.insert(bravo.id.clone());
    alpha.sources.put_profile(&home, for_bravo);
    let answer = visitor.service().change_active_user_profile(change(2)).await.unwrap().into_inner();
    assert_eq!(answer.authorization.unwrap().profile_index, 2);
    assert_eq!(systems.served_by().await[0].profile_index, 2);
}

/// The MC service server of bravo calls that of alpha.
fn as_bravo(systems: &Systems, entity: Entity) -> FederationServiceClient<Channel> {
    let caller = systems.bravo.own.entity(entity);
    let channel = systems.alpha.own.channel(caller, Entity::McService, systems.alpha.peer);
    FederationServiceClient::new(channel)
}

fn question(systems: &Systems) -> proto::FederationServiceAuthorizeMigrationServiceRequest {
    proto::FederationServiceAuthorizeMigrationServiceRequest {
        identity: Some(mcx_proto::types::v1::MigratedServiceIdentity {
            mc_service: wire(McService::Ptt),
            primary_mc_service_id: service_id(McService::Ptt, "alice", &systems.alpha.id).to_string(),
            partner_mc_service_id: service_id(McService::Ptt, "alice.alpha", &systems.bravo.id).to_string(),
        }),
        profile_index: 1,
        client_instance: UE.to_string(),
        migration_id: MIGRATION.to_string(),
        authorization_id: Uuid::new_v4().to_string(),
        renewal: false,
    }
}

async fn primary_tells_a_partner_nothing_of_why_it_refuses(systems: Systems) {
    let mut bravo = as_bravo(&systems, Entity::McService);
    let good = question(&systems);
    let with_identity = |change: fn(&mut mcx_proto::types::v1::MigratedServiceIdentity)| {
        let mut changed = good.clone();
        change(changed.identity.as_mut().unwrap());
        changed
    };
    let unknown_user =
        with_identity(|identity| identity.primary_mc_service_id = "sip:nobody@ptt.alpha.example".to_owned());
    let other_visitor =
        with_identity(|identity| identity.partner_mc_service_id = "sip:bob@ptt.bravo.example".to_owned());
    let not_permitted =
        with_identity(|identity| identity.primary_mc_service_id = "sip:carol@ptt.alpha.example".to_owned());
    let nothing_to_renew =
        proto::FederationServiceAuthorizeMigrationServiceRequest { renewal: true, ..good.clone() };
    let mut answers = Vec::new();
    for request in [unknown_user, other_visitor, not_permitted, nothing_to_renew] {
        let refused = refusal(bravo.authorize_migration_service(request).await);
        assert_eq!(
            (refused.code, refused.reason.as_str()),
            (Code::PermissionDenied, "MIGRATION_NOT_PERMITTED")
        );
        answers.push((refused.message, refused.metadata));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert!(answers[0].1.is_empty());
    let broken = proto::FederationServiceAuthorizeMigrationServiceRequest::default();
    let outcome = bravo.authorize_migration_service(broken).await;
    assert_eq!(fields(outcome), ["identity", "client_instance", "migration_id", "authorization_id"]);
    assert!(bravo.authorize_migration_service(good).await.is_ok());
}

async fn only_mc_service_servers_of_partners_are_answered(systems: Systems) {
    let refused = refusal(
        as_bravo(&systems, Entity::ConfigurationManagement)
            .authorize_migration_service(question(&systems))
            .await,
    );
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    // A UE does not reach what is between systems, nor what is for operators.
    let without_token = AccessTokenClaims { scope: "openid".to_owned(), ..systems.alpha.claims("alice") };
    let outcome = systems.alpha.with_claims(&without_token).log_on(McService::Ptt, None, UE).await;
    assert_eq!(reason(outcome).0, "SCOPE_MISSING");
}

async fn client_that_goes_to_another_partner_leaves_the_first_one(systems: Systems) {
    systems.migrated().await;
    let mut away = systems.visitor().watch(UE).await;
    // A third system, which is a certificate and an agreement here, says that it serves the same client.
    let charlie = TrustDomain::new("charlie.example");
    let mut terms = systems.bravo.terms();
    terms.mc_system_id = charlie.mc_system_id().clone();
    terms.trust_bundle_pem = charlie.bundle_pem().to_owned();
    assert!(systems.alpha.partners.replace(vec![systems.bravo.terms(), terms]).is_empty());
    let charlie_id = service_id(McService::Ptt, "alice.alpha", charlie.mc_system_id());
    let home = user(McService::Ptt, "alice", &systems.alpha.id);
    let by = Uuid::from_u128(0xc);
    systems.alpha.sources.permit(&home, charlie.mc_system_id(), &charlie_id, by);
    let mut request = question(&systems);
    request.identity.as_mut().unwrap().partner_mc_service_id = charlie_id.to_string();
    request.migration_id = by.to_string();
    let caller = charlie.entity(Entity::McService);
    let channel = systems.alpha.own.channel(caller, Entity::McService, systems.alpha.peer);
    FederationServiceClient::new(channel).authorize_migration_service(request).await.unwrap();
    let [mark] = systems.served_by().await.try_into().unwrap();
    assert_eq!(mark.partner_mc_system_id, "charlie.example");
    assert_eq!(away.ended().await, proto::EndReason::Recalled);
}

async fn until_the_agreements_are_known_visitors_have_to_wait(systems: Systems) {
    let charlie = System::new(systems.engine, "charlie.example", &systems.clock).await;
    let visitor = Visitor {
        primary: systems.alpha.id.clone(),
        primary_id: service_id(McService::Ptt, "alice", &systems.alpha.id),
        migration_id: MIGRATION,
    };
    let here = user(McService::Ptt, "alice.alpha", &charlie.id);
    charlie.sources.put_profile(&here, crate::sources::visitor_profile(1, &[], visitor));
    let caller = charlie.visitor("alice.alpha", &systems.alpha);
    let refused = refusal(caller.migrate(systems.migrate(McService::Ptt, UE)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "AGREEMENTS_NOT_KNOWN"));
    assert_eq!(refused.metadata["hop"], "migration-management");
    assert!(refused.retry_after.is_some());
}
