//! Documents as tests write them.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::types::v1 as types;
use mcx_testkit::TrustDomain;
use mcx_types::McServiceId;

use crate::fixture::{MIGRATION, System};

pub(crate) fn alice_as_visitor() -> proto::Visitor {
    proto::Visitor {
        migration_id: MIGRATION.to_string(),
        primary_mc_system_id: "alpha.example".to_owned(),
        identities: vec![types::MigratedServiceIdentity {
            mc_service: types::McService::Ptt.into(),
            primary_mc_service_id: "sip:alice@alpha.example".to_owned(),
            partner_mc_service_id: "sip:alice@bravo.example".to_owned(),
        }],
        valid_until: None,
    }
}

pub(crate) fn alice_as_target(bravo: &System) -> proto::UserMigrationTarget {
    proto::UserMigrationTarget {
        migration_id: MIGRATION.to_string(),
        partner_mc_system_id: "bravo.example".to_owned(),
        mc_service_identities: vec![identity("alice")],
        access_information: Some(access_information(&bravo.own)),
        selection: None,
    }
}

pub(crate) fn access_information(partner: &TrustDomain) -> types::AccessInformation {
    types::AccessInformation {
        initial_ue_configuration: Some(initial_ue_configuration(partner)),
        visitor_identities: Some(types::SipIdentities {
            impi: "alice@visitors.bravo.example".to_owned(),
            impus: vec!["sip:alice@visitors.bravo.example".to_owned()],
        }),
        mc_service_identities: vec![types::McServiceIdentity {
            mc_service: types::McService::Ptt.into(),
            mc_service_id: "sip:alice@bravo.example".to_owned(),
        }],
        scopes: vec!["3gpp:mc:ptt_service".to_owned()],
    }
}

pub(crate) fn initial_ue_configuration(system: &TrustDomain) -> types::InitialUeConfiguration {
    let id = system.mc_system_id();
    let network = |name: &str| {
        Some(types::PacketDataNetwork {
            access_point_name: name.to_owned(),
            ip_version: types::IpVersion::Ipv4.into(),
        })
    };
    types::InitialUeConfiguration {
        mc_system_id: id.to_string(),
        pdn_connectivity: vec![types::PdnConnectivity {
            hplmn_id: "26201".to_owned(),
            vplmn_id: String::new(),
            mc_services: network("mcs"),
            mc_common_core_services: network("common"),
            mc_identity_management_service: network("idms"),
        }],
        servers: Some(types::ServerAddresses {
            sip_core: vec![types::SipCoreAddress {
                transport: types::SipTransport::Tcp.into(),
                address: format!("sip.{id}:5060"),
            }],
            sip_realm: id.to_string(),
            identity_management_issuer: format!("https://idms.{id}"),
            identity_management_token_endpoint: format!("https://idms.{id}/token"),
            oauth_client_id: "crossband-ue".to_owned(),
            configuration_management: format!("cms.{id}:8443"),
            group_management: format!("gms.{id}:8443"),
            functional_alias_management: format!("fams.{id}:8443"),
            mc_service: format!("mcs.{id}:8443"),
            kms_uri: String::new(),
        }),
        default_user_profile: None,
        trust_bundle_pem: system.bundle_pem().to_owned(),
    }
}

pub(crate) fn user_id(name: &str, system: &str) -> McServiceId {
    format!("sip:{name}@{system}").parse().unwrap()
}

/// A user of Alpha in MCPTT.
pub(crate) fn identity(name: &str) -> types::McServiceIdentity {
    types::McServiceIdentity {
        mc_service: types::McService::Ptt.into(),
        mc_service_id: user_id(name, "alpha.example").to_string(),
    }
}

/// A profile of a user of Alpha: in two groups, to one of which she is affiliated by itself.
pub(crate) fn profile(name: &str, index: u32) -> proto::UserProfile {
    let group = |name: &str, implicit_affiliation| proto::ProfileGroup {
        mc_service_group_id: format!("sip:{name}@alpha.example"),
        mc_system_id: String::new(),
        implicit_affiliation,
    };
    proto::UserProfile {
        identity: Some(identity(name)),
        profile_index: index,
        profile_name: format!("duty {index}"),
        priority: 9,
        private_call: Some(proto::PrivateCallRights {
            policy: proto::PrivateCallPolicy::Any.into(),
            mc_service_ids: Vec::new(),
        }),
        groups: vec![group("rescue", true), group("fire", false)],
        max_affiliations: 4,
        functional_aliases: vec!["sip:commander@alpha.example".to_owned()],
        emergency_call_allowed: true,
        ..Default::default()
    }
}

/// Visitors of Alpha may do much at Bravo, yet not all.
pub(crate) fn policy() -> proto::VisitorPolicy {
    proto::VisitorPolicy {
        mc_system_id: "alpha.example".to_owned(),
        priority_ceiling: 5,
        max_affiliations: 4,
        group_admission: proto::VisitorGroupAdmission::Listed.into(),
        admitted_group_ids: vec!["sip:rescue@alpha.example".to_owned()],
        granted_group_ids: vec!["sip:border@bravo.example".to_owned()],
        private_call: Some(proto::PrivateCallRights {
            policy: proto::PrivateCallPolicy::None.into(),
            mc_service_ids: Vec::new(),
        }),
        emergency_call_allowed: true,
        ..Default::default()
    }
}

pub(crate) fn group_ids(profile: &proto::UserProfile) -> Vec<&str> {
    profile.groups.iter().map(|group| group.mc_service_group_id.as_str()).collect()
}
