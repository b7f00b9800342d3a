//! Who may call whom, at the enforcement point: TS 23.280 10.1.1.1.

use mc_service::domain::alias::AliasForUser;
use mc_service::domain::profile::PrivateCalls;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::authorize_communication_request::Target;
use mcx_proto::mcservice::v1::communication_service_client::CommunicationServiceClient;
use mcx_proto::mcservice::v1::{CommunicationKind, DecisionRule};
use mcx_types::{Entity, FunctionalAlias, McService};
use tonic::Code;

use crate::fixture::{
    Caller, OTHER_UE, System, Systems, UE, border, fields, on_every_database, refusal, rescue, service_id,
    user, wire,
};

on_every_database!(
    private_call_is_allowed_and_tells_where_the_called_user_is,
    change_of_a_profile_or_group_is_enforced_from_the_next_question_on,
    visitor_is_decided_on_by_what_is_in_force_here,
    group_is_called_by_its_affiliated_members_only,
    alias_is_resolved_to_who_has_it,
    caller_without_service_is_refused_and_not_an_error,
    profile_of_the_client_that_calls_counts,
    entities_away_are_told_with_the_hop,
    call_control_asks_for_anybody_and_a_user_for_herself_only,
    malformed_questions_name_every_field_at_once,
);

fn of(subject: &str, system: &System) -> Target {
    Target::McServiceId(service_id(McService::Ptt, subject, &system.id).to_string())
}

async fn ask(
    caller: &Caller,
    kind: CommunicationKind,
    target: Target,
) -> proto::AuthorizeCommunicationResponse {
    let answer = caller.may_call(kind, target).await.unwrap().into_inner();
    assert!(!answer.explanation.is_empty());
    answer
}

async fn rule(caller: &Caller, kind: CommunicationKind, target: Target) -> (bool, DecisionRule) {
    let answer = ask(caller, kind, target).await;
    (answer.decision() == proto::CommunicationDecision::Allowed, answer.rule())
}

async fn private_call_is_allowed_and_tells_where_the_called_user_is(systems: Systems) {
    let carol = systems.alpha.user("carol").logged_on().await;
    let alice = of("alice", &systems.alpha);
    let answer = ask(&carol, CommunicationKind::Private, alice.clone()).await;
    assert_eq!(answer.rule(), DecisionRule::PrivateCallToAnybody);
    assert_eq!((answer.profile_etag.as_str(), answer.profile_index), ("etag-1", Some(1)));
    assert_eq!(answer.called_users[0].reachability(), proto::Reachability::NotServedHere);
    systems.migrated().await;
    let answer = ask(&carol, CommunicationKind::Private, alice.clone()).await;
    let [called] = answer.called_users.try_into().unwrap();
    assert_eq!(called.reachability(), proto::Reachability::ServedByPartner);
    assert_eq!(called.serving_mc_system_id, "bravo.example");
    assert_eq!(called.serving_mc_service_id, "sip:alice.alpha@ptt.bravo.example");
    systems.alice().logged_on().await;
    let answer = ask(&carol, CommunicationKind::Private, alice).await;
    assert_eq!(answer.called_users[0].reachability(), proto::Reachability::ServedHere);
    let herself = of("carol", &systems.alpha);
    let refused = rule(&carol, CommunicationKind::Private, herself).await;
    assert_eq!(refused, (false, DecisionRule::TargetIsCaller));
}

async fn change_of_a_profile_or_group_is_enforced_from_the_next_question_on(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    alice.affiliate(UE, &[&rescue()]).await.unwrap();
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    let group = Target::GroupId(rescue().to_string());
    let carol = of("carol", &systems.alpha);
    use CommunicationKind::{Emergency, Group, Private};
    assert_eq!(rule(&alice, Group, group.clone()).await, (true, DecisionRule::AffiliatedMember));
    assert_eq!(rule(&alice, Emergency, group.clone()).await, (true, DecisionRule::AffiliatedMember));
    systems.alpha.sources.change_group(&rescue(), |group| group.emergency_calls = false);
    assert_eq!(
        rule(&alice, Emergency, group.clone()).await,
        (false, DecisionRule::EmergencyNotAllowedInGroup)
    );
    systems.alpha.sources.change_profile(&id, 1, |profile| {
        profile.emergency_calls = false;
        profile.private_call = PrivateCalls::Nobody;
    });
    assert_eq!(rule(&alice, Emergency, group.clone()).await, (false, DecisionRule::EmergencyNotAllowed));
    assert_eq!(rule(&alice, Private, carol.clone()).await, (false, DecisionRule::PrivateCallNotAllowed));
    systems.alpha.sources.remove_member(&rescue(), &id.id);
    assert_eq!(rule(&alice, Group, group.clone()).await, (false, DecisionRule::NotAMember));
    systems.alpha.sources.disable_profile(&id, 1);
    assert_eq!(rule(&alice, Group, group).await, (false, DecisionRule::CallerProfileDisabled));
    systems.alpha.sources.remove_profiles(&id);
    assert_eq!(rule(&alice, Private, carol).await, (false, DecisionRule::ProfileGone));
}

async fn visitor_is_decided_on_by_what_is_in_force_here(systems: Systems) {
    systems.migrated().await;
    let visitor = systems.visitor();
    let bob = service_id(McService::Ptt, "bob", &systems.bravo.id);
    let here = user(McService::Ptt, "alice.alpha", &systems.bravo.id);
    systems.bravo.sources.change_profile(&here, 1, |profile| {
        profile.private_call = PrivateCalls::Listed([bob.clone()].into());
    });
    let allowed = rule(&visitor, CommunicationKind::Private, Target::McServiceId(bob.to_string())).await;
    assert_eq!(allowed, (true, DecisionRule::PrivateCallToListedUser));
    // At home she may call anybody. That does not count here.
    let refused = rule(&visitor, CommunicationKind::Private, of("carol", &systems.alpha)).await;
    assert_eq!(refused, (false, DecisionRule::TargetNotListed));
    let at_home = systems.alice().logged_on().await;
    let allowed = rule(&at_home, CommunicationKind::Private, of("carol", &systems.alpha)).await;
    assert_eq!(allowed, (true, DecisionRule::PrivateCallToAnybody));
}

async fn group_is_called_by_its_affiliated_members_only(systems: Systems) {
    systems.migrated().await;
    let visitor = systems.visitor();
    let border_target = || Target::GroupId(border().to_string());
    let refused = rule(&visitor, CommunicationKind::Group, border_target()).await;
    assert_eq!(refused, (false, DecisionRule::NotAffiliated));
    visitor.affiliate(UE, &[&border(), &rescue()]).await.unwrap();
    let answer = ask(&visitor, CommunicationKind::Group, border_target()).await;
    assert_eq!((answer.rule(), answer.group_etag.as_str()), (DecisionRule::AffiliatedMember, "group-1"));
    let of_primary = rule(&visitor, CommunicationKind::Group, Target::GroupId(rescue().to_string())).await;
    assert_eq!(of_primary, (true, DecisionRule::AffiliatedMember));
    systems.bravo.sources.change_group(&border(), |group| group.allow_visitors = false);
    let refused = rule(&visitor, CommunicationKind::Group, border_target()).await;
    assert_eq!(refused, (false, DecisionRule::GroupWithoutVisitors));
    let unknown = Target::GroupId("sip:unknown@bravo.example".to_owned());
    let refused = rule(&visitor, CommunicationKind::Group, unknown).await;
    assert_eq!(refused, (false, DecisionRule::GroupNotInProfile));
}

async fn alias_is_resolved_to_who_has_it(systems: Systems) {
    let alias: FunctionalAlias = "sip:commander@alpha.example".parse().unwrap();
    let target = || Target::FunctionalAlias(alias.to_string());
    let alice = systems.alice().logged_on().await;
    let carol = systems.alpha.user("carol").logged_on().await;
    let nobody = rule(&carol, CommunicationKind::Private, target()).await;
    assert_eq!(nobody, (false, DecisionRule::AliasNotActive));
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    let terms =
        AliasForUser { is_allowed_user: true, allow_visitors: false, max_activations: 1, take_over: false };
    systems.alpha.sources.put_alias(&alias, terms, &[&id.id]);
    systems.alpha.sources.change_profile(&id, 1, |profile| {
        profile.functional_aliases.insert(alias.clone());
    });
    let request = proto::ActivateFunctionalAliasRequest {
        mc_service: wire(McService::Ptt),
        client_instance: UE.to_string(),
        functional_alias: alias.to_string(),
        take_over: false,
    };
    alice.aliases().activate_functional_alias(alice.request(request)).await.unwrap();
    let answer = ask(&carol, CommunicationKind::Private, target()).await;
    assert_eq!(answer.rule(), DecisionRule::PrivateCallToAnybody);
    let [called] = answer.called_users.try_into().unwrap();
    assert_eq!(called.mc_service_id, id.id.as_str());
    // Whom she may not call she may not call by a role either.
    let carol_user = user(McService::Ptt, "carol", &systems.alpha.id);
    systems.alpha.sources.change_profile(&carol_user, 1, |profile| {
        profile.private_call = PrivateCalls::Listed(Default::default());
    });
    let refused = rule(&carol, CommunicationKind::Private, target()).await;
    assert_eq!(refused, (false, DecisionRule::TargetNotListed));
}

async fn caller_without_service_is_refused_and_not_an_error(systems: Systems) {
    let carol = of("carol", &systems.alpha);
    let refused = rule(&systems.alice(), CommunicationKind::Private, carol.clone()).await;
    assert_eq!(refused, (false, DecisionRule::CallerNotAuthorized));
    let alice = systems.alice().logged_on().await;
    assert!(rule(&alice, CommunicationKind::Private, carol.clone()).await.0);
    systems.clock.advance(std::time::Duration::from_secs(3_600));
    // Whether or not it was cleared away yet.
    let refused = rule(&alice, CommunicationKind::Private, carol).await;
    assert_eq!(refused, (false, DecisionRule::CallerNotAuthorized));
}

async fn profile_of_the_client_that_calls_counts(systems: Systems) {
    let id = user(McService::Ptt, "alice", &systems.alpha.id);
    let mut quiet = crate::sources::profile(2, &[]);
    quiet.private_call = PrivateCalls::Nobody;
    systems.alpha.sources.put_profile(&id, quiet);
    let alice = systems.alice().logged_on().await;
    alice.log_on(McService::Ptt, Some(2), OTHER_UE).await.unwrap();
    let ask_on = |client: uuid::Uuid| {
        let request = proto::AuthorizeCommunicationRequest {
            mc_service: wire(McService::Ptt),
            kind: CommunicationKind::Private.into(),
            target: Some(of("carol", &systems.alpha)),
            client_instance: client.to_string(),
            ..Default::default()
        };
        let alice = &alice;
        async move {
            let answer = alice.communication().authorize_communication(alice.request(request)).await;
            answer.unwrap().into_inner().rule()
        }
    };
    assert_eq!(ask_on(UE).await, DecisionRule::PrivateCallToAnybody);
    assert_eq!(ask_on(OTHER_UE).await, DecisionRule::PrivateCallNotAllowed);
    assert_eq!(ask_on(uuid::Uuid::from_u128(3)).await, DecisionRule::CallerNotAuthorized);
}

async fn entities_away_are_told_with_the_hop(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    let group = Target::GroupId(rescue().to_string());
    let cases = [
        (Entity::GroupManagement, "GROUP_MANAGEMENT_UNREACHABLE", "alpha.example/group-management"),
        (
            Entity::ConfigurationManagement,
            "CONFIGURATION_MANAGEMENT_UNREACHABLE",
            "alpha.example/configuration-management",
        ),
    ];
    for (entity, expected, hop) in cases {
        systems.alpha.sources.set_away(entity, true);
        let refused = refusal(alice.may_call(CommunicationKind::Group, group.clone()).await);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, expected));
        assert_eq!(refused.metadata["hop"], hop);
        assert!(refused.retry_after.is_some());
    }
}

async fn call_control_asks_for_anybody_and_a_user_for_herself_only(systems: Systems) {
    let alice = systems.alice().logged_on().await;
    let request = |caller: &str| proto::AuthorizeCommunicationRequest {
        caller_mc_service_id: caller.to_owned(),
        mc_service: wire(McService::Ptt),
        kind: CommunicationKind::Private.into(),
        target: Some(of("carol", &systems.alpha)),
        client_instance: String::new(),
    };
    let alice_id = service_id(McService::Ptt, "alice", &systems.alpha.id).to_string();
    let mut sip_core = CommunicationServiceClient::new(systems.alpha.entity(Entity::SipCore));
    let answer = sip_core.authorize_communication(request(&alice_id)).await.unwrap().into_inner();
    assert_eq!(answer.decision(), proto::CommunicationDecision::Allowed);
    let outcome = sip_core.authorize_communication(request("")).await;
    assert_eq!(fields(outcome), ["caller_mc_service_id"]);
    let mut stranger = CommunicationServiceClient::new(systems.alpha.entity(Entity::SipDatabase));
    let refused = refusal(stranger.authorize_communication(request(&alice_id)).await);
    assert_eq!(refused.reason, "METHOD_NOT_ALLOWED");

    let mut communication = alice.communication();
    let answer = communication.authorize_communication(alice.request(request(&alice_id))).await;
    assert!(answer.is_ok());
    let other = service_id(McService::Ptt, "carol", &systems.alpha.id).to_string();
    let outcome = communication.authorize_communication(alice.request(request(&other))).await;
    assert_eq!(fields(outcome), ["caller_mc_service_id"]);
}

async fn malformed_questions_name_every_field_at_once(systems: Systems) {
    let alice = systems.alice();
    let ask = |request: proto::AuthorizeCommunicationRequest| {
        let alice = &alice;
        async move { fields(alice.communication().authorize_communication(alice.request(request)).await) }
    };
    let nothing =
        proto::AuthorizeCommunicationRequest { client_instance: "ue".to_owned(), ..Default::default() };
    assert_eq!(ask(nothing).await, ["mc_service", "kind", "target", "client_instance"]);
    let unfit = |kind: CommunicationKind, target: Target| proto::AuthorizeCommunicationRequest {
        mc_service: wire(McService::Ptt),
        kind: kind.into(),
        target: Some(target),
        ..Default::default()
    };
    assert_eq!(ask(unfit(CommunicationKind::Group, of("carol", &systems.alpha))).await, ["kind"]);
    let group = Target::GroupId(rescue().to_string());
    assert_eq!(ask(unfit(CommunicationKind::Private, group)).await, ["kind"]);
    let malformed = Target::GroupId("rescue".to_owned());
    assert_eq!(ask(unfit(CommunicationKind::Group, malformed)).await, ["group_id"]);
}
