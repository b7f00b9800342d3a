//! What a primary has on record of a user who came home without being able to say so, or who never came to be away.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_testkit::Fault;
use mcx_types::McService;

use crate::fixture::{OTHER_UE, Systems, UE, on_every_database, refusal};

on_every_database!(
    user_who_is_away_may_be_authorized_at_home_with_another_ue_and_the_mark_stands,
    ue_that_is_authorized_at_home_is_away_no_more,
    primary_whose_answer_is_lost_is_told_that_nothing_came_of_it,
    answer_that_is_lost_leaves_a_mark_that_the_next_attempt_replaces,
);

async fn user_who_is_away_may_be_authorized_at_home_with_another_ue_and_the_mark_stands(systems: Systems) {
    systems.migrated().await;
    systems.alice().log_on(McService::Ptt, None, OTHER_UE).await.unwrap();
    let status = systems.alice().status(McService::Ptt).await;
    assert_eq!((status.authorizations.len(), status.served_by.len()), (1, 1));
    assert_eq!(systems.visitor().status(McService::Ptt).await.authorizations.len(), 1);
}

async fn ue_that_is_authorized_at_home_is_away_no_more(systems: Systems) {
    let visitor = systems.visitor();
    visitor.migrate(systems.migrate(McService::Ptt, UE)).await.unwrap();
    visitor.migrate(systems.migrate(McService::Ptt, OTHER_UE)).await.unwrap();
    let mut there = visitor.watch(UE).await;
    // Bravo cannot be told that she leaves.
    systems.bravo.network.set(Fault::Down);
    systems.alice().log_on(McService::Ptt, None, UE).await.unwrap();
    let [left] = systems.served_by().await.try_into().unwrap();
    assert_eq!(left.client_instance, OTHER_UE.to_string(), "her other UE stays where it is");
    systems.bravo.network.set(Fault::None);
    systems.clock.advance(Duration::from_secs(120));
    loop {
        if let Event::Ended(ended) = there.event().await {
            assert_eq!(
                (ended.client_instance, ended.reason),
                (UE.to_string(), proto::EndReason::Left.into())
            );
            break;
        }
    }
    let [present] = visitor.status(McService::Ptt).await.authorizations.try_into().unwrap();
    assert_eq!(present.client_instance, OTHER_UE.to_string());
}

async fn primary_whose_answer_is_lost_is_told_that_nothing_came_of_it(systems: Systems) {
    // The channel is there before the fault: the request goes through, its answer does not.
    systems.visitor().migrate(systems.migrate(McService::Video, UE)).await.unwrap();
    let mut at_home = systems.alice().watch(UE).await;
    systems.alpha.network.set(Fault::CutAtAnswer);
    let refused = refusal(systems.visitor().migrate(systems.migrate(McService::Ptt, UE)).await);
    assert_eq!(refused.reason, "PRIMARY_SYSTEM_UNREACHABLE");
    let Event::ServedByChanged(agreed) = at_home.event().await else { panic!("alpha has agreed") };
    assert_eq!(agreed.ended(), proto::EndReason::Unspecified);
    systems.alpha.network.set(Fault::None);
    systems.clock.advance(Duration::from_secs(120));
    assert_eq!(at_home.home_again().await, proto::EndReason::Left);
    assert!(systems.served_by().await.is_empty());
}

async fn answer_that_is_lost_leaves_a_mark_that_the_next_attempt_replaces(systems: Systems) {
    // The channel is there before the fault: the request goes through, its answer does not.
    systems.visitor().migrate(systems.migrate(McService::Video, UE)).await.unwrap();
    systems.alpha.network.set(Fault::CutAtAnswer);
    let request = systems.migrate(McService::Ptt, UE);
    let refused = refusal(systems.visitor().migrate(request.clone()).await);
    assert_eq!(refused.reason, "PRIMARY_SYSTEM_UNREACHABLE");
    assert!(systems.visitor().status(McService::Ptt).await.authorizations.is_empty());
    systems.alpha.network.set(Fault::None);
    systems.visitor().migrate(request).await.unwrap();
    assert_eq!(systems.served_by().await.len(), 1);
    // It is the new one that counts: its renewal is granted.
    systems.visitor().refresh(McService::Ptt, UE).await.unwrap();
}
