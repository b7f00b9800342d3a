//! An entity that dies after it has done what it was asked, and before anybody hears of it: the step is repeated, and what was done twice
//! is there once.

use crossband::dev::CREW_GROUP;
use crossband::terminal;
use mcx_proto::mcservice::v1::DecisionRule;
use mcx_testkit::Fault;
use mcx_types::{Entity, McService};
use mcx_ue::Direction;
use mcx_ue::state::{Evidence, FailureKind, Step, UeState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::at_work;
use super::records::Records;
use super::walk::{Walk, of_step};
use crate::federated::{Access, Federated, Fronts, Side};
use Side::{Alpha, Bravo};

/// An answer that can be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Of an entity to a UE, to a request whose path ends so.
    EntityToUe(Side, Entity, &'static str),
    /// Of bravo's SIP core to the REGISTER with the response to its challenge.
    SipCoreToUe,
    /// Of alpha's MC service server to that of bravo.
    PrimaryToPartner,
}

impl Answer {
    /// From now on it is lost.
    pub(super) fn lose(self, fronts: &Fronts) {
        match self {
            Self::EntityToUe(side, entity, path) => fronts.entities[&(side, entity)].lose_answers_to(path),
            // The observer of the UE's messages knows when.
            Self::SipCoreToUe => fronts.is_register_answer_lost.store(true, Ordering::SeqCst),
            Self::PrimaryToPartner => fronts.primary_mc_service.as_ref().unwrap().set(Fault::CutAtAnswer),
        }
    }

    /// From now on it arrives.
    pub(super) fn heal(self, fronts: &Fronts) {
        match self {
            Self::EntityToUe(side, entity, path) => {
                let lost = fronts.entities[&(side, entity)].heal();
                assert!(lost > 0, "{path} was not asked");
            }
            Self::SipCoreToUe => {
                let is_lost = fronts.is_register_answer_lost.swap(false, Ordering::SeqCst);
                assert!(!is_lost, "nobody registered");
                fronts.sip.as_ref().unwrap().set(Fault::None);
            }
            Self::PrimaryToPartner => fronts.primary_mc_service.as_ref().unwrap().set(Fault::None),
        }
    }

    /// Who did what it was asked.
    fn by(self) -> (Side, Entity) {
        match self {
            Self::EntityToUe(side, entity, _) => (side, entity),
            Self::SipCoreToUe => (Bravo, Entity::SipCore),
            Self::PrimaryToPartner => (Alpha, Entity::McService),
        }
    }
}

/// The requests of a step that change something, and one of each entity that is only read.
pub(super) fn answers(step: Step) -> Vec<Answer> {
    use Answer::{EntityToUe, PrimaryToPartner, SipCoreToUe};
    use Entity::{
        ConfigurationManagement, FunctionalAliasManagement, GroupManagement, IdentityManagement,
        McService as McServiceServer,
    };
    match step {
        Step::Bootstrap => {
            vec![EntityToUe(Alpha, ConfigurationManagement, "/GetInitialUeConfiguration")]
        }
        Step::AuthenticateUser => vec![EntityToUe(Alpha, IdentityManagement, "/token")],
        Step::Configure => vec![EntityToUe(Alpha, ConfigurationManagement, "/GetUserProfiles")],
        // The same SIP core does the same at the partner.
        Step::RegisterAtPrimary => Vec::new(),
        Step::AuthorizeService(_) => vec![EntityToUe(Alpha, McServiceServer, "/AuthorizeService")],
        Step::SelectPartner | Step::BringUpBearers => Vec::new(),
        Step::AuthenticateAtPartner => {
            vec![
                EntityToUe(Alpha, IdentityManagement, "/token"),
                EntityToUe(Bravo, IdentityManagement, "/token"),
            ]
        }
        Step::RegisterAtPartner => vec![SipCoreToUe],
        Step::DownloadProfiles => vec![EntityToUe(Bravo, ConfigurationManagement, "/GetUserProfiles")],
        Step::ObtainGroups => vec![
            EntityToUe(Bravo, GroupManagement, "/GetGroups"),
            EntityToUe(Bravo, FunctionalAliasManagement, "/GetFunctionalAliases"),
        ],
        Step::AuthorizeMigration(_) => {
            vec![PrimaryToPartner, EntityToUe(Bravo, McServiceServer, "/AuthorizeMigrationService")]
        }
        Step::BeginOperation => vec![EntityToUe(Bravo, McServiceServer, "/ListAffiliations")],
        Step::DeactivateAliases => vec![EntityToUe(Bravo, McServiceServer, "/DeactivateFunctionalAlias")],
        Step::Deaffiliate => vec![EntityToUe(Bravo, McServiceServer, "/Deaffiliate")],
        Step::DeauthorizeMigration(_) => {
            vec![EntityToUe(Bravo, McServiceServer, "/DeauthorizeMigrationService")]
        }
        Step::DeregisterAtPartner => Vec::new(),
        Step::DiscardPartner => vec![EntityToUe(Bravo, IdentityManagement, "/revoke")],
    }
}

/// Has the MC service servers talk to each other, so that what is asked next is asked on a connection that is there: another UE of
/// alice's comes and goes.
async fn connect_the_mc_service_servers(world: &Federated) {
    let mut walk = Walk::with(world, terminal::settings(world.alice(), None));
    walk.migrate().await.unwrap();
    walk.ue.return_home().await.unwrap();
    Records::until_served(world, &[]).await;
}

/// How often alpha has permitted somebody to be served by bravo, since it was started.
async fn permitted(world: &Federated) -> f64 {
    let metrics = world.alpha.metrics(Entity::McService).await;
    let lines = metrics.lines().filter(|line| {
        line.starts_with("mcx_mc_service_decisions_total{")
            && line.contains("procedure=\"migration_permission\"")
            && line.contains("MIGRATION_PERMITTED")
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A UE whose answer to its registration is lost when that is wanted.
fn walk(world: &Federated) -> Walk<'_> {
    let mut settings = terminal::settings(world.alice(), None);
    let fronts = Arc::clone(&world.fronts);
    settings.signalling_observer = Some(Arc::new(move |event| {
        let is_response = event.direction == Direction::Sent && event.label == "REGISTER (response)";
        let wanted: &AtomicBool = &fronts.is_register_answer_lost;
        if is_response && wanted.swap(false, Ordering::SeqCst) {
            fronts.sip.as_ref().unwrap().set(Fault::CutAtAnswer);
        }
    }));
    Walk::with(world, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_is_lost_lets_the_step_be_repeated_and_nothing_be_there_twice() {
    let world = Federated::start(Access::WithFronts).await;
    connect_the_mc_service_servers(&world).await;
    let mut walk = walk(&world);
    walk.lose_each();
    loop {
        let before = walk.ue.evidence();
        let begun = walk.begun().len();
        let permitted = permitted(&world).await;
        let Err(failed) = walk.migrate().await else { break };
        let lost = walk.lost().unwrap_or_else(|| panic!("no answer was lost: {failed}"));
        if lost == Answer::PrimaryToPartner {
            assert!(self::permitted(&world).await > permitted, "alpha has agreed");
        }
        assert_eq!(failed.cause.kind(), FailureKind::Unreachable, "{lost:?}: {failed}");
        if walk.begun().len() == begun + 1 {
            // But for what it cannot know: whether she is authorized there.
            let after = Evidence { undecided: before.undecided.clone(), ..walk.ue.evidence() };
            assert_eq!(after, before, "{failed}");
        }
        // Whoever did what it was asked dies, with all that it had not written down.
        let (side, entity) = lost.by();
        world.system(side).kill(entity);
        world.system(side).start_and_wait(entity).await;
        if failed.step == Step::ObtainGroups {
            // Alpha's MC service server has died meanwhile.
            connect_the_mc_service_servers(&world).await;
        }
    }
    assert_eq!(walk.ue.state(), UeState::Serving);
    for step in walk.begun() {
        let times = walk.begun().into_iter().filter(|begun| *begun == step).count();
        assert_eq!(times, answers(step).len() + 1, "{step} was repeated, and no step before it");
    }
    Records::until_served(&world, &[McService::Ptt, McService::Data]).await;
    assert_eq!(walk.call_to_group(CREW_GROUP).await, DecisionRule::AffiliatedMember);

    // And home: what is undone need not be known to be undone.
    at_work(&mut walk).await;
    walk.lose_each();
    while let Err(failed) = of_step(walk.ue.return_home().await) {
        assert_eq!(failed.step.mc_service().map(Step::AuthorizeService), Some(failed.step), "{failed}");
        walk.lost().unwrap();
        world.alpha.kill(Entity::McService);
        world.alpha.start_and_wait(Entity::McService).await;
    }
    let given_up: Vec<Step> = walk.given_up().into_iter().map(|(step, _)| step).collect();
    let undone = walk.begun().into_iter().filter(|step| step.is_undoing() && !answers(*step).is_empty());
    assert_eq!(given_up, undone.collect::<Vec<_>>());
    assert_eq!(walk.ue.state(), UeState::PrimaryAuthorized);
    Records::until_nothing_is_left(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_who_does_not_try_again_is_no_half_migrated_user() {
    let world = Federated::start(Access::WithFronts).await;
    let authorize = Step::AuthorizeMigration(McService::Ptt);
    connect_the_mc_service_servers(&world).await;
    let mut walk = walk(&world);

    // The primary has agreed, and the partner never heard of it: it says so to the primary, without anybody's asking.
    for is_killed in [false, true] {
        walk.lose_at(authorize, Answer::PrimaryToPartner);
        let permitted = permitted(&world).await;
        let failed = walk.migrate().await.unwrap_err();
        assert!(self::permitted(&world).await > permitted, "alpha has agreed: {failed}");
        assert_eq!((failed.step, failed.state), (authorize, UeState::PartnerGrouped), "{failed}");
        if is_killed {
            world.bravo.kill(Entity::McService);
        }
        walk.lost().unwrap();
        if is_killed {
            world.bravo.start_and_wait(Entity::McService).await;
        }
        Records::until_served(&world, &[]).await;
        connect_the_mc_service_servers(&world).await;
    }

    // Both have agreed, and the UE never heard of it: she goes home.
    walk.lose_at(authorize, Answer::EntityToUe(Bravo, Entity::McService, "/AuthorizeMigrationService"));
    let failed = walk.migrate().await.unwrap_err();
    assert_eq!(failed.step, authorize, "{failed}");
    walk.lost().unwrap();
    Records::until_served(&world, &[McService::Ptt]).await;
    of_step(walk.ue.return_home().await).unwrap();
    assert_eq!(walk.ue.state(), UeState::PrimaryAuthorized);
    Records::until_nothing_is_left(&world).await;
}
