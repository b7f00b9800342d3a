//! What the configuration management client of a UE asks for its user.

use mcx_federation::access_token::Scope;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::types::v1::McService;
use mcx_testkit::authorized;
use tonic::Code;

use crate::fixture::{System, fields, on_every_database, reason, refusal};
use crate::samples::profile;

on_every_database!(crate::fixture::System:
    user_gets_her_own_enabled_profiles_and_nobody_elses,
    user_without_the_scope_or_a_token_gets_nothing,
    mc_service_that_the_token_does_not_name_is_refused,
    user_changes_her_part_of_a_profile_and_no_more,
    user_pre_selects_another_profile,
);

fn data(name: &str, groups: &[&str]) -> Option<proto::UserProfileData> {
    Some(proto::UserProfileData {
        profile_name: name.to_owned(),
        alphanumeric_aliases: vec!["Florian 1".to_owned()],
        implicit_affiliation_group_ids: groups
            .iter()
            .map(|group| format!("sip:{group}@alpha.example"))
            .collect(),
    })
}

async fn user_gets_her_own_enabled_profiles_and_nobody_elses(system: System) {
    let duty = system.create(profile("alice", 0)).await;
    system
        .create(proto::UserProfile {
            status: proto::UserProfileStatus::Disabled.into(),
            ..profile("alice", 1)
        })
        .await;
    // That is for use abroad only.
    system
        .create(proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 2) })
        .await;
    system.create(profile("bob", 0)).await;
    assert_eq!(system.profiles_of("alice").await, [duty]);
    assert_eq!(system.profiles_of("carol").await, []);
}

async fn user_without_the_scope_or_a_token_gets_nothing(system: System) {
    let other_scope = system.tokens.token("alice", &[Scope::GroupManagement]);
    let request = || proto::GetUserProfilesRequest::default();
    let refused = system.ue().get_user_profiles(authorized(request(), &other_scope)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = system.ue().get_user_profiles(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

async fn mc_service_that_the_token_does_not_name_is_refused(system: System) {
    let request = proto::GetUserProfilesRequest { mc_services: vec![McService::Video.into()] };
    let refused = refusal(system.ue().get_user_profiles(system.as_user("alice", request)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "MC_SERVICE_NOT_OF_TOKEN"));
    let request =
        proto::ConfigurationServiceGetServiceConfigurationRequest { mc_service: McService::Data.into() };
    let refused = system.ue().get_service_configuration(system.as_user("alice", request)).await;
    assert_eq!(reason(refused), "MC_SERVICE_NOT_OF_TOKEN");
    let request =
        proto::GetUserProfilesRequest { mc_services: vec![9, McService::Ptt.into(), McService::Ptt.into()] };
    let refused = system.ue().get_user_profiles(system.as_user("alice", request)).await;
    assert_eq!(fields(refused), ["mc_services[0]", "mc_services[2]"]);
}

async fn user_changes_her_part_of_a_profile_and_no_more(system: System) {
    let before = system.create(profile("alice", 0)).await;
    let request = |etag: &str, data| proto::UpdateUserProfileDataRequest {
        mc_service: McService::Ptt.into(),
        profile_index: 0,
        etag: etag.to_owned(),
        data,
        ..Default::default()
    };
    let update = async |request| {
        let request = system.as_user("alice", request);
        system.ue().update_user_profile_data(request).await.map(|response| response.into_inner())
    };
    let changed = update(request("1", data("mine", &["fire"]))).await.unwrap().user_profile.unwrap();
    assert_eq!((changed.profile_name.as_str(), changed.version), ("mine", 2));
    assert_eq!(changed.alphanumeric_aliases, ["Florian 1"]);
    let implicit: Vec<bool> = changed.groups.iter().map(|group| group.implicit_affiliation).collect();
    assert_eq!(implicit, [false, true]);
    assert_eq!((changed.priority, changed.max_affiliations), (before.priority, before.max_affiliations));

    assert_eq!(reason(update(request("1", data("stale", &[]))).await), "ETAG_MISMATCH");
    let refused = update(request("2", data("mine", &["fire", "police"]))).await;
    assert_eq!(fields(refused), ["data.implicit_affiliation_group_ids[1]"]);
    assert_eq!(fields(update(request("", None)).await), ["etag", "data"]);
    let unknown = proto::UpdateUserProfileDataRequest { profile_index: 9, ..request("2", data("mine", &[])) };
    assert_eq!(reason(update(unknown).await), "USER_PROFILE_UNKNOWN");
    assert_eq!(system.profiles_of("alice").await, [changed]);
}

async fn user_pre_selects_another_profile(system: System) {
    system.create(profile("alice", 0)).await;
    system.create(profile("alice", 1)).await;
    system
        .create(proto::UserProfile {
            status: proto::UserProfileStatus::Disabled.into(),
            ..profile("alice", 2)
        })
        .await;
    system
        .create(proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 3) })
        .await;
    let select = async |profile_index| {
        let message =
            proto::SetPreSelectedUserProfileRequest { mc_service: McService::Ptt.into(), profile_index };
        let request = system.as_user("alice", message);
        system.ue().set_pre_selected_user_profile(request).await.map(|response| response.into_inner())
    };
    let selected = select(1).await.unwrap().user_profile.unwrap();
    assert!(selected.pre_selected);
    // Again changes nothing.
    assert_eq!(select(1).await.unwrap().user_profile, Some(selected));
    let states: Vec<(u32, bool)> = system
        .profiles_of("alice")
        .await
        .iter()
        .map(|profile| (profile.profile_index, profile.pre_selected))
        .collect();
    assert_eq!(states, [(0, false), (1, true)]);
    assert_eq!(reason(select(2).await), "USER_PROFILE_DISABLED");
    assert_eq!(reason(select(3).await), "USER_PROFILE_IS_FOR_MIGRATION");
    assert_eq!(reason(select(9).await), "USER_PROFILE_UNKNOWN");
}
