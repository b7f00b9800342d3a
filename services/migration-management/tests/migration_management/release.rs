//! What a partner is answered, and what is recorded of it, while the SIP database is away.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_types::Entity;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{System, fields, identities, on_every_database, refusal};

on_every_database!(
    release_that_cannot_be_done_is_recorded_before_and_after,
    refusals_are_recorded_with_their_reason_and_the_certificate,
    malformed_request_is_refused_with_every_field_at_once,
    only_a_partners_migration_management_is_answered,
    lines_of_the_audit_trail_name_no_user,
);

fn ask(user: &str) -> proto::FederationServiceGetSipAuthenticationInformationRequest {
    proto::FederationServiceGetSipAuthenticationInformationRequest {
        transaction_id: Uuid::new_v4().to_string(),
        primary_identities: Some(identities(user, "bravo.example")),
        partner_impi: format!("{user}.bravo@visitors.alpha.example"),
        ..Default::default()
    }
}

async fn permit(system: &System, user: &str) {
    let permit = proto::MigrationPermit {
        primary_impi: format!("{user}@bravo.example"),
        partner_mc_system_id: "alpha.example".to_owned(),
        partner_identities: Some(identities(&format!("{user}.bravo"), "visitors.alpha.example")),
        ..Default::default()
    };
    let request = proto::CreatePermitRequest { permit: Some(permit), ..Default::default() };
    system.permits().create_permit(request).await.unwrap();
}

async fn release_that_cannot_be_done_is_recorded_before_and_after(system: System) {
    system.agree().await;
    permit(&system, "alice").await;
    let request = ask("alice");
    let refused = refusal(system.as_neighbour().get_sip_authentication_information(request.clone()).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, "SIP_DATABASE_UNREACHABLE"));
    assert!(refused.retry_after.is_some());
    assert_eq!(refused.metadata.get("hop").map(String::as_str), Some("bravo.example/sip-database"));

    let records = system.audit_records().await;
    let decisions: Vec<_> = records.iter().map(|record| (record.decision(), record.reason())).collect();
    assert_eq!(
        decisions,
        [
            (proto::AuditDecision::Failed, proto::ErrorReason::SipDatabaseUnreachable),
            (proto::AuditDecision::Released, proto::ErrorReason::Unspecified),
        ]
    );
    for record in &records {
        assert_eq!(record.transaction_id, request.transaction_id);
        assert_eq!(record.peer_mc_system_id, "alpha.example");
        assert_eq!(record.primary_impi, "alice@bravo.example");
        assert_eq!(record.peer_certificate_sha256.len(), 64);
    }
}

async fn refusals_are_recorded_with_their_reason_and_the_certificate(system: System) {
    system.agree().await;
    permit(&system, "alice").await;
    let other_visitor = proto::FederationServiceGetSipAuthenticationInformationRequest {
        partner_impi: "mallory@visitors.alpha.example".to_owned(),
        ..ask("alice")
    };
    let greedy =
        proto::FederationServiceGetSipAuthenticationInformationRequest { vector_count: 2, ..ask("alice") };
    let cases = [
        (ask("bob"), Code::PermissionDenied, proto::ErrorReason::MigrationNotPermitted),
        (other_visitor, Code::PermissionDenied, proto::ErrorReason::MigrationNotPermitted),
        (greedy, Code::InvalidArgument, proto::ErrorReason::VectorCountExceeded),
    ];
    for (request, code, reason) in cases {
        let refused = refusal(system.as_neighbour().get_sip_authentication_information(request).await);
        assert_eq!(refused.code, code);
        assert_eq!(format!("ERROR_REASON_{}", refused.reason), reason.as_str_name());
        let latest = system.audit_records().await.remove(0);
        assert_eq!((latest.decision(), latest.reason()), (proto::AuditDecision::Refused, reason));
        assert_eq!((latest.vector_count, latest.role()), (0, proto::AuditRole::Primary));
    }
}

async fn malformed_request_is_refused_with_every_field_at_once(system: System) {
    system.agree().await;
    let broken = proto::FederationServiceGetSipAuthenticationInformationRequest {
        transaction_id: "seven".to_owned(),
        partner_impi: String::new(),
        scheme: 99,
        ..Default::default()
    };
    let outcome = system.as_neighbour().get_sip_authentication_information(broken).await;
    assert_eq!(fields(outcome), ["transaction_id", "primary_identities", "partner_impi", "scheme"]);
}

async fn only_a_partners_migration_management_is_answered(system: System) {
    system.agree().await;
    permit(&system, "alice").await;
    let sip_core = system.neighbour.entity(Entity::SipCore);
    let channel = system.own.channel(sip_core, Entity::MigrationManagement, system.peer);
    let refused =
        refusal(FederationServiceClient::new(channel).get_sip_authentication_information(ask("alice")).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::PermissionDenied, "METHOD_NOT_ALLOWED"));
    assert!(system.audit_records().await.is_empty());
}

async fn lines_of_the_audit_trail_name_no_user(system: System) {
    system.agree().await;
    for _ in 0..2 {
        refusal(system.as_neighbour().get_sip_authentication_information(ask("alice")).await);
    }
    let lines = std::fs::read_to_string(system.audit_lines()).unwrap();
    assert!(!lines.contains("alice"), "{lines}");
    let pseudonyms: Vec<String> = lines
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["decision"], "REFUSED");
            record["user_pseudonym"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(pseudonyms.len(), 2);
    assert_eq!(pseudonyms[0], pseudonyms[1]);
    assert_eq!(pseudonyms[0].len(), 32);
}
