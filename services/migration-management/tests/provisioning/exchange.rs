//! What crosses between the systems, said twice, said falsely, or said by the wrong one.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::types::v1::{InitialUeConfiguration, McService, McServiceIdentity, ServerAddresses};
use mcx_testkit::Fault;
use uuid::Uuid;

use crate::saga::{of_primary, places};
use crate::systems::{Systems, fields, identities, of_request, on_every_database, refusal, these};

on_every_database!(
    repeated_offer_changes_nothing_and_is_answered_with_the_state,
    second_migration_of_the_same_user_is_refused,
    answer_that_is_lost_is_made_good_by_asking_again,
    repeated_report_changes_nothing,
    report_of_an_unknown_migration_is_answered_with_its_end,
    system_cannot_speak_for_another_one,
    malformed_offers_and_reports_are_refused_with_every_field_at_once,
    suspended_agreement_lets_nothing_cross,
    offers_beyond_the_limit_are_not_taken_until_others_are_decided,
    offers_at_the_same_time_do_not_pass_the_limit_together,
);

fn offer(migration: Uuid, user: &str) -> proto::UserMigrationOffer {
    proto::UserMigrationOffer {
        migration_id: migration.to_string(),
        user_migration_request_id: Uuid::from_u128(99).to_string(),
        primary_identities: Some(identities(user, "alpha.example")),
        mc_service_identities: vec![McServiceIdentity {
            mc_service: McService::Ptt.into(),
            mc_service_id: format!("sip:{user}@alpha.example"),
        }],
        primary_issuer: "https://idms.alpha.example".to_owned(),
        primary_subject: format!("subject-of-{user}"),
        valid_until: None,
    }
}

async fn offered(
    systems: &Systems,
    offers: Vec<proto::UserMigrationOffer>,
) -> Vec<(State, proto::ErrorReason)> {
    let mut client = systems.bravo.called_by(&systems.alpha);
    let answer = client.offer_user_migrations(proto::OfferUserMigrationsRequest { offers }).await.unwrap();
    answer.into_inner().results.iter().map(|result| (result.state(), result.reason())).collect()
}

fn in_force(migration_id: &str) -> proto::UserMigrationReport {
    proto::UserMigrationReport {
        migration_id: migration_id.to_owned(),
        state: State::InForce.into(),
        allotment: Some(proto::UserMigrationAllotment {
            visitor_identities: Some(identities("alice", "visitors.bravo.example")),
            mc_service_identities: vec![McServiceIdentity {
                mc_service: McService::Ptt.into(),
                mc_service_id: "sip:alice@visitors.bravo.example".to_owned(),
            }],
            scopes: vec!["3gpp:mc:ptt_service".to_owned()],
            valid_until: None,
        }),
        ..Default::default()
    }
}

fn report(reports: Vec<proto::UserMigrationReport>) -> proto::ReportUserMigrationsRequest {
    let servers = ServerAddresses {
        identity_management_token_endpoint: "https://idms.bravo.example/token".to_owned(),
        ..Default::default()
    };
    let configuration = InitialUeConfiguration {
        mc_system_id: "bravo.example".to_owned(),
        servers: Some(servers),
        ..Default::default()
    };
    proto::ReportUserMigrationsRequest { reports, initial_ue_configuration: Some(configuration) }
}

async fn repeated_offer_changes_nothing_and_is_answered_with_the_state(systems: Systems) {
    let alice = Uuid::from_u128(1);
    let pending = [(State::Pending, proto::ErrorReason::Unspecified)];
    assert_eq!(offered(&systems, vec![offer(alice, "alice")]).await, pending);
    // With other contents, too: the first offer stands.
    assert_eq!(offered(&systems, vec![offer(alice, "mallory")]).await, pending);
    // Twice in one call, and in two at the same time.
    let bob = Uuid::from_u128(2);
    let twice = vec![offer(bob, "bob"), offer(bob, "bob")];
    let (first, second) = tokio::join!(offered(&systems, twice.clone()), offered(&systems, twice));
    assert!(first.iter().chain(&second).all(|result| *result == pending[0]));
    let stored = systems.bravo.get(&alice.to_string()).await;
    assert_eq!(stored.primary_identities, Some(identities("alice", "alpha.example")));
    systems.bravo.refuse(these(&[&alice.to_string()])).await;
    assert_eq!(
        offered(&systems, vec![offer(alice, "alice")]).await,
        [(State::Refused, proto::ErrorReason::RefusedByOperator)]
    );
}

async fn second_migration_of_the_same_user_is_refused(systems: Systems) {
    let taken = (State::Refused, proto::ErrorReason::IdentityTaken);
    let both = vec![offer(Uuid::from_u128(1), "alice"), offer(Uuid::from_u128(2), "alice")];
    let results = offered(&systems, both).await;
    assert_eq!(results, [(State::Pending, proto::ErrorReason::Unspecified), taken]);
    let third = offer(Uuid::from_u128(3), "alice");
    assert_eq!(offered(&systems, vec![third]).await, [taken]);
}

async fn answer_that_is_lost_is_made_good_by_asking_again(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    // Connections there are already: what is cut is the answer, not the handshake.
    systems.in_force(&["zoe"]).await;
    bravo.proxy.set(Fault::CutAtAnswer);
    let request_id = systems.request(&["alice", "bob"]).await;
    // Bravo has them although alpha does not know.
    bravo.wait(&request_id, State::Pending).await;
    alpha.wait_for_obstacle(&request_id).await;
    bravo.proxy.set(Fault::None);
    alpha.wait(&request_id, State::PendingAtPartner).await;
    assert_eq!(bravo.list(&request_id).await.len(), 2);

    alpha.proxy.set(Fault::CutAtAnswer);
    bravo.accept(of_request(&request_id)).await;
    alpha.wait(&request_id, State::InForce).await;
    assert_eq!(bravo.wait_for_obstacle(&request_id).await.step, "REPORT");
    alpha.proxy.set(Fault::None);
    systems.wait(&request_id, State::InForce, State::InForce).await;
    assert_eq!(alpha.permit_count().await, 3);
}

async fn repeated_report_changes_nothing(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.pending(&["alice"]).await;
    let id = alpha.list(&request_id).await[0].migration_id.clone();
    let mut client = alpha.called_by(bravo);
    for _ in 0..2 {
        client.report_user_migrations(report(vec![in_force(&id)])).await.unwrap();
        alpha.wait(&request_id, State::InForce).await;
    }
    assert_eq!((alpha.permit_count().await, places(&alpha.entities)), (1, of_primary(1)));
    let admitted = alpha.audit(&id).await;
    let admitted = admitted.iter().filter(|(action, ..)| action == "ADMIT_USER_MIGRATION").count();
    assert_eq!(admitted, 1);

    // Refused after it is in force: what is in place is not taken away by that, only by a revocation.
    let refused = proto::UserMigrationReport {
        migration_id: id.clone(),
        state: State::Refused.into(),
        reason: proto::ErrorReason::RefusedByOperator.into(),
        ..Default::default()
    };
    let answer = client.report_user_migrations(report(vec![refused])).await.unwrap().into_inner();
    assert_eq!(answer.results[0].state(), State::InForce);

    // Revoked, and then in force again: what is over stays so.
    let revoked = proto::UserMigrationReport {
        migration_id: id.clone(),
        state: State::Revoked.into(),
        ..Default::default()
    };
    for _ in 0..2 {
        client.report_user_migrations(report(vec![revoked.clone()])).await.unwrap();
        alpha.wait(&request_id, State::Revoked).await;
    }
    let answer = client.report_user_migrations(report(vec![in_force(&id)])).await.unwrap().into_inner();
    assert_eq!(answer.results[0].state(), State::Revoked);
    assert_eq!(alpha.permit_count().await, 0);
}

async fn report_of_an_unknown_migration_is_answered_with_its_end(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    // Bravo accepts what alpha never asked for: it learns so, and undoes it.
    let alice = Uuid::from_u128(1);
    offered(&systems, vec![offer(alice, "alice")]).await;
    bravo.accept(these(&[&alice.to_string()])).await;
    bravo.wait(&Uuid::from_u128(99).to_string(), State::Revoked).await;
    assert_eq!(bravo.binding_count().await, 0);
    assert!(places(&bravo.entities).is_empty());
    assert_eq!(alpha.permit_count().await, 0);
}

async fn system_cannot_speak_for_another_one(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let request_id = systems.in_force(&["alice"]).await;
    let id = alpha.list(&request_id).await[0].migration_id.clone();
    // Alpha is primary of alice. It cannot report to bravo what only a partner can.
    let mut client = bravo.called_by(alpha);
    let outcome = client.report_user_migrations(report(vec![in_force(&id)])).await;
    assert_eq!(fields(outcome), ["initial_ue_configuration.mc_system_id", "reports[0].state"]);
    // Bravo cannot offer as its own what is alpha's.
    let stolen = proto::OfferUserMigrationsRequest {
        offers: vec![proto::UserMigrationOffer { migration_id: id, ..offer(Uuid::nil(), "eve") }],
    };
    let answer = alpha.called_by(bravo).offer_user_migrations(stolen).await.unwrap().into_inner();
    assert_eq!(answer.results[0].reason(), proto::ErrorReason::IdentityTaken);
    // Services that nobody asked for are not taken.
    let second = systems.pending(&["bob"]).await;
    let bob = alpha.list(&second).await[0].migration_id.clone();
    let mut wrong = in_force(&bob);
    let allotment = wrong.allotment.as_mut().unwrap();
    allotment.mc_service_identities[0].mc_service = McService::Video.into();
    let outcome = alpha.called_by(bravo).report_user_migrations(report(vec![wrong])).await;
    assert_eq!(fields(outcome), ["reports[0].allotment.mc_service_identities"]);
}

async fn malformed_offers_and_reports_are_refused_with_every_field_at_once(systems: Systems) {
    let broken = proto::UserMigrationOffer {
        migration_id: "1".to_owned(),
        user_migration_request_id: String::new(),
        primary_identities: None,
        mc_service_identities: Vec::new(),
        primary_issuer: "http://idms.alpha.example".to_owned(),
        primary_subject: String::new(),
        valid_until: None,
    };
    let mut client = systems.bravo.called_by(&systems.alpha);
    let offers = vec![offer(Uuid::from_u128(1), "alice"), broken];
    let outcome = client.offer_user_migrations(proto::OfferUserMigrationsRequest { offers }).await;
    assert_eq!(
        fields(outcome),
        [
            "offers[1].migration_id",
            "offers[1].user_migration_request_id",
            "offers[1].primary_identities",
            "offers[1].mc_service_identities",
            "offers[1].primary_issuer",
            "offers[1].primary_subject",
        ]
    );
    let id = Uuid::from_u128(1).to_string();
    let without_allotment = proto::UserMigrationReport { allotment: None, ..in_force(&id) };
    let without_reason = proto::UserMigrationReport {
        migration_id: id.clone(),
        state: State::Refused.into(),
        ..Default::default()
    };
    let pending = proto::UserMigrationReport { state: State::Pending.into(), ..in_force(&id) };
    let reports = report(vec![without_allotment, without_reason, pending]);
    let outcome = client.report_user_migrations(reports).await;
    assert_eq!(fields(outcome), ["reports[0].allotment", "reports[1].reason", "reports[2].state"]);
    let without_configuration =
        proto::ReportUserMigrationsRequest { reports: vec![in_force(&id)], ..Default::default() };
    let outcome = client.report_user_migrations(without_configuration).await;
    assert_eq!(fields(outcome), ["initial_ue_configuration"]);
    // That of bravo, which alpha has no say in.
    let outcome = client.report_user_migrations(report(vec![in_force(&id)])).await;
    assert_eq!(fields(outcome), ["initial_ue_configuration.mc_system_id"]);
    let none = client.offer_user_migrations(proto::OfferUserMigrationsRequest::default()).await;
    assert_eq!(fields(none), ["offers"]);
}

async fn suspended_agreement_lets_nothing_cross(systems: Systems) {
    let Systems { alpha, bravo } = &systems;
    let get = proto::GetAgreementRequest { partner_mc_system_id: "alpha.example".to_owned() };
    let agreement = bravo.agreements().get_agreement(get).await.unwrap().into_inner().agreement.unwrap();
    let suspended = proto::Agreement { state: proto::AgreementState::Suspended.into(), ..agreement };
    let update = proto::UpdateAgreementRequest { agreement: Some(suspended), ..Default::default() };
    bravo.agreements().update_agreement(update).await.unwrap();
    let request_id = systems.request(&["alice"]).await;
    let obstacle = alpha.wait_for_obstacle(&request_id).await;
    assert!(obstacle.last_error.contains("AGREEMENT_SUSPENDED"), "{}", obstacle.last_error);
    let offers = vec![offer(Uuid::from_u128(1), "alice")];
    let outcome =
        bravo.called_by(alpha).offer_user_migrations(proto::OfferUserMigrationsRequest { offers }).await;
    assert_eq!(refusal(outcome).reason, "AGREEMENT_SUSPENDED");
}

/// Lets so many users of alpha wait for a decision at bravo.
async fn limit_pending_offers(systems: &Systems, pending_offers: u32) {
    let mut client = systems.bravo.agreements();
    let key = proto::GetAgreementRequest { partner_mc_system_id: "alpha.example".to_owned() };
    let agreement = client.get_agreement(key).await.unwrap().into_inner().agreement.unwrap();
    let limits = proto::AgreementLimits { pending_offers: Some(pending_offers), ..Default::default() };
    let agreement = proto::Agreement { limits: Some(limits), ..agreement };
    let request = proto::UpdateAgreementRequest { agreement: Some(agreement), ..Default::default() };
    client.update_agreement(request).await.unwrap();
}

const NOT_TAKEN: (State, proto::ErrorReason) = (State::Requested, proto::ErrorReason::PendingOffersExceeded);
const WAITING: (State, proto::ErrorReason) = (State::Pending, proto::ErrorReason::Unspecified);

async fn offers_beyond_the_limit_are_not_taken_until_others_are_decided(systems: Systems) {
    limit_pending_offers(&systems, 2).await;
    let offer = |number: u128| offer(Uuid::from_u128(number), &format!("user{number}"));
    assert_eq!(offered(&systems, vec![offer(1), offer(2), offer(3)]).await, [WAITING, WAITING, NOT_TAKEN]);
    // Whoever waits is answered as before; whoever was not taken is not known here, nor on record.
    assert_eq!(offered(&systems, vec![offer(3), offer(2)]).await, [NOT_TAKEN, WAITING]);
    let known = systems.bravo.list(&Uuid::from_u128(99).to_string()).await;
    assert_eq!(known.len(), 2);
    // Decided either way, they make room.
    systems.bravo.accept(these(&[&Uuid::from_u128(1).to_string()])).await;
    systems.bravo.refuse(these(&[&Uuid::from_u128(2).to_string()])).await;
    assert_eq!(offered(&systems, vec![offer(3), offer(4), offer(5)]).await, [WAITING, WAITING, NOT_TAKEN]);

    // A whole system goes on offering: nobody is lost, and nobody is asked to request again.
    systems.bravo.refuse(of_request(&Uuid::from_u128(99).to_string())).await;
    let request_id = systems.request(&["alice", "bob", "chloe"]).await;
    let obstacle = systems.alpha.wait_for_obstacle(&request_id).await;
    assert_eq!(obstacle.step, "OFFER");
    assert!(obstacle.last_error.starts_with("PENDING_OFFERS_EXCEEDED"), "{obstacle:?}");
    assert_eq!(systems.bravo.list(&request_id).await.len(), 2);
    systems.bravo.accept(of_request(&request_id)).await;
    // No watch tells it: one ends as soon as those who are known are settled.
    while systems.bravo.list(&request_id).await.len() < 3 {
        tokio::task::yield_now().await;
    }
    systems.bravo.accept(of_request(&request_id)).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
}

async fn offers_at_the_same_time_do_not_pass_the_limit_together(systems: Systems) {
    limit_pending_offers(&systems, 20).await;
    let systems = &systems;
    let calls = (0..8_u128).map(|call| async move {
        let offer = |number: u128| offer(Uuid::from_u128(number), &format!("user{number}"));
        offered(systems, (call * 10..call * 10 + 10).map(offer).collect()).await
    });
    let results = futures::future::join_all(calls).await.concat();
    assert_eq!(results.iter().filter(|result| **result == WAITING).count(), 20, "{results:?}");
    assert_eq!(results.iter().filter(|result| **result == NOT_TAKEN).count(), 60);
}
