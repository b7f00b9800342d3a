//! What migration management puts in place.

use configuration_management::client::{ClientError, Reason};
use mcx_proto::configuration::v1 as proto;
use mcx_proto::types::v1 as types;
use uuid::Uuid;

use crate::fixture::{MIGRATION, Pair, on_every_database};
use crate::samples::{access_information, alice_as_target, alice_as_visitor, identity, profile};

on_every_database!(crate::fixture::Pair:
    targets_go_into_the_profiles_present_and_future,
    rule_of_the_profile_goes_before_that_of_the_migration,
    putting_the_same_again_changes_nothing,
    targets_are_gone_when_they_are_deleted,
    another_migration_of_the_same_user_is_a_conflict,
    all_violations_of_a_batch_are_told_and_nothing_is_done,
    own_users_and_visitors_do_not_share_an_id,
);

fn violations(outcome: Result<(), ClientError>) -> Vec<String> {
    match outcome.unwrap_err() {
        ClientError::Refused { reason: Reason::InvalidRequest, remote } => {
            remote.violations.into_iter().map(|violation| violation.field).collect()
        }
        other => panic!("{other}"),
    }
}

async fn targets_go_into_the_profiles_present_and_future(pair: Pair) {
    let alpha = &pair.alpha;
    let before = alpha.create(profile("alice", 0)).await;
    pair.let_alice_go().await;
    alpha.create(profile("alice", 1)).await;
    let abroad = proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 2) };
    assert_eq!(alpha.create(abroad).await.migration_targets, []);
    alpha.create(profile("bob", 0)).await;
    let expected = proto::MigrationTarget {
        mc_system_id: "bravo.example".to_owned(),
        access_information: Some(access_information(&pair.bravo.own)),
        selection: None,
    };
    let seen = alpha.profiles_of("alice").await;
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|profile| profile.migration_targets == [expected.clone()]));
    assert!(seen[0].version > before.version);
    assert_eq!(alpha.profiles_of("bob").await[0].migration_targets, []);
}

async fn rule_of_the_profile_goes_before_that_of_the_migration(pair: Pair) {
    let rule = |plmn: &str| {
        Some(proto::MigrationSelection { serving_plmns: vec![plmn.to_owned()], areas: Vec::new() })
    };
    let target = |selection| proto::MigrationTarget {
        mc_system_id: "bravo.example".to_owned(),
        selection,
        access_information: None,
    };
    let with_rule =
        proto::UserProfile { migration_targets: vec![target(rule("26201"))], ..profile("alice", 0) };
    pair.alpha.create(with_rule).await;
    pair.alpha
        .create(proto::UserProfile { migration_targets: vec![target(None)], ..profile("alice", 1) })
        .await;
    let put = proto::UserMigrationTarget { selection: rule("20801"), ..alice_as_target(&pair.bravo) };
    pair.alpha.migration().put_migration_targets(vec![put]).await.unwrap();
    let rules: Vec<_> = pair
        .alpha
        .profiles_of("alice")
        .await
        .into_iter()
        .map(|profile| profile.migration_targets[0].selection.clone())
        .collect();
    assert_eq!(rules, [rule("26201"), rule("20801")]);
}

async fn putting_the_same_again_changes_nothing(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.let_alice_go().await;
    pair.expect_alice().await;
    let before = pair.alpha.profiles_of("alice").await;
    pair.let_alice_go().await;
    pair.expect_alice().await;
    assert_eq!(pair.alpha.profiles_of("alice").await, before);
    // Other content is a change.
    let mut changed = alice_as_target(&pair.bravo);
    changed.access_information.as_mut().unwrap().scopes.push("openid".to_owned());
    pair.alpha.migration().put_migration_targets(vec![changed]).await.unwrap();
    assert_eq!(pair.alpha.profiles_of("alice").await[0].version, before[0].version + 1);
}

async fn targets_are_gone_when_they_are_deleted(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.let_alice_go().await;
    let delete = async || pair.alpha.migration().delete_migration_targets(&[MIGRATION, Uuid::nil()]).await;
    delete().await.unwrap();
    assert_eq!(pair.alpha.profiles_of("alice").await[0].migration_targets, []);
    delete().await.unwrap();
    pair.expect_alice().await;
    pair.bravo.migration().delete_visitors(&[MIGRATION]).await.unwrap();
    pair.bravo.migration().delete_visitors(&[MIGRATION]).await.unwrap();
}

async fn another_migration_of_the_same_user_is_a_conflict(pair: Pair) {
    pair.let_alice_go().await;
    pair.expect_alice().await;
    let other = Uuid::from_u128(0x99).to_string();
    let target = proto::UserMigrationTarget { migration_id: other.clone(), ..alice_as_target(&pair.bravo) };
    let refused = pair.alpha.migration().put_migration_targets(vec![target]).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::MigrationConflict));
    let visitor = proto::Visitor { migration_id: other, ..alice_as_visitor() };
    let refused = pair.bravo.migration().put_visitors(vec![visitor]).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::MigrationConflict));
    // Nor does a migration become another user's.
    let target = proto::UserMigrationTarget {
        mc_service_identities: vec![identity("bob")],
        ..alice_as_target(&pair.bravo)
    };
    let refused = pair.alpha.migration().put_migration_targets(vec![target]).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::MigrationConflict));
}

async fn all_violations_of_a_batch_are_told_and_nothing_is_done(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    let bad = proto::UserMigrationTarget {
        migration_id: "nonsense".to_owned(),
        partner_mc_system_id: "charlie.example".to_owned(),
        mc_service_identities: Vec::new(),
        ..alice_as_target(&pair.bravo)
    };
    let unreachable = proto::UserMigrationTarget {
        access_information: Some(types::AccessInformation::default()),
        ..alice_as_target(&pair.bravo)
    };
    let batch = vec![alice_as_target(&pair.bravo), bad, unreachable];
    assert_eq!(
        violations(pair.alpha.migration().put_migration_targets(batch).await),
        [
            "targets[1].migration_id",
            "targets[1].partner_mc_system_id",
            "targets[1].mc_service_identities",
            "targets[2].migration_id",
            "targets[2].access_information.initial_ue_configuration",
            "targets[2].access_information.visitor_identities",
            "targets[2].access_information.mc_service_identities",
        ]
    );
    assert_eq!(pair.alpha.profiles_of("alice").await[0].migration_targets, []);
    assert_eq!(violations(pair.alpha.migration().put_migration_targets(Vec::new()).await), ["targets"]);
    assert_eq!(
        violations(pair.alpha.migration().delete_visitors(&[Uuid::nil(); 501]).await),
        ["migration_ids"]
    );
    let bad = proto::Visitor { primary_mc_system_id: "bravo.example".to_owned(), ..alice_as_visitor() };
    let told = violations(pair.bravo.migration().put_visitors(vec![bad]).await);
    assert_eq!(told, ["visitors[0].primary_mc_system_id"]);
}

async fn own_users_and_visitors_do_not_share_an_id(pair: Pair) {
    let at_bravo = |name: &str| proto::UserProfile {
        identity: Some(types::McServiceIdentity {
            mc_service: types::McService::Ptt.into(),
            mc_service_id: format!("sip:{name}@bravo.example"),
        }),
        ..profile("alice", 0)
    };
    pair.expect_alice().await;
    let request =
        proto::CreateUserProfileRequest { user_profile: Some(at_bravo("alice")), ..Default::default() };
    let told = crate::fixture::fields(pair.bravo.profiles().create_user_profile(request).await);
    assert_eq!(told, ["user_profile.identity.mc_service_id"]);

    pair.bravo.migration().delete_visitors(&[MIGRATION]).await.unwrap();
    pair.bravo.create(at_bravo("alice")).await;
    let told = violations(pair.bravo.migration().put_visitors(vec![alice_as_visitor()]).await);
    assert_eq!(told, ["visitors[0].identities[0].partner_mc_service_id"]);
}
