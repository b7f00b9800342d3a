//! Configurations and policies.

use mcx_federation::PartnerTerms;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::types::v1 as types;
use mcx_testkit::TrustDomain;
use mcx_types::Entity;
use proto::initial_ue_configuration_service_client::InitialUeConfigurationServiceClient;
use tonic::Code;

use crate::fixture::{System, fields, on_every_database, reason, refusal};
use crate::samples::{initial_ue_configuration, policy};

on_every_database!(crate::fixture::System:
    initial_ue_configuration_is_one_per_system_and_is_checked,
    service_configuration_is_one_per_mc_service,
    ue_has_its_own_configuration_or_the_one_for_all,
    policy_for_visitors_grants_nothing_until_it_is_written,
    only_those_who_may_call_a_method_do,
);

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub(crate) fn service_configuration() -> proto::ServiceConfiguration {
    proto::ServiceConfiguration {
        mc_service: types::McService::Ptt.into(),
        priority_levels: 8,
        private_call: Some(proto::PrivateCallConfiguration {
            enabled: true,
            max_duration: seconds(600),
            answer_timeout: seconds(30),
        }),
        group_call: Some(proto::GroupCallConfiguration {
            max_duration: seconds(3_600),
            hang_time: seconds(10),
        }),
        emergency_call: Some(proto::EmergencyCallConfiguration {
            private_call_enabled: true,
            group_call_enabled: true,
            max_duration: seconds(3_600),
        }),
        max_transmit_duration: seconds(60),
        ..Default::default()
    }
}

pub(crate) fn ue_configuration(ue_id: &str) -> proto::UeConfiguration {
    proto::UeConfiguration {
        mc_service: types::McService::Ptt.into(),
        ue_id: ue_id.to_owned(),
        max_simultaneous_group_calls: 4,
        max_simultaneous_private_calls: 1,
        max_simultaneous_transmissions_in_group_call: 2,
        ip_version: types::IpVersion::Ipv6.into(),
        ..Default::default()
    }
}

async fn initial_ue_configuration_is_one_per_system_and_is_checked(system: System) {
    let mut client = system.initial();
    let get = proto::GetInitialUeConfigurationRequest {};
    assert_eq!(reason(client.get_initial_ue_configuration(get).await), "INITIAL_UE_CONFIGURATION_UNKNOWN");

    let good = initial_ue_configuration(&system.own);
    let update = |configuration: &types::InitialUeConfiguration, etag: &str| {
        let document = proto::InitialUeConfigurationDocument {
            initial_ue_configuration: Some(configuration.clone()),
            etag: etag.to_owned(),
            ..Default::default()
        };
        proto::UpdateInitialUeConfigurationRequest { document: Some(document), ..Default::default() }
    };
    let mut bad = good.clone();
    bad.mc_system_id = "bravo.example".to_owned();
    bad.trust_bundle_pem = "nonsense".to_owned();
    bad.pdn_connectivity[0].hplmn_id = "26x01".to_owned();
    bad.pdn_connectivity[0].mc_services = None;
    bad.default_user_profile = Some(types::DefaultUserProfile { identity: None, user_profile_index: 256 });
    let servers = bad.servers.as_mut().unwrap();
    servers.sip_core.clear();
    servers.identity_management_issuer = "http://idms.alpha.example".to_owned();
    servers.group_management = "gms".to_owned();
    assert_eq!(
        fields(client.update_initial_ue_configuration(update(&bad, "x")).await)
            .iter()
            .map(|field| field
                .trim_start_matches("document.")
                .trim_start_matches("initial_ue_configuration."))
            .collect::<Vec<_>>(),
        [
            "mc_system_id",
            "pdn_connectivity[0].hplmn_id",
            "pdn_connectivity[0].mc_services",
            "servers.sip_core",
            "servers.identity_management_issuer",
            "servers.group_management",
            "default_user_profile.identity",
            "default_user_profile.user_profile_index",
            "trust_bundle_pem",
            "etag",
        ]
    );

    let written = client.update_initial_ue_configuration(update(&good, "")).await.unwrap().into_inner();
    assert_eq!(written.document.as_ref().unwrap().version, 1);
    // Another first time is somebody else's last word overwritten.
    assert_eq!(reason(client.update_initial_ue_configuration(update(&good, "")).await), "ETAG_MISMATCH");
    assert_eq!(reason(client.update_initial_ue_configuration(update(&good, "2")).await), "ETAG_MISMATCH");
    client.update_initial_ue_configuration(update(&good, "1")).await.unwrap();
    assert_eq!(system.migration().initial_ue_configuration().await.unwrap(), good);
    let versions = proto::ListInitialUeConfigurationVersionsRequest::default();
    let versions =
        client.list_initial_ue_configuration_versions(versions).await.unwrap().into_inner().versions;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(versions[1].initial_ue_configuration, Some(good));
}

async fn service_configuration_is_one_per_mc_service(system: System) {
    let mut client = system.service_configurations();
    let get = proto::GetServiceConfigurationRequest { mc_service: types::McService::Ptt.into() };
    let refused = refusal(client.get_service_configuration(get).await);
    assert_eq!((refused.code, refused.reason.as_str()), (Code::NotFound, "SERVICE_CONFIGURATION_UNKNOWN"));
    assert_eq!(refused.metadata["mc_service"], "ptt");

    let update = |configuration| proto::UpdateServiceConfigurationRequest {
        service_configuration: Some(configuration),
        ..Default::default()
    };
    let bad = proto::ServiceConfiguration {
        mc_service: 0,
        priority_levels: 257,
        max_transmit_duration: seconds(0),
        group_call: None,
        ..service_configuration()
    };
    let told = fields(client.update_service_configuration(update(bad)).await);
    let expected = ["mc_service", "priority_levels", "group_call", "max_transmit_duration"];
    assert_eq!(told, expected.map(|field| format!("service_configuration.{field}")));

    let written = client.update_service_configuration(update(service_configuration())).await.unwrap();
    let written = written.into_inner().service_configuration.unwrap();
    assert_eq!(
        client.get_service_configuration(get).await.unwrap().into_inner().service_configuration,
        Some(written.clone())
    );
    let changed = proto::ServiceConfiguration { priority_levels: 4, ..written.clone() };
    client.update_service_configuration(update(changed)).await.unwrap();
    assert_eq!(reason(client.update_service_configuration(update(written)).await), "ETAG_MISMATCH");
    let versions = proto::ListServiceConfigurationVersionsRequest {
        mc_service: types::McService::Ptt.into(),
        ..Default::default()
    };
    let versions = client.list_service_configuration_versions(versions).await.unwrap().into_inner().versions;
    let levels: Vec<u32> = versions
        .iter()
        .map(|version| version.service_configuration.as_ref().unwrap().priority_levels)
        .collect();
    assert_eq!(levels, [4, 8]);

    let message = proto::ConfigurationServiceGetServiceConfigurationRequest {
        mc_service: types::McService::Ptt.into(),
    };
    let seen = system.ue().get_service_configuration(system.as_user("alice", message)).await.unwrap();
    assert_eq!(seen.into_inner().service_configuration.unwrap().priority_levels, 4);
}

async fn ue_has_its_own_configuration_or_the_one_for_all(system: System) {
    const UE: &str = "urn:uuid:00000000-0000-0000-0000-000000000001";
    let mut client = system.ue_configurations();
    let seen = async || {
        let message = proto::ConfigurationServiceGetUeConfigurationRequest {
            mc_service: types::McService::Ptt.into(),
            ue_id: UE.to_owned(),
        };
        let answer = system.ue().get_ue_configuration(system.as_user("alice", message)).await;
        answer.map(|answer| answer.into_inner().ue_configuration.unwrap())
    };
    assert_eq!(reason(seen().await), "UE_CONFIGURATION_UNKNOWN");
    let create = |ue_id: &str| proto::CreateUeConfigurationRequest {
        ue_configuration: Some(ue_configuration(ue_id)),
        ..Default::default()
    };
    let for_all =
        client.create_ue_configuration(create("")).await.unwrap().into_inner().ue_configuration.unwrap();
    assert_eq!(seen().await.unwrap(), for_all);
    let own =
        client.create_ue_configuration(create(UE)).await.unwrap().into_inner().ue_configuration.unwrap();
    assert_eq!(seen().await.unwrap(), own);
    assert_eq!(reason(client.create_ue_configuration(create(UE)).await), "UE_CONFIGURATION_EXISTS");

    let page = proto::ListUeConfigurationsRequest { page_size: 1, ..Default::default() };
    let first = client.list_ue_configurations(page.clone()).await.unwrap().into_inner();
    assert_eq!(first.ue_configurations, [for_all]);
    let page = proto::ListUeConfigurationsRequest { page_token: first.next_page_token, ..page };
    let second = client.list_ue_configurations(page).await.unwrap().into_inner();
    assert_eq!((second.ue_configurations, second.next_page_token.as_str()), (vec![own.clone()], ""));

    let update = |configuration| proto::UpdateUeConfigurationRequest {
        ue_configuration: Some(configuration),
        ..Default::default()
    };
    let changed = proto::UeConfiguration { relay_allowed: true, ..own.clone() };
    client.update_ue_configuration(update(changed)).await.unwrap();
    assert_eq!(reason(client.update_ue_configuration(update(own)).await), "ETAG_MISMATCH");
    let other = proto::UeConfiguration { etag: "1".to_owned(), ..ue_configuration("urn:uuid:other") };
    assert_eq!(reason(client.update_ue_configuration(update(other)).await), "UE_CONFIGURATION_UNKNOWN");
    let bad = proto::UeConfiguration {
        max_simultaneous_private_calls: 0,
        ip_version: 0,
        ..ue_configuration("serial 7")
    };
    let told = fields(client.update_ue_configuration(update(bad)).await);
    let expected = ["ue_id", "max_simultaneous_private_calls", "ip_version", "etag"];
    assert_eq!(told, expected.map(|field| format!("ue_configuration.{field}")));

    let delete = |etag: &str| proto::DeleteUeConfigurationRequest {
        mc_service: types::McService::Ptt.into(),
        ue_id: UE.to_owned(),
        etag: etag.to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(client.delete_ue_configuration(delete("1")).await), "ETAG_MISMATCH");
    client.delete_ue_configuration(delete("2")).await.unwrap();
    assert_eq!(reason(client.delete_ue_configuration(delete("")).await), "UE_CONFIGURATION_UNKNOWN");
    assert_eq!(seen().await.unwrap().ue_id, "");
    let get =
        proto::GetUeConfigurationRequest { mc_service: types::McService::Ptt.into(), ue_id: UE.to_owned() };
    assert_eq!(reason(client.get_ue_configuration(get).await), "UE_CONFIGURATION_UNKNOWN");
    let versions = proto::ListUeConfigurationVersionsRequest {
        mc_service: types::McService::Ptt.into(),
        ue_id: UE.to_owned(),
        ..Default::default()
    };
    let versions = client.list_ue_configuration_versions(versions).await.unwrap().into_inner().versions;
    let kept: Vec<bool> = versions.iter().map(|version| version.ue_configuration.is_some()).collect();
    assert_eq!(kept, [false, true, true]);
}

async fn policy_for_visitors_grants_nothing_until_it_is_written(system: System) {
    let mut client = system.policies();
    let get = || proto::GetVisitorPolicyRequest { mc_system_id: "bravo.example".to_owned() };
    let none = client.get_visitor_policy(get()).await.unwrap().into_inner().visitor_policy.unwrap();
    assert_eq!((none.etag.as_str(), none.priority_ceiling, none.max_affiliations), ("", 0, 0));
    assert_eq!(none.group_admission(), proto::VisitorGroupAdmission::None);
    assert!(!none.emergency_call_allowed);

    let update =
        |policy| proto::UpdateVisitorPolicyRequest { visitor_policy: Some(policy), ..Default::default() };
    let bad = proto::VisitorPolicy {
        mc_system_id: "charlie.example".to_owned(),
        priority_ceiling: 256,
        group_admission: proto::VisitorGroupAdmission::All.into(),
        private_call: None,
        ..policy()
    };
    let told = fields(client.update_visitor_policy(update(bad)).await);
    let expected = ["mc_system_id", "priority_ceiling", "admitted_group_ids", "private_call"];
    assert_eq!(told, expected.map(|field| format!("visitor_policy.{field}")));

    let good = proto::VisitorPolicy { mc_system_id: "bravo.example".to_owned(), ..policy() };
    let written = client.update_visitor_policy(update(good.clone())).await.unwrap().into_inner();
    assert_eq!(
        client.get_visitor_policy(get()).await.unwrap().into_inner().visitor_policy,
        written.visitor_policy
    );
    assert_eq!(reason(client.update_visitor_policy(update(good)).await), "ETAG_MISMATCH");
    let listed = client.list_visitor_policies(proto::ListVisitorPoliciesRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().visitor_policies, [written.visitor_policy.unwrap()]);
    let versions = proto::ListVisitorPolicyVersionsRequest {
        mc_system_id: "bravo.example".to_owned(),
        ..Default::default()
    };
    let versions = client.list_visitor_policy_versions(versions).await.unwrap().into_inner().versions;
    assert_eq!(versions.len(), 1);
}

async fn only_those_who_may_call_a_method_do(system: System) {
    let as_sip_core = system.as_entity(Entity::SipCore);
    let mut initial = InitialUeConfigurationServiceClient::new(as_sip_core.clone());
    let refused = initial.get_initial_ue_configuration(proto::GetInitialUeConfigurationRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let mut effective =
        proto::effective_profile_service_client::EffectiveProfileServiceClient::new(as_sip_core);
    let refused = effective.get_effective_profile(proto::GetEffectiveProfileRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    // Of a partner only its configuration management server.
    let charlie = TrustDomain::new("charlie.example");
    system.know(&[PartnerTerms {
        mc_system_id: charlie.mc_system_id().clone(),
        trust_bundle_pem: charlie.bundle_pem().to_owned(),
        ..system.terms()
    }]);
    let mut sharing = system.as_entity_of_partner(&charlie, Entity::GroupManagement);
    let refused = sharing.get_migration_profiles(proto::GetMigrationProfilesRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}
