//! Members as operators provision them, and as the MC service server asks for them.

use mcx_proto::group::v1 as proto;
use tonic::Code;

use crate::fixture::{Engine, Home, fields, on_every_database, reason, refusal};

on_every_database!(
    members_are_added_changed_counted_and_removed,
    malformed_members_are_refused_with_every_field_at_once,
    group_never_has_more_members_than_it_may,
    ten_thousand_members_are_added_and_listed_in_pages,
    enforcement_point_sees_group_and_membership_as_they_are_now,
);

fn add(group: &proto::Group, members: Vec<proto::GroupMember>) -> proto::AddMembersRequest {
    proto::AddMembersRequest { group_id: group.group_id.clone(), members, ..Default::default() }
}

async fn members_are_added_changed_counted_and_removed(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let group = system.create(system.group("rescue")).await;
    let (alice, bob) = (system.member("alice"), system.member("bob"));
    let counts = |answer: proto::AddMembersResponse| {
        (answer.added_count, answer.changed_count, answer.unchanged_count)
    };
    let mut client = system.groups();
    let first = client.add_members(add(&group, vec![alice.clone()])).await.unwrap().into_inner();
    assert_eq!(counts(first), (1, 0, 0));
    let dispatcher =
        proto::GroupMember { participant_type: "dispatcher".to_owned(), ..system.member("carol") };
    let quiet = proto::GroupMember { may_speak: false, ..alice.clone() };
    client.add_members(add(&group, vec![dispatcher.clone()])).await.unwrap();
    let all = client.add_members(add(&group, vec![quiet.clone(), bob.clone(), dispatcher.clone()])).await;
    assert_eq!(counts(all.unwrap().into_inner()), (1, 1, 1));

    let get = proto::GetGroupRequest { group_id: group.group_id.clone() };
    let read = client.get_group(get).await.unwrap().into_inner();
    assert_eq!((read.member_count, read.group.unwrap().version), (3, 1));
    let list = proto::ListMembersRequest { group_id: group.group_id.clone(), ..Default::default() };
    let listed = client.list_members(list.clone()).await.unwrap().into_inner();
    let own = |member: proto::GroupMember| proto::GroupMember {
        mc_system_id: "alpha.example".to_owned(),
        ..member
    };
    assert_eq!(listed.members, [own(quiet), own(bob), own(dispatcher)]);

    let remove = proto::RemoveMembersRequest {
        group_id: group.group_id.clone(),
        mc_service_ids: vec![system.id("alice"), system.id("nobody")],
        ..Default::default()
    };
    let removed = client.remove_members(remove).await.unwrap().into_inner();
    assert_eq!((removed.removed_count, removed.absent_count), (1, 1));
    assert_eq!(client.list_members(list).await.unwrap().into_inner().members.len(), 2);
    let unknown = proto::ListMembersRequest { group_id: system.id("nowhere"), ..Default::default() };
    assert_eq!(reason(client.list_members(unknown).await), "GROUP_UNKNOWN");
}

async fn malformed_members_are_refused_with_every_field_at_once(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let group = system.create(system.group("rescue")).await;
    let long = proto::GroupMember { participant_type: "x".repeat(65), priority: 256, ..system.member("bob") };
    let broken = proto::GroupMember { mc_service_id: "alice".to_owned(), ..Default::default() };
    let members = vec![system.member("carol"), broken, system.member("carol"), long];
    assert_eq!(
        fields(system.groups().add_members(add(&group, members)).await),
        [
            "members[1].mc_service_id",
            "members[2].mc_service_id",
            "members[3].priority",
            "members[3].participant_type",
        ]
    );
    assert_eq!(fields(system.groups().add_members(add(&group, Vec::new())).await), ["members"]);
    let many = (0..1_001).map(|index| system.member(&format!("user{index}"))).collect();
    assert_eq!(fields(system.groups().add_members(add(&group, many)).await), ["members"]);
}

async fn group_never_has_more_members_than_it_may(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let small = proto::Group { max_members: Some(2), ..system.group("rescue") };
    let group = system.create(small).await;
    system.add(&group, &[system.member("alice"), system.member("bob")]).await;
    let refused = refusal(system.groups().add_members(add(&group, vec![system.member("carol")])).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TOO_MANY_MEMBERS"));
    assert_eq!(refused.metadata.get("member_count").map(String::as_str), Some("3"));
    // Those who are there already do not count twice.
    system.add(&group, &[proto::GroupMember { priority: 1, ..system.member("bob") }]).await;
    let smaller = proto::Group { max_members: Some(1), ..group.clone() };
    let update = proto::UpdateGroupRequest { group: Some(smaller), ..Default::default() };
    assert_eq!(reason(system.groups().update_group(update).await), "TOO_MANY_MEMBERS");
}

async fn ten_thousand_members_are_added_and_listed_in_pages(engine: Engine) {
    const MEMBERS: usize = 10_000;
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let group = system.create(system.group("rescue")).await;
    let members: Vec<_> = (0..MEMBERS).map(|index| system.member(&format!("user{index:05}"))).collect();
    for batch in members.chunks(1_000) {
        system.add(&group, batch).await;
    }
    let one_more = system.groups().add_members(add(&group, vec![system.member("one-more")])).await;
    assert_eq!(reason(one_more), "TOO_MANY_MEMBERS");
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = proto::ListMembersRequest {
            group_id: group.group_id.clone(),
            page_size: 1_000,
            page_token: std::mem::take(&mut page_token),
        };
        let page = system.groups().list_members(list).await.unwrap().into_inner();
        assert!(page.members.len() <= 1_000);
        listed.extend(page.members.into_iter().map(|member| member.mc_service_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<String> = members.into_iter().map(|member| member.mc_service_id).collect();
    assert_eq!(listed, expected);
    let groups = system.groups_of("user09999").await;
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].members.len(), 1);
    system.delete(&group).await;
    assert!(system.groups_of("user09999").await.is_empty());
}

async fn enforcement_point_sees_group_and_membership_as_they_are_now(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let alice = system.id("alice");
    assert_eq!(reason(system.look_up(&system.id("rescue"), &alice).await), "GROUP_UNKNOWN");
    let group = system.create(system.group("rescue")).await;
    let stranger = system.look_up(&group.group_id, &alice).await.unwrap();
    assert_eq!((stranger.group.as_ref(), stranger.member), (Some(&group), None));
    system.add(&group, &[system.member("alice")]).await;
    let member = system.look_up(&group.group_id, &alice).await.unwrap().member.unwrap();
    assert!(member.may_speak);
    system.remove(&group, "alice").await;
    assert_eq!(system.look_up(&group.group_id, &alice).await.unwrap().member, None);
    let malformed = system.look_up("rescue", "alice").await;
    assert_eq!(fields(malformed), ["group_id", "mc_service_id"]);
}
