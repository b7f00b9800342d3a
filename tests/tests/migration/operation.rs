//! What a migrated user may do: decided by the partner, from what is in force there.

use crossband::dev::{DISPATCHER, HOME_PROFILE, MIGRATION_PROFILE, PARTNER, PRIMARY, mc_service_id};
use crossband_tests::World;
use mcx_proto::mcservice::v1::{CommunicationDecision, CommunicationKind, DecisionRule};
use mcx_types::{McService, ProfileIndex};
use mcx_ue::servers::Called;
use mcx_ue::ue::McServiceUe;
use serde_json::json;

use crate::{alice_at_home, alice_at_the_partner, operator};

async fn private_call(ue: &McServiceUe, to: String) -> (CommunicationDecision, DecisionRule) {
    let called = Called::User(to.parse().unwrap());
    let answer =
        ue.authorize_communication(McService::Ptt, CommunicationKind::Private, &called).await.unwrap();
    (answer.decision(), answer.rule())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partner_decides_by_the_profile_and_groups_in_force_there() {
    let world = World::start_for_migration().await;
    let mut ue = alice_at_home(&world).await;
    let bob = mc_service_id("bob", PRIMARY);
    let at_home = private_call(&ue, bob.clone()).await;
    assert_eq!(at_home, (CommunicationDecision::Allowed, DecisionRule::PrivateCallToAnybody));

    ue.migrate(&PARTNER.parse().unwrap(), None).await.unwrap();
    let dispatcher = private_call(&ue, mc_service_id(DISPATCHER, PARTNER)).await;
    assert_eq!(dispatcher, (CommunicationDecision::Allowed, DecisionRule::PrivateCallToListedUser));
    let same_call = private_call(&ue, bob).await;
    assert_eq!(same_call, (CommunicationDecision::Refused, DecisionRule::TargetNotListed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_of_the_visitor_policy_is_enforced_at_once() {
    let world = World::start_for_migration().await;
    let ue = alice_at_the_partner(&world).await;
    let dispatcher = mc_service_id(DISPATCHER, PARTNER);
    assert_eq!(private_call(&ue, dispatcher.clone()).await.0, CommunicationDecision::Allowed);
    let key = json!({ "mc_system_id": PRIMARY });
    let mut policy = operator(world.bravo(), "VisitorPolicyService/GetVisitorPolicy", key).await;
    policy["visitor_policy"]["private_call"] = json!({ "policy": "PRIVATE_CALL_POLICY_NONE" });
    operator(world.bravo(), "VisitorPolicyService/UpdateVisitorPolicy", policy).await;
    let refused = private_call(&ue, dispatcher).await;
    assert_eq!(refused, (CommunicationDecision::Refused, DecisionRule::PrivateCallNotAllowed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pre_selected_profile_becomes_active_and_another_can_be_made_so() {
    let world = World::start_for_migration().await;
    let second = json!({
        "user_profile": {
            "identity": { "mc_service": "MC_SERVICE_PTT", "mc_service_id": mc_service_id("alice", PRIMARY) },
            "profile_index": 7,
            "profile_name": "on stand-by",
            "priority": 10,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_NONE" },
            "max_affiliations": 1,
        },
    });
    operator(world.alpha(), "UserProfileService/CreateUserProfile", second).await;
    let ue = alice_at_home(&world).await;
    let status = ue.service_status(McService::Ptt).await.unwrap();
    assert_eq!(
        status.authorizations[0].profile_index, HOME_PROFILE,
        "the pre-selected one, not {MIGRATION_PROFILE}"
    );
    ue.change_active_user_profile(McService::Ptt, ProfileIndex(7)).await.unwrap();
    let status = ue.service_status(McService::Ptt).await.unwrap();
    assert_eq!(status.authorizations[0].profile_index, 7);
    let refused = private_call(&ue, mc_service_id("bob", PRIMARY)).await;
    assert_eq!(refused, (CommunicationDecision::Refused, DecisionRule::PrivateCallNotAllowed));
}
