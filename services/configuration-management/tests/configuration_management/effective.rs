//! What the MC service server is told to enforce.

use configuration_management::client::Reason;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::effective_profile_service_client::EffectiveProfileServiceClient;
use mcx_types::{Entity, McService, ProfileIndex};

use crate::fixture::{MIGRATION, Pair, fields, on_every_database, reason};
use crate::samples::{access_information, identity, profile, user_id};

on_every_database!(crate::fixture::Pair:
    what_is_in_force_follows_each_change_at_once,
    permitted_migration_is_told_for_the_partner_that_accepted_and_the_profile_stays_without_it,
);

async fn what_is_in_force_follows_each_change_at_once(pair: Pair) {
    let system = &pair.alpha;
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

async fn permitted_migration_is_told_for_the_partner_that_accepted_and_the_profile_stays_without_it(
    pair: Pair,
) {
    let alpha = &pair.alpha;
    let channel = alpha.as_entity(Entity::McService);
    let ask = async |name: &str, partner: &str| {
        let request = proto::GetPermittedMigrationRequest {
            identity: Some(identity(name)),
            partner_mc_system_id: partner.to_owned(),
        };
        EffectiveProfileServiceClient::new(channel.clone()).get_permitted_migration(request).await
    };
    let named = proto::MigrationTarget { mc_system_id: "bravo.example".to_owned(), ..Default::default() };
    let with_target = proto::UserProfile { migration_targets: vec![named.clone()], ..profile("alice", 0) };
    alpha.create(with_target).await;
    assert_eq!(reason(ask("alice", "bravo.example").await), "MIGRATION_NOT_PERMITTED", "it is only named");

    pair.let_alice_go().await;
    let permitted = ask("alice", "bravo.example").await.unwrap().into_inner();
    let there = access_information(&pair.bravo.own).mc_service_identities[0].mc_service_id.clone();
    assert_eq!(permitted.migration_id, MIGRATION.to_string());
    assert_eq!(permitted.partner_mc_service_id, there);
    assert_eq!(permitted.profile_indices, [0]);
    let abroad = proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 3) };
    let mut abroad = alpha.create(abroad).await;
    for (status, expected) in
        [(proto::UserProfileStatus::Enabled, vec![3]), (proto::UserProfileStatus::Disabled, vec![])]
    {
        abroad = alpha.update(proto::UserProfile { status: status.into(), ..abroad }).await;
        let permitted = ask("alice", "bravo.example").await.unwrap().into_inner();
        assert_eq!(permitted.profile_indices, expected, "that of home use goes no more: {status:?}");
    }
    let in_force = alpha.effective().get(McService::Ptt, &user_id("alice", alpha.id()), None).await.unwrap();
    assert_eq!(in_force.user_profile.migration_targets, [named]);

    assert_eq!(reason(ask("alice", "charlie.example").await), "MIGRATION_NOT_PERMITTED");
    assert_eq!(reason(ask("bob", "bravo.example").await), "MIGRATION_NOT_PERMITTED");
    let nothing = proto::GetPermittedMigrationRequest::default();
    let outcome = EffectiveProfileServiceClient::new(channel.clone()).get_permitted_migration(nothing).await;
    assert_eq!(fields(outcome), ["identity", "partner_mc_system_id"]);
    pair.alpha.migration().delete_migration_targets(&[MIGRATION]).await.unwrap();
    assert_eq!(reason(ask("alice", "bravo.example").await), "MIGRATION_NOT_PERMITTED");
}
