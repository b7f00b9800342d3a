//! CSC-17 between two configuration management servers: `alpha.example` is the primary, `bravo.example` the partner.

use configuration_management::client::{ClientError, Reason};
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_testkit::{Fault, TrustDomain};
use mcx_types::{Clock, McService, SystemClock};
use std::time::Duration;
use tonic::Code;

use crate::fixture::{MIGRATION, Pair, fields, on_every_database, reason, refusal};
use crate::samples::{alice_as_target, alice_as_visitor, group_ids, identity, policy, profile, user_id};
use crate::watching::Watch;

on_every_database!(crate::fixture::Pair:
    visitor_gets_the_profile_adapted_to_the_policy,
    profiles_for_the_partner_go_there_and_no_others,
    update_at_the_primary_reaches_a_watcher_at_the_partner,
    changed_policy_is_in_force_at_once_and_reaches_watchers,
    visitor_is_told_that_her_profile_is_gone,
    withdrawn_profile_is_gone_at_the_partner,
    missing_profiles_are_asked_for,
    primary_that_is_away_is_told_and_asked_again,
    partner_that_is_away_gets_the_profiles_when_it_is_back,
    what_is_due_survives_a_restart_of_the_primary,
    partner_that_asks_for_a_user_not_permitted_learns_nothing,
    partner_without_a_usable_agreement_gets_nothing,
    profiles_of_somebody_else_are_not_accepted,
    older_profiles_do_not_replace_newer_ones,
    visitor_does_not_change_her_profile_here,
    visitor_whose_time_is_over_has_no_profile,
);

mod with_short_memory {
    use crate::fixture::{Engine, Pair};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        super::profiles_that_are_too_old_are_asked_for_again(Pair::forgetful(Engine::Sqlite).await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        super::profiles_that_are_too_old_are_asked_for_again(Pair::forgetful(Engine::Postgres).await).await;
    }
}

/// Alice is expected at Bravo, and let go by Alpha: her profile is on its way.
async fn migrate(pair: &Pair) {
    pair.bravo.allow_visitors(policy()).await;
    pair.expect_alice().await;
    pair.let_alice_go().await;
}

/// What Bravo's MC service server is to enforce of Alice, whoever asks first.
async fn in_force(pair: &Pair) -> Result<proto::UserProfile, ClientError> {
    let alice = user_id("alice", "bravo.example");
    Ok(pair.bravo.effective().get(McService::Ptt, &alice, None).await?.user_profile)
}

/// Waits until a watcher at Bravo is told of such a profile. What was there when it began may be told once more.
async fn told(watch: &mut Watch, is_it: impl Fn(&proto::UserProfile) -> bool) -> proto::UserProfile {
    loop {
        match watch.event().await.0 {
            Event::UserProfile(profile) if is_it(&profile) => return profile,
            Event::UserProfile(_) | Event::CaughtUp(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Waits until a watcher at Bravo is told that a profile is gone; returns its index.
async fn told_gone(watch: &mut Watch) -> u32 {
    loop {
        match watch.event().await.0 {
            Event::UserProfileRemoval(removal) => return removal.profile_index,
            Event::UserProfile(_) | Event::CaughtUp(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn share(
    name: &str,
    version: u64,
    profiles: Vec<proto::UserProfile>,
) -> proto::ShareMigrationProfilesRequest {
    let shared =
        proto::MigrationProfiles { primary_identity: Some(identity(name)), version, user_profiles: profiles };
    proto::ShareMigrationProfilesRequest { migration_profiles: vec![shared] }
}

fn ask(name: &str) -> proto::GetMigrationProfilesRequest {
    proto::GetMigrationProfilesRequest { primary_identity: Some(identity(name)) }
}

async fn visitor_gets_the_profile_adapted_to_the_policy(pair: Pair) {
    pair.alpha.create(profile("alice", 3)).await;
    migrate(&pair).await;
    let seen = pair.bravo.profiles_of("alice").await;
    assert_eq!(seen.len(), 1);
    let profile = &seen[0];
    assert_eq!(profile.identity.as_ref().unwrap().mc_service_id, "sip:alice@bravo.example");
    assert_eq!((profile.profile_index, profile.priority, profile.pre_selected), (3, 5, true));
    assert_eq!(group_ids(profile), ["sip:rescue@alpha.example", "sip:border@bravo.example"]);
    assert_eq!(profile.groups[0].mc_system_id, "alpha.example");
    assert_eq!(profile.groups[1].mc_system_id, "bravo.example");
    assert_eq!(profile.functional_aliases, [""; 0]);
    assert_eq!(profile.private_call.as_ref().unwrap().policy(), proto::PrivateCallPolicy::None);
    assert!(profile.emergency_call_allowed);
    assert_eq!(profile.migration_targets, []);
    let origin = profile.visitor.as_ref().unwrap();
    assert_eq!(origin.migration_id, MIGRATION.to_string());
    assert_eq!(origin.primary_mc_system_id, "alpha.example");
    assert_eq!(origin.primary_mc_service_id, "sip:alice@alpha.example");
    use proto::ProfileAdaptationKind as Kind;
    let kinds: Vec<Kind> = origin.adaptations.iter().map(|adaptation| adaptation.kind()).collect();
    let expected = [
        Kind::McServiceIdReplaced,
        Kind::PriorityLowered,
        Kind::GroupRemoved,
        Kind::GroupGranted,
        Kind::FunctionalAliasRemoved,
        Kind::PrivateCallRestricted,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(in_force(&pair).await.unwrap(), *profile);
    // The operators of the partner see the same.
    let request = proto::GetUserProfileRequest { identity: profile.identity.clone(), profile_index: 3 };
    let read = pair.bravo.profiles().get_user_profile(request).await.unwrap().into_inner();
    assert_eq!(read.user_profile.as_ref(), Some(profile));
}

async fn profiles_for_the_partner_go_there_and_no_others(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let indices = async || -> Vec<u32> {
        pair.bravo.profiles_of("alice").await.iter().map(|profile| profile.profile_index).collect()
    };
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    watch.until_caught_up().await;
    assert_eq!(indices().await, [0]);
    let abroad = proto::UserProfile { valid_in: vec!["bravo.example".to_owned()], ..profile("alice", 7) };
    pair.alpha.create(abroad).await;
    told(&mut watch, |profile| profile.profile_index == 7).await;
    assert_eq!(told_gone(&mut watch).await, 0);
    assert_eq!(indices().await, [7]);
}

async fn update_at_the_primary_reaches_a_watcher_at_the_partner(pair: Pair) {
    let created = pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    let (known, _) = watch.until_caught_up().await;
    assert!(matches!(&known[..], [Event::UserProfile(profile)] if profile.priority == 5));
    let latest = pair.alpha.profiles_of("alice").await.remove(0);
    pair.alpha.update(proto::UserProfile { priority: 2, ..latest }).await;
    let news = told(&mut watch, |profile| profile.priority == 2).await;
    assert_eq!(news.profile_index, created.profile_index);
    assert_eq!(in_force(&pair).await.unwrap(), news);
}

async fn changed_policy_is_in_force_at_once_and_reaches_watchers(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    watch.until_caught_up().await;
    let before = in_force(&pair).await.unwrap();
    let present = proto::VisitorPolicy { etag: "1".to_owned(), priority_ceiling: 1, ..policy() };
    pair.bravo.allow_visitors(present).await;
    let after = in_force(&pair).await.unwrap();
    assert_eq!((before.priority, after.priority), (5, 1));
    assert!(after.version > before.version && after.etag != before.etag);
    assert_eq!(told(&mut watch, |profile| profile.priority == 1).await, after);
}

async fn visitor_is_told_that_her_profile_is_gone(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    watch.until_caught_up().await;
    pair.bravo.migration().delete_visitors(&[MIGRATION]).await.unwrap();
    assert_eq!(told_gone(&mut watch).await, 0);
    assert_eq!(in_force(&pair).await.unwrap_err().reason(), Some(Reason::UserProfileUnknown));
    assert_eq!(pair.bravo.profiles_of("alice").await, []);
}

async fn withdrawn_profile_is_gone_at_the_partner(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    watch.until_caught_up().await;
    pair.alpha.migration().delete_migration_targets(&[MIGRATION]).await.unwrap();
    assert_eq!(told_gone(&mut watch).await, 0);
    assert_eq!(in_force(&pair).await.unwrap_err().reason(), Some(Reason::PrimaryRefused));
    // She may go again.
    pair.let_alice_go().await;
    told(&mut watch, |_| true).await;
    in_force(&pair).await.unwrap();
}

async fn missing_profiles_are_asked_for(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    // Alpha cannot reach Bravo, yet Bravo can reach Alpha.
    pair.bravo.proxy.set(Fault::Down);
    migrate(&pair).await;
    assert_eq!(in_force(&pair).await.unwrap().priority, 5);
    assert_eq!(pair.bravo.profiles_of("alice").await.len(), 1);
}

async fn primary_that_is_away_is_told_and_asked_again(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.bravo.proxy.set(Fault::Down);
    pair.alpha.proxy.set(Fault::Down);
    migrate(&pair).await;
    let away = in_force(&pair).await.unwrap_err();
    assert!(away.is_retryable());
    let ClientError::Unavailable { remote, retry_after } = away else { panic!("{away}") };
    assert_eq!(remote.reason, "PRIMARY_SYSTEM_UNREACHABLE");
    assert_eq!(remote.metadata["hop"], "alpha.example/configuration-management");
    assert!(retry_after.is_some());
    let request = pair.bravo.as_user("alice", proto::GetUserProfilesRequest::default());
    assert_eq!(reason(pair.bravo.ue().get_user_profiles(request).await), "PRIMARY_SYSTEM_UNREACHABLE");
    // A watcher may begin, and is told when the profile comes.
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    assert_eq!(watch.until_caught_up().await.0, []);
    pair.alpha.proxy.set(Fault::None);
    in_force(&pair).await.unwrap();
    told(&mut watch, |_| true).await;
}

async fn partner_that_is_away_gets_the_profiles_when_it_is_back(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.bravo.proxy.set(Fault::Down);
    migrate(&pair).await;
    // It does not ask; it is only given.
    pair.alpha.proxy.set(Fault::Down);
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    assert_eq!(watch.until_caught_up().await.0, []);
    pair.bravo.proxy.set(Fault::None);
    told(&mut watch, |_| true).await;
}

async fn what_is_due_survives_a_restart_of_the_primary(mut pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.bravo.proxy.set(Fault::Down);
    migrate(&pair).await;
    pair.alpha.stop().await;
    pair.bravo.proxy.set(Fault::None);
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    assert_eq!(watch.until_caught_up().await.0, []);
    pair.alpha.start_again().await;
    told(&mut watch, |_| true).await;
}

async fn partner_that_asks_for_a_user_not_permitted_learns_nothing(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.alpha.create(profile("bob", 0)).await;
    pair.let_alice_go().await;
    let charlie = TrustDomain::new("charlie.example");
    let unreachable = mcx_federation::PartnerTerms {
        mc_system_id: charlie.mc_system_id().clone(),
        trust_bundle_pem: charlie.bundle_pem().to_owned(),
        ..pair.bravo.terms()
    };
    pair.alpha.know(&[pair.bravo.terms(), unreachable]);
    let mut refused = Vec::new();
    // Bob may not go anywhere, nobody is called Nemo, and Alice may go to Bravo only.
    let mut bravo = pair.alpha.as_partner(&pair.bravo.own);
    for name in ["bob", "nemo"] {
        refused.push(bravo.get_migration_profiles(ask(name)).await.unwrap_err());
    }
    assert_eq!(refused[0].message(), refused[1].message());
    assert_eq!(refused[0].details(), refused[1].details());
    let refused = refusal(pair.alpha.as_partner(&charlie).get_migration_profiles(ask("alice")).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "MIGRATION_NOT_PERMITTED"));
    assert_eq!(refused.metadata["mc_system_id"], "charlie.example");
    let given = bravo.get_migration_profiles(ask("alice")).await.unwrap().into_inner().migration_profiles;
    let given = given.unwrap();
    assert_eq!(given.user_profiles.len(), 1);
    assert_eq!(given.user_profiles[0].migration_targets, [], "whither else she may go is not the partner's");
    let malformed = bravo.get_migration_profiles(proto::GetMigrationProfilesRequest::default()).await;
    assert_eq!(fields(malformed), ["primary_identity"]);
}

async fn partner_without_a_usable_agreement_gets_nothing(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    in_force(&pair).await.unwrap();
    let suspended = mcx_federation::PartnerTerms { is_suspended: true, ..pair.bravo.terms() };
    pair.alpha.know(&[suspended]);
    let mut bravo = pair.alpha.as_partner(&pair.bravo.own);
    let refused = refusal(bravo.get_migration_profiles(ask("alice")).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "PARTNER_NOT_USABLE"));
    assert_eq!(reason(bravo.share_migration_profiles(share("x", 1, Vec::new())).await), "PARTNER_NOT_USABLE");
    let withdraw = proto::WithdrawMigrationProfilesRequest {
        withdrawals: vec![proto::MigrationProfilesWithdrawal {
            primary_identity: Some(identity("x")),
            version: 1,
        }],
    };
    assert_eq!(reason(bravo.withdraw_migration_profiles(withdraw).await), "PARTNER_NOT_USABLE");
}

async fn profiles_of_somebody_else_are_not_accepted(pair: Pair) {
    pair.bravo.allow_visitors(policy()).await;
    pair.expect_alice().await;
    let mut alpha = pair.bravo.as_partner(&pair.alpha.own);
    let refusals = |outcome: Result<tonic::Response<proto::ShareMigrationProfilesResponse>, _>| {
        let refusals = outcome.unwrap().into_inner().refusals;
        refusals.into_iter().map(|refusal| refusal.reason()).collect::<Vec<_>>()
    };
    use proto::ErrorReason as Reason;
    let stranger = share("bob", 1, vec![profile("bob", 0)]);
    assert_eq!(refusals(alpha.share_migration_profiles(stranger).await), [Reason::VisitorUnknown]);
    let of_another = share("alice", 1, vec![profile("bob", 0)]);
    assert_eq!(refusals(alpha.share_migration_profiles(of_another).await), [Reason::InvalidRequest]);
    let twice = share("alice", 1, vec![profile("alice", 0), profile("alice", 0)]);
    assert_eq!(refusals(alpha.share_migration_profiles(twice).await), [Reason::InvalidRequest]);
    // One that is refused does not keep the others out.
    let mut mixed = share("bob", 1, vec![profile("bob", 0)]);
    mixed.migration_profiles.extend(share("alice", 1, vec![profile("alice", 0)]).migration_profiles);
    mixed.migration_profiles.extend(share("alice", 2, vec![profile("bob", 0)]).migration_profiles);
    let refused = alpha.share_migration_profiles(mixed).await.unwrap().into_inner().refusals;
    let refused: Vec<_> = refused.iter().map(|refusal| (refusal.index, refusal.reason())).collect();
    assert_eq!(refused, [(0, Reason::VisitorUnknown), (2, Reason::InvalidRequest)]);
    assert_eq!(pair.bravo.profiles_of("alice").await.len(), 1);

    // Another partner does not speak for Alpha's users.
    let charlie = TrustDomain::new("charlie.example");
    let terms = mcx_federation::PartnerTerms {
        mc_system_id: charlie.mc_system_id().clone(),
        trust_bundle_pem: charlie.bundle_pem().to_owned(),
        ..pair.alpha.terms()
    };
    pair.bravo.know(&[pair.alpha.terms(), terms]);
    let mut charlie = pair.bravo.as_partner(&charlie);
    let forged = share("alice", 9, Vec::new());
    assert_eq!(refusals(charlie.share_migration_profiles(forged).await), [Reason::VisitorUnknown]);
    let withdraw = proto::WithdrawMigrationProfilesRequest {
        withdrawals: vec![proto::MigrationProfilesWithdrawal {
            primary_identity: Some(identity("alice")),
            version: 9,
        }],
    };
    charlie.withdraw_migration_profiles(withdraw).await.unwrap();
    assert_eq!(pair.bravo.profiles_of("alice").await.len(), 1);
    let empty = proto::ShareMigrationProfilesRequest::default();
    assert_eq!(fields(alpha.share_migration_profiles(empty).await), ["migration_profiles"]);
}

async fn older_profiles_do_not_replace_newer_ones(pair: Pair) {
    pair.bravo.allow_visitors(policy()).await;
    pair.expect_alice().await;
    let mut alpha = pair.bravo.as_partner(&pair.alpha.own);
    let named = |name: &str| proto::UserProfile { profile_name: name.to_owned(), ..profile("alice", 0) };
    alpha.share_migration_profiles(share("alice", 5, vec![named("new")])).await.unwrap();
    alpha.share_migration_profiles(share("alice", 4, vec![named("old")])).await.unwrap();
    let withdraw = proto::WithdrawMigrationProfilesRequest {
        withdrawals: vec![proto::MigrationProfilesWithdrawal {
            primary_identity: Some(identity("alice")),
            version: 4,
        }],
    };
    alpha.withdraw_migration_profiles(withdraw).await.unwrap();
    assert_eq!(in_force(&pair).await.unwrap().profile_name, "new");
}

async fn visitor_does_not_change_her_profile_here(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    in_force(&pair).await.unwrap();
    let ptt = mcx_proto::types::v1::McService::Ptt.into();
    let select = proto::SetPreSelectedUserProfileRequest { mc_service: ptt, profile_index: 0 };
    let refused = pair.bravo.ue().set_pre_selected_user_profile(pair.bravo.as_user("alice", select)).await;
    let refused = refusal(refused);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "USER_IS_VISITOR"));
    assert_eq!(refused.metadata["primary_mc_system_id"], "alpha.example");
    let update = proto::UpdateUserProfileDataRequest {
        mc_service: ptt,
        etag: "1".to_owned(),
        data: Some(proto::UserProfileData { profile_name: "mine".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    let refused = pair.bravo.ue().update_user_profile_data(pair.bravo.as_user("alice", update)).await;
    assert_eq!(reason(refused), "USER_IS_VISITOR");
}

async fn visitor_whose_time_is_over_has_no_profile(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    migrate(&pair).await;
    let mut watch = Watch::begin(&pair.bravo, "alice", "").await;
    watch.until_caught_up().await;
    in_force(&pair).await.unwrap();
    let over = Some(SystemClock.now().saturating_add(Duration::from_millis(1)).into());
    let visitor = proto::Visitor { valid_until: over, ..alice_as_visitor() };
    pair.bravo.migration().put_visitors(vec![visitor]).await.unwrap();
    assert_eq!(told_gone(&mut watch).await, 0);
    assert_eq!(in_force(&pair).await.unwrap_err().reason(), Some(Reason::UserProfileUnknown));
}

async fn profiles_that_are_too_old_are_asked_for_again(pair: Pair) {
    pair.alpha.create(profile("alice", 0)).await;
    pair.bravo.proxy.set(Fault::Down);
    migrate(&pair).await;
    assert_eq!(in_force(&pair).await.unwrap().priority, 5);
    // Alpha cannot tell Bravo of the change; Bravo hears of it when it asks.
    let latest = pair.alpha.profiles_of("alice").await.remove(0);
    let latest = pair.alpha.update(proto::UserProfile { priority: 3, ..latest }).await;
    assert_eq!(in_force(&pair).await.unwrap().priority, 3);
    // When it cannot ask either, what it has goes on being valid.
    pair.alpha.proxy.set(Fault::Down);
    pair.alpha.update(proto::UserProfile { priority: 2, ..latest }).await;
    assert_eq!(in_force(&pair).await.unwrap().priority, 3);
    pair.alpha.proxy.set(Fault::None);
    assert_eq!(in_force(&pair).await.unwrap().priority, 2);
    // What the primary takes back is gone when it is asked for.
    let target = alice_as_target(&pair.bravo).migration_id.parse().unwrap();
    pair.alpha.migration().delete_migration_targets(&[target]).await.unwrap();
    assert_eq!(in_force(&pair).await.unwrap_err().reason(), Some(Reason::PrimaryRefused));
    assert_eq!(in_force(&pair).await.unwrap_err().reason(), Some(Reason::PrimaryRefused));
}
