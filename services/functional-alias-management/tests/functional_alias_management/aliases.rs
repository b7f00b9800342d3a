//! Functional aliases as operators provision them, and as the MC service server asks for them.

use functional_alias_management::client::FunctionalAliasLookupClient;
use mcx_proto::functionalalias::v1 as proto;
use mcx_types::Entity;
use tonic::Code;

use crate::fixture::{Home, alias, fields, id, on_every_database, reason, refusal, told};

on_every_database!(
    alias_is_read_back_changed_and_removed,
    malformed_alias_is_refused_with_every_field_at_once,
    stale_etag_overwrites_nothing,
    repeated_request_gets_the_first_answer,
    listing_goes_on_where_the_page_before_ended,
    enforcement_point_sees_the_alias_and_who_may_activate_it_as_they_are_now,
    only_operators_provision,
);

async fn alias_is_read_back_changed_and_removed(home: Home) {
    let system = home.start().await;
    let wanted = proto::FunctionalAlias {
        max_simultaneous_activations: 3,
        take_over: proto::TakeOver::Allowed.into(),
        priority: 9,
        allow_visitors: true,
        ..alias("commander", &["alice", "bob"])
    };
    let made = system.create(wanted.clone()).await;
    let expected = proto::FunctionalAlias {
        version: 1,
        etag: "1".to_owned(),
        create_time: made.create_time,
        update_time: made.update_time,
        ..wanted
    };
    assert_eq!(made, expected);
    let mut client = system.aliases();
    let get = proto::GetFunctionalAliasRequest { functional_alias: id("commander") };
    let read = client.get_functional_alias(get.clone()).await.unwrap().into_inner().functional_alias;
    assert_eq!(read.as_ref(), Some(&made));

    let changed =
        system.update(proto::FunctionalAlias { allowed_users: vec![id("carol")], ..made.clone() }).await;
    assert_eq!((changed.version, changed.allowed_users.as_slice()), (2, &[id("carol")][..]));
    let read = client.get_functional_alias(get.clone()).await.unwrap().into_inner().functional_alias;
    assert_eq!(read.as_ref(), Some(&changed));

    let again = proto::CreateFunctionalAliasRequest {
        functional_alias: Some(alias("commander", &[])),
        ..Default::default()
    };
    assert_eq!(reason(client.create_functional_alias(again).await), "FUNCTIONAL_ALIAS_EXISTS");
    system.delete(&made).await;
    let refused = refusal(client.get_functional_alias(get).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "FUNCTIONAL_ALIAS_UNKNOWN"));
    let delete =
        proto::DeleteFunctionalAliasRequest { functional_alias: id("commander"), ..Default::default() };
    assert_eq!(reason(client.delete_functional_alias(delete).await), "FUNCTIONAL_ALIAS_UNKNOWN");
    let update =
        proto::UpdateFunctionalAliasRequest { functional_alias: Some(changed), ..Default::default() };
    assert_eq!(reason(client.update_functional_alias(update).await), "FUNCTIONAL_ALIAS_UNKNOWN");
}

async fn malformed_alias_is_refused_with_every_field_at_once(home: Home) {
    let system = home.start().await;
    let broken = proto::FunctionalAlias {
        functional_alias: "sip:commander@bravo.example".to_owned(),
        display_name: "x".repeat(101),
        allowed_users: vec![id("alice"), id("alice"), "bob".to_owned()],
        take_over: 99,
        priority: 256,
        ..Default::default()
    };
    let request =
        proto::CreateFunctionalAliasRequest { functional_alias: Some(broken), request_id: "7".to_owned() };
    assert_eq!(
        fields(system.aliases().create_functional_alias(request).await),
        [
            "request_id",
            "functional_alias.functional_alias",
            "functional_alias.display_name",
            "functional_alias.take_over",
            "functional_alias.priority",
            "functional_alias.allowed_users[1]",
            "functional_alias.allowed_users[2]",
        ]
    );
    let many: Vec<String> = (0..1_001).map(|index| format!("user{index}")).collect();
    let many = alias("commander", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let request = proto::CreateFunctionalAliasRequest { functional_alias: Some(many), ..Default::default() };
    assert_eq!(
        fields(system.aliases().create_functional_alias(request).await),
        ["functional_alias.allowed_users"]
    );
    let list = proto::ListFunctionalAliasesRequest { page_size: 101, ..Default::default() };
    assert_eq!(fields(system.aliases().list_functional_aliases(list).await), ["page_size"]);
}

async fn stale_etag_overwrites_nothing(home: Home) {
    let system = home.start().await;
    let made = system.create(alias("commander", &["alice"])).await;
    let changed = system.update(proto::FunctionalAlias { priority: 1, ..made.clone() }).await;
    let stale = proto::FunctionalAlias { priority: 2, allowed_users: Vec::new(), ..made.clone() };
    let update = proto::UpdateFunctionalAliasRequest { functional_alias: Some(stale), ..Default::default() };
    let refused = refusal(system.aliases().update_functional_alias(update).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let delete = proto::DeleteFunctionalAliasRequest {
        functional_alias: id("commander"),
        etag: made.etag,
        ..Default::default()
    };
    assert_eq!(reason(system.aliases().delete_functional_alias(delete).await), "ETAG_MISMATCH");
    let get = proto::GetFunctionalAliasRequest { functional_alias: id("commander") };
    let read = system.aliases().get_functional_alias(get).await.unwrap().into_inner();
    assert_eq!(read.functional_alias, Some(changed));
}

async fn repeated_request_gets_the_first_answer(home: Home) {
    let system = home.start().await;
    let request = |name| proto::CreateFunctionalAliasRequest {
        functional_alias: Some(alias(name, &["alice"])),
        request_id: "0194f3a0-0000-7000-8000-000000000001".to_owned(),
    };
    let first = system.aliases().create_functional_alias(request("commander")).await.unwrap().into_inner();
    let second = system.aliases().create_functional_alias(request("commander")).await.unwrap().into_inner();
    assert_eq!(first, second);
    assert_eq!(reason(system.aliases().create_functional_alias(request("other")).await), "REQUEST_ID_REUSED");
}

async fn listing_goes_on_where_the_page_before_ended(home: Home) {
    let system = home.start().await;
    for name in ["a", "b", "c"] {
        system.create(alias(name, &["alice"])).await;
    }
    let list = async |page_token: &str| {
        let page_token = page_token.to_owned();
        let request = proto::ListFunctionalAliasesRequest { page_size: 2, page_token };
        system.aliases().list_functional_aliases(request).await.unwrap().into_inner()
    };
    let ids = |page: &proto::ListFunctionalAliasesResponse| {
        page.functional_aliases.iter().map(|alias| alias.functional_alias.clone()).collect::<Vec<_>>()
    };
    let first = list("").await;
    assert_eq!(ids(&first), [id("a"), id("b")]);
    let second = list(&first.next_page_token).await;
    assert_eq!((ids(&second), second.next_page_token), (vec![id("c")], String::new()));
}

async fn enforcement_point_sees_the_alias_and_who_may_activate_it_as_they_are_now(home: Home) {
    let system = home.start().await;
    let client = FunctionalAliasLookupClient::new(system.channel_of(Entity::McService));
    let (commander, alice) = (id("commander").parse().unwrap(), id("alice").parse().unwrap());
    assert_eq!(client.get_functional_alias(&commander, Some(&alice)).await.unwrap(), None);
    let made = system.create(alias("commander", &["alice"])).await;
    let found = client.get_functional_alias(&commander, Some(&alice)).await.unwrap().unwrap();
    assert!(found.is_allowed_user && !found.terms.take_over_allowed);
    assert_eq!((found.etag.as_str(), found.terms.max_simultaneous_activations), ("1", 1));
    assert!(!client.get_functional_alias(&commander, None).await.unwrap().unwrap().is_allowed_user);
    system.update(proto::FunctionalAlias { allowed_users: Vec::new(), ..made.clone() }).await;
    let found = client.get_functional_alias(&commander, Some(&alice)).await.unwrap().unwrap();
    assert_eq!((found.is_allowed_user, found.etag.as_str()), (false, "2"));
    assert_eq!(told(&made).allowed_users, Vec::<String>::new());

    let mut raw = proto::functional_alias_lookup_service_client::FunctionalAliasLookupServiceClient::new(
        system.channel_of(Entity::McService),
    );
    let malformed = proto::FunctionalAliasLookupServiceGetFunctionalAliasRequest {
        functional_alias: "commander".to_owned(),
        mc_service_id: "alice".to_owned(),
    };
    assert_eq!(fields(raw.get_functional_alias(malformed).await), ["functional_alias", "mc_service_id"]);
}

async fn only_operators_provision(home: Home) {
    let system = home.start().await;
    let channel = system.channel_of(Entity::McService);
    let mut client = proto::functional_alias_service_client::FunctionalAliasServiceClient::new(channel);
    let request = proto::CreateFunctionalAliasRequest {
        functional_alias: Some(alias("commander", &[])),
        ..Default::default()
    };
    assert_eq!(refusal(client.create_functional_alias(request).await).code, Code::PermissionDenied);
}
