//! Visitors whom the primary refuses, as their UE, the partner and the primary see it.

use std::time::Duration;

use crossband_tests::World;
use crossband_tests::records::{all_records, latest_decision};
use crossband_tests::world::{in_hours, sip_answer};
use mcx_proto::migration::v1 as proto;
use uuid::Uuid;

use crate::on_both_kinds_of_stores;
use crate::visitors::{OUT_OF_FORCE, in_force};

on_both_kinds_of_stores!(
    partner_of_an_agreement_out_of_force_is_refused,
    partner_that_may_not_ask_is_refused,
    partner_whose_agreement_ended_is_refused_on_the_connection_it_has,
    user_without_a_permit_in_force_is_refused,
    permit_for_another_visitor_identity_permits_nothing,
    barred_subscriber_is_refused,
    requests_for_one_user_are_limited,
    requests_of_one_partner_are_limited,
);

/// What a refusal looks like from the three sides that see it.
async fn assert_refused(world: &World, user: &str, status: u16, at_bravo: &str, at_alpha: &str) {
    let outcome = world.register(user).await;
    let impi = world.user(user).identities.impi.as_str();
    assert_eq!(sip_answer(&outcome).0, status, "{at_alpha}");
    assert_eq!(latest_decision(world.bravo(), impi).await, at_bravo);
    assert_eq!(latest_decision(world.alpha(), impi).await, at_alpha);
}

async fn partner_of_an_agreement_out_of_force_is_refused(world: World) {
    for (change, reason) in OUT_OF_FORCE {
        world.change_agreement_of_primary(change).await;
        let at_alpha = format!("REFUSED {reason}");
        assert_refused(&world, "alice", 503, "REFUSED PARTNER_REFUSED_US", &at_alpha).await;
        world.change_agreement_of_primary(in_force).await;
    }
    assert_eq!(sip_answer(&world.register("alice").await).0, 200, "it was the agreement and nothing else");
}

async fn partner_that_may_not_ask_is_refused(world: World) {
    world.change_agreement_of_primary(|agreement| agreement.partner_may_ask.clear()).await;
    assert_refused(&world, "alice", 503, "REFUSED PARTNER_REFUSED_US", "REFUSED NOT_AGREED").await;
}

async fn partner_whose_agreement_ended_is_refused_on_the_connection_it_has(world: World) {
    assert_eq!(sip_answer(&world.register("alice").await).0, 200);
    for user in ["alice", "bob", "chloe"] {
        world.change_permit(user, |_| None).await;
    }
    let partner_mc_system_id = world.bravo().system.id.to_string();
    let request = proto::DeleteAgreementRequest { partner_mc_system_id, ..Default::default() };
    world.alpha().operator.agreements.clone().delete_agreement(request).await.unwrap();
    assert_refused(&world, "alice", 503, "REFUSED PARTNER_REFUSED_US", "REFUSED AGREEMENT_UNKNOWN").await;
}

async fn user_without_a_permit_in_force_is_refused(world: World) {
    type Change = fn(proto::MigrationPermit) -> Option<proto::MigrationPermit>;
    let suspended: Change =
        |permit| Some(proto::MigrationPermit { state: proto::PermitState::Suspended.into(), ..permit });
    let not_yet_valid: Change = |permit| Some(proto::MigrationPermit { valid_from: in_hours(1), ..permit });
    let expired: Change = |permit| Some(proto::MigrationPermit { valid_until: in_hours(-1), ..permit });
    let restore: Change = |permit| {
        let state = proto::PermitState::Enabled.into();
        Some(proto::MigrationPermit { state, valid_from: None, valid_until: None, ..permit })
    };
    // The partner is not told which it is, nor whether the primary knows the user.
    let (at_bravo, at_alpha) = ("REFUSED USER_UNKNOWN_AT_PRIMARY", "REFUSED MIGRATION_NOT_PERMITTED");
    for change in [suspended, not_yet_valid, expired] {
        world.change_permit("alice", change).await;
        assert_refused(&world, "alice", 403, at_bravo, at_alpha).await;
        world.change_permit("alice", restore).await;
        assert_eq!(sip_answer(&world.register("alice").await).0, 200, "it was the permit and nothing else");
    }
    world.change_permit("alice", |_| None).await;
    assert_refused(&world, "alice", 403, at_bravo, at_alpha).await;
}

async fn permit_for_another_visitor_identity_permits_nothing(world: World) {
    let other = proto_identities("somebody.alpha@visitors.bravo.example");
    world
        .change_permit("alice", |permit| {
            Some(proto::MigrationPermit { partner_identities: Some(other), ..permit })
        })
        .await;
    let (at_bravo, at_alpha) = ("REFUSED USER_UNKNOWN_AT_PRIMARY", "REFUSED MIGRATION_NOT_PERMITTED");
    assert_refused(&world, "alice", 403, at_bravo, at_alpha).await;
}

fn proto_identities(impi: &str) -> mcx_proto::types::v1::SipIdentities {
    mcx_proto::types::v1::SipIdentities { impi: impi.to_owned(), impus: vec![format!("sip:{impi}")] }
}

async fn barred_subscriber_is_refused(world: World) {
    let subscribers = &world.alpha().operator.subscribers;
    let bar = async |barred: bool| {
        let mut subscriber = subscribers.get(&world.user("alice").identities.impi).await.unwrap();
        subscriber.barred = barred;
        subscribers.update(subscriber, Uuid::new_v4()).await.unwrap();
    };
    bar(true).await;
    assert_refused(&world, "alice", 403, "REFUSED SUBSCRIBER_BARRED", "REFUSED SUBSCRIBER_BARRED").await;
    bar(false).await;
    assert_eq!(sip_answer(&world.register("alice").await).0, 200);
}

async fn assert_limited(world: &World, user: &str) {
    let outcome = world.register(user).await;
    assert_eq!(sip_answer(&outcome), (503, Some(Duration::from_secs(60))));
    let impi = world.user(user).identities.impi.as_str();
    assert_eq!(latest_decision(world.bravo(), impi).await, "REFUSED RATE_LIMITED");
    assert_eq!(latest_decision(world.alpha(), impi).await, "REFUSED RATE_LIMITED");
}

async fn requests_for_one_user_are_limited(world: World) {
    let limits = proto::AgreementLimits { requests_per_user_per_minute: Some(2), ..Default::default() };
    world.change_agreement_of_primary(|agreement| agreement.limits = Some(limits)).await;
    for _ in 0..2 {
        assert_eq!(sip_answer(&world.register("alice").await).0, 200);
    }
    assert_limited(&world, "alice").await;
    assert_eq!(sip_answer(&world.register("bob").await).0, 200, "each user has a limit of her own");
}

async fn requests_of_one_partner_are_limited(world: World) {
    let limits = proto::AgreementLimits { requests_per_minute: Some(2), ..Default::default() };
    world.change_agreement_of_primary(|agreement| agreement.limits = Some(limits)).await;
    for user in ["alice", "bob"] {
        assert_eq!(sip_answer(&world.register(user).await).0, 200);
    }
    assert_limited(&world, "chloe").await;
    assert_eq!(all_records(world.alpha()).await.len(), 3);
}
