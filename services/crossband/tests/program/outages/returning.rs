//! A partner that is away when a user goes home cannot hold her, and has nothing of her once it is back.

use mcx_proto::mcservice::v1::DecisionRule;
use mcx_types::McService;
use mcx_ue::state::{PartnerOrder, Step, UeState};

use super::at_work;
use super::needs::{Away, needs};
use super::records::Records;
use super::walk::Walk;
use crate::federated::{Access, Federated};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_that_is_away_cannot_hold_a_user_and_keeps_nothing_of_her() {
    let world = Federated::start(Access::Direct).await;
    let mut walk = Walk::begin(&world, PartnerOrder::default());
    // Which steps there are, is seen when nothing fails.
    walk.migrate().await.unwrap();
    at_work(&mut walk).await;
    walk.watch_steps();
    walk.ue.return_home().await.unwrap();
    let undoing: Vec<Step> = walk.begun().into_iter().filter(|step| step.is_undoing()).collect();
    assert!(undoing.len() >= 6, "{undoing:?}");
    Records::until_nothing_is_left(&world).await;

    for step in undoing {
        for need in needs(step).into_iter().filter(|need| need.away != Away::GoesOn) {
            walk.migrate().await.unwrap();
            at_work(&mut walk).await;
            walk.kill_at(step, need.side, need.entity);
            walk.ue.return_home().await.unwrap();
            assert_eq!(walk.ue.state(), UeState::PrimaryAuthorized, "without {need:?}");
            let given_up = walk.given_up();
            let cause = given_up.iter().find(|(of, _)| *of == step).map(|(_, cause)| cause.as_str());
            let names = cause.is_some_and(|cause| cause.contains(need.side.id()));
            assert!(names, "{step} without {need:?}: {given_up:?}");
            assert_eq!(walk.ue.serving_system(McService::Ptt), Some(world.alpha.id.clone()));
            world.system(need.side).start_and_wait(need.entity).await;
            Records::until_nothing_is_left(&world).await;
        }
    }
    // The alias is free again, and she is served there as if nothing had been.
    walk.migrate().await.unwrap();
    assert_eq!(walk.call_to_section_leader().await, DecisionRule::AliasNotActive);
}
