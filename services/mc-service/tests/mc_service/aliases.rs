//! Functional aliases: TS 23.280 10.13.

use mc_service::domain::alias::AliasForUser;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::DecisionRule;
use mcx_proto::mcservice::v1::authorize_communication_request::Target;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_types::{Entity, FunctionalAlias, McService};
use tonic::Status;
use uuid::Uuid;

use crate::fixture::{
    Caller, OTHER_UE, System, Systems, UE, on_every_database, reason, service_id, user, wire,
};
use crate::sources::profile;

on_every_database!(
    alias_is_activated_listed_and_laid_down,
    alias_is_refused_by_rule,
    taker_displaces_who_had_it_and_the_displaced_is_told,
    of_two_who_activate_at_once_exactly_one_wins,
    of_two_who_take_over_at_once_one_has_it_in_the_end,
    alias_ends_with_the_last_client_of_its_user,
    visitor_activates_an_alias_that_admits_visitors,
    alias_reaches_only_who_may_still_have_it,
    who_may_not_have_an_alias_any_more_is_in_nobodys_way,
    who_may_not_have_an_alias_any_more_is_told_at_the_next_refresh,
    alias_ends_with_the_last_active_profile_that_names_it,
);

const TERMS: AliasForUser =
    AliasForUser { is_allowed_user: false, allow_visitors: false, max_activations: 1, take_over: true };

fn commander() -> FunctionalAlias {
    "sip:commander@alpha.example".parse().unwrap()
}

/// An alias of alpha that Alice and Carol may activate.
fn provide(system: &System, terms: AliasForUser) {
    let users = ["alice", "carol"].map(|subject| user(McService::Ptt, subject, &system.id));
    let allowed: Vec<_> = users.iter().map(|user| &user.id).collect();
    system.sources.put_alias(&commander(), terms, &allowed);
    for user in &users {
        system.sources.change_profile(user, 1, |profile| {
            profile.functional_aliases.insert(commander());
        });
    }
}

async fn activate(
    caller: &Caller,
    take_over: bool,
) -> Result<proto::ActivateFunctionalAliasResponse, Status> {
    let request = proto::ActivateFunctionalAliasRequest {
        mc_service: wire(McService::Ptt),
        client_instance: UE.to_string(),
        functional_alias: commander().to_string(),
        take_over,
    };
    let answer = caller.aliases().activate_functional_alias(caller.request(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn active(caller: &Caller) -> Vec<String> {
    let request = proto::ListActiveFunctionalAliasesRequest { mc_service: wire(McService::Ptt) };
    let answer = caller.aliases().list_active_functional_aliases(caller.request(request)).await.unwrap();
    answer.into_inner().activations.into_iter().map(|activation| activation.functional_alias).collect()
}

async fn both(systems: &Systems) -> (Caller, Caller) {
    (systems.alice().logged_on().await, systems.alpha.user("carol").logged_on().await)
}

async fn alias_is_activated_listed_and_laid_down(systems: Systems) {
    provide(&systems.alpha, TERMS);
    let (alice, _) = both(&systems).await;
    let answer = activate(&alice, false).await.unwrap();
    assert_eq!(answer.rule(), DecisionRule::AliasActivated);
    assert_eq!(answer.displaced_mc_service_id, "");
    assert_eq!(activate(&alice, true).await.unwrap().activation, answer.activation, "it stays as it is");
    assert_eq!(active(&alice).await, [commander().to_string()]);
    let deactivate = || {
        let request = proto::DeactivateFunctionalAliasRequest {
            mc_service: wire(McService::Ptt),
            functional_alias: commander().to_string(),
        };
        let alice = &alice;
        async move {
            let answer = alice.aliases().deactivate_functional_alias(alice.request(request)).await;
            answer.unwrap().into_inner().was_active
        }
    };
    assert!(deactivate().await);
    assert!(!deactivate().await);
    assert!(active(&alice).await.is_empty());
}

async fn alias_is_refused_by_rule(systems: Systems) {
    let (alice, carol) = both(&systems).await;
    let refused = |rule: &str| ("ACTIVATION_REFUSED".to_owned(), rule.to_owned());
    assert_eq!(reason(activate(&alice, false).await), refused("ALIAS_UNKNOWN"));
    provide(&systems.alpha, AliasForUser { take_over: false, ..TERMS });
    let id = user(McService::Ptt, "carol", &systems.alpha.id);
    systems.alpha.sources.change_profile(&id, 1, |profile| profile.functional_aliases.clear());
    assert_eq!(reason(activate(&carol, false).await), refused("ALIAS_NOT_IN_PROFILE"));
    provide(&systems.alpha, AliasForUser { take_over: false, ..TERMS });
    activate(&alice, false).await.unwrap();
    assert_eq!(reason(activate(&carol, true).await), refused("ALIAS_NOT_TO_BE_TAKEN_OVER"));
    provide(&systems.alpha, TERMS);
    assert_eq!(reason(activate(&carol, false).await), refused("ALIAS_IN_USE"));
    systems.alpha.sources.change_profile(&id, 1, |profile| {
        profile.valid_in.insert(systems.bravo.id.clone());
    });
    assert_eq!(reason(activate(&carol, true).await), refused("PROFILE_IS_FOR_MIGRATION"));
    systems.alpha.sources.change_profile(&id, 1, |profile| profile.valid_in.clear());
    systems.alpha.sources.set_away(Entity::FunctionalAliasManagement, true);
    let away = reason(activate(&carol, true).await).0;
    assert_eq!(away, "FUNCTIONAL_ALIAS_MANAGEMENT_UNREACHABLE");
    carol.log_off(McService::Ptt, UE).await;
    assert_eq!(reason(activate(&carol, true).await).0, "NOT_AUTHORIZED");
}

async fn taker_displaces_who_had_it_and_the_displaced_is_told(systems: Systems) {
    provide(&systems.alpha, TERMS);
    let (alice, carol) = both(&systems).await;
    activate(&alice, false).await.unwrap();
    // Whichever client she watches on: the functional alias is the user's.
    let mut watching = alice.watch(OTHER_UE).await;
    let answer = activate(&carol, true).await.unwrap();
    let (alice_id, carol_id) = (
        service_id(McService::Ptt, "alice", &systems.alpha.id).to_string(),
        service_id(McService::Ptt, "carol", &systems.alpha.id).to_string(),
    );
    assert_eq!(answer.rule(), DecisionRule::AliasTakenOver);
    assert_eq!(answer.displaced_mc_service_id, alice_id);
    let Event::AliasDisplaced(told) = watching.event().await else { panic!("she is told") };
    assert_eq!((told.mc_service_id, told.taken_over_by), (alice_id, carol_id));
    assert!(active(&alice).await.is_empty());
    assert_eq!(active(&carol).await.len(), 1);
}

async fn of_two_who_activate_at_once_exactly_one_wins(systems: Systems) {
    provide(&systems.alpha, AliasForUser { take_over: false, ..TERMS });
    let (alice, carol) = both(&systems).await;
    let (one, other) = tokio::join!(activate(&alice, true), activate(&carol, true));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(active(&alice).await.len() + active(&carol).await.len(), 1);
}

async fn of_two_who_take_over_at_once_one_has_it_in_the_end(systems: Systems) {
    provide(&systems.alpha, TERMS);
    let (alice, _) = both(&systems).await;
    // Each at a replica of her own.
    let replica = systems.alpha.replica().await;
    let carol = systems.alpha.user_at(&replica, "carol");
    for _ in 0..5 {
        let (one, other) = tokio::join!(activate(&alice, true), activate(&carol, true));
        one.unwrap();
        other.unwrap();
        assert_eq!(active(&alice).await.len() + active(&carol).await.len(), 1);
    }
}

async fn alias_ends_with_the_last_client_of_its_user(systems: Systems) {
    provide(&systems.alpha, TERMS);
    let (alice, carol) = both(&systems).await;
    alice.log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    activate(&alice, false).await.unwrap();
    alice.log_off(McService::Ptt, UE).await;
    assert_eq!(active(&alice).await.len(), 1);
    alice.log_off(McService::Ptt, OTHER_UE).await;
    assert!(active(&alice).await.is_empty());
    assert_eq!(activate(&carol, false).await.unwrap().rule(), DecisionRule::AliasActivated);
    let alice = alice.logged_on().await;
    assert!(active(&alice).await.is_empty(), "she begins without it");
}

/// What takes the ground from under Alice's activation.
const REVOCATIONS: [fn(&System); 3] = [
    |alpha| alpha.sources.remove_alias(&commander(), None),
    |alpha| alpha.sources.remove_alias(&commander(), Some(&service_id(McService::Ptt, "alice", &alpha.id))),
    |alpha| {
        let alice = user(McService::Ptt, "alice", &alpha.id);
        alpha.sources.change_profile(&alice, 1, |profile| profile.functional_aliases.clear());
    },
];

/// The rule by which a user may call the alias, and how many she reaches.
async fn calls_commander(caller: &Caller) -> (DecisionRule, usize) {
    let target = Target::FunctionalAlias(commander().to_string());
    let answer = caller.may_call(proto::CommunicationKind::Private, target).await.unwrap().into_inner();
    (answer.rule(), answer.called_users.len())
}

async fn alias_reaches_only_who_may_still_have_it(systems: Systems) {
    let (alice, carol) = both(&systems).await;
    provide(&systems.alpha, TERMS);
    activate(&alice, false).await.unwrap();
    for (number, revoke) in REVOCATIONS.into_iter().enumerate() {
        assert_eq!(calls_commander(&carol).await, (DecisionRule::PrivateCallToAnybody, 1));
        revoke(&systems.alpha);
        assert_eq!(calls_commander(&carol).await, (DecisionRule::AliasNotActive, 0), "revocation {number}");
        provide(&systems.alpha, TERMS);
    }
    let alice_id = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.change_profile(&alice_id, 1, |profile| {
        profile.valid_in.insert(systems.bravo.id.clone());
    });
    assert_eq!(calls_commander(&carol).await, (DecisionRule::AliasNotActive, 0), "it is for partners now");
    systems.alpha.sources.change_profile(&alice_id, 1, |profile| profile.valid_in.clear());
    systems.alpha.sources.disable_profile(&alice_id, 1);
    assert_eq!(calls_commander(&carol).await, (DecisionRule::AliasNotActive, 0), "it is disabled");
    // Whether she may still have it is not guessed.
    systems.alpha.sources.set_away(Entity::FunctionalAliasManagement, true);
    let target = Target::FunctionalAlias(commander().to_string());
    let outcome = carol.may_call(proto::CommunicationKind::Private, target).await;
    assert_eq!(reason(outcome).0, "FUNCTIONAL_ALIAS_MANAGEMENT_UNREACHABLE");
}

async fn who_may_not_have_an_alias_any_more_is_in_nobodys_way(systems: Systems) {
    let (alice, carol) = both(&systems).await;
    provide(&systems.alpha, TERMS);
    activate(&alice, false).await.unwrap();
    let alice_id = service_id(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.remove_alias(&commander(), Some(&alice_id));
    let mut watching = alice.watch(UE).await;
    let answer = activate(&carol, false).await.unwrap();
    assert_eq!(answer.rule(), DecisionRule::AliasActivated, "nothing is taken over");
    let Event::AliasDisplaced(told) = watching.event().await else { panic!("she is told") };
    assert_eq!((told.mc_service_id, told.taken_over_by), (alice_id.to_string(), String::new()));
    assert!(active(&alice).await.is_empty());
}

async fn who_may_not_have_an_alias_any_more_is_told_at_the_next_refresh(systems: Systems) {
    let (alice, _) = both(&systems).await;
    for revoke in REVOCATIONS {
        provide(&systems.alpha, TERMS);
        activate(&alice, false).await.unwrap();
        let mut watching = alice.watch(UE).await;
        alice.refresh(McService::Ptt, UE).await.unwrap();
        assert_eq!(active(&alice).await.len(), 1, "she keeps what she may have");
        revoke(&systems.alpha);
        alice.refresh(McService::Ptt, UE).await.unwrap();
        let Event::AliasDisplaced(told) = watching.event().await else { panic!("she is told") };
        assert_eq!((told.functional_alias, told.taken_over_by), (commander().to_string(), String::new()));
        assert!(active(&alice).await.is_empty());
    }
}

async fn alias_ends_with_the_last_active_profile_that_names_it(systems: Systems) {
    provide(&systems.alpha, TERMS);
    let alice_id = user(McService::Ptt, "alice", &systems.alpha.id);
    systems.alpha.sources.put_profile(&alice_id, profile(2, &[]));
    let (alice, carol) = both(&systems).await;
    alice.log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    activate(&alice, false).await.unwrap();
    let mut watching = alice.watch(UE).await;
    let change = |client: Uuid| {
        alice.request(proto::ChangeActiveUserProfileRequest {
            mc_service: wire(McService::Ptt),
            client_instance: client.to_string(),
            profile_index: 2,
        })
    };
    alice.service().change_active_user_profile(change(UE)).await.unwrap();
    assert_eq!(active(&alice).await.len(), 1, "the profile of her other client names it");
    assert_eq!(calls_commander(&carol).await.1, 1);
    alice.service().change_active_user_profile(change(OTHER_UE)).await.unwrap();
    assert!(active(&alice).await.is_empty());
    let Event::Authorized(told) = watching.event().await else { panic!("the new profile is told") };
    assert_eq!(told.profile_index, 2);
    let Event::AliasDisplaced(told) = watching.event().await else { panic!("she is told") };
    assert_eq!((told.mc_service_id, told.taken_over_by), (alice_id.id.to_string(), String::new()));
}

async fn visitor_activates_an_alias_that_admits_visitors(systems: Systems) {
    systems.migrated().await;
    let here = user(McService::Ptt, "alice.alpha", &systems.bravo.id);
    systems.bravo.sources.change_profile(&here, 1, |profile| {
        profile.functional_aliases.insert(commander());
    });
    systems.bravo.sources.put_alias(&commander(), TERMS, &[]);
    let visitor = systems.visitor();
    assert_eq!(reason(activate(&visitor, false).await).1, "ALIAS_WITHOUT_VISITORS");
    systems.bravo.sources.put_alias(&commander(), AliasForUser { allow_visitors: true, ..TERMS }, &[]);
    activate(&visitor, false).await.unwrap();
    assert_eq!(active(&visitor).await.len(), 1);
    let bob = systems.bravo.user("bob").logged_on().await;
    assert_eq!(calls_commander(&bob).await.1, 1);
    systems.bravo.sources.put_alias(&commander(), TERMS, &[]);
    assert_eq!(calls_commander(&bob).await, (DecisionRule::AliasNotActive, 0));
    visitor.refresh(McService::Ptt, UE).await.unwrap();
    assert!(active(&visitor).await.is_empty(), "visitors are not admitted any more");
}
