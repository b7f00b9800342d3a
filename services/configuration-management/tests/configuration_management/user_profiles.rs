//! What operators do with user profiles.

use mcx_proto::configuration::v1 as proto;
use tonic::Code;

use crate::fixture::{System, fields, on_every_database, reason, refusal};
use crate::samples::{identity, profile};

on_every_database!(crate::fixture::System:
    created_profile_is_read_as_it_was_given,
    stale_etag_overwrites_nothing,
    repeated_request_creates_one_profile,
    profile_that_is_there_is_not_created_again,
    unknown_profile_is_told_so,
    all_violations_are_told_at_once,
    profile_naming_an_unknown_partner_is_refused_with_the_path,
    pre_selection_moves_when_its_profile_is_disabled_or_removed,
    history_keeps_every_version_and_who_made_it,
    listing_goes_page_by_page_and_by_user,
    import_creates_what_is_good_and_tells_the_rest,
    concurrent_creations_leave_one_profile_pre_selected,
);

fn delete(name: &str, index: u32, etag: &str) -> proto::DeleteUserProfileRequest {
    proto::DeleteUserProfileRequest {
        identity: Some(identity(name)),
        profile_index: index,
        etag: etag.to_owned(),
        ..Default::default()
    }
}

fn named(name: &str, index: u32) -> proto::GetUserProfileRequest {
    proto::GetUserProfileRequest { identity: Some(identity(name)), profile_index: index }
}

async fn list(system: &System, request: proto::ListUserProfilesRequest) -> proto::ListUserProfilesResponse {
    system.profiles().list_user_profiles(request).await.unwrap().into_inner()
}

async fn created_profile_is_read_as_it_was_given(system: System) {
    let mut given = profile("alice", 3);
    given.migration_targets = vec![proto::MigrationTarget {
        mc_system_id: "bravo.example".to_owned(),
        access_information: None,
        selection: Some(proto::MigrationSelection {
            serving_plmns: vec!["26202".to_owned()],
            areas: vec![proto::GeographicArea {
                shape: Some(proto::geographic_area::Shape::Circle(proto::CircularArea {
                    centre: Some(proto::GeographicPosition {
                        latitude_degrees: 48.5,
                        longitude_degrees: 7.7,
                    }),
                    radius_metres: 5_000,
                })),
            }],
        }),
    }];
    let created = system.create(given.clone()).await;
    let read = system.profiles().get_user_profile(named("alice", 3)).await.unwrap().into_inner();
    assert_eq!(read.user_profile.as_ref(), Some(&created));
    assert_eq!((created.version, created.etag.as_str()), (1, "1"));
    // What was left open is filled in.
    given.status = proto::UserProfileStatus::Enabled.into();
    given.pre_selected = true;
    given.groups.iter_mut().for_each(|group| group.mc_system_id = "alpha.example".to_owned());
    let bare = proto::UserProfile { etag: String::new(), version: 0, update_time: None, ..created };
    assert_eq!(bare, given);
}

async fn stale_etag_overwrites_nothing(system: System) {
    let first = system.create(profile("alice", 0)).await;
    let mut second = first.clone();
    second.profile_name = "night".to_owned();
    let second = system.update(second).await;
    assert_eq!(second.version, 2);

    let stale = proto::UserProfile { profile_name: "lost".to_owned(), ..first };
    let request = proto::UpdateUserProfileRequest { user_profile: Some(stale), ..Default::default() };
    let refused = refusal(system.profiles().update_user_profile(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    assert_eq!(reason(system.profiles().delete_user_profile(delete("alice", 0, "1")).await), "ETAG_MISMATCH");
    let read = system.profiles().get_user_profile(named("alice", 0)).await.unwrap().into_inner();
    assert_eq!(read.user_profile, Some(second));
}

async fn repeated_request_creates_one_profile(system: System) {
    let request = proto::CreateUserProfileRequest {
        user_profile: Some(profile("alice", 0)),
        request_id: uuid::Uuid::from_u128(7).to_string(),
    };
    let first = system.profiles().create_user_profile(request.clone()).await.unwrap().into_inner();
    let second = system.profiles().create_user_profile(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, second);
    let other = proto::CreateUserProfileRequest { user_profile: Some(profile("bob", 0)), ..request };
    assert_eq!(reason(system.profiles().create_user_profile(other).await), "REQUEST_ID_REUSED");
}

async fn profile_that_is_there_is_not_created_again(system: System) {
    system.create(profile("alice", 0)).await;
    let request =
        proto::CreateUserProfileRequest { user_profile: Some(profile("alice", 0)), ..Default::default() };
    let refused = refusal(system.profiles().create_user_profile(request).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "USER_PROFILE_EXISTS"));
    assert_eq!(refused.metadata["profile_index"], "0");
    assert_eq!(refused.metadata["mc_service_id"], "sip:alice@alpha.example");
}

async fn unknown_profile_is_told_so(system: System) {
    system.create(profile("alice", 0)).await;
    let unknown = "USER_PROFILE_UNKNOWN";
    assert_eq!(reason(system.profiles().get_user_profile(named("alice", 1)).await), unknown);
    assert_eq!(reason(system.profiles().delete_user_profile(delete("alice", 1, "")).await), unknown);
    let absent = proto::UserProfile { etag: "1".to_owned(), ..profile("bob", 0) };
    let request = proto::UpdateUserProfileRequest { user_profile: Some(absent), ..Default::default() };
    assert_eq!(reason(system.profiles().update_user_profile(request).await), unknown);
}

async fn all_violations_are_told_at_once(system: System) {
    let bad = proto::UserProfile {
        identity: None,
        profile_index: 999,
        profile_name: String::new(),
        private_call: None,
        max_affiliations: 5_000,
        alphanumeric_aliases: vec!["a".repeat(65)],
        ..profile("alice", 0)
    };
    let request =
        proto::UpdateUserProfileRequest { user_profile: Some(bad), request_id: "nonsense".to_owned() };
    let told = fields(system.profiles().update_user_profile(request).await);
    assert_eq!(
        told,
        [
            "request_id",
            "user_profile.identity",
            "user_profile.profile_index",
            "user_profile.profile_name",
            "user_profile.private_call",
            "user_profile.max_affiliations",
            "user_profile.alphanumeric_aliases[0]",
            "user_profile.etag",
        ]
    );
}

async fn profile_naming_an_unknown_partner_is_refused_with_the_path(system: System) {
    let mut bad = profile("alice", 0);
    bad.valid_in = vec!["bravo.example".to_owned(), "charlie.example".to_owned()];
    bad.migration_targets =
        vec![proto::MigrationTarget { mc_system_id: "delta.example".to_owned(), ..Default::default() }];
    let request = proto::CreateUserProfileRequest { user_profile: Some(bad), ..Default::default() };
    assert_eq!(
        fields(system.profiles().create_user_profile(request).await),
        ["user_profile.migration_targets[0].mc_system_id", "user_profile.valid_in[1]"]
    );
}

async fn pre_selection_moves_when_its_profile_is_disabled_or_removed(system: System) {
    let first = system.create(profile("alice", 5)).await;
    system.create(profile("alice", 2)).await;
    system.create(profile("alice", 1)).await;
    assert!(first.pre_selected);
    let disabled = system
        .update(proto::UserProfile { status: proto::UserProfileStatus::Disabled.into(), ..first })
        .await;
    assert!(!disabled.pre_selected);
    let pre_selected = async || -> Vec<u32> {
        let all = list(&system, proto::ListUserProfilesRequest::default()).await.user_profiles;
        all.into_iter().filter(|profile| profile.pre_selected).map(|profile| profile.profile_index).collect()
    };
    assert_eq!(pre_selected().await, [1]);
    system.profiles().delete_user_profile(delete("alice", 1, "")).await.unwrap();
    assert_eq!(pre_selected().await, [2]);
    // A disabled one does not become pre-selected, however it is asked for.
    system.profiles().delete_user_profile(delete("alice", 2, "")).await.unwrap();
    assert_eq!(pre_selected().await, [0; 0]);
}

async fn history_keeps_every_version_and_who_made_it(system: System) {
    let first = system.create(profile("alice", 0)).await;
    system.update(proto::UserProfile { profile_name: "night".to_owned(), ..first.clone() }).await;
    system.profiles().delete_user_profile(delete("alice", 0, "2")).await.unwrap();
    let again = system.create(profile("alice", 0)).await;
    assert_eq!(again.version, 4, "the count goes on");

    let mut request = proto::ListUserProfileVersionsRequest {
        identity: Some(identity("alice")),
        profile_index: 0,
        page_size: 3,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = system.profiles().list_user_profile_versions(request.clone()).await.unwrap().into_inner();
        seen.extend(page.versions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let names: Vec<(u64, Option<&str>)> = seen
        .iter()
        .map(|version| (version.version, version.user_profile.as_ref().map(|it| it.profile_name.as_str())))
        .collect();
    assert_eq!(names, [(4, Some("duty 0")), (3, None), (2, Some("night")), (1, Some("duty 0"))]);
    assert!(seen.iter().all(|version| version.changed_by == "spiffe://alpha.example/operator/duty"));
    assert!(seen.iter().all(|version| version.create_time.is_some()));
}

async fn listing_goes_page_by_page_and_by_user(system: System) {
    for (name, index) in [("bob", 0), ("alice", 1), ("alice", 0), ("al", 0)] {
        system.create(profile(name, index)).await;
    }
    let names = |page: &proto::ListUserProfilesResponse| -> Vec<(String, u32)> {
        let of = |profile: &proto::UserProfile| profile.identity.clone().unwrap().mc_service_id;
        page.user_profiles.iter().map(|profile| (of(profile), profile.profile_index)).collect()
    };
    let mut request = proto::ListUserProfilesRequest { page_size: 3, ..Default::default() };
    let first = list(&system, request.clone()).await;
    request.page_token = first.next_page_token.clone();
    let second = list(&system, request).await;
    let expected = ["al", "alice", "alice", "bob"].map(|name| format!("sip:{name}@alpha.example"));
    let listed: Vec<String> = names(&first).into_iter().chain(names(&second)).map(|(id, _)| id).collect();
    assert_eq!(listed, expected);
    assert!(second.next_page_token.is_empty());

    let of_alice = proto::ListUserProfilesRequest {
        mc_service: mcx_proto::types::v1::McService::Ptt.into(),
        mc_service_id: "sip:alice@alpha.example".to_owned(),
        ..Default::default()
    };
    let indices: Vec<u32> =
        names(&list(&system, of_alice).await).into_iter().map(|(_, index)| index).collect();
    assert_eq!(indices, [0, 1]);
}

async fn import_creates_what_is_good_and_tells_the_rest(system: System) {
    system.create(profile("alice", 0)).await;
    let item = |user_profile| proto::ImportUserProfilesRequest { user_profile: Some(user_profile) };
    let items = [
        item(profile("bob", 0)),
        item(profile("alice", 0)),
        item(proto::UserProfile { priority: 300, ..profile("carol", 0) }),
        item(proto::UserProfile { priority: 1, ..profile("alice", 0) }),
    ];
    let mut client = system.profiles();
    let import = |items: [proto::ImportUserProfilesRequest; 4]| futures::stream::iter(items);
    let outcome = client.import_user_profiles(import(items.clone())).await.unwrap().into_inner();
    assert_eq!((outcome.created_count, outcome.unchanged_count, outcome.refused_count), (1, 1, 2));
    let refused: Vec<(u64, proto::ErrorReason)> =
        outcome.refusals.iter().map(|refusal| (refusal.index, refusal.reason())).collect();
    assert_eq!(
        refused,
        [(2, proto::ErrorReason::InvalidRequest), (3, proto::ErrorReason::UserProfileExists)]
    );
    assert!(outcome.refusals[0].description.contains("user_profile.priority"));
    // Once more: nothing is created twice.
    let again = client.import_user_profiles(import(items)).await.unwrap().into_inner();
    assert_eq!((again.created_count, again.unchanged_count, again.refused_count), (0, 2, 2));
}

async fn concurrent_creations_leave_one_profile_pre_selected(system: System) {
    let creations = (0..8).map(|index| system.create(profile("alice", index)));
    futures::future::join_all(creations).await;
    let all = list(&system, proto::ListUserProfilesRequest::default()).await.user_profiles;
    assert_eq!(all.len(), 8);
    assert_eq!(all.iter().filter(|profile| profile.pre_selected).count(), 1);
}
