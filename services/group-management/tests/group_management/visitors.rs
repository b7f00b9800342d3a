//! Visitors as migration management tells of them: what they are granted here.

use std::time::Duration;

use group_management::client::{ClientError, GroupLookupClient, MigrationGroupClient};
use group_management::domain::migration::{DormantGrant, SharedUser, Visitor};
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::GroupLeftCause;
use mcx_types::wire::MigratedServiceIdentity;
use mcx_types::{Clock, Entity, McService, SystemClock};

use crate::fixture::{Engine, Home, System, fields, on_every_database, shared_user, visitor};

on_every_database!(
    visitor_is_a_member_of_the_groups_granted_to_her_until_she_is_gone,
    grant_takes_effect_when_the_group_allows_visitors_and_no_longer_when_it_does_not,
    visitor_put_again_keeps_what_is_still_granted,
    operator_adds_a_visitor_only_where_visitors_are_allowed,
    migration_that_is_over_is_undone_by_itself,
    migration_management_uses_its_typed_client,
    malformed_migrations_are_refused_with_every_field_at_once,
);

const MIGRATION: &str = "0194f3a0-0000-7000-8000-0000000000aa";

async fn put(system: &System<'_>, visitor: proto::Visitor) -> Vec<proto::DormantGrant> {
    let request = proto::PutVisitorsRequest { visitors: vec![visitor] };
    system.migration().put_visitors(request).await.unwrap().into_inner().dormant_grants
}

async fn visitor_is_a_member_of_the_groups_granted_to_her_until_she_is_gone(engine: Engine) {
    let (alpha, bravo) = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (primary, here) = (alpha.start().await, bravo.start().await);
    let open = here.create(proto::Group { allow_visitors: true, ..here.group("open") }).await;
    let closed = here.create(here.group("closed")).await;
    let mut watcher = here.watch("alice.visitor", "").await.unwrap();
    watcher.snapshot().await;

    let granted = [&open.group_id, &closed.group_id, &here.id("nowhere")].map(Clone::clone);
    let alice = proto::Visitor {
        granted_group_ids: granted.to_vec(),
        ..visitor(MIGRATION, &primary, &here, "alice")
    };
    let dormant = |group_id: String| proto::DormantGrant { migration_id: MIGRATION.to_owned(), group_id };
    let expected = [dormant(closed.group_id.clone()), dormant(here.id("nowhere"))];
    assert_eq!(put(&here, alice.clone()).await, expected);
    let told = watcher.next_group().await;
    assert_eq!(told.group.as_ref(), Some(&open));
    assert_eq!((told.members.len(), told.members[0].mc_system_id.as_str()), (1, "alpha.example"));
    let member = here.look_up(&open.group_id, &here.id("alice.visitor")).await.unwrap().member;
    assert_eq!(member.as_ref(), told.members.first());
    assert_eq!(put(&here, alice).await, expected, "repeated, it changes nothing");

    let delete = proto::DeleteVisitorsRequest { migration_ids: vec![MIGRATION.to_owned()] };
    here.migration().delete_visitors(delete.clone()).await.unwrap();
    assert_eq!(watcher.next_left().await, (open.group_id.clone(), GroupLeftCause::MembershipEnded));
    let member = here.look_up(&open.group_id, &here.id("alice.visitor")).await.unwrap().member;
    assert_eq!(member, None);
    here.migration().delete_visitors(delete).await.unwrap();
}

async fn grant_takes_effect_when_the_group_allows_visitors_and_no_longer_when_it_does_not(engine: Engine) {
    let (alpha, bravo) = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (primary, here) = (alpha.start().await, bravo.start().await);
    let closed = here.create(here.group("closed")).await;
    let granted = vec![closed.group_id.clone(), here.id("later")];
    put(&here, proto::Visitor { granted_group_ids: granted, ..visitor(MIGRATION, &primary, &here, "alice") })
        .await;
    let mut watcher = here.watch("alice.visitor", "").await.unwrap();
    assert!(watcher.snapshot().await.is_empty());

    let opened = here.update(proto::Group { allow_visitors: true, ..closed }).await;
    assert_eq!(watcher.next_group().await.group.as_ref(), Some(&opened));
    let later = here.create(proto::Group { allow_visitors: true, ..here.group("later") }).await;
    assert_eq!(watcher.next_group().await.group, Some(later));
    let mut told = Vec::new();
    here.update(proto::Group { allow_visitors: false, ..opened.clone() }).await;
    while told.is_empty() {
        // That the group's configuration changed may be told too, before she is out.
        if let proto::watch_groups_response::Event::Left(left) = watcher.next().await.unwrap() {
            told.push(left.group_id);
        }
    }
    assert_eq!(told, [opened.group_id]);
}

async fn visitor_put_again_keeps_what_is_still_granted(engine: Engine) {
    let (alpha, bravo) = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (primary, here) = (alpha.start().await, bravo.start().await);
    let open = |name: &str| proto::Group { allow_visitors: true, ..here.group(name) };
    let (kept, lost) = (here.create(open("kept")).await, here.create(open("lost")).await);
    let new = here.create(open("new")).await;
    let with = |groups: [&proto::Group; 2]| proto::Visitor {
        granted_group_ids: groups.map(|group| group.group_id.clone()).to_vec(),
        ..visitor(MIGRATION, &primary, &here, "alice")
    };
    put(&here, with([&kept, &lost])).await;
    let mut watcher = here.watch("alice.visitor", "").await.unwrap();
    assert_eq!(watcher.snapshot().await.len(), 2);
    put(&here, with([&kept, &new])).await;
    assert_eq!(watcher.next_left().await.0, lost.group_id);
    assert_eq!(watcher.next_group().await.group, Some(new));
    let ids: Vec<String> = here
        .groups_of("alice.visitor")
        .await
        .into_iter()
        .filter_map(|group| group.group.map(|group| group.group_id))
        .collect();
    assert_eq!(ids, [here.id("kept"), here.id("new")]);
}

async fn operator_adds_a_visitor_only_where_visitors_are_allowed(engine: Engine) {
    let (alpha, bravo) = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (primary, here) = (alpha.start().await, bravo.start().await);
    put(&here, visitor(MIGRATION, &primary, &here, "alice")).await;
    let closed = here.create(here.group("closed")).await;
    let members = vec![here.member("bob"), here.member("alice.visitor")];
    let request = |group: &proto::Group| proto::AddMembersRequest {
        group_id: group.group_id.clone(),
        members: members.clone(),
        ..Default::default()
    };
    assert_eq!(fields(here.groups().add_members(request(&closed)).await), ["members[1].mc_service_id"]);
    // Visitors do not use up what own members may be.
    let small = proto::Group { allow_visitors: true, max_members: Some(1), ..here.group("open") };
    let open = here.create(small).await;
    here.groups().add_members(request(&open)).await.unwrap();
    let member = here.look_up(&open.group_id, &here.id("alice.visitor")).await.unwrap().member.unwrap();
    assert_eq!(member.mc_system_id, "alpha.example");
}

async fn migration_that_is_over_is_undone_by_itself(engine: Engine) {
    let (alpha, bravo) = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (primary, here) = (alpha.start().await, bravo.start().await);
    let open = here.create(proto::Group { allow_visitors: true, ..here.group("open") }).await;
    let mut watcher = here.watch("alice.visitor", "").await.unwrap();
    watcher.snapshot().await;
    let over = proto::Visitor {
        granted_group_ids: vec![open.group_id.clone()],
        valid_until: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        ..visitor(MIGRATION, &primary, &here, "alice")
    };
    put(&here, over).await;
    // She may be told of the group before it is seen that her migration is over.
    loop {
        if let proto::watch_groups_response::Event::Left(left) = watcher.next().await.unwrap() {
            assert_eq!(left.group_id, open.group_id);
            break;
        }
    }
}

async fn migration_management_uses_its_typed_client(engine: Engine) {
    let home = Home::new("bravo.example", engine);
    let here = home.start().await;
    let open = here.create(proto::Group { allow_visitors: true, ..here.group("open") }).await;
    let id = |text: &str| text.parse().unwrap();
    let visitor = Visitor {
        migration_id: MIGRATION.parse().unwrap(),
        primary: "alpha.example".parse().unwrap(),
        identities: vec![MigratedServiceIdentity {
            mc_service: McService::Ptt,
            primary: id("sip:alice@alpha.example"),
            partner: id(&here.id("alice.visitor")),
        }],
        granted_groups: vec![open.group_id.parse().unwrap(), here.id("nowhere").parse().unwrap()],
        valid_until: Some(SystemClock.now().saturating_add(Duration::from_secs(3_600))),
    };
    let client = MigrationGroupClient::new(here.channel(Entity::MigrationManagement));
    let dormant = client.put_visitors(&[visitor]).await.unwrap();
    let expected =
        DormantGrant { migration_id: MIGRATION.parse().unwrap(), group: here.id("nowhere").parse().unwrap() };
    assert_eq!(dormant, [expected]);
    let lookup = GroupLookupClient::new(here.channel(Entity::McService));
    let group = open.group_id.parse().unwrap();
    let ask =
        async |name: &str| lookup.get_group_for_member(&group, &id(&here.id(name))).await.unwrap().unwrap();
    let found = ask("alice.visitor").await;
    assert_eq!((found.home.as_str(), found.etag.as_str()), ("bravo.example", "1"));
    assert!(found.member.unwrap().may_speak);
    assert_eq!(ask("bob").await.member, None);
    client.delete_visitors(&[MIGRATION.parse().unwrap()]).await.unwrap();
    assert_eq!(ask("alice.visitor").await.member, None);
    let nowhere = here.id("nowhere").parse().unwrap();
    assert_eq!(lookup.get_group_for_member(&nowhere, &id(&here.id("bob"))).await.unwrap(), None);

    let user = SharedUser {
        migration_id: MIGRATION.parse().unwrap(),
        partner: "alpha.example".parse().unwrap(),
        identities: [(McService::Ptt, id(&here.id("bob")))].into(),
        valid_until: None,
    };
    here.add(&open, &[here.member("bob")]).await;
    client.put_shared_users(std::slice::from_ref(&user)).await.unwrap();
    let shares = async || {
        let partner_mc_system_id = "alpha.example".to_owned();
        let request = proto::ListSharesRequest { partner_mc_system_id, ..Default::default() };
        here.migration().list_shares(request).await.unwrap().into_inner().shares.len()
    };
    assert_eq!(shares().await, 1);
    client.delete_shared_users(&[user.migration_id]).await.unwrap();
    let back = SharedUser { partner: home.own.mc_system_id().clone(), ..user };
    let refused = client.put_shared_users(&[back]).await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused(remote) if remote.reason == "INVALID_REQUEST"));
}

async fn malformed_migrations_are_refused_with_every_field_at_once(engine: Engine) {
    let home = Home::new("bravo.example", engine);
    let here = home.start().await;
    let good = visitor(MIGRATION, &here, &here, "alice");
    let broken = proto::Visitor {
        migration_id: "7".to_owned(),
        primary_mc_system_id: "alpha.example".to_owned(),
        identities: Vec::new(),
        granted_group_ids: vec![here.id("a"), here.id("a")],
        valid_until: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
    };
    let request = proto::PutVisitorsRequest { visitors: vec![good, broken] };
    assert_eq!(
        fields(here.migration().put_visitors(request).await),
        [
            "visitors[0].primary_mc_system_id",
            "visitors[1].migration_id",
            "visitors[1].identities",
            "visitors[1].granted_group_ids[1]",
            "visitors[1].valid_until",
        ]
    );
    let request = proto::PutSharedUsersRequest { users: vec![shared_user("7", &here, &here, "alice")] };
    assert_eq!(
        fields(here.migration().put_shared_users(request).await),
        ["users[0].migration_id", "users[0].partner_mc_system_id"]
    );
    let many = vec![MIGRATION.to_owned(); 501];
    let request = proto::DeleteVisitorsRequest { migration_ids: many };
    assert_eq!(fields(here.migration().delete_visitors(request).await), ["migration_ids"]);
    let request = proto::DeleteSharedUsersRequest { migration_ids: vec!["7".to_owned()] };
    assert_eq!(fields(here.migration().delete_shared_users(request).await), ["migration_ids[0]"]);
    let request = proto::ListSharesRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(here.migration().list_shares(request).await), ["page_size", "partner_mc_system_id"]);
}
