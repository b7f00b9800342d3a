//! Affiliation, here and at the home of a group: TS 23.280 10.8.

use std::time::Duration;

use mc_service::domain::profile::UserProfile;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::DecisionRule;
use mcx_proto::mcservice::v1::federation_service_client::FederationServiceClient;
use mcx_testkit::Fault;
use mcx_types::{Entity, McService, McServiceGroupId};

use crate::fixture::{
    OTHER_UE, Systems, UE, border, fields, on_every_database, reason, rescue, service_id, user, wire,
};
use crate::sources::{group, profile};

on_every_database!(
    each_group_has_an_outcome_of_its_own,
    affiliations_stay_within_what_the_profile_allows,
    concurrent_affiliations_stay_within_it_too,
    next_active_profile_ends_the_latest_affiliations_that_are_too_many_for_it,
    deaffiliation_is_for_one_client_or_for_all,
    visitor_affiliates_to_a_group_of_her_primary_which_agrees,
    home_of_a_group_away_or_unwilling_is_told_apart,
    home_of_a_group_forgets_what_has_ended,
    group_management_away_is_told,
    affiliation_needs_an_authorization_and_a_profile_in_force,
);

async fn each_group_has_an_outcome_of_its_own(systems: Systems) {
    let alpha = &systems.alpha;
    let named: Vec<McServiceGroupId> = ["closed", "foreign", "data"]
        .map(|name| format!("sip:{name}@alpha.example").parse().unwrap())
        .to_vec();
    let [closed, foreign, data] = named.as_slice() else { unreachable!() };
    let unknown: McServiceGroupId = "sip:unknown@alpha.example".parse().unwrap();
    let alice = service_id(McService::Ptt, "alice", &alpha.id);
    for id in [closed, data] {
        alpha.sources.put_group(group(id, &alpha.id), &[(&alice, &alpha.id)]);
    }
    alpha.sources.put_group(group(foreign, &alpha.id), &[]);
    alpha.sources.change_group(closed, |group| group.is_enabled = false);
    alpha.sources.change_group(data, |group| group.mc_services = [McService::Data].into());
    alpha.sources.change_profile(&user(McService::Ptt, "alice", &alpha.id), 1, |profile| {
        *profile = crate::sources::profile(1, &[&rescue(), closed, foreign, data, &unknown]);
    });
    let caller = systems.alice().logged_on().await;
    let outcomes = caller.affiliate_rules(UE, &[closed, &rescue(), foreign, data, &unknown, &border()]).await;
    assert_eq!(
        outcomes,
        [
            (false, DecisionRule::GroupDisabled),
            (true, DecisionRule::Affiliated),
            (false, DecisionRule::NotAMember),
            (false, DecisionRule::ServiceNotOfGroup),
            (false, DecisionRule::GroupUnknown),
            (false, DecisionRule::GroupNotInProfile),
        ]
    );
    assert_eq!(caller.affiliated().await, [(rescue().to_string(), UE.to_string())]);
}

/// Three groups of which Alice is a member, with a profile that names all and allows two.
fn three_groups(systems: &Systems) -> Vec<McServiceGroupId> {
    let alpha = &systems.alpha;
    let groups: Vec<McServiceGroupId> =
        ["a", "b", "c"].map(|name| format!("sip:{name}@alpha.example").parse().unwrap()).to_vec();
    let alice = service_id(McService::Ptt, "alice", &alpha.id);
    for id in &groups {
        alpha.sources.put_group(group(id, &alpha.id), &[(&alice, &alpha.id)]);
    }
    let named: Vec<&McServiceGroupId> = groups.iter().collect();
    alpha.sources.change_profile(&user(McService::Ptt, "alice", &alpha.id), 1, |present| {
        *present = profile(1, &named);
    });
    groups
}

async fn affiliations_stay_within_what_the_profile_allows(systems: Systems) {
    let groups = three_groups(&systems);
    let named: Vec<&McServiceGroupId> = groups.iter().collect();
    let alice = systems.alice().logged_on().await;
    alice.log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    let outcomes = alice.affiliate_rules(UE, &named).await;
    assert_eq!(outcomes[2], (false, DecisionRule::TooManyAffiliations));
    // The same group on another client counts once.
    let outcomes = alice.affiliate_rules(OTHER_UE, &[named[0], named[2]]).await;
    assert_eq!(outcomes, [(true, DecisionRule::Affiliated), (false, DecisionRule::TooManyAffiliations)]);
}

async fn concurrent_affiliations_stay_within_it_too(systems: Systems) {
    let groups = three_groups(&systems);
    let alice = systems.alice().logged_on().await;
    let attempts = groups.iter().map(|group| {
        let alice = &alice;
        async move { alice.affiliate_rules(UE, &[group]).await[0].0 }
    });
    let affiliated = futures::future::join_all(attempts).await;
    assert_eq!(affiliated.into_iter().filter(|affiliated| *affiliated).count(), 2);
    assert_eq!(alice.affiliated().await.len(), 2);
}

async fn next_active_profile_ends_the_latest_affiliations_that_are_too_many_for_it(systems: Systems) {
    let groups = three_groups(&systems);
    let [a, b, c] = groups.as_slice() else { unreachable!() };
    let alice_id = user(McService::Ptt, "alice", &systems.alpha.id);
    let allowing = |index, max_affiliations| UserProfile { max_affiliations, ..profile(index, &[a, b, c]) };
    let mut with_implicit = allowing(2, 3);
    with_implicit.groups.get_mut(c).unwrap().implicit_affiliation = true;
    for next in [with_implicit, allowing(3, 2), allowing(4, 1)] {
        systems.alpha.sources.put_profile(&alice_id, next);
    }
    let alice = systems.alice().logged_on().await;
    for group in [b, a] {
        systems.clock.advance(Duration::from_secs(1));
        alice.affiliate(UE, &[group]).await.unwrap();
    }
    systems.clock.advance(Duration::from_secs(1));
    // The implicit one is the latest of all, and stays.
    for (profile_index, ended, stay) in
        [(2, vec![], vec![a, b, c]), (3, vec![a], vec![b, c]), (4, vec![b], vec![c])]
    {
        let change = alice.request(proto::ChangeActiveUserProfileRequest {
            mc_service: wire(McService::Ptt),
            client_instance: UE.to_string(),
            profile_index,
        });
        let answer = alice.service().change_active_user_profile(change).await.unwrap().into_inner();
        let ended: Vec<String> = ended.into_iter().map(ToString::to_string).collect();
        assert_eq!(answer.ended_affiliations, ended, "user profile {profile_index}");
        let affiliated: Vec<String> = alice.affiliated().await.into_iter().map(|(group, _)| group).collect();
        assert_eq!(affiliated, stay.into_iter().map(ToString::to_string).collect::<Vec<_>>());
    }
}

async fn deaffiliation_is_for_one_client_or_for_all(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    alice.log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    let deaffiliate = |scope: proto::DeaffiliationScope| {
        let request = proto::DeaffiliateRequest {
            mc_service: wire(McService::Ptt),
            client_instance: UE.to_string(),
            group_ids: vec![rescue().to_string()],
            scope: scope.into(),
        };
        let alice = &alice;
        async move {
            let answer = alice.affiliations().deaffiliate(alice.request(request)).await.unwrap();
            answer.into_inner().outcomes
        }
    };
    for (scope, left) in
        [(proto::DeaffiliationScope::ThisClient, 1), (proto::DeaffiliationScope::AllClients, 0)]
    {
        for client in [UE, OTHER_UE] {
            alice.affiliate(client, &[&rescue()]).await.unwrap();
        }
        let [outcome] = deaffiliate(scope).await.try_into().unwrap();
        assert_eq!((outcome.affiliated, outcome.rule()), (false, DecisionRule::Deaffiliated));
        assert_eq!(alice.affiliated().await.len(), left);
    }
}

async fn visitor_affiliates_to_a_group_of_her_primary_which_agrees(systems: Systems) {
    systems.migrated().await;
    let outcomes = systems.visitor().affiliate_rules(UE, &[&rescue(), &border()]).await;
    assert_eq!(outcomes, [(true, DecisionRule::AffiliatedAtHomeOfGroup), (true, DecisionRule::Affiliated)]);
    // The home of the group does not take the partner's word for it.
    let alice = service_id(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.remove_member(&rescue(), &alice);
    let outcomes = systems.visitor().affiliate_rules(UE, &[&rescue()]).await;
    assert_eq!(outcomes, [(false, DecisionRule::RefusedByHomeOfGroup)]);
    // With the next refresh the partner learns it too.
    systems.visitor().refresh(McService::Ptt, UE).await.unwrap();
    assert_eq!(systems.visitor().affiliated().await, [(border().to_string(), UE.to_string())]);
}

async fn home_of_a_group_away_or_unwilling_is_told_apart(systems: Systems) {
    systems.migrated().await;
    systems.alpha.network.set(Fault::Down);
    let outcomes = systems.visitor().affiliate_rules(UE, &[&rescue(), &border()]).await;
    assert_eq!(outcomes, [(false, DecisionRule::HomeOfGroupUnreachable), (true, DecisionRule::Affiliated)]);
    systems.alpha.network.set(Fault::None);
    systems.alpha.sources.change_group(&rescue(), |group| group.is_enabled = false);
    let outcomes = systems.visitor().affiliate_rules(UE, &[&rescue()]).await;
    assert_eq!(outcomes, [(false, DecisionRule::RefusedByHomeOfGroup)]);
    systems.bravo.partners.replace(Vec::new());
    let outcomes = systems.visitor().affiliate_rules(UE, &[&rescue()]).await;
    assert_eq!(outcomes, [(false, DecisionRule::RefusedByHomeOfGroup)]);
}

fn as_bravo(systems: &Systems) -> FederationServiceClient<tonic::transport::Channel> {
    let caller = systems.bravo.own.entity(Entity::McService);
    FederationServiceClient::new(systems.alpha.own.channel(caller, Entity::McService, systems.alpha.peer))
}

fn identity(systems: &Systems) -> Option<mcx_proto::types::v1::McServiceIdentity> {
    Some(mcx_proto::types::v1::McServiceIdentity {
        mc_service: wire(McService::Ptt),
        mc_service_id: service_id(McService::Ptt, "alice", &systems.alpha.id).to_string(),
    })
}

async fn home_of_a_group_forgets_what_has_ended(systems: Systems) {
    systems.migrated().await;
    let mut bravo = as_bravo(&systems);
    let at = |seconds: i64| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let affiliate = |seconds| proto::FederationServiceAffiliateRequest {
        identity: identity(&systems),
        client_instance: UE.to_string(),
        group_ids: vec![rescue().to_string()],
        lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        request_time: at(seconds),
    };
    let deaffiliate = |seconds| proto::FederationServiceDeaffiliateRequest {
        identity: identity(&systems),
        client_instance: UE.to_string(),
        group_ids: Vec::new(),
        request_time: at(seconds),
    };
    bravo.affiliate(affiliate(10)).await.unwrap();
    // What is said late of an earlier affiliation does not end it.
    let ended = bravo.deaffiliate(deaffiliate(9)).await.unwrap().into_inner().ended_count;
    assert_eq!(ended, 0);
    let ended = bravo.deaffiliate(deaffiliate(10)).await.unwrap().into_inner().ended_count;
    assert_eq!(ended, 1);
    // The end of her migration takes it along, as the end of its lease does.
    bravo.affiliate(affiliate(11)).await.unwrap();
    let mut at_home = systems.alice().watch(UE).await;
    assert!(systems.visitor().log_off(McService::Ptt, UE).await);
    assert_eq!(at_home.home_again().await, proto::EndReason::Left);
    let ended = bravo.deaffiliate(deaffiliate(100)).await.unwrap().into_inner().ended_count;
    assert_eq!(ended, 0);
    // Whom the partner does not serve it does not speak for.
    let outcome = bravo.affiliate(affiliate(12)).await.unwrap().into_inner().outcomes.remove(0);
    assert_eq!((outcome.affiliated, outcome.rule()), (false, DecisionRule::NotAMember));
    let outcome = bravo.affiliate(proto::FederationServiceAffiliateRequest::default()).await;
    assert_eq!(fields(outcome), ["identity", "client_instance", "group_ids", "lease", "request_time"]);
    let too_long = proto::FederationServiceAffiliateRequest {
        lease: Some(prost_types::Duration { seconds: 8 * 24 * 3_600, nanos: 0 }),
        ..affiliate(13)
    };
    assert_eq!(fields(bravo.affiliate(too_long).await), ["lease"]);
}

async fn group_management_away_is_told(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    systems.alpha.sources.set_away(Entity::GroupManagement, true);
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await).0, "GROUP_MANAGEMENT_UNREACHABLE");
    assert!(alice.affiliated().await.is_empty());
}

async fn affiliation_needs_an_authorization_and_a_profile_in_force(systems: Systems) {
    let alice = systems.alice();
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await).0, "NOT_AUTHORIZED");
    let alice = alice.logged_on().await;
    assert_eq!(reason(alice.affiliate(OTHER_UE, &[&rescue()]).await).0, "NOT_AUTHORIZED");
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.disable_profile(&id, 1);
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await).1, "PROFILE_DISABLED");
    systems.alpha.sources.remove_profiles(&id);
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await).1, "PROFILE_GONE");
    systems.clock.advance(Duration::from_secs(3_600));
    assert_eq!(reason(alice.affiliate(UE, &[&rescue()]).await).0, "NOT_AUTHORIZED");
}
