//! What the MC service server is told to enforce.

use configuration_management::client::Reason;
use mcx_proto::configuration::v1 as proto;
use mcx_types::{McService, ProfileIndex};

use crate::fixture::{System, on_every_database, profile, user_id};

on_every_database!(crate::fixture::System: what_is_in_force_follows_each_change_at_once);

async fn what_is_in_force_follows_each_change_at_once(system: System) {
    let alice = user_id("alice", system.id());
    let client = system.effective();
    let get = async |index| client.get(McService::Ptt, &alice, index).await;
    assert_eq!(get(None).await.unwrap_err().reason(), Some(Reason::UserProfileUnknown));

    let first = system.create(profile("alice", 0)).await;
    let in_force = get(None).await.unwrap();
    assert_eq!((in_force.user_profile, in_force.service_configuration), (first.clone(), None));
    assert_eq!(get(Some(ProfileIndex(4))).await.unwrap_err().reason(), Some(Reason::UserProfileUnknown));

    let abroad = proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 4) };
    let abroad = system.create(abroad).await;
    assert_eq!(get(Some(ProfileIndex(4))).await.unwrap().user_profile, abroad);
    assert_eq!(get(None).await.unwrap().user_profile, first);

    let disabled = proto::UserProfile { status: proto::UserProfileStatus::Disabled.into(), ..first };
    system.update(disabled).await;
    assert_eq!(get(Some(ProfileIndex(0))).await.unwrap_err().reason(), Some(Reason::UserProfileDisabled));
    assert_eq!(get(None).await.unwrap_err().reason(), Some(Reason::UserProfileUnknown));
}
