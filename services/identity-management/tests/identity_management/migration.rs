//! Users who migrate, as migration management provisions them.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::migration_identity_service_client::MigrationIdentityServiceClient;
use mcx_types::Entity;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{
    Engine, SCOPES, System, fields, identities, on_every_database, reason, refusal, trust_in,
};

on_every_database!(
    visitor_is_mapped_changed_and_removed,
    malformed_visitors_are_refused_with_every_field_at_once,
    visitor_needs_a_trusted_primary,
    identities_of_visitors_are_taken_by_nobody_else,
    batch_is_done_in_whole_or_not_at_all,
    trust_that_maps_visitors_stays,
    exchange_target_needs_an_account,
    only_migration_management_maps_visitors,
);

/// A visitor of `bravo.example`.
fn visitor(issuer: &str, name: &str) -> proto::Visitor {
    proto::Visitor {
        migration_id: Uuid::new_v4().to_string(),
        primary_mc_system_id: "bravo.example".to_owned(),
        primary_issuer: issuer.to_owned(),
        primary_subject: format!("subject-of-{name}"),
        mc_service_identities: identities(&format!("visitor-{name}"), "alpha.example"),
        scopes: SCOPES[..2].iter().map(|&scope| scope.to_owned()).collect(),
        valid_until: None,
    }
}

fn put(visitors: &[proto::Visitor]) -> proto::PutVisitorsRequest {
    proto::PutVisitorsRequest { visitors: visitors.to_vec() }
}

/// Trusts `bravo.example`; its issuer.
async fn trusting(system: &System) -> String {
    let bravo = trust_in(&System::named("bravo.example", Engine::Sqlite).await).await;
    let issuer = bravo.issuer.clone();
    let request = proto::PutPartnerTrustRequest { partner_trust: Some(bravo), ..Default::default() };
    system.partner_trusts().put_partner_trust(request).await.unwrap();
    issuer
}

async fn mapped(system: &System, visitors: &[proto::Visitor]) -> Vec<String> {
    let answer = system.migrations().put_visitors(put(visitors)).await.unwrap().into_inner();
    answer.mapped_visitors.into_iter().map(|visitor| visitor.subject).collect()
}

async fn visitor_is_mapped_changed_and_removed(system: System) {
    let issuer = trusting(&system).await;
    let eve = visitor(&issuer, "eve");
    let first = mapped(&system, std::slice::from_ref(&eve)).await;
    assert_eq!(mapped(&system, std::slice::from_ref(&eve)).await, first);
    let mut fewer = eve.clone();
    fewer.mc_service_identities.pop();
    assert_eq!(mapped(&system, &[fewer]).await, first);

    let delete = proto::DeleteVisitorsRequest {
        migration_ids: vec![eve.migration_id.clone(), Uuid::new_v4().to_string()],
    };
    let mut client = system.migrations();
    assert_eq!(client.delete_visitors(delete.clone()).await.unwrap().into_inner().deleted_count, 1);
    assert_eq!(client.delete_visitors(delete).await.unwrap().into_inner().deleted_count, 0);
    // She is the same when she comes again.
    let again = proto::Visitor { migration_id: Uuid::new_v4().to_string(), ..eve };
    assert_eq!(mapped(&system, &[again]).await, first);
}

async fn malformed_visitors_are_refused_with_every_field_at_once(system: System) {
    let good = visitor("https://idms.bravo.example", "eve");
    let broken = proto::Visitor {
        migration_id: good.migration_id.clone(),
        primary_mc_system_id: "alpha.example".to_owned(),
        valid_until: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(
        fields(system.migrations().put_visitors(put(&[good, broken])).await),
        [
            "visitors[1].migration_id",
            "visitors[1].primary_mc_system_id",
            "visitors[1].primary_issuer",
            "visitors[1].primary_subject",
            "visitors[1].mc_service_identities",
            "visitors[1].scopes",
            "visitors[1].valid_until",
        ]
    );
    assert_eq!(fields(system.migrations().put_visitors(put(&[])).await), ["visitors"]);
    let many: Vec<proto::Visitor> = (0..501).map(|_| visitor("https://idms.bravo.example", "eve")).collect();
    assert_eq!(fields(system.migrations().put_visitors(put(&many)).await), ["visitors"]);
    let ids = proto::DeleteVisitorsRequest { migration_ids: vec!["1".to_owned()] };
    assert_eq!(fields(system.migrations().delete_visitors(ids).await), ["migration_ids[0]"]);
}

async fn visitor_needs_a_trusted_primary(system: System) {
    let unknown =
        refusal(system.migrations().put_visitors(put(&[visitor("https://idms.bravo.example", "eve")])).await);
    assert_eq!((unknown.code, unknown.reason.as_str()), (Code::FailedPrecondition, "PARTNER_TRUST_UNKNOWN"));
    let issuer = trusting(&system).await;
    let other_issuer =
        refusal(system.migrations().put_visitors(put(&[visitor("https://other.example", "eve")])).await);
    assert_eq!(
        (other_issuer.reason.as_str(), other_issuer.metadata["mismatch"].as_str()),
        ("PARTNER_TRUST_MISMATCH", "issuer")
    );
    let mut more = visitor(&issuer, "eve");
    more.scopes.push("3gpp:mc:key_management_service".to_owned());
    let more = refusal(system.migrations().put_visitors(put(&[more])).await);
    assert_eq!(more.metadata["mismatch"], "scopes");
}

async fn identities_of_visitors_are_taken_by_nobody_else(system: System) {
    let issuer = trusting(&system).await;
    system.user("alice").await;
    let as_alice = proto::Visitor {
        mc_service_identities: identities("alice", "alpha.example"),
        ..visitor(&issuer, "eve")
    };
    let taken = refusal(system.migrations().put_visitors(put(&[as_alice])).await);
    assert_eq!(
        (taken.reason.as_str(), taken.metadata["mc_service_id"].as_str()),
        ("IDENTITY_TAKEN", "sip:alice@alpha.example")
    );
    mapped(&system, &[visitor(&issuer, "eve")]).await;
    let second_migration = refusal(system.migrations().put_visitors(put(&[visitor(&issuer, "eve")])).await);
    assert_eq!(second_migration.metadata["constraint"], "visitor_subject_key");
    let as_eve = proto::Account {
        mc_service_identities: identities("visitor-eve", "alpha.example"),
        ..system.account("bob")
    };
    let request = proto::CreateAccountRequest { account: Some(as_eve), ..Default::default() };
    assert_eq!(reason(system.accounts().create_account(request).await), "IDENTITY_TAKEN");
}

async fn batch_is_done_in_whole_or_not_at_all(system: System) {
    let issuer = trusting(&system).await;
    let (eve, mallory) = (visitor(&issuer, "eve"), visitor("https://other.example", "mallory"));
    assert_eq!(
        reason(system.migrations().put_visitors(put(&[eve.clone(), mallory])).await),
        "PARTNER_TRUST_MISMATCH"
    );
    let delete = proto::DeleteVisitorsRequest { migration_ids: vec![eve.migration_id] };
    assert_eq!(system.migrations().delete_visitors(delete).await.unwrap().into_inner().deleted_count, 0);
}

async fn trust_that_maps_visitors_stays(system: System) {
    let issuer = trusting(&system).await;
    let eve = visitor(&issuer, "eve");
    mapped(&system, std::slice::from_ref(&eve)).await;
    let delete =
        proto::DeletePartnerTrustRequest { mc_system_id: "bravo.example".to_owned(), ..Default::default() };
    assert_eq!(
        reason(system.partner_trusts().delete_partner_trust(delete.clone()).await),
        "PARTNER_TRUST_IN_USE"
    );
    let get = proto::GetPartnerTrustRequest { mc_system_id: "bravo.example".to_owned() };
    let mut trust =
        system.partner_trusts().get_partner_trust(get).await.unwrap().into_inner().partner_trust.unwrap();
    trust.issuer = "https://other.example".to_owned();
    let moved = proto::PutPartnerTrustRequest { partner_trust: Some(trust), ..Default::default() };
    assert_eq!(reason(system.partner_trusts().put_partner_trust(moved).await), "PARTNER_TRUST_IN_USE");
    let gone = proto::DeleteVisitorsRequest { migration_ids: vec![eve.migration_id] };
    system.migrations().delete_visitors(gone).await.unwrap();
    system.partner_trusts().delete_partner_trust(delete).await.unwrap();
}

async fn exchange_target_needs_an_account(system: System) {
    let alice = system.user("alice").await;
    let target = |subject: &str| proto::ExchangeTarget {
        migration_id: Uuid::new_v4().to_string(),
        subject: subject.to_owned(),
        partner_mc_system_id: "bravo.example".to_owned(),
        resource: "https://idms.bravo.example/token".to_owned(),
        valid_until: None,
    };
    let put =
        |targets: &[proto::ExchangeTarget]| proto::PutExchangeTargetsRequest { targets: targets.to_vec() };
    let mut client = system.migrations();
    let unknown = refusal(client.put_exchange_targets(put(&[target("nobody")])).await);
    assert_eq!((unknown.code, unknown.metadata["subject"].as_str()), (Code::FailedPrecondition, "nobody"));
    let good = target(&alice.subject);
    for _ in 0..2 {
        client.put_exchange_targets(put(std::slice::from_ref(&good))).await.unwrap();
    }
    let broken =
        proto::ExchangeTarget { partner_mc_system_id: "alpha.example".to_owned(), ..Default::default() };
    assert_eq!(
        fields(client.put_exchange_targets(put(&[broken])).await),
        [
            "targets[0].migration_id",
            "targets[0].subject",
            "targets[0].partner_mc_system_id",
            "targets[0].resource"
        ]
    );
    let delete = proto::DeleteExchangeTargetsRequest { migration_ids: vec![good.migration_id] };
    assert_eq!(client.delete_exchange_targets(delete.clone()).await.unwrap().into_inner().deleted_count, 1);
    assert_eq!(client.delete_exchange_targets(delete).await.unwrap().into_inner().deleted_count, 0);
}

async fn only_migration_management_maps_visitors(system: System) {
    for entity in [Entity::McService, Entity::ConfigurationManagement] {
        let mut client = MigrationIdentityServiceClient::new(system.channel(entity));
        let refused =
            refusal(client.put_visitors(put(&[visitor("https://idms.bravo.example", "eve")])).await);
        assert_eq!(refused.code, Code::PermissionDenied, "{entity}");
    }
}
