//! Watches that break: nothing is lost, nothing is told twice.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use mcx_federation::{ChannelSettings, UserDialer};
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_proto::group::v1::{GroupLeft, MemberGroup};
use mcx_types::SystemClock;
use mcx_ue::documents::{Document, DocumentChange, DocumentKey, Documents};
use mcx_ue::identity::{Credentials, IdentityManagementClient, IdentitySettings, TokenSource};
use mcx_ue::servers::{GroupManagementClient, Patience, ServerError, SystemAccess, Told};
use support::identity_server::{CLIENT_ID, MC_ID, PASSWORD, REDIRECT_URI};
use support::servers::Refused;
use support::system::{System, group};
use tonic::Code;

const AWAY: Refused = Refused { code: Code::Unavailable, reason: "DRAINING" };

async fn client(alpha: &System) -> GroupManagementClient {
    let (bundle, id) = (alpha.domain.bundle_pem().as_bytes(), alpha.domain.mc_system_id());
    let tls = mcx_federation::spiffe_server_client_config(bundle, id).unwrap();
    let issuer = alpha.identity.state().issuer.clone();
    let settings = IdentitySettings {
        token_endpoint: format!("{issuer}/token"),
        issuer,
        client_id: CLIENT_ID.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        deadline: Duration::from_secs(10),
    };
    let clock = Arc::new(SystemClock);
    let identity = IdentityManagementClient::new(tls, settings, clock.clone()).unwrap();
    let credentials = Credentials { mc_id: MC_ID.parse().unwrap(), password: PASSWORD.into() };
    let tokens = identity.authenticate(&credentials, &["openid".to_owned()]).await.unwrap();
    let tokens = TokenSource::new(identity, tokens, None, clock.clone());
    let dialer = UserDialer::new(id.clone(), bundle, ChannelSettings::default(), clock).unwrap();
    let patience = Patience { shortest: Duration::from_millis(1), longest: Duration::from_millis(10) };
    let access = SystemAccess::new(dialer, tokens, Duration::from_secs(20), patience);
    GroupManagementClient::new(&access, &alpha.servers.address.to_string()).unwrap()
}

fn put(name: &str, version: i64) -> DocumentChange {
    DocumentChange::Put(Document::Group(Box::new(group(name, version))))
}

fn removed(name: &str) -> DocumentChange {
    DocumentChange::Removed(DocumentKey::Group(format!("sip:{name}@bravo.example").parse().unwrap()))
}

fn left(name: &str) -> Event {
    Event::Left(GroupLeft { group_id: format!("sip:{name}@bravo.example"), cause: 1 })
}

fn names(documents: &Documents) -> Vec<(String, i64)> {
    let of = |group: &MemberGroup| {
        let group = group.group.clone().unwrap();
        (group.group_id, group.version)
    };
    documents.groups().map(of).collect()
}

/// Watches until so many changes were told.
async fn changes(
    client: &GroupManagementClient,
    documents: &mut Documents,
    count: usize,
) -> Vec<DocumentChange> {
    let mut watch = client.watch(documents.resume_token(mcx_ue::documents::Feed::Groups));
    let mut changes = Vec::new();
    while changes.len() < count {
        changes.extend(documents.apply_groups(watch.next().await.unwrap().unwrap()));
    }
    changes
}

#[tokio::test]
async fn every_change_is_told_once_however_often_the_stream_breaks() {
    let alpha = System::start("alpha.example", 0, None).await;
    let client = client(&alpha).await;
    {
        let mut world = alpha.servers.world();
        world.groups = vec![group("fire", 1), group("rescue", 1)];
        world.group_log.changes = Vec::new();
        // In the snapshot, at its end, between changes, before anything.
        for after in [1, 3, 2, 0, 1] {
            world.group_log.breaks.push_back((after, AWAY));
        }
        world
            .group_log
            .breaks
            .push_back((1, Refused { code: Code::Unauthenticated, reason: "ACCESS_TOKEN_EXPIRED" }));
    }
    let mut documents = Documents::default();
    let mut watch = client.watch(None);
    let mut told = Vec::new();
    // The snapshot, in two attempts.
    while told.len() < 2 {
        told.extend(documents.apply_groups(watch.next().await.unwrap().unwrap()));
    }
    loop {
        let update = watch.next().await.unwrap().unwrap();
        let is_end = update.told == Some(Told::CaughtUp);
        told.extend(documents.apply_groups(update));
        if is_end {
            break;
        }
    }
    for version in 2..10 {
        alpha.servers.world().group_log.changes.push(Event::Group(group("rescue", version)));
    }
    alpha.servers.world().group_log.changes.push(left("fire"));
    alpha.servers.news.notify_waiters();
    while told.len() < 11 {
        told.extend(documents.apply_groups(watch.next().await.unwrap().unwrap()));
    }
    let mut expected = vec![put("fire", 1), put("rescue", 1)];
    expected.extend((2..10).map(|version| put("rescue", version)));
    expected.push(removed("fire"));
    assert_eq!(told, expected);
    assert_eq!(names(&documents), [("sip:rescue@bravo.example".to_owned(), 9)]);
    let opened = alpha.servers.world().group_log.opened.clone();
    assert_eq!(opened, ["", "", "0", "2", "2", "3", "4"]);
}

#[tokio::test]
async fn compacted_token_leads_to_all_documents_as_they_are() {
    let alpha = System::start("alpha.example", 0, None).await;
    let client = client(&alpha).await;
    alpha.servers.world().groups = vec![group("fire", 1), group("rescue", 1)];
    let mut documents = Documents::default();
    changes(&client, &mut documents, 2).await;
    // The snapshot was not whole: nothing says where to go on.
    assert_eq!(documents.resume_token(mcx_ue::documents::Feed::Groups), None);
    alpha.servers.world().group_log.changes.push(Event::Group(group("rescue", 2)));
    let mut watch = client.watch(None);
    loop {
        let update = watch.next().await.unwrap().unwrap();
        let is_end = update.told == Some(Told::CaughtUp);
        documents.apply_groups(update);
        if is_end {
            break;
        }
    }
    drop(watch);
    assert_eq!(documents.resume_token(mcx_ue::documents::Feed::Groups).as_deref(), Some("1"));

    {
        // Much happened while the UE was off; the log forgot it.
        let mut world = alpha.servers.world();
        world.groups = vec![group("police", 1), group("rescue", 7)];
        world.group_log.compacted = 5;
        world.group_log.changes = (0..9).map(|_| left("nothing")).collect();
    }
    let told = changes(&client, &mut documents, 3).await;
    assert_eq!(told, [put("police", 1), put("rescue", 7), removed("fire")]);
    let opened = alpha.servers.world().group_log.opened.clone();
    assert_eq!(opened[opened.len() - 2..], ["1", ""]);
}

#[tokio::test]
async fn watch_of_a_user_who_may_not_ends_with_the_reason() {
    let alpha = System::start("alpha.example", 0, None).await;
    let client = client(&alpha).await;
    alpha.servers.refuse("WatchGroups", Code::PermissionDenied, "SCOPE_MISSING");
    let mut watch = client.watch(None);
    let refused = watch.next().await.unwrap().unwrap_err();
    assert_eq!((refused.reason(), refused.hop()), ("SCOPE_MISSING", Some("alpha.example")));
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn access_token_that_is_not_taken_is_replaced_once() {
    let alpha = System::start("alpha.example", 0, None).await;
    let client = client(&alpha).await;
    alpha.identity.state().access_tokens.clear();
    assert!(client.groups(&["sip:fire@bravo.example".parse().unwrap()]).await.unwrap().is_empty());
    assert_eq!(alpha.identity.state().log, ["authorization_code", "refresh_token"]);

    alpha.identity.state().access_tokens.clear();
    alpha.identity.state().refresh_tokens.clear();
    let refused = client.groups(&[]).await.unwrap_err();
    assert!(matches!(refused, ServerError::NoToken { .. }), "{refused:?}");
    assert_eq!(refused.kind(), mcx_ue::state::FailureKind::UserNotAuthenticated);
}

#[tokio::test]
async fn groups_come_in_pages() {
    let alpha = System::start("alpha.example", 0, None).await;
    let client = client(&alpha).await;
    let all: Vec<MemberGroup> = ["a", "b", "c"].map(|name| group(name, 1)).into();
    alpha.servers.world().groups = all.clone();
    let ids: Vec<_> =
        all.iter().map(|group| group.group.as_ref().unwrap().group_id.parse().unwrap()).collect();
    assert_eq!(client.groups(&ids).await.unwrap(), all);
}
