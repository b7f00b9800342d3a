//! On-line updates: what changes at home reaches the migrated user by the partner.

use crossband::dev::CREW_GROUP;
use crossband_tests::World;
use mcx_proto::mcservice::v1::{CommunicationDecision, CommunicationKind, DecisionRule};
use mcx_types::McService;
use mcx_ue::documents::{Document, DocumentChange};
use mcx_ue::servers::Called;
use mcx_ue::ue::News;
use serde_json::json;

use crate::{alice_at_the_partner, operator};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_group_of_the_primary_reaches_the_migrated_user_by_the_partner() {
    let world = World::start_for_migration().await;
    let mut ue = alice_at_the_partner(&world).await;
    let mut watch = ue.watch().unwrap();
    let bravo = &world.bravo().system.id;
    assert!(watch.mc_system_ids().contains(&bravo));
    let read = operator(world.alpha(), "GroupService/GetGroup", json!({ "group_id": CREW_GROUP })).await;
    let mut group = read["group"].clone();
    group["status"] = "GROUP_STATUS_DISABLED".into();
    group["display_name"] = "Crew 7, stood down".into();
    operator(world.alpha(), "GroupService/UpdateGroup", json!({ "group": group })).await;
    loop {
        if let News::Document { told_by, change: DocumentChange::Put(Document::Group(told)) } =
            watch.next().await.unwrap()
            && told_by == *bravo
            && told.group.as_ref().is_some_and(|group| group.display_name == "Crew 7, stood down")
        {
            break;
        }
    }
    drop(watch);
    let crew = Called::Group(CREW_GROUP.parse().unwrap());
    let answer = ue.authorize_communication(McService::Ptt, CommunicationKind::Group, &crew).await.unwrap();
    assert_eq!(answer.decision(), CommunicationDecision::Refused);
    assert_eq!(answer.rule(), DecisionRule::GroupDisabled, "at the enforcement point too");
}
