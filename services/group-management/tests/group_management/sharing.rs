//! Two MC systems: what happens to a group at home is felt by the visitor at the partner.

use mcx_federation::access_token::{AccessTokenClaims, PrimaryClaim};
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::GroupLeftCause;
use mcx_proto::group::v1::watch_groups_response::Event;
use mcx_testkit::authorized;

use crate::fixture::{Engine, Home, System, group, on_every_database, reason, shared_user, visitor};

on_every_database!(
    changes_at_home_reach_the_visitor_at_the_partner,
    visitor_known_after_the_groups_were_told_is_asked_for,
    group_that_a_visitor_misses_is_asked_for,
    partner_that_was_away_is_told_when_it_is_back,
    what_is_to_be_told_survives_who_tells_it,
    group_that_stays_at_home_is_not_shared,
    user_who_returns_leaves_nothing_behind,
    group_of_the_primary_cannot_be_changed_at_the_partner,
    many_migrated_members_of_one_group_are_all_told,
);

const MIGRATION: &str = "0194f3a0-0000-7000-8000-0000000000aa";

async fn put_visitor(here: &System<'_>, visitor: proto::Visitor) {
    let request = proto::PutVisitorsRequest { visitors: vec![visitor] };
    here.migration().put_visitors(request).await.unwrap();
}

async fn share(home: &System<'_>, user: proto::SharedUser) {
    let request = proto::PutSharedUsersRequest { users: vec![user] };
    home.migration().put_shared_users(request).await.unwrap();
}

/// Alice of `alpha.example` migrates to `bravo.example`.
async fn migrate(alpha: &System<'_>, bravo: &System<'_>) {
    put_visitor(bravo, visitor(MIGRATION, alpha, bravo, "alice")).await;
    share(alpha, shared_user(MIGRATION, alpha, bravo, "alice")).await;
}

fn trust_each_other(alpha: &System<'_>, bravo: &System<'_>) {
    alpha.trust(bravo);
    bravo.trust(alpha);
}

async fn pending(alpha: &System<'_>) -> Vec<proto::Share> {
    let request = proto::ListSharesRequest {
        partner_mc_system_id: "bravo.example".to_owned(),
        only_pending: true,
        ..Default::default()
    };
    alpha.migration().list_shares(request).await.unwrap().into_inner().shares
}

async fn shares(alpha: &System<'_>) -> Vec<proto::Share> {
    let request =
        proto::ListSharesRequest { partner_mc_system_id: "bravo.example".to_owned(), ..Default::default() };
    alpha.migration().list_shares(request).await.unwrap().into_inner().shares
}

async fn changes_at_home_reach_the_visitor_at_the_partner(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let rescue = alpha.create(alpha.group("rescue")).await;
    let other = alpha.create(alpha.group("other")).await;
    alpha.add(&rescue, &[alpha.member("alice"), alpha.member("bob")]).await;
    alpha.add(&other, &[alpha.member("bob")]).await;
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    assert!(alice.snapshot().await.is_empty());

    migrate(&alpha, &bravo).await;
    let told = alice.next_group().await;
    assert_eq!(told.group.as_ref(), Some(&rescue), "the very group that its home has");
    let expected = proto::GroupMember {
        mc_service_id: bravo.id("alice.visitor"),
        mc_system_id: "alpha.example".to_owned(),
        ..alpha.member("alice")
    };
    assert_eq!(
        told.members,
        std::slice::from_ref(&expected),
        "by the identity that she has here, and nobody else"
    );
    let found = bravo.look_up(&rescue.group_id, &bravo.id("alice.visitor")).await.unwrap();
    assert_eq!(found.member, Some(expected));

    let renamed = alpha.update(proto::Group { display_name: "Rescue 8".to_owned(), ..rescue.clone() }).await;
    assert_eq!(alice.next_changed().await, renamed);
    alpha.add(&rescue, &[proto::GroupMember { may_speak: false, ..alpha.member("alice") }]).await;
    assert!(!alice.next_group().await.members[0].may_speak);
    alpha.add(&other, &[alpha.member("alice")]).await;
    assert_eq!(alice.next_group().await.group.as_ref(), Some(&other));
    alpha.remove(&rescue, "alice").await;
    assert_eq!(alice.next_left().await, (rescue.group_id.clone(), GroupLeftCause::MembershipEnded));
    assert_eq!(reason(bravo.look_up(&rescue.group_id, &bravo.id("alice.visitor")).await), "GROUP_UNKNOWN");
    alpha.delete(&other).await;
    assert_eq!(alice.next_left().await, (other.group_id, GroupLeftCause::GroupDeleted));
}

async fn visitor_known_after_the_groups_were_told_is_asked_for(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let rescue = alpha.create(alpha.group("rescue")).await;
    alpha.add(&rescue, &[alpha.member("alice")]).await;
    share(&alpha, shared_user(MIGRATION, &alpha, &bravo, "alice")).await;
    while !pending(&alpha).await.is_empty() {}
    assert_eq!(shares(&alpha).await.len(), 1);
    // The partner was told, and left out whom it did not know.
    assert_eq!(reason(bravo.look_up(&rescue.group_id, &bravo.id("alice.visitor")).await), "GROUP_UNKNOWN");
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    assert!(alice.snapshot().await.is_empty());
    put_visitor(&bravo, visitor(MIGRATION, &alpha, &bravo, "alice")).await;
    assert_eq!(alice.next_group().await.group, Some(rescue));
}

async fn group_that_a_visitor_misses_is_asked_for(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    // The home does not know its partner's endpoint, so that it tells nothing by itself.
    let terms = mcx_federation::PartnerTerms { services: Default::default(), ..homes.1.terms(bravo.peer) };
    assert!(alpha.partners.replace(vec![terms]).is_empty());
    bravo.trust(&alpha);
    let rescue = alpha.create(alpha.group("rescue")).await;
    let first = alpha.create(alpha.group("first")).await;
    alpha.add(&first, &[alpha.member("alice")]).await;
    share(&alpha, shared_user(MIGRATION, &alpha, &bravo, "alice")).await;
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    alice.snapshot().await;
    put_visitor(&bravo, visitor(MIGRATION, &alpha, &bravo, "alice")).await;
    assert_eq!(alice.next_group().await.group, Some(first));
    alpha.add(&rescue, &[alpha.member("alice")]).await;
    homes.1.forget_that_was_asked().await;
    let visitor = AccessTokenClaims {
        primary: Some(PrimaryClaim {
            iss: "https://idms.alpha.example".to_owned(),
            mc_system_id: homes.0.own.mc_system_id().clone(),
        }),
        mc_id: None,
        ..bravo.claims("alice.visitor")
    };
    let named = proto::GetGroupsRequest { group_ids: vec![rescue.group_id.clone()], ..Default::default() };
    let token = homes.1.tokens.sign(&visitor);
    let answer = bravo.users().get_groups(authorized(named, &token)).await.unwrap().into_inner();
    assert!(answer.groups.is_empty(), "she is told when it is there");
    assert_eq!(alice.next_group().await.group, Some(rescue));
}

async fn partner_that_was_away_is_told_when_it_is_back(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let alpha = homes.0.start().await;
    let rescue = alpha.create(alpha.group("rescue")).await;
    alpha.add(&rescue, &[alpha.member("alice")]).await;
    let resume_token = {
        let bravo = homes.1.start().await;
        trust_each_other(&alpha, &bravo);
        let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
        alice.snapshot().await;
        migrate(&alpha, &bravo).await;
        assert_eq!(alice.next_group().await.group, Some(rescue.clone()));
        alice.resume_token
    };
    let renamed = alpha.update(proto::Group { display_name: "Rescue 8".to_owned(), ..rescue }).await;
    assert_eq!(pending(&alpha).await.len(), 1, "nobody is there to be told");
    let bravo = homes.1.start().await;
    trust_each_other(&alpha, &bravo);
    let mut alice = bravo.watch("alice.visitor", &resume_token).await.unwrap();
    loop {
        // Her own membership may be told once more.
        if let Event::ChangedGroup(changed) = alice.next().await.unwrap() {
            assert_eq!(changed, renamed);
            break;
        }
    }
}

async fn what_is_to_be_told_survives_who_tells_it(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let bravo = homes.1.start().await;
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    alice.snapshot().await;
    let rescue = {
        // The partner is no partner yet: nothing is told, and then the process ends.
        let alpha = homes.0.start().await;
        let rescue = alpha.create(alpha.group("rescue")).await;
        alpha.add(&rescue, &[alpha.member("alice")]).await;
        migrate(&alpha, &bravo).await;
        assert_eq!(pending(&alpha).await.len(), 1);
        rescue
    };
    let alpha = homes.0.start().await;
    trust_each_other(&alpha, &bravo);
    assert_eq!(alice.next_group().await.group, Some(rescue));
}

async fn group_that_stays_at_home_is_not_shared(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let secret = alpha.create(proto::Group { home_only: true, ..alpha.group("secret") }).await;
    let rescue = alpha.create(alpha.group("rescue")).await;
    for group in [&secret, &rescue] {
        alpha.add(group, &[alpha.member("alice")]).await;
    }
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    alice.snapshot().await;
    migrate(&alpha, &bravo).await;
    assert_eq!(alice.next_group().await.group, Some(rescue.clone()));
    while !pending(&alpha).await.is_empty() {}
    assert_eq!(bravo.groups_of("alice.visitor").await.len(), 1);

    let open = alpha.update(proto::Group { home_only: false, ..secret }).await;
    assert_eq!(alice.next_group().await.group.as_ref(), Some(&open));
    alpha.update(proto::Group { home_only: true, ..rescue.clone() }).await;
    assert_eq!(alice.next_left().await, (rescue.group_id, GroupLeftCause::MembershipEnded));
}

async fn user_who_returns_leaves_nothing_behind(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let rescue = alpha.create(alpha.group("rescue")).await;
    alpha.add(&rescue, &[alpha.member("alice")]).await;
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    alice.snapshot().await;
    migrate(&alpha, &bravo).await;
    alice.next_group().await;

    // The primary's side is undone first: the partner is told that nobody of its visitors is in the group.
    let migration_ids = vec![MIGRATION.to_owned()];
    let request = proto::DeleteSharedUsersRequest { migration_ids: migration_ids.clone() };
    alpha.migration().delete_shared_users(request.clone()).await.unwrap();
    assert_eq!(alice.next_left().await.0, rescue.group_id);
    while !shares(&alpha).await.is_empty() {}
    alpha.migration().delete_shared_users(request).await.unwrap();
    // And once more, with the partner's side first.
    share(&alpha, shared_user(MIGRATION, &alpha, &bravo, "alice")).await;
    assert_eq!(alice.next_group().await.group.as_ref(), Some(&rescue));
    let request = proto::DeleteVisitorsRequest { migration_ids };
    bravo.migration().delete_visitors(request).await.unwrap();
    assert_eq!(alice.next_left().await.0, rescue.group_id);
    let list = proto::ListGroupsRequest::default();
    assert!(bravo.groups().list_groups(list).await.unwrap().into_inner().groups.is_empty());
}

async fn group_of_the_primary_cannot_be_changed_at_the_partner(engine: Engine) {
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let rescue = alpha.create(alpha.group("rescue")).await;
    alpha.add(&rescue, &[alpha.member("alice")]).await;
    let mut alice = bravo.watch("alice.visitor", "").await.unwrap();
    alice.snapshot().await;
    migrate(&alpha, &bravo).await;
    alice.next_group().await;
    let get = proto::GetGroupRequest { group_id: rescue.group_id.clone() };
    let seen = bravo.groups().get_group(get).await.unwrap().into_inner();
    assert_eq!((seen.group.as_ref(), seen.member_count), (Some(&rescue), 1));
    let update = proto::UpdateGroupRequest { group: Some(rescue.clone()), ..Default::default() };
    assert_eq!(reason(bravo.groups().update_group(update).await), "GROUP_OF_ANOTHER_SYSTEM");
    let delete = proto::DeleteGroupRequest { group_id: rescue.group_id.clone(), ..Default::default() };
    assert_eq!(reason(bravo.groups().delete_group(delete).await), "GROUP_OF_ANOTHER_SYSTEM");
    let add = proto::AddMembersRequest {
        group_id: rescue.group_id.clone(),
        members: vec![bravo.member("carol")],
        ..Default::default()
    };
    assert_eq!(reason(bravo.groups().add_members(add).await), "GROUP_OF_ANOTHER_SYSTEM");
    let remove = proto::RemoveMembersRequest {
        group_id: rescue.group_id,
        mc_service_ids: vec![bravo.id("alice.visitor")],
        ..Default::default()
    };
    assert_eq!(reason(bravo.groups().remove_members(remove).await), "GROUP_OF_ANOTHER_SYSTEM");
    let foreign = proto::CreateGroupRequest { group: Some(group(&alpha.id("x"))), ..Default::default() };
    assert_eq!(reason(bravo.groups().create_group(foreign).await), "INVALID_REQUEST");
}

async fn many_migrated_members_of_one_group_are_all_told(engine: Engine) {
    const USERS: usize = 1_200;
    let homes = (Home::new("alpha.example", engine), Home::new("bravo.example", engine));
    let (alpha, bravo) = (homes.0.start().await, homes.1.start().await);
    trust_each_other(&alpha, &bravo);
    let rescue = alpha.create(alpha.group("rescue")).await;
    let names: Vec<String> = (0..USERS).map(|index| format!("user{index:04}")).collect();
    let members: Vec<_> = names.iter().map(|name| alpha.member(name)).collect();
    for batch in members.chunks(1_000) {
        alpha.add(&rescue, batch).await;
    }
    let id = |index: usize| format!("0194f3a0-0000-7000-8000-{index:012}");
    let visitors: Vec<_> =
        names.iter().enumerate().map(|(index, name)| visitor(&id(index), &alpha, &bravo, name)).collect();
    for batch in visitors.chunks(500) {
        let request = proto::PutVisitorsRequest { visitors: batch.to_vec() };
        bravo.migration().put_visitors(request).await.unwrap();
    }
    let users: Vec<_> =
        names.iter().enumerate().map(|(index, name)| shared_user(&id(index), &alpha, &bravo, name)).collect();
    let mut last = bravo.watch("user1199.visitor", "").await.unwrap();
    last.snapshot().await;
    for batch in users.chunks(500) {
        let request = proto::PutSharedUsersRequest { users: batch.to_vec() };
        alpha.migration().put_shared_users(request).await.unwrap();
    }
    assert_eq!(last.next_group().await.group.as_ref(), Some(&rescue));
    while !pending(&alpha).await.is_empty() {}
    let get = proto::GetGroupRequest { group_id: rescue.group_id };
    let seen = bravo.groups().get_group(get).await.unwrap().into_inner();
    assert_eq!(seen.member_count as usize, USERS);
}
