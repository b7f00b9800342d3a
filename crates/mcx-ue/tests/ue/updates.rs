//! What happens to a user while she is served by a partner.

use mcx_ue::documents::{Document, DocumentChange};
use mcx_ue::servers::ServiceStatusEvent;
use mcx_ue::ue::News;

use super::support::system::group;
use super::*;

#[tokio::test]
async fn changes_reach_the_user_where_she_is_served_and_are_kept() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    {
        let mut watch = ue.watch().unwrap();
        assert_eq!(watch.mc_system_id(), Some(&bravo()));
        stage.bravo.servers.world().groups[0] = group("rescue", 2);
        // What she downloaded on the way is no news.
        let News::Document(DocumentChange::Put(Document::Group(told))) = watch.next().await.unwrap() else {
            panic!()
        };
        assert_eq!(*told, group("rescue", 2));
    }
    let versions: Vec<i64> =
        ue.partner_documents().groups().map(|group| group.group.as_ref().unwrap().version).collect();
    assert_eq!(versions, [1, 2]);
}

#[tokio::test]
async fn ejected_user_hears_of_it_and_goes_home() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    {
        let mut watch = ue.watch().unwrap();
        stage.bravo.servers.world().authorized.clear();
        stage.bravo.servers.news.notify_waiters();
        let News::Status(ServiceStatusEvent::Ended(ended)) = watch.next().await.unwrap() else { panic!() };
        assert_eq!(ended.reason().as_str_name(), "END_REASON_EJECTED");
        assert_eq!(watch.ue().state(), UeState::PartnerGrouped);
    }
    let called = Called::Group("sip:fire@bravo.example".parse().unwrap());
    let refused = ue.authorize_communication(PTT, CommunicationKind::Group, &called).await.unwrap_err();
    assert!(matches!(refused, UeError::NotAuthorized(PTT)));
    ue.return_home().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
}

#[tokio::test]
async fn refused_call_tells_a_ue_that_does_not_watch_that_its_migration_has_ended() {
    let stage = Stage::new().await;
    let ue = in_bravo(&stage).await;
    stage.bravo.servers.world().authorized.clear();
    let fire = ["sip:fire@bravo.example".parse().unwrap()];
    let refused = ue.affiliate(PTT, &fire).await.unwrap_err();
    assert!(matches!(refused, UeError::Server(error) if error.reason() == "NOT_AUTHORIZED"));
    assert_eq!(ue.state(), UeState::PartnerGrouped);
}
