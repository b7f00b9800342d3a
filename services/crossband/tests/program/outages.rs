//! Each entity that a step of the UE needs is killed at that step, in both MC systems (issue: "a test kills each at each step").
//!
//! [`needs`] is the table: a step without a row, or a state without a word on what may fail in it, does not compile. That no row is
//! missing is shown by the walk itself: once every entity of a step's rows has been killed in turn, the step is done while all the other
//! processes of both systems are stopped.

mod lost_answers;
mod needs;
mod records;
mod returning;
mod walk;

use std::collections::BTreeSet;

use crossband::dev::{CREW_GROUP, INCIDENT_GROUP, SECTION_LEADER};
use mcx_proto::mcservice::v1::DecisionRule;
use mcx_types::{Entity, McService};
use mcx_ue::state::{FailureKind, PartnerOrder, Step, UeState};

use self::needs::{is_documented, may_fail_in};
use self::records::Records;
use self::walk::Walk;
use crate::federated::{Access, Federated, Side};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entity_that_is_away_fails_its_step_by_name_and_the_ue_goes_on_from_there() {
    let world = Federated::start(Access::Direct).await;
    let mut failed_in = BTreeSet::new();
    for order in [PartnerOrder::AuthenticateFirst, PartnerOrder::RegisterFirst] {
        let mut walk = Walk::begin(&world, order);
        let failures = walk.go_to_the_partner().await;
        failed_in.extend(failures);
        assert_eq!(walk.ue.state(), UeState::Serving);
        Records::until_served(&world, &[McService::Ptt, McService::Data]).await;
        failed_in.extend(walk.activates_an_alias().await);
        failed_in.extend(walk.home().await);
        assert_eq!(walk.ue.state(), UeState::PrimaryAuthorized);
        Records::until_served(&world, &[]).await;
    }
    let expected: BTreeSet<UeState> = UeState::ALL.into_iter().filter(|state| may_fail_in(*state)).collect();
    assert_eq!(failed_in, expected, "every state in which a step can fail was met, and no other one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_how_partners_answer_and_whether_dependencies_do() {
    let world = Federated::start(Access::Direct).await;
    Walk::begin(&world, PartnerOrder::default()).migrate().await.unwrap();
    let metrics = world.bravo.metrics(Entity::MigrationManagement).await;
    for line in [
        r#"mcx_partner_calls_total{partner="alpha.example",outcome="ok"} "#,
        r#"mcx_partner_call_duration_seconds_count{partner="alpha.example"} "#,
        r#"mcx_readiness_latch_up{service="migration-management",latch="database",weight="required"} 1"#,
        r#"mcx_store_pool_open_connections{engine="sqlite",schema="migration_management"} "#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_were_away_while_a_user_was_authorized_are_affiliated_to_before_she_is_served() {
    let world = Federated::start(Access::Direct).await;
    // Where the crew's group is asked for: here, at its home, and by its home.
    let away = [
        (Side::Bravo, Entity::GroupManagement, "GROUP_MANAGEMENT_UNREACHABLE"),
        (Side::Alpha, Entity::GroupManagement, "HOME_OF_GROUP_UNREACHABLE"),
    ];
    for (side, entity, reason) in away {
        let mut walk = Walk::begin(&world, PartnerOrder::default());
        walk.kill_at(Step::AuthorizeMigration(McService::Ptt), side, entity);
        let failed = walk.migrate().await.unwrap_err();
        assert_eq!((failed.step, failed.state), (Step::BeginOperation, UeState::Migrated), "{failed}");
        assert!(failed.cause.kind() == FailureKind::Unreachable && is_documented(reason));
        assert!(failed.to_string().contains(reason), "{failed}");
        world.system(side).start_and_wait(entity).await;

        walk.migrate().await.unwrap();
        assert_eq!(walk.ue.state(), UeState::Serving);
        let crew = walk.call_to_group(CREW_GROUP).await;
        assert_eq!(crew, DecisionRule::AffiliatedMember, "{entity} of {} was away", side.id());
        walk.ue.return_home().await.unwrap();
        Records::until_served(&world, &[]).await;
    }
}

/// What she does at the partner, so that there is something to be undone.
async fn at_work(walk: &mut Walk<'_>) {
    let groups = [INCIDENT_GROUP.parse().unwrap()];
    let outcomes = walk.ue.affiliate(McService::Ptt, &groups).await.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.affiliated), "{outcomes:?}");
    let alias = SECTION_LEADER.parse().unwrap();
    let activated = walk.ue.activate_alias(McService::Ptt, &alias, false).await.unwrap();
    assert_eq!(activated.rule(), DecisionRule::AliasActivated);
}
