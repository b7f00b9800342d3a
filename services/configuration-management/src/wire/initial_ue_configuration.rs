//! The initial UE configuration and the access information for partners, TS 23.280 annex A.6.

use std::collections::HashSet;

use mcx_federation::PeerEndpoint;
use mcx_proto::types::v1 as types;
use mcx_types::{McSystemId, ProfileIndex, Realm, Violations};

use super::{list, service_user, text};

const PDN_LIMIT: usize = 100;
const SIP_CORE_LIMIT: usize = 16;
const TRUST_BUNDLE_BYTES: usize = 64 * 1024;
const SCOPE_LIMIT: usize = 32;

/// Checks an initial UE configuration of this MC system.
pub(crate) fn check(
    violations: &mut Violations,
    field: &str,
    configuration: Option<&types::InitialUeConfiguration>,
    system: &McSystemId,
) -> Option<types::InitialUeConfiguration> {
    let configuration = violations.require(field, configuration)?;
    let before = violations.as_slice().len();
    let id: Option<McSystemId> =
        violations.parse(format!("{field}.mc_system_id"), &configuration.mc_system_id);
    if id.is_some_and(|id| id != *system) {
        violations.add(format!("{field}.mc_system_id"), format_args!("must be {system}"));
    }
    check_pdn(violations, &format!("{field}.pdn_connectivity"), &configuration.pdn_connectivity);
    let servers = format!("{field}.servers");
    if let Some(addresses) = violations.require(servers.as_str(), configuration.servers.as_ref()) {
        check_servers(violations, &servers, addresses);
    }
    if let Some(profile) = &configuration.default_user_profile {
        let path = format!("{field}.default_user_profile");
        service_user(violations, &format!("{path}.identity"), profile.identity.as_ref());
        let index = ProfileIndex::try_from(profile.user_profile_index);
        violations.accept(format!("{path}.user_profile_index"), index);
    }
    check_trust_bundle(violations, &format!("{field}.trust_bundle_pem"), &configuration.trust_bundle_pem);
    (violations.as_slice().len() == before).then(|| configuration.clone())
}

/// Checks the access information for a partner.
pub(crate) fn check_access(
    violations: &mut Violations,
    field: &str,
    information: Option<&types::AccessInformation>,
    partner: &McSystemId,
) -> Option<types::AccessInformation> {
    let information = violations.require(field, information)?;
    let before = violations.as_slice().len();
    let initial = format!("{field}.initial_ue_configuration");
    check(violations, &initial, information.initial_ue_configuration.as_ref(), partner);
    violations.sip_identities(&format!("{field}.visitor_identities"), information.visitor_identities.clone());
    violations
        .mc_service_identities(&format!("{field}.mc_service_identities"), &information.mc_service_identities);
    let scopes = format!("{field}.scopes");
    list(violations, &scopes, &information.scopes, SCOPE_LIMIT, |violations, path, scope| {
        text(violations, path, scope, 1..=128)
    });
    (violations.as_slice().len() == before).then(|| information.clone())
}

fn check_pdn(violations: &mut Violations, field: &str, entries: &[types::PdnConnectivity]) {
    if entries.len() > PDN_LIMIT {
        violations.add(field, format_args!("must hold at most {PDN_LIMIT}"));
        return;
    }
    let mut seen = HashSet::new();
    for (at, entry) in entries.iter().enumerate() {
        let path = format!("{field}[{at}]");
        plmn(violations, &format!("{path}.hplmn_id"), &entry.hplmn_id);
        if !entry.vplmn_id.is_empty() {
            plmn(violations, &format!("{path}.vplmn_id"), &entry.vplmn_id);
        }
        if !seen.insert((&entry.hplmn_id, &entry.vplmn_id)) {
            violations.add(path.as_str(), "must not repeat the plmns of another entry");
        }
        let networks = [
            ("mc_services", &entry.mc_services),
            ("mc_common_core_services", &entry.mc_common_core_services),
            ("mc_identity_management_service", &entry.mc_identity_management_service),
        ];
        for (name, network) in networks {
            check_network(violations, &format!("{path}.{name}"), network.as_ref());
        }
    }
}

/// Decodes a PLMN identifier: MCC and MNC, 5 or 6 digits (TS 23.003 12.1).
pub(crate) fn plmn(violations: &mut Violations, field: &str, text: &str) -> Option<String> {
    if !matches!(text.len(), 5 | 6) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        violations.add(field, "must be 5 or 6 digits: mcc and mnc");
        return None;
    }
    Some(text.to_owned())
}

fn check_network(violations: &mut Violations, field: &str, network: Option<&types::PacketDataNetwork>) {
    let Some(network) = violations.require(field, network) else { return };
    text(violations, format!("{field}.access_point_name"), &network.access_point_name, 1..=100);
    check_ip_version(violations, &format!("{field}.ip_version"), network.ip_version);
}

pub(crate) fn check_ip_version(violations: &mut Violations, field: &str, version: i32) {
    if matches!(types::IpVersion::try_from(version), Err(_) | Ok(types::IpVersion::Unspecified)) {
        violations.add(field, "must be one of IPV4, IPV6, IPV4_IPV6");
    }
}

fn check_servers(violations: &mut Violations, field: &str, servers: &types::ServerAddresses) {
    let cores = format!("{field}.sip_core");
    if servers.sip_core.is_empty() || servers.sip_core.len() > SIP_CORE_LIMIT {
        violations.add(cores.as_str(), format_args!("must hold 1 to {SIP_CORE_LIMIT}"));
    }
    for (at, core) in servers.sip_core.iter().enumerate().take(SIP_CORE_LIMIT) {
        let transport = types::SipTransport::try_from(core.transport);
        if matches!(transport, Err(_) | Ok(types::SipTransport::Unspecified)) {
            violations.add(format!("{cores}[{at}].transport"), "must be one of UDP, TCP, TLS");
        }
        violations.parse::<PeerEndpoint>(format!("{cores}[{at}].address"), &core.address);
    }
    violations.parse::<Realm>(format!("{field}.sip_realm"), &servers.sip_realm);
    for (name, url) in [
        ("identity_management_issuer", &servers.identity_management_issuer),
        ("identity_management_token_endpoint", &servers.identity_management_token_endpoint),
    ] {
        if !is_https_url(url) {
            violations.add(format!("{field}.{name}"), "must be an https url of at most 253 bytes");
        }
    }
    text(violations, format!("{field}.oauth_client_id"), &servers.oauth_client_id, 1..=128);
    for (name, address) in [
        ("configuration_management", &servers.configuration_management),
        ("group_management", &servers.group_management),
        ("functional_alias_management", &servers.functional_alias_management),
        ("mc_service", &servers.mc_service),
    ] {
        violations.parse::<PeerEndpoint>(format!("{field}.{name}"), address);
    }
    text(violations, format!("{field}.kms_uri"), &servers.kms_uri, 0..=253);
}

fn is_https_url(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    url.len() <= 253
        && url.bytes().all(|byte| byte.is_ascii_graphic())
        && host.is_some_and(|host| !host.is_empty() && !host.contains(['@', '?', '#']))
}

fn check_trust_bundle(violations: &mut Violations, field: &str, pem: &str) {
    if pem.len() > TRUST_BUNDLE_BYTES {
        violations.add(field, "must be at most 64 KiB");
        return;
    }
    violations.accept(field, mcx_federation::TrustBundle::from_pem(pem.as_bytes()));
}
