//! What users are told of their groups.

use mcx_federation::access_token::Scope;
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::GroupLeftCause;
use mcx_testkit::authorized;
use tonic::Code;

use crate::fixture::{Engine, Home, fields, on_every_database, refusal};

on_every_database!(
    user_is_told_only_of_groups_that_she_is_a_member_of,
    user_without_the_scope_is_told_nothing,
    watcher_hears_of_changes_of_joining_and_of_leaving,
    group_joined_later_is_followed_without_a_new_call,
    watcher_of_one_replica_hears_what_is_changed_at_another,
    removed_group_is_told_to_its_members,
    watcher_that_comes_back_hears_all_that_she_missed,
    token_of_another_log_is_refused,
    token_from_before_what_is_kept_is_refused,
    stream_ends_with_the_access_token,
    stream_ends_when_the_server_stops,
);

async fn user_is_told_only_of_groups_that_she_is_a_member_of(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let mine = system.create(system.group("mine")).await;
    let other = system.create(system.group("other")).await;
    system.add(&mine, &[system.member("alice"), system.member("bob")]).await;
    system.add(&other, &[system.member("bob")]).await;
    let groups = system.groups_of("alice").await;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].group.as_ref(), Some(&mine));
    let ids: Vec<_> = groups[0].members.iter().map(|member| &member.mc_service_id).collect();
    assert_eq!(ids, [&system.id("alice")], "others are not told");

    let named = |ids: &[&proto::Group]| proto::GetGroupsRequest {
        group_ids: ids.iter().map(|group| group.group_id.clone()).collect(),
        page_size: 1,
        ..Default::default()
    };
    let ask = async |request| {
        let answer = system.users().get_groups(authorized(request, &system.token("bob"))).await;
        answer.unwrap().into_inner()
    };
    assert_eq!(ask(named(&[&other])).await.groups.len(), 1);
    let first = ask(named(&[&mine, &other])).await;
    assert_eq!((first.groups.len(), first.next_page_token.is_empty()), (1, false));
    let hers = system.users().get_groups(authorized(named(&[&other]), &system.token("alice"))).await;
    assert!(hers.unwrap().into_inner().groups.is_empty());
    let broken =
        proto::GetGroupsRequest { group_ids: vec!["mine".to_owned()], page_size: 101, ..Default::default() };
    let refused = system.users().get_groups(authorized(broken, &system.token("alice"))).await;
    assert_eq!(fields(refused), ["group_ids[0]", "page_size"]);
}

async fn user_without_the_scope_is_told_nothing(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let token = home.tokens.token("alice", &[Scope::PttService]);
    let get = system.users().get_groups(authorized(proto::GetGroupsRequest::default(), &token)).await;
    assert_eq!(refusal(get).code, Code::PermissionDenied);
    let watch = system.watch_as(&token, "").await;
    assert_eq!(refusal(watch).code, Code::PermissionDenied);
    let none = system.users().get_groups(proto::GetGroupsRequest::default()).await;
    assert_eq!(refusal(none).code, Code::Unauthenticated);
}

async fn watcher_hears_of_changes_of_joining_and_of_leaving(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let group = system.create(system.group("rescue")).await;
    system.add(&group, &[system.member("alice"), system.member("bob")]).await;
    let mut alice = system.watch("alice", "").await.unwrap();
    let told = alice.snapshot().await;
    assert_eq!(told, system.groups_of("alice").await);

    let renamed = system.update(proto::Group { display_name: "Rescue 8".to_owned(), ..group.clone() }).await;
    assert_eq!(alice.next_changed().await, renamed);
    // What happens to others is not told.
    system.remove(&group, "bob").await;
    system.add(&group, &[proto::GroupMember { may_speak: false, ..system.member("alice") }]).await;
    assert!(!alice.next_group().await.members[0].may_speak);
    system.remove(&group, "alice").await;
    assert_eq!(alice.next_left().await, (group.group_id.clone(), GroupLeftCause::MembershipEnded));
    // No longer a member, she hears nothing of the group; what comes next is that she joined again.
    system.update(proto::Group { display_name: "Rescue 9".to_owned(), ..renamed }).await;
    system.add(&group, &[system.member("alice")]).await;
    assert_eq!(alice.next_group().await.group.unwrap().display_name, "Rescue 9");
}

async fn group_joined_later_is_followed_without_a_new_call(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let mut alice = system.watch("alice", "").await.unwrap();
    assert!(alice.snapshot().await.is_empty());
    let group = system.create(system.group("rescue")).await;
    system.add(&group, &[system.member("alice")]).await;
    assert_eq!(alice.next_group().await.group, Some(group.clone()));
    let mut last = group;
    for name in ["Rescue 8", "Rescue 9", "Rescue 10"] {
        last = system.update(proto::Group { display_name: name.to_owned(), ..last }).await;
    }
    let mut versions = Vec::new();
    while versions.last() != Some(&last.version) {
        versions.push(alice.next_changed().await.version);
    }
    assert_eq!(versions, [2, 3, 4]);
}

async fn removed_group_is_told_to_its_members(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let group = system.create(system.group("rescue")).await;
    system.add(&group, &[system.member("alice"), system.member("bob")]).await;
    let mut alice = system.watch("alice", "").await.unwrap();
    let mut bob = system.watch("bob", "").await.unwrap();
    alice.snapshot().await;
    bob.snapshot().await;
    system.delete(&group).await;
    let expected = (group.group_id.clone(), GroupLeftCause::GroupDeleted);
    assert_eq!((alice.next_left().await, bob.next_left().await), (expected.clone(), expected));
    // A group of the same name is another one: who was a member of the first hears nothing of it.
    let again = system.create(system.group("rescue")).await;
    system.update(proto::Group { display_name: "Rescue 8".to_owned(), ..again.clone() }).await;
    let other = system.create(system.group("other")).await;
    system.add(&other, &[system.member("alice")]).await;
    assert_eq!(alice.next_group().await.group, Some(other));
}

async fn watcher_of_one_replica_hears_what_is_changed_at_another(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let (system, replica) = (home.start().await, home.start().await);
    let group = system.create(system.group("rescue")).await;
    system.add(&group, &[system.member("alice")]).await;
    let mut alice = system.watch("alice", "").await.unwrap();
    assert_eq!(alice.snapshot().await.len(), 1);
    let renamed = replica.update(proto::Group { display_name: "Rescue 8".to_owned(), ..group.clone() }).await;
    assert_eq!(alice.next_changed().await, renamed);
    replica.remove(&group, "alice").await;
    assert_eq!(alice.next_left().await, (group.group_id, GroupLeftCause::MembershipEnded));
}

async fn watcher_that_comes_back_hears_all_that_she_missed(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let kept = system.create(system.group("kept")).await;
    let lost = system.create(system.group("lost")).await;
    let removed = system.create(system.group("removed")).await;
    for group in [&kept, &lost, &removed] {
        system.add(group, &[system.member("alice")]).await;
    }
    let mut alice = system.watch("alice", "").await.unwrap();
    assert_eq!(alice.snapshot().await.len(), 3);
    let resume_token = alice.resume_token.clone();
    drop(alice);

    let renamed = system.update(proto::Group { display_name: "Rescue 8".to_owned(), ..kept }).await;
    system.remove(&lost, "alice").await;
    system.delete(&removed).await;
    let joined = system.create(system.group("joined")).await;
    system.add(&joined, &[system.member("alice")]).await;

    // Another process of the system, on the same database.
    drop(system);
    let system = home.start().await;
    let mut alice = system.watch("alice", &resume_token).await.unwrap();
    assert_eq!(alice.next_changed().await, renamed);
    assert_eq!(alice.next_left().await, (lost.group_id, GroupLeftCause::MembershipEnded));
    assert_eq!(alice.next_left().await, (removed.group_id, GroupLeftCause::GroupDeleted));
    assert_eq!(alice.next_group().await.group, Some(joined));
}

async fn token_of_another_log_is_refused(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let foreign = system.watch("alice", "1-0123456789abcdef-0000000000000001").await;
    let refused = refusal(foreign);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "RESUME_TOKEN_FOREIGN"));
    assert_eq!(fields(system.watch("alice", "yesterday").await), ["resume_token"]);
}

async fn token_from_before_what_is_kept_is_refused(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let mut alice = system.watch("alice", "").await.unwrap();
    alice.snapshot().await;
    let resume_token = alice.resume_token.clone();
    let group = system.create(system.group("rescue")).await;
    system.add(&group, &[system.member("alice")]).await;
    alice.next_group().await;
    drop(alice);
    drop(system);
    home.forget_changes().await;
    let system = home.start().await;
    let refused = refusal(system.watch("alice", &resume_token).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::OutOfRange, "RESUME_TOKEN_COMPACTED"));
    assert_eq!(system.watch("alice", "").await.unwrap().snapshot().await.len(), 1);
}

async fn stream_ends_with_the_access_token(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    // It is over, but believed for as long as clocks may differ: the stream ends as soon as it has begun.
    let mut claims = system.claims("alice");
    claims.exp = claims.iat - 1;
    claims.iat -= 10;
    let token = home.tokens.sign(&claims);
    let mut alice = system.watch_as(&token, "").await.unwrap();
    let ended = loop {
        match alice.next().await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    let refused = refusal::<()>(Err(ended));
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "ACCESS_TOKEN_EXPIRED"));
}

async fn stream_ends_when_the_server_stops(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let mut alice = system.watch("alice", "").await.unwrap();
    alice.snapshot().await;
    drop(system.shutdown);
    let refused = refusal(alice.next().await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "DRAINING"));
}
