//! What a partner's policy decides, and what it gives.

use std::collections::BTreeMap;

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::UserMigrationState as State;
use mcx_proto::types::v1::McService;

use crate::saga::{of_partner, of_primary, places};
use crate::systems::{
    Systems, fields, identities, of_request, on_every_database, refusal, these, user_to_migrate,
};

on_every_database!(
    automatic_policy_accepts_without_an_operator,
    refusing_policy_lets_nobody_in,
    policy_limits_how_many_are_let_in,
    user_without_an_admitted_service_is_refused,
    malformed_policy_is_refused_with_every_field_at_once,
    stale_etag_overwrites_no_policy,
    visitors_with_the_same_name_get_different_identities,
    user_with_a_binding_made_by_hand_is_refused,
);

fn policy(mode: proto::AdmissionMode) -> proto::AdmissionPolicy {
    proto::AdmissionPolicy {
        primary_mc_system_id: "alpha.example".to_owned(),
        mode: mode.into(),
        ..Default::default()
    }
}

async fn automatic_policy_accepts_without_an_operator(systems: Systems) {
    systems.bravo.admit(policy(proto::AdmissionMode::Automatic)).await;
    let request_id = systems.request(&["alice", "bob"]).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
    assert_eq!(places(&systems.alpha.entities), of_primary(2));
    assert_eq!(places(&systems.bravo.entities), of_partner(2));
}

async fn refusing_policy_lets_nobody_in(systems: Systems) {
    systems.bravo.admit(policy(proto::AdmissionMode::Refuse)).await;
    let request_id = systems.request(&["alice"]).await;
    systems.wait(&request_id, State::Refused, State::Refused).await;
    assert_eq!(systems.alpha.list(&request_id).await[0].reason(), proto::ErrorReason::NotAdmitted);
    assert_eq!(places(&systems.bravo.entities), BTreeMap::new());
}

async fn policy_limits_how_many_are_let_in(systems: Systems) {
    let two = proto::AdmissionPolicy { max_users: Some(2), ..policy(proto::AdmissionMode::Manual) };
    systems.bravo.admit(two).await;
    let request_id = systems.pending(&["alice", "bob", "chloe"]).await;
    let results = systems.bravo.accept(of_request(&request_id)).await;
    let reasons: Vec<_> = results.iter().map(|result| (result.state(), result.reason())).collect();
    assert_eq!(
        reasons,
        [
            (State::Accepted, proto::ErrorReason::Unspecified),
            (State::Accepted, proto::ErrorReason::Unspecified),
            (State::Pending, proto::ErrorReason::NotAdmitted),
        ]
    );
    // As soon as one leaves there is room.
    systems.bravo.revoke(these(&[&results[0].migration_id])).await;
    let again = systems.bravo.accept(these(&[&results[2].migration_id])).await;
    assert_eq!(again[0].state(), State::Accepted);
}

async fn user_without_an_admitted_service_is_refused(systems: Systems) {
    let only_ptt = proto::AdmissionPolicy {
        mc_services: vec![McService::Ptt.into()],
        granted_group_ids: vec!["sip:visitors@bravo.example".to_owned()],
        validity_limit: Some(prost_types::Duration { seconds: 3_600, nanos: 0 }),
        ..policy(proto::AdmissionMode::Automatic)
    };
    systems.bravo.admit(only_ptt).await;
    let data_only =
        proto::UserToMigrate { mc_services: vec![McService::Data.into()], ..user_to_migrate("alice") };
    let request_id = systems.request_users(vec![data_only]).await;
    systems.wait(&request_id, State::Refused, State::Refused).await;

    let request_id = systems.request(&["bob"]).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
    let bob = &systems.alpha.list(&request_id).await[0];
    let grant = bob.grant.clone().unwrap();
    let services: Vec<_> = grant.mc_service_identities.iter().map(|identity| identity.mc_service()).collect();
    assert_eq!(services, [McService::Ptt]);
    assert!(bob.valid_until.is_some());
}

async fn malformed_policy_is_refused_with_every_field_at_once(systems: Systems) {
    let broken = proto::AdmissionPolicy {
        primary_mc_system_id: "bravo.example".to_owned(),
        mode: 99,
        mc_services: vec![McService::Ptt.into(), 99],
        scopes: vec!["3gpp:mc:everything".to_owned()],
        granted_group_ids: vec!["visitors".to_owned()],
        max_users: Some(0),
        validity_limit: Some(prost_types::Duration { seconds: 59, nanos: 0 }),
        ..Default::default()
    };
    let request =
        proto::UpdateAdmissionPolicyRequest { admission_policy: Some(broken), ..Default::default() };
    assert_eq!(
        fields(systems.bravo.policies().update_admission_policy(request).await),
        [
            "admission_policy.primary_mc_system_id",
            "admission_policy.mode",
            "admission_policy.mc_services[1]",
            "admission_policy.scopes[0]",
            "admission_policy.granted_group_ids[0]",
            "admission_policy.max_users",
            "admission_policy.validity_limit",
        ]
    );
}

async fn stale_etag_overwrites_no_policy(systems: Systems) {
    let mut client = systems.bravo.policies();
    let get = || proto::GetAdmissionPolicyRequest { primary_mc_system_id: "alpha.example".to_owned() };
    let update =
        |policy| proto::UpdateAdmissionPolicyRequest { admission_policy: Some(policy), ..Default::default() };
    assert_eq!(refusal(client.get_admission_policy(get()).await).reason, "ADMISSION_POLICY_UNKNOWN");
    let wanted = policy(proto::AdmissionMode::Automatic);
    let made = client.update_admission_policy(update(wanted.clone())).await.unwrap().into_inner();
    let made = made.admission_policy.unwrap();
    assert_eq!((made.etag.as_str(), made.mode()), ("1", proto::AdmissionMode::Automatic));
    assert_eq!(refusal(client.update_admission_policy(update(wanted)).await).reason, "ETAG_MISMATCH");
    let changed = proto::AdmissionPolicy { max_users: Some(7), ..made.clone() };
    let second = client.update_admission_policy(update(changed)).await.unwrap().into_inner();
    assert_eq!(refusal(client.update_admission_policy(update(made)).await).reason, "ETAG_MISMATCH");
    let found = client.get_admission_policy(get()).await.unwrap().into_inner();
    assert_eq!(found.admission_policy, second.admission_policy);
    let listed = client.list_admission_policies(proto::ListAdmissionPoliciesRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().admission_policies.len(), 1);
    let elsewhere = proto::AdmissionPolicy {
        primary_mc_system_id: "charlie.example".to_owned(),
        ..policy(proto::AdmissionMode::Manual)
    };
    let refused = refusal(client.update_admission_policy(update(elsewhere)).await);
    assert_eq!(refused.reason, "AGREEMENT_UNKNOWN");
}

async fn visitors_with_the_same_name_get_different_identities(systems: Systems) {
    systems.bravo.admit(policy(proto::AdmissionMode::Automatic)).await;
    // Both are readable as "alice" only.
    let named = |mc_id: &str, impi: &str| proto::UserToMigrate {
        mc_id: mc_id.to_owned(),
        primary_identities: Some(identities(impi, "alpha.example")),
        ..Default::default()
    };
    let users = vec![named("one@alpha.example", "ALICE"), named("two@alpha.example", "alice")];
    let request_id = systems.request_users(users).await;
    systems.wait(&request_id, State::InForce, State::InForce).await;
    let listed = systems.alpha.list(&request_id).await;
    let impis: Vec<String> = listed
        .iter()
        .map(|migration| migration.grant.clone().unwrap().visitor_identities.unwrap().impi)
        .collect();
    // Which of the two comes first is not said.
    let plain = "alice.alpha-example@visitors.bravo.example";
    assert_eq!(impis.iter().filter(|impi| *impi == plain).count(), 1, "{impis:?}");
    assert!(impis.iter().all(|impi| impi.starts_with("alice.alpha-example")), "{impis:?}");

    // Whoever comes again gets nobody else's identities, and the plain ones if they were hers.
    systems.alpha.revoke(of_request(&request_id)).await;
    systems.wait(&request_id, State::Revoked, State::Revoked).await;
    for (own, other, mc_id, impi) in
        [(1, 0, "two@alpha.example", "alice"), (0, 1, "one@alpha.example", "ALICE")]
    {
        let request_id = systems.request_users(vec![named(mc_id, impi)]).await;
        systems.wait(&request_id, State::InForce, State::InForce).await;
        let again = systems.alpha.list(&request_id).await[0].grant.clone().unwrap();
        let again = again.visitor_identities.unwrap().impi;
        assert_ne!(again, impis[other]);
        assert!(impis[own] != plain || again == plain, "{again}");
    }
}

async fn user_with_a_binding_made_by_hand_is_refused(systems: Systems) {
    let binding = proto::Binding {
        partner_identities: Some(identities("alice", "visitors.bravo.example")),
        primary_identities: Some(identities("alice", "alpha.example")),
        primary_mc_system_id: "alpha.example".to_owned(),
        ..Default::default()
    };
    let request = proto::CreateBindingRequest { binding: Some(binding), ..Default::default() };
    systems.bravo.bindings().create_binding(request).await.unwrap();
    let request_id = systems.request(&["alice"]).await;
    systems.wait(&request_id, State::Refused, State::Refused).await;
    let refused = &systems.alpha.list(&request_id).await[0];
    assert_eq!(refused.reason(), proto::ErrorReason::IdentityTaken);
}
