use mcx_proto::configuration::v1::ProfileGroup;
use mcx_proto::group::v1::{Group, GroupMember};
use mcx_proto::types::v1::{McService as WireService, McServiceIdentity};

use super::*;

fn profile(index: u32, version: u64) -> UserProfile {
    UserProfile {
        identity: Some(McServiceIdentity {
            mc_service: WireService::Ptt.into(),
            mc_service_id: "sip:alice@alpha.example".to_owned(),
        }),
        profile_index: index,
        version,
        ..UserProfile::default()
    }
}

fn group(name: &str, version: i64) -> MemberGroup {
    let group = Group { group_id: format!("sip:{name}@bravo.example"), version, ..Group::default() };
    let member = GroupMember { mc_service_id: "sip:v1@bravo.example".to_owned(), ..GroupMember::default() };
    MemberGroup { group: Some(group), members: vec![member] }
}

fn group_key(name: &str) -> DocumentKey {
    DocumentKey::Group(format!("sip:{name}@bravo.example").parse().unwrap())
}

fn put(name: &str, version: i64) -> DocumentChange {
    DocumentChange::Put(Document::Group(Box::new(group(name, version))))
}

fn update<E>(told: Told<E>, token: Option<&str>) -> Update<E> {
    Update { told: Some(told), resume_token: token.map(str::to_owned) }
}

fn is(name: &str, version: i64) -> Told<GroupEvent> {
    Told::Event(GroupEvent::Group(Box::new(group(name, version))))
}

/// Holds the groups `rescue` (version 3) and `fire` (version 1).
fn held() -> Documents {
    let mut documents = Documents::default();
    documents.apply_groups(update(Told::SnapshotBegins, None));
    documents.apply_groups(update(is("rescue", 3), None));
    documents.apply_groups(update(is("fire", 1), None));
    documents.apply_groups(update(Told::CaughtUp, Some("t1")));
    documents
}

#[test]
fn what_is_told_again_is_no_news_and_what_is_older_is_not_taken() {
    let mut documents = held();
    assert_eq!(documents.apply_groups(update(is("rescue", 3), Some("t2"))), []);
    assert_eq!(documents.apply_groups(update(is("rescue", 2), Some("t3"))), []);
    assert_eq!(documents.apply_groups(update(is("rescue", 4), Some("t4"))), [put("rescue", 4)]);
    assert_eq!(documents.resume_token(Feed::Groups).as_deref(), Some("t4"));
}

#[test]
fn snapshot_takes_away_what_it_does_not_tell() {
    let mut documents = held();
    assert_eq!(documents.apply_groups(update(Told::SnapshotBegins, None)), []);
    assert_eq!(documents.apply_groups(update(is("rescue", 3), None)), []);
    // Removed and made anew while the UE was away: the count began again.
    assert_eq!(documents.apply_groups(update(is("police", 1), None)), [put("police", 1)]);
    assert_eq!(documents.groups().count(), 3, "nothing goes before the snapshot is whole");
    let changes = documents.apply_groups(update(Told::CaughtUp, Some("t9")));
    assert_eq!(changes, [DocumentChange::Removed(group_key("fire"))]);
    assert_eq!(documents.groups().count(), 2);
}

#[test]
fn document_made_anew_is_taken_from_a_snapshot_although_its_count_is_lower() {
    let mut documents = held();
    documents.apply_groups(update(Told::SnapshotBegins, None));
    assert_eq!(documents.apply_groups(update(is("rescue", 1), None)), [put("rescue", 1)]);
}

#[test]
fn snapshot_that_breaks_off_takes_nothing_away() {
    let mut documents = held();
    documents.apply_groups(update(Told::SnapshotBegins, None));
    documents.apply_groups(update(Told::SnapshotBegins, None));
    documents.apply_groups(update(is("rescue", 3), None));
    documents.apply_groups(update(is("fire", 1), None));
    assert_eq!(documents.apply_groups(update(Told::CaughtUp, Some("t2"))), []);
}

#[test]
fn snapshot_of_one_feed_leaves_the_documents_of_others_alone() {
    let mut documents = held();
    let told = Told::Event(ConfigurationEvent::UserProfile(Box::new(profile(1, 1))));
    documents.apply_configuration(update(Told::SnapshotBegins, None));
    documents.apply_configuration(update(told, Some("c1")));
    assert_eq!(documents.apply_configuration(update(Told::CaughtUp, Some("c2"))), []);
    assert_eq!((documents.groups().count(), documents.user_profiles().count()), (2, 1));
}

#[test]
fn changed_group_keeps_the_membership() {
    let mut documents = held();
    let changed = Group { display_name: "Rescue 7".to_owned(), ..group("rescue", 4).group.unwrap() };
    let told = Told::Event(GroupEvent::Changed(Box::new(changed.clone())));
    let expected = MemberGroup { group: Some(changed), members: group("rescue", 4).members };
    let changes = documents.apply_groups(update(told, Some("t2")));
    assert_eq!(changes, [DocumentChange::Put(Document::Group(Box::new(expected)))]);

    let unknown = GroupEvent::Changed(Box::new(group("police", 1).group.unwrap()));
    assert_eq!(documents.apply_groups(update(Told::Event(unknown), Some("t3"))), []);
}

#[test]
fn removal_is_told_once() {
    let mut documents = held();
    let left = || GroupEvent::Left("sip:fire@bravo.example".parse().unwrap());
    let changes = documents.apply_groups(update(Told::Event(left()), Some("t2")));
    assert_eq!(changes, [DocumentChange::Removed(group_key("fire"))]);
    assert_eq!(documents.apply_groups(update(Told::Event(left()), Some("t3"))), []);
}

#[test]
fn stored_documents_are_the_same_and_a_broken_off_snapshot_is_forgotten() {
    let mut documents = held();
    let groups = vec![ProfileGroup {
        mc_service_group_id: "sip:rescue@bravo.example".to_owned(),
        ..ProfileGroup::default()
    }];
    let profile = UserProfile { groups, ..profile(1, 1) };
    documents.replace(
        |key| matches!(key, DocumentKey::UserProfile(..)),
        vec![Document::UserProfile(Box::new(profile))],
    );
    let text = serde_json::to_string(&documents).unwrap();
    let read: Documents = serde_json::from_str(&text).unwrap();
    assert_eq!(read, documents);
    assert_eq!(read.groups_of_profiles().len(), 1);
    assert_eq!(read.mc_services(), BTreeSet::from([McService::Ptt]));

    documents.apply_groups(update(Told::SnapshotBegins, None));
    let text = serde_json::to_string(&documents).unwrap();
    let mut read: Documents = serde_json::from_str(&text).unwrap();
    assert_eq!(read.resume_token(Feed::Groups), None, "the snapshot has to begin again");
    assert_eq!(read.apply_groups(update(Told::CaughtUp, None)), []);
}
