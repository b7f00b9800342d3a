//! What happens to a user while she is served by a partner.

use mcx_ue::documents::{Document, DocumentChange};
use mcx_ue::servers::ServiceStatusEvent;
use mcx_ue::ue::{News, UeWatch};

use super::support::servers::Servers;
use super::support::system::group;
use super::*;

#[tokio::test]
async fn changes_reach_the_user_where_she_is_served_and_are_kept() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    {
        let mut watch = ue.watch().unwrap();
        assert_eq!(watch.mc_system_ids(), [&bravo(), &"alpha.example".parse().unwrap()]);
        stage.bravo.servers.world().groups[0] = group("rescue", 2);
        // What she downloaded on the way is no news.
        let News::Document { told_by, change } = watch.next().await.unwrap() else { panic!() };
        assert_eq!(
            (told_by, change),
            (bravo(), DocumentChange::Put(Document::Group(Box::new(group("rescue", 2)))))
        );
    }
    let versions: Vec<i64> =
        ue.partner_documents().groups().map(|group| group.group.as_ref().unwrap().version).collect();
    assert_eq!(versions, [1, 2]);
}

/// Lets a watch go on until something is so; nothing is news by then.
async fn quiet_until(watch: &mut UeWatch<'_>, is_so: impl Fn() -> bool) {
    let becomes_so = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        news = watch.next() => panic!("{news:?}"),
        () = becomes_so => {}
    }
}

/// How often a server was asked that.
fn asked(servers: &Servers, rpc: &str) -> usize {
    servers.world().log.iter().filter(|asked| *asked == rpc).count()
}

#[tokio::test]
async fn user_who_has_migrated_in_part_hears_from_both_systems_and_is_kept_in_both() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    stage.alpha.servers.world().groups = vec![group("crew", 1)];
    let mut watch = ue.watch().unwrap();
    let News::Document { told_by, change } = watch.next().await.unwrap() else { panic!() };
    assert_eq!(told_by.as_str(), "alpha.example");
    assert_eq!(change, DocumentChange::Put(Document::Group(Box::new(group("crew", 1)))));
    let refreshed = |servers: &Servers| asked(servers, "RefreshServiceAuthorization");
    let are_kept = || (refreshed(&stage.alpha.servers), refreshed(&stage.bravo.servers)) == (2, 1);
    quiet_until(&mut watch, are_kept).await;
}

#[tokio::test]
async fn what_ended_while_nobody_watched_is_found_out() {
    let stage = Stage::new().await;
    let mut ue = at_home(&stage).await;
    stage.alpha.servers.world().authorized.clear();
    let mut watch = ue.watch().unwrap();
    let mut ended = BTreeSet::new();
    while ended.len() < 3 {
        if let News::FoundEnded(service) = watch.next().await.unwrap() {
            ended.insert(service);
        }
    }
    drop(watch);
    assert_eq!((ue.state(), ue.evidence().authorized), (UeState::PrimaryConfigured, BTreeSet::new()));
    ue.start().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized, "she is authorized again");

    ue.migrate(&bravo(), Some(&BTreeSet::from([PTT]))).await.unwrap();
    stage.bravo.servers.world().authorized.clear();
    let mut watch = ue.watch().unwrap();
    while !matches!(watch.next().await.unwrap(), News::FoundEnded(PTT)) {}
    drop(watch);
    assert_eq!(ue.state(), UeState::PartnerGrouped);
    ue.resume().await.unwrap();
    assert_eq!(ue.state(), UeState::Serving);
}

#[tokio::test]
async fn refused_call_tells_a_ue_that_does_not_watch_that_its_authorization_has_ended() {
    let stage = Stage::new().await;
    let mut ue = at_home(&stage).await;
    stage.alpha.servers.world().authorized.clear();
    let crew = ["sip:crew@alpha.example".parse().unwrap()];
    let refused = ue.affiliate(PTT, &crew).await.unwrap_err();
    assert!(matches!(refused, UeError::Server(error) if error.reason() == "NOT_AUTHORIZED"));
    assert_eq!(ue.state(), UeState::PrimaryConfigured);
    ue.start().await.unwrap();
    assert_eq!(ue.state(), UeState::PrimaryAuthorized);
}

#[tokio::test]
async fn ejected_user_hears_of_it_and_goes_home() {
    let stage = Stage::new().await;
    let mut ue = in_bravo(&stage).await;
    {
        let mut watch = ue.watch().unwrap();
        quiet_until(&mut watch, || asked(&stage.bravo.servers, "WatchServiceStatus") > 0).await;
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
