//! What the operators of the two systems put into the application plane, as manifests that `crossband admin apply` would take too.
//!
//! The situation: crews of alpha.example help at an incident of bravo.example. Alice commands a crew of alpha, Bob and Chloe are in it,
//! Dora dispatches at bravo.

use anyhow::{Context, Result};
use mcx_federation::access_token::Scope;
use mcx_types::{Entity, McSystemId};
use serde_json::{Value, json};

use super::{PARTNER, PRIMARY, Reach, Scenario};
use crate::admin::{Applied, Catalogue, Manifest, OperatorClient, apply};

/// The OAuth client that UEs are, at both systems.
pub const OAUTH_CLIENT: &str = "crossband-ue";

/// The loopback address to which the login sends a UE back; any port of it will do (RFC 8252 7.3).
pub const REDIRECT_URI: &str = "http://127.0.0.1/authorized";

/// The password of every demo user; it protects nobody.
pub const PASSWORD: &str = "demonstration-only";

/// The users of the primary who have an account.
pub const CREW: [&str; 3] = ["alice", "bob", "chloe"];

/// The dispatcher of the partner.
pub const DISPATCHER: &str = "dora";

/// The group of alice's crew, which travels with her.
pub const CREW_GROUP: &str = "sip:crew-7@alpha.example";

/// A group of the primary that stays at home.
pub const HOME_GROUP: &str = "sip:station-1@alpha.example";

/// The group of the incident, into which the partner takes visitors.
pub const INCIDENT_GROUP: &str = "sip:incident@bravo.example";

/// The functional alias that the partner lets visitors activate.
pub const SECTION_LEADER: &str = "sip:section-leader@bravo.example";

/// The index of the user profile with which alice works at home.
pub const HOME_PROFILE: u32 = 0;

/// The index of the user profile that she takes to the partner.
pub const MIGRATION_PROFILE: u32 = 1;

/// The PLMN that serves the incident ground.
pub const INCIDENT_PLMN: &str = "00102";

/// The MC service ID of a demo user.
pub fn mc_service_id(user: &str, system: &str) -> String {
    format!("sip:{user}@{system}")
}

/// The MC ID of a demo user.
pub fn mc_id(user: &str, system: &str) -> String {
    format!("{user}@{system}")
}

/// An operator's client of one of the two systems.
///
/// # Errors
/// Where the operator's certificate cannot be used.
pub fn operator_client(system: &impl AsRef<Reach>) -> Result<OperatorClient> {
    system.as_ref().operator_client()
}

/// Applies everything to both systems.
///
/// # Errors
/// Where a system refuses or does not answer.
pub(super) async fn provision(scenario: &Scenario) -> Result<()> {
    let catalogue = Catalogue::load()?;
    let (primary, partner) = (&scenario.primary, &scenario.partner);
    let users = scenario.names();
    trust_each_other(&catalogue, primary, partner).await?;
    apply_all(&catalogue, primary, primary_manifests(primary, &users)?).await?;
    apply_all(&catalogue, partner, partner_manifests(partner)?).await?;
    add_members(&catalogue, primary, CREW_GROUP, &users, PRIMARY).await?;
    add_members(&catalogue, primary, HOME_GROUP, &users, PRIMARY).await?;
    add_members(&catalogue, partner, INCIDENT_GROUP, &[DISPATCHER], PARTNER).await
}

async fn apply_all(catalogue: &Catalogue, system: &Reach, manifests: Vec<Value>) -> Result<Vec<Applied>> {
    let client = operator_client(system)?;
    let mut applied = Vec::new();
    for manifest in Manifest::read_all(Value::Array(manifests))? {
        let done = apply(&client, catalogue, &manifest, false).await;
        applied.push(done.with_context(|| format!("{} at {}", manifest.kind, system.id))?);
    }
    Ok(applied)
}

/// Each system gets the keys with which the other one signs security tokens: the out-of-band step of TS 33.180 5.1.4.2.
async fn trust_each_other(catalogue: &Catalogue, one: &Reach, other: &Reach) -> Result<()> {
    for (own, peer) in [(one, other), (other, one)] {
        let (entity, method) = catalogue.method("SigningKeyService/GetJsonWebKeySet")?;
        let keys = operator_client(peer)?.unary(entity, method, &json!({})).await?;
        let trust = json!({
            "kind": "partner-trust",
            "partner_trust": {
                "mc_system_id": peer.id.as_str(),
                "issuer": keys["issuer"],
                "keys": keys["keys"],
                "allowed_scopes": user_scopes(),
            },
        });
        apply_all(catalogue, own, vec![trust]).await?;
    }
    Ok(())
}

async fn add_members(
    catalogue: &Catalogue,
    system: &Reach,
    group: &str,
    users: &[&str],
    of: &str,
) -> Result<()> {
    let (entity, method) = catalogue.method("GroupService/AddMembers")?;
    let members: Vec<Value> = users
        .iter()
        .map(|user| json!({ "mc_service_id": mc_service_id(user, of), "priority": 5, "may_speak": true }))
        .collect();
    let request = json!({ "group_id": group, "members": members });
    operator_client(system)?.unary(entity, method, &request).await?;
    Ok(())
}

/// What users may ask for at most, here and at the partner.
fn user_scopes() -> Vec<&'static str> {
    Scope::ALL.iter().map(|scope| scope.as_str()).collect()
}

/// What both systems need, whoever their users are.
fn of_any_system(system: &Reach) -> Result<Vec<Value>> {
    let id = &system.id;
    let scopes = user_scopes();
    let mut manifests = vec![
        json!({
            "kind": "client",
            "client": {
                "client_id": OAUTH_CLIENT,
                "authentication": "CLIENT_AUTHENTICATION_NONE",
                "redirect_uris": [REDIRECT_URI],
                "scopes": scopes,
                "display_name": "MC service UE",
            },
        }),
        json!({
            "kind": "initial-ue-configuration",
            "document": { "initial_ue_configuration": initial_ue_configuration(system)? },
        }),
    ];
    for service in ["MC_SERVICE_PTT", "MC_SERVICE_VIDEO", "MC_SERVICE_DATA"] {
        manifests.push(service_configuration(service));
        manifests.push(json!({
            "kind": "ue-configuration",
            "ue_configuration": {
                "mc_service": service,
                "max_simultaneous_group_calls": 8,
                "max_simultaneous_private_calls": 4,
                "max_simultaneous_transmissions_in_group_call": 2,
                "ip_version": "IP_VERSION_IPV4",
            },
        }));
    }
    tracing::debug!(system = %id, count = manifests.len(), "manifests of any system");
    Ok(manifests)
}

fn initial_ue_configuration(system: &Reach) -> Result<Value> {
    let id = &system.id;
    let client = |entity| anyhow::Ok(system.client(entity)?.to_string());
    let issuer = &system.issuer;
    let apn =
        |name: &str| json!({ "access_point_name": format!("{name}.{id}"), "ip_version": "IP_VERSION_IPV4" });
    Ok(json!({
        "mc_system_id": id.as_str(),
        "pdn_connectivity": [{
            "hplmn_id": home_plmn(id),
            "mc_services": apn("mcptt"),
            "mc_common_core_services": apn("core"),
            "mc_identity_management_service": apn("idms"),
        }],
        "servers": {
            "sip_core": [{ "transport": system.sip.transport, "address": system.sip.address.to_string() }],
            "sip_realm": id.as_str(),
            "identity_management_issuer": issuer,
            "identity_management_token_endpoint": format!("{issuer}/token"),
            "oauth_client_id": OAUTH_CLIENT,
            "configuration_management": client(Entity::ConfigurationManagement)?,
            "group_management": client(Entity::GroupManagement)?,
            "functional_alias_management": client(Entity::FunctionalAliasManagement)?,
            "mc_service": client(Entity::McService)?,
        },
        "trust_bundle_pem": system.certificates.authority_pem,
    }))
}

/// The test network of each system (TS 23.003, MCC 001 is for tests).
fn home_plmn(system: &McSystemId) -> &'static str {
    if system.as_str() == PRIMARY { "00101" } else { INCIDENT_PLMN }
}

fn service_configuration(service: &str) -> Value {
    json!({
        "kind": "service-configuration",
        "service_configuration": {
            "mc_service": service,
            "priority_levels": 16,
            "private_call": { "enabled": true, "max_duration": "600s", "answer_timeout": "30s" },
            "group_call": { "max_duration": "3600s", "hang_time": "10s" },
            "emergency_call": { "private_call_enabled": true, "group_call_enabled": true, "max_duration": "3600s" },
            "max_transmit_duration": "120s",
        },
    })
}

fn account(user: &str, system: &str) -> Value {
    let identity =
        |service: &str| json!({ "mc_service": service, "mc_service_id": mc_service_id(user, system) });
    json!({
        "kind": "account",
        "account": {
            "mc_id": mc_id(user, system),
            "mc_service_identities":
                [identity("MC_SERVICE_PTT"), identity("MC_SERVICE_VIDEO"), identity("MC_SERVICE_DATA")],
            "scopes": user_scopes(),
            "display_name": user,
        },
        "password": { "value": PASSWORD },
    })
}

fn group(id: &str, name: &str) -> Value {
    json!({
        "kind": "group",
        "group": {
            "group_id": id,
            "display_name": name,
            "mc_services": ["MC_SERVICE_PTT", "MC_SERVICE_DATA"],
            "priority": 5,
            "call": { "max_duration": "3600s", "hang_time": "5s", "emergency_allowed": true },
            "allow_visitors": id == INCIDENT_GROUP,
            "home_only": id == HOME_GROUP,
        },
    })
}

fn primary_manifests(system: &Reach, users: &[&str]) -> Result<Vec<Value>> {
    let mut manifests = of_any_system(system)?;
    manifests.push(group(CREW_GROUP, "Crew 7"));
    manifests.push(group(HOME_GROUP, "Station 1"));
    for user in users {
        manifests.push(account(user, PRIMARY));
        for service in ["MC_SERVICE_PTT", "MC_SERVICE_DATA"] {
            manifests.push(home_profile(user, service));
            manifests.push(migration_profile(user, service));
        }
    }
    Ok(manifests)
}

/// At home the user may call anybody.
fn home_profile(user: &str, service: &str) -> Value {
    json!({
        "kind": "user-profile",
        "user_profile": {
            "identity": { "mc_service": service, "mc_service_id": mc_service_id(user, PRIMARY) },
            "profile_index": HOME_PROFILE,
            "profile_name": "at home",
            "pre_selected": true,
            "participant_type": "first responder",
            "organisation": "alpha fire brigade",
            "priority": 200,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" },
            "groups": [
                { "mc_service_group_id": CREW_GROUP, "implicit_affiliation": true },
                { "mc_service_group_id": HOME_GROUP },
            ],
            "max_affiliations": 10,
            "emergency_call_allowed": true,
            "migration_targets": [
                { "mc_system_id": PARTNER, "selection": { "serving_plmns": [INCIDENT_PLMN] } },
            ],
        },
    })
}

/// What she takes along; the partner takes away what its policy does not give visitors.
fn migration_profile(user: &str, service: &str) -> Value {
    json!({
        "kind": "user-profile",
        "user_profile": {
            "identity": { "mc_service": service, "mc_service_id": mc_service_id(user, PRIMARY) },
            "profile_index": MIGRATION_PROFILE,
            "profile_name": "at bravo",
            "participant_type": "first responder",
            "organisation": "alpha fire brigade",
            "priority": 200,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" },
            "groups": [{ "mc_service_group_id": CREW_GROUP, "implicit_affiliation": true }],
            "max_affiliations": 10,
            "emergency_call_allowed": true,
            "valid_in": [PARTNER],
        },
    })
}

fn partner_manifests(system: &Reach) -> Result<Vec<Value>> {
    let mut manifests = of_any_system(system)?;
    manifests.push(group(INCIDENT_GROUP, "Incident ground"));
    manifests.push(json!({
        "kind": "functional-alias",
        "functional_alias": {
            "functional_alias": SECTION_LEADER,
            "display_name": "Section leader",
            "allowed_users": [mc_service_id(DISPATCHER, PARTNER)],
            "max_simultaneous_activations": 1,
            "take_over": "TAKE_OVER_ALLOWED",
            "allow_visitors": true,
        },
    }));
    manifests.push(account(DISPATCHER, PARTNER));
    manifests.push(json!({
        "kind": "user-profile",
        "user_profile": {
            "identity": { "mc_service": "MC_SERVICE_PTT", "mc_service_id": mc_service_id(DISPATCHER, PARTNER) },
            "profile_index": HOME_PROFILE,
            "profile_name": "dispatcher",
            "pre_selected": true,
            "participant_type": "dispatcher",
            "priority": 150,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" },
            "groups": [{ "mc_service_group_id": INCIDENT_GROUP, "implicit_affiliation": true }],
            "max_affiliations": 10,
            "functional_aliases": [SECTION_LEADER],
            "emergency_call_allowed": true,
        },
    }));
    manifests.push(json!({
        "kind": "visitor-policy",
        "visitor_policy": {
            "mc_system_id": PRIMARY,
            "priority_ceiling": 100,
            "max_affiliations": 4,
            "group_admission": "VISITOR_GROUP_ADMISSION_ALL",
            "granted_group_ids": [INCIDENT_GROUP],
            "granted_functional_aliases": [SECTION_LEADER],
            "private_call": {
                "policy": "PRIVATE_CALL_POLICY_LISTED",
                "mc_service_ids": [mc_service_id(DISPATCHER, PARTNER)],
            },
        },
    }));
    manifests.push(json!({
        "kind": "admission-policy",
        "admission_policy": {
            "primary_mc_system_id": PRIMARY,
            "mode": "ADMISSION_MODE_MANUAL",
            "granted_group_ids": [INCIDENT_GROUP],
        },
    }));
    Ok(manifests)
}
