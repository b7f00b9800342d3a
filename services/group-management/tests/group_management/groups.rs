//! Groups as operators provision them.

use mcx_proto::group::v1 as proto;
use mcx_proto::types::v1::McService;
use tonic::Code;

use crate::fixture::{Engine, Home, fields, group, on_every_database, reason, refusal};

on_every_database!(
    group_is_read_back_changed_and_removed,
    malformed_group_is_refused_with_every_field_at_once,
    stale_etag_overwrites_nothing,
    group_of_another_system_cannot_be_created,
    repeated_request_gets_the_first_answer,
    listing_goes_on_where_the_page_before_ended,
    only_operators_provision,
);

async fn group_is_read_back_changed_and_removed(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let wanted = proto::Group {
        kms_uri: "https://kms.alpha.example".to_owned(),
        priority: 9,
        max_members: Some(12),
        encryption_mandatory: true,
        call: Some(proto::GroupCallParameters {
            max_duration: Some(prost_types::Duration { seconds: 600, nanos: 0 }),
            hang_time: Some(prost_types::Duration { seconds: 8, nanos: 0 }),
            emergency_allowed: true,
        }),
        mc_services: vec![McService::Ptt.into(), McService::Data.into()],
        ..system.group("rescue")
    };
    let made = system.create(wanted.clone()).await;
    let expected = proto::Group {
        status: proto::GroupStatus::Enabled.into(),
        home_mc_system_id: "alpha.example".to_owned(),
        version: 1,
        etag: "1".to_owned(),
        create_time: made.create_time,
        update_time: made.update_time,
        ..wanted
    };
    assert_eq!(made, expected);
    let get = proto::GetGroupRequest { group_id: made.group_id.clone() };
    let read = system.groups().get_group(get.clone()).await.unwrap().into_inner();
    assert_eq!((read.group.as_ref(), read.member_count), (Some(&made), 0));

    let disabled = proto::Group { status: proto::GroupStatus::Disabled.into(), ..made.clone() };
    let changed = system.update(disabled).await;
    assert_eq!((changed.version, changed.status()), (2, proto::GroupStatus::Disabled));

    let mut client = system.groups();
    let again = proto::CreateGroupRequest { group: Some(made.clone()), ..Default::default() };
    assert_eq!(reason(client.create_group(again).await), "GROUP_EXISTS");
    system.delete(&made).await;
    assert_eq!(reason(client.get_group(get).await), "GROUP_UNKNOWN");
    let delete = proto::DeleteGroupRequest { group_id: made.group_id.clone(), ..Default::default() };
    assert_eq!(reason(client.delete_group(delete).await), "GROUP_UNKNOWN");
    let update = proto::UpdateGroupRequest { group: Some(changed), ..Default::default() };
    let refused = refusal(client.update_group(update).await);
    assert_eq!((refused.code, refused.metadata.get("group_id")), (Code::NotFound, Some(&made.group_id)));
}

async fn malformed_group_is_refused_with_every_field_at_once(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let broken = proto::Group {
        group_id: "rescue".to_owned(),
        display_name: String::new(),
        kms_uri: "no uri".to_owned(),
        status: 99,
        mc_services: vec![McService::Ptt.into(), McService::Ptt.into(), 0],
        priority: 256,
        max_members: Some(0),
        call: Some(proto::GroupCallParameters {
            max_duration: Some(prost_types::Duration { seconds: 0, nanos: 5 }),
            hang_time: Some(prost_types::Duration { seconds: 3_601, nanos: 0 }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = proto::CreateGroupRequest { group: Some(broken), request_id: "7".to_owned() };
    assert_eq!(
        fields(system.groups().create_group(request).await),
        [
            "request_id",
            "group.group_id",
            "group.display_name",
            "group.kms_uri",
            "group.status",
            "group.mc_services[1]",
            "group.mc_services[2]",
            "group.priority",
            "group.max_members",
            "group.call.max_duration",
            "group.call.hang_time",
        ]
    );
    assert_eq!(fields(system.groups().create_group(proto::CreateGroupRequest::default()).await), ["group"]);
    assert_eq!(fields(system.groups().update_group(proto::UpdateGroupRequest::default()).await), ["group"]);
    let list = proto::ListGroupsRequest { page_size: 1_001, ..Default::default() };
    assert_eq!(fields(system.groups().list_groups(list).await), ["page_size"]);
}

async fn stale_etag_overwrites_nothing(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let made = system.create(system.group("rescue")).await;
    let renamed = system.update(proto::Group { display_name: "Rescue 8".to_owned(), ..made.clone() }).await;
    let stale = proto::Group { display_name: "Rescue 9".to_owned(), ..made.clone() };
    let update = proto::UpdateGroupRequest { group: Some(stale), ..Default::default() };
    let refused = refusal(system.groups().update_group(update).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let delete =
        proto::DeleteGroupRequest { group_id: made.group_id.clone(), etag: made.etag, ..Default::default() };
    assert_eq!(reason(system.groups().delete_group(delete).await), "ETAG_MISMATCH");
    let get = proto::GetGroupRequest { group_id: made.group_id };
    let read = system.groups().get_group(get).await.unwrap().into_inner().group;
    assert_eq!(read, Some(renamed));
}

async fn group_of_another_system_cannot_be_created(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let request =
        proto::CreateGroupRequest { group: Some(group("sip:rescue@bravo.example")), ..Default::default() };
    assert_eq!(fields(system.groups().create_group(request).await), ["group.group_id"]);
}

async fn repeated_request_gets_the_first_answer(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let request = |group| proto::CreateGroupRequest {
        group: Some(group),
        request_id: "0194f3a0-0000-7000-8000-000000000001".to_owned(),
    };
    let first = system.groups().create_group(request(system.group("rescue"))).await.unwrap().into_inner();
    let second = system.groups().create_group(request(system.group("rescue"))).await.unwrap().into_inner();
    assert_eq!(first, second);
    let other = system.groups().create_group(request(system.group("fire"))).await;
    assert_eq!(reason(other), "REQUEST_ID_REUSED");
}

async fn listing_goes_on_where_the_page_before_ended(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    for name in ["a", "b", "c"] {
        system.create(system.group(name)).await;
    }
    let list = |page_token: &str| proto::ListGroupsRequest {
        page_size: 2,
        page_token: page_token.to_owned(),
        home_mc_system_id: "alpha.example".to_owned(),
    };
    let ids = |page: &proto::ListGroupsResponse| {
        page.groups.iter().map(|group| group.group_id.clone()).collect::<Vec<_>>()
    };
    let first = system.groups().list_groups(list("")).await.unwrap().into_inner();
    assert_eq!(ids(&first), [system.id("a"), system.id("b")]);
    let second = system.groups().list_groups(list(&first.next_page_token)).await.unwrap().into_inner();
    assert_eq!((ids(&second), second.next_page_token), (vec![system.id("c")], String::new()));
    let of_others =
        proto::ListGroupsRequest { home_mc_system_id: "bravo.example".to_owned(), ..Default::default() };
    assert!(system.groups().list_groups(of_others).await.unwrap().into_inner().groups.is_empty());
}

async fn only_operators_provision(engine: Engine) {
    let home = Home::new("alpha.example", engine);
    let system = home.start().await;
    let caller = home.own.entity(mcx_types::Entity::McService);
    let channel = home.own.channel(caller, mcx_types::Entity::GroupManagement, system.grpc);
    let mut client = proto::group_service_client::GroupServiceClient::new(channel);
    let request = proto::CreateGroupRequest { group: Some(system.group("rescue")), ..Default::default() };
    assert_eq!(refusal(client.create_group(request).await).code, Code::PermissionDenied);
}
