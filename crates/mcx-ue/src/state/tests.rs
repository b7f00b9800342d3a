use std::collections::BTreeSet;

use mcx_types::McService;
use proptest::prelude::*;

use super::*;

const BOTH: [McService; 2] = [McService::Ptt, McService::Data];

fn selected(services: &[McService]) -> Selected {
    Selected { partner: "bravo.example".parse().unwrap(), services: services.iter().copied().collect() }
}

/// What doing a step makes happen, for a user of MCPTT and MCData who migrates with `migrating`.
fn doing(step: Step, migrating: &[McService]) -> Event {
    match step {
        Step::Configure => Event::Configured(BOTH.into()),
        Step::SelectPartner => Event::Selected(selected(migrating)),
        step => Event::Done(step),
    }
}

/// The steps and states on the way to a goal.
fn go(
    machine: &mut StateMachine,
    goal: Goal,
    order: PartnerOrder,
    migrating: &[McService],
) -> Vec<(Step, UeState)> {
    let mut way = Vec::new();
    while let Some(step) = machine.next(goal, order) {
        machine.apply(doing(step, migrating)).unwrap();
        way.push((step, machine.state()));
        assert!(way.len() < 40, "the way has no end: {way:?}");
    }
    way
}

fn at(state: UeState) -> StateMachine {
    let mut machine = StateMachine::default();
    let order = match state {
        UeState::PartnerRegistered => PartnerOrder::RegisterFirst,
        _ => PartnerOrder::AuthenticateFirst,
    };
    while machine.state() != state {
        let step = machine.next(Goal::ServedByPartner, order).expect("the state is on the way");
        machine.apply(doing(step, &BOTH)).unwrap();
    }
    machine
}

#[test]
fn factory_new_ue_reaches_service_in_the_partner_in_the_order_of_the_text() {
    let mut machine = StateMachine::default();
    let way = go(&mut machine, Goal::ServedByPartner, PartnerOrder::AuthenticateFirst, &[McService::Ptt]);
    assert_eq!(
        way,
        [
            (Step::Bootstrap, UeState::Bootstrapped),
            (Step::AuthenticateUser, UeState::PrimaryUserAuthenticated),
            (Step::Configure, UeState::PrimaryConfigured),
            (Step::RegisterAtPrimary, UeState::PrimaryConfigured),
            (Step::AuthorizeService(McService::Ptt), UeState::PrimaryConfigured),
            (Step::AuthorizeService(McService::Data), UeState::PrimaryAuthorized),
            (Step::SelectPartner, UeState::PartnerSelected),
            (Step::BringUpBearers, UeState::PartnerBearers),
            (Step::AuthenticateAtPartner, UeState::PartnerUserAuthenticated),
            (Step::RegisterAtPartner, UeState::PartnerUserAuthenticatedAndRegistered),
            (Step::DownloadProfiles, UeState::PartnerProfiled),
            (Step::ObtainGroups, UeState::PartnerGrouped),
            (Step::AuthorizeMigration(McService::Ptt), UeState::Migrated),
            (Step::BeginOperation, UeState::Serving),
        ]
    );
    let numbers: Vec<Option<u8>> = way.iter().map(|(_, state)| state.number()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(machine.evidence().authorized, BTreeSet::from([McService::Data]), "MCData stays at home");
}

#[test]
fn signalling_plane_may_come_before_user_authentication() {
    let mut machine = at(UeState::PartnerBearers);
    let way = go(&mut machine, Goal::ServedByPartner, PartnerOrder::RegisterFirst, &BOTH);
    assert_eq!(
        way[..3],
        [
            (Step::RegisterAtPartner, UeState::PartnerRegistered),
            (Step::AuthenticateAtPartner, UeState::PartnerUserAuthenticatedAndRegistered),
            (Step::DownloadProfiles, UeState::PartnerProfiled),
        ]
    );
    assert_eq!(machine.state(), UeState::Serving);
}

#[test]
fn user_returns_by_undoing_everything_and_is_authorized_at_home_again() {
    let mut machine = at(UeState::Serving);
    machine.apply(Event::ReturnBegun).unwrap();
    let way = go(&mut machine, Goal::Home, PartnerOrder::default(), &BOTH);
    let steps: Vec<Step> = way.iter().map(|(step, _)| *step).collect();
    assert_eq!(
        steps,
        [
            Step::DeactivateAliases,
            Step::Deaffiliate,
            Step::DeauthorizeMigration(McService::Ptt),
            Step::DeauthorizeMigration(McService::Data),
            Step::DeregisterAtPartner,
            Step::DiscardPartner,
            Step::RegisterAtPrimary,
            Step::AuthorizeService(McService::Ptt),
            Step::AuthorizeService(McService::Data),
        ]
    );
    assert!(way[..8].iter().all(|(_, state)| *state == UeState::Returning));
    assert_eq!(machine, at(UeState::PrimaryAuthorized));
}

#[test]
fn return_undoes_only_what_was_done() {
    let cases: [(UeState, &[Step]); 4] = [
        (UeState::PartnerSelected, &[Step::DiscardPartner]),
        (UeState::PartnerUserAuthenticated, &[Step::DiscardPartner]),
        (UeState::PartnerRegistered, &[Step::DeregisterAtPartner, Step::DiscardPartner]),
        (UeState::PartnerGrouped, &[Step::DeregisterAtPartner, Step::DiscardPartner]),
    ];
    for (state, undone) in cases {
        let mut machine = at(state);
        machine.apply(Event::ReturnBegun).unwrap();
        let way = go(&mut machine, Goal::Home, PartnerOrder::default(), &BOTH);
        let steps: Vec<Step> = way.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [undone, &[Step::RegisterAtPrimary]].concat(), "{state}");
        assert_eq!(machine.state(), UeState::PrimaryAuthorized, "{state}");
    }
}

#[test]
fn failure_leaves_a_state_from_which_the_step_can_be_tried_again() {
    use FailureKind::{NotRegistered, ProfileGone, Refused, Unreachable, UserNotAuthenticated};
    let cases = [
        (UeState::Bootstrapped, Unreachable, UeState::Bootstrapped),
        (UeState::PrimaryUserAuthenticated, UserNotAuthenticated, UeState::Bootstrapped),
        (UeState::PrimaryConfigured, Refused, UeState::PrimaryConfigured),
        (UeState::PartnerBearers, Refused, UeState::PartnerBearers),
        (UeState::PartnerBearers, UserNotAuthenticated, UeState::Bootstrapped),
        (UeState::PartnerUserAuthenticated, Unreachable, UeState::PartnerUserAuthenticated),
        (
            UeState::PartnerUserAuthenticatedAndRegistered,
            Unreachable,
            UeState::PartnerUserAuthenticatedAndRegistered,
        ),
        (UeState::PartnerUserAuthenticatedAndRegistered, UserNotAuthenticated, UeState::PartnerRegistered),
        (UeState::PartnerProfiled, UserNotAuthenticated, UeState::PartnerRegistered),
        (UeState::PartnerGrouped, Unreachable, UeState::PartnerGrouped),
        (UeState::PartnerGrouped, NotRegistered, UeState::PartnerUserAuthenticated),
        (UeState::PartnerGrouped, ProfileGone, UeState::PartnerUserAuthenticatedAndRegistered),
        (UeState::Migrated, Unreachable, UeState::Migrated),
    ];
    for (state, failure, left_in) in cases {
        let mut machine = at(state);
        let step = machine.next(Goal::ServedByPartner, PartnerOrder::AuthenticateFirst).unwrap();
        machine.apply(Event::Failed(step, failure)).unwrap();
        assert_eq!(machine.state(), left_in, "{step} failed: {failure:?}");
        let way = go(&mut machine, Goal::ServedByPartner, PartnerOrder::AuthenticateFirst, &BOTH);
        assert!(way.iter().any(|(again, _)| *again == step), "{step} is not tried again: {way:?}");
        assert_eq!(machine.state(), UeState::Serving);
    }
}

#[test]
fn user_who_may_be_served_by_the_partner_tells_her_primary_that_she_is_home() {
    let mut machine = at(UeState::PartnerGrouped);
    let authorize = Step::AuthorizeMigration(McService::Ptt);
    machine.apply(Event::Failed(authorize, FailureKind::Unreachable)).unwrap();
    assert_eq!(machine.state(), UeState::PartnerGrouped);
    let mut home = machine.clone();
    home.apply(Event::ReturnBegun).unwrap();
    let way = go(&mut home, Goal::Home, PartnerOrder::default(), &BOTH);
    assert!(way.iter().any(|(step, _)| *step == Step::AuthorizeService(McService::Ptt)), "{way:?}");
    assert_eq!(home, at(UeState::PrimaryAuthorized));
    // Or it is tried again, and then it is known.
    machine.apply(Event::Done(authorize)).unwrap();
    assert!(machine.evidence().undecided.is_empty());
}

#[test]
fn ejected_user_is_no_longer_served_for_that_mc_service() {
    let mut machine = at(UeState::Serving);
    machine.apply(Event::MigrationEnded(McService::Ptt)).unwrap();
    assert_eq!(machine.evidence().migrated, BTreeSet::from([McService::Data]));
    assert_eq!(machine.state(), UeState::PartnerGrouped);
    assert!(machine.evidence().authorized.is_empty(), "nor is she served at home before she returns");
    assert!(machine.apply(Event::MigrationEnded(McService::Ptt)).is_err());
    let next = machine.next(Goal::ServedByPartner, PartnerOrder::default());
    assert_eq!(next, Some(Step::AuthorizeMigration(McService::Ptt)), "one that has expired can be renewed");
}

#[test]
fn what_cannot_happen_changes_nothing() {
    let ptt = McService::Ptt;
    let cases = [
        (UeState::FactoryNew, Event::Done(Step::AuthenticateUser)),
        (UeState::Bootstrapped, Event::Configured(BOTH.into())),
        (UeState::PrimaryUserAuthenticated, Event::Configured(BTreeSet::new())),
        (UeState::PrimaryUserAuthenticated, Event::Done(Step::Configure)),
        (UeState::PrimaryConfigured, Event::Done(Step::AuthorizeService(ptt))),
        (UeState::PrimaryConfigured, Event::Selected(selected(&BOTH))),
        (UeState::PrimaryAuthorized, Event::Selected(selected(&[McService::Video]))),
        (UeState::PrimaryAuthorized, Event::Selected(selected(&[]))),
        (UeState::PrimaryAuthorized, Event::ReturnBegun),
        (UeState::PartnerSelected, Event::Done(Step::AuthenticateAtPartner)),
        (UeState::PartnerUserAuthenticated, Event::Done(Step::DownloadProfiles)),
        (UeState::PartnerRegistered, Event::Done(Step::DownloadProfiles)),
        (UeState::PartnerProfiled, Event::Done(Step::AuthorizeMigration(ptt))),
        (UeState::PartnerGrouped, Event::Done(Step::AuthorizeMigration(McService::Video))),
        (UeState::PartnerGrouped, Event::Done(Step::BeginOperation)),
        (UeState::Serving, Event::Done(Step::Deaffiliate)),
        (UeState::Serving, Event::Done(Step::Bootstrap)),
        (UeState::Serving, Event::GivenUp(Step::BeginOperation)),
    ];
    for (state, event) in cases {
        let mut machine = at(state);
        let before = machine.clone();
        let refused = machine.apply(event.clone()).unwrap_err();
        assert_eq!((refused.state, *refused.event), (state, event));
        assert_eq!(machine, before);
    }
}

#[test]
fn stored_machine_goes_on_where_it_was() {
    let machine = at(UeState::PartnerGrouped);
    let text = serde_json::to_string(&machine).unwrap();
    assert_eq!(serde_json::from_str::<StateMachine>(&text).unwrap(), machine);
}

fn any_service() -> impl Strategy<Value = McService> + Clone {
    proptest::sample::select(&McService::ALL[..])
}

fn any_step() -> impl Strategy<Value = Step> {
    let plain = proptest::sample::select(vec![
        Step::Bootstrap,
        Step::AuthenticateUser,
        Step::Configure,
        Step::RegisterAtPrimary,
        Step::SelectPartner,
        Step::BringUpBearers,
        Step::AuthenticateAtPartner,
        Step::RegisterAtPartner,
        Step::DownloadProfiles,
        Step::ObtainGroups,
        Step::BeginOperation,
        Step::DeactivateAliases,
        Step::Deaffiliate,
        Step::DeregisterAtPartner,
        Step::DiscardPartner,
    ]);
    prop_oneof![
        5 => plain,
        1 => any_service().prop_map(Step::AuthorizeService),
        1 => any_service().prop_map(Step::AuthorizeMigration),
        1 => any_service().prop_map(Step::DeauthorizeMigration),
    ]
}

fn any_failure() -> impl Strategy<Value = FailureKind> {
    use FailureKind::{NotRegistered, ProfileGone, Refused, Unreachable, UserNotAuthenticated};
    proptest::sample::select(vec![Unreachable, Refused, UserNotAuthenticated, NotRegistered, ProfileGone])
}

/// Any event, or (as `None`) whatever comes next: else hardly a sequence would get anywhere.
fn any_event() -> impl Strategy<Value = Option<Event>> {
    let services = proptest::collection::btree_set(any_service(), 0..4);
    prop_oneof![
        12 => Just(None),
        2 => any_step().prop_map(|step| Some(Event::Done(step))),
        2 => (any_step(), any_failure()).prop_map(|(step, failure)| Some(Event::Failed(step, failure))),
        1 => any_step().prop_map(|step| Some(Event::GivenUp(step))),
        1 => services.clone().prop_map(|services| Some(Event::Configured(services))),
        1 => services.prop_map(|services| {
            let partner = "bravo.example".parse().unwrap();
            Some(Event::Selected(Selected { partner, services }))
        }),
        1 => Just(Some(Event::ReturnBegun)),
        1 => any_service().prop_map(|service| Some(Event::MigrationEnded(service))),
        1 => any_service().prop_map(|service| Some(Event::AuthorizationEnded(service))),
    ]
}

proptest! {
    #[test]
    fn nothing_leads_to_service_without_all_the_evidence(
        events in proptest::collection::vec(any_event(), 0..120),
        register_first in any::<bool>(),
    ) {
        let order = if register_first { PartnerOrder::RegisterFirst } else { PartnerOrder::AuthenticateFirst };
        let mut machine = StateMachine::default();
        for event in events {
            let event = event.or_else(|| {
                machine.next(Goal::ServedByPartner, order).map(|step| doing(step, &[McService::Ptt]))
            });
            let Some(event) = event else { continue };
            let _ = machine.apply(event);
            let evidence = machine.evidence();
            if machine.state() == UeState::Serving {
                let chosen = evidence.selected.as_ref().expect("a partner is chosen");
                prop_assert!(!chosen.services.is_empty());
                prop_assert!(chosen.services.is_subset(&evidence.migrated));
                prop_assert!(
                    evidence.bootstrapped
                        && evidence.primary_user_authenticated
                        && evidence.configured
                        && evidence.primary_registered
                        && evidence.partner_bearers
                        && evidence.partner_user_authenticated
                        && evidence.partner_registered
                        && evidence.partner_profiled
                        && evidence.partner_grouped
                        && evidence.operating
                        && !evidence.returning
                );
            }
            prop_assert!(evidence.authorized.is_disjoint(&evidence.migrated), "served twice: {evidence:?}");
            prop_assert!(evidence.selected.is_some() || evidence.migrated.is_empty());
        }
        // Wherever that ended: there is a way home, and from there to the partner.
        let _ = machine.apply(Event::ReturnBegun);
        go(&mut machine, Goal::Home, order, &[McService::Ptt]);
        prop_assert_eq!(machine.state(), UeState::PrimaryAuthorized);
    }
}
