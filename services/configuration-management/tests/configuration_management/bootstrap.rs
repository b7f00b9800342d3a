//! The bootstrap of factory-new UEs.

use mcx_proto::configuration::v1 as proto;
use mcx_types::{Clock, SystemClock};
use std::time::Duration;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{System, fields, on_every_database, reason, refusal};
use crate::samples::initial_ue_configuration;

on_every_database!(crate::fixture::System:
    enrolment_code_is_good_once,
    request_that_used_a_code_is_answered_again_after_its_answer_was_lost,
    whatever_is_wrong_with_a_code_is_told_the_same,
    too_many_attempts_of_a_ue_are_shed_whatever_the_code,
    enrolment_is_checked_listed_and_removed,
);

const UE: &str = "urn:uuid:00000000-0000-0000-0000-000000000001";

fn bootstrap(ue_id: &str, code: &str) -> proto::BootstrapServiceGetInitialUeConfigurationRequest {
    proto::BootstrapServiceGetInitialUeConfigurationRequest {
        ue_id: ue_id.to_owned(),
        enrolment_code: code.to_owned(),
        request_id: String::new(),
    }
}

async fn enrol(system: &System, ue_id: &str) -> String {
    let request = proto::CreateUeEnrolmentRequest { ue_id: ue_id.to_owned(), expire_time: None };
    system.initial().create_ue_enrolment(request).await.unwrap().into_inner().enrolment_code
}

async fn write_configuration(system: &System) {
    let document = proto::InitialUeConfigurationDocument {
        initial_ue_configuration: Some(initial_ue_configuration(&system.own)),
        ..Default::default()
    };
    let request =
        proto::UpdateInitialUeConfigurationRequest { document: Some(document), ..Default::default() };
    system.initial().update_initial_ue_configuration(request).await.unwrap();
}

async fn states(system: &System) -> Vec<(String, proto::UeEnrolmentState)> {
    let listed =
        system.initial().list_ue_enrolments(proto::ListUeEnrolmentsRequest::default()).await.unwrap();
    listed.into_inner().ue_enrolments.iter().map(|it| (it.ue_id.clone(), it.state())).collect()
}

async fn enrolment_code_is_good_once(system: System) {
    let code = enrol(&system, UE).await;
    let mut client = system.bootstrap();
    // Nobody has written what the UE is to get: the code is kept for later.
    let refused = client.get_initial_ue_configuration(bootstrap(UE, &code)).await;
    assert_eq!(reason(refused), "INITIAL_UE_CONFIGURATION_UNKNOWN");
    write_configuration(&system).await;
    let typed = code.to_lowercase().replace('-', " ");
    let answer = client.get_initial_ue_configuration(bootstrap(UE, &typed)).await.unwrap().into_inner();
    assert_eq!(answer.initial_ue_configuration, Some(initial_ue_configuration(&system.own)));
    let refused = refusal(client.get_initial_ue_configuration(bootstrap(UE, &code)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::Unauthenticated, "UE_ENROLMENT_REFUSED"));
    assert_eq!(states(&system).await, [(UE.to_owned(), proto::UeEnrolmentState::Used)]);
}

async fn request_that_used_a_code_is_answered_again_after_its_answer_was_lost(system: System) {
    write_configuration(&system).await;
    let code = enrol(&system, UE).await;
    let mut client = system.bootstrap();
    let request = |code: &str, id: u128| proto::BootstrapServiceGetInitialUeConfigurationRequest {
        request_id: Uuid::from_u128(id).to_string(),
        ..bootstrap(UE, code)
    };
    for _ in 0..2 {
        let answer = client.get_initial_ue_configuration(request(&code, 1)).await.unwrap().into_inner();
        assert_eq!(answer.initial_ue_configuration, Some(initial_ue_configuration(&system.own)));
    }
    for another in [request(&code, 2), bootstrap(UE, &code), request("WRONG", 1)] {
        assert_eq!(reason(client.get_initial_ue_configuration(another).await), "UE_ENROLMENT_REFUSED");
    }
    let fresh = enrol(&system, UE).await;
    let refused = client.get_initial_ue_configuration(request(&code, 1)).await;
    assert_eq!(reason(refused), "UE_ENROLMENT_REFUSED", "a new code voids the old one, repeated or not");
    client
        .get_initial_ue_configuration(request(&fresh, 1))
        .await
        .expect("a new code, whatever the id was used for");
}

async fn whatever_is_wrong_with_a_code_is_told_the_same(system: System) {
    write_configuration(&system).await;
    let void = enrol(&system, UE).await;
    let code = enrol(&system, UE).await;
    let mut client = system.bootstrap();
    let mut told = Vec::new();
    for (ue_id, code) in [(UE, "WRONG"), (UE, &void), ("urn:uuid:stranger", &code)] {
        let refused = client.get_initial_ue_configuration(bootstrap(ue_id, code)).await.unwrap_err();
        told.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
    }
    assert!(told.iter().all(|refused| *refused == told[0]), "{told:?}");
    let listed = system.initial().list_ue_enrolments(proto::ListUeEnrolmentsRequest::default()).await;
    assert_eq!(
        listed.unwrap().into_inner().ue_enrolments[0].failure_count,
        2,
        "operators see that somebody tries"
    );
    client.get_initial_ue_configuration(bootstrap(UE, &code)).await.unwrap();
}

async fn too_many_attempts_of_a_ue_are_shed_whatever_the_code(system: System) {
    let code = enrol(&system, UE).await;
    let mut client = system.bootstrap();
    for _ in 0..10 {
        let refused = client.get_initial_ue_configuration(bootstrap(UE, "WRONG")).await;
        assert_eq!(reason(refused), "UE_ENROLMENT_REFUSED");
    }
    let refused = refusal(client.get_initial_ue_configuration(bootstrap(UE, &code)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!(refused.metadata["limit"], "bootstraps_per_ue_per_minute");
    assert!(refused.retry_after.is_some());
}

async fn enrolment_is_checked_listed_and_removed(system: System) {
    let create =
        |ue_id: &str, expire_time| proto::CreateUeEnrolmentRequest { ue_id: ue_id.to_owned(), expire_time };
    let mut client = system.initial();
    assert_eq!(fields(client.create_ue_enrolment(create("serial 7", None)).await), ["ue_id"]);
    let past = SystemClock.now().into();
    assert_eq!(fields(client.create_ue_enrolment(create(UE, Some(past))).await), ["expire_time"]);
    let far = SystemClock.now().saturating_add(Duration::from_secs(100 * 24 * 3_600)).into();
    assert_eq!(fields(client.create_ue_enrolment(create(UE, Some(far))).await), ["expire_time"]);
    enrol(&system, UE).await;
    enrol(&system, "urn:uuid:other").await;
    let issued = proto::UeEnrolmentState::Issued;
    assert_eq!(states(&system).await, [(UE.to_owned(), issued), ("urn:uuid:other".to_owned(), issued)]);
    let delete = || proto::DeleteUeEnrolmentRequest { ue_id: UE.to_owned() };
    client.delete_ue_enrolment(delete()).await.unwrap();
    assert_eq!(reason(client.delete_ue_enrolment(delete()).await), "UE_ENROLMENT_UNKNOWN");
    let malformed = proto::BootstrapServiceGetInitialUeConfigurationRequest {
        request_id: "7".to_owned(),
        ..bootstrap("", "")
    };
    let told = fields(system.bootstrap().get_initial_ue_configuration(malformed).await);
    assert_eq!(told, ["ue_id", "enrolment_code", "request_id"]);
}
