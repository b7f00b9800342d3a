//! The ready file: where both systems are reached and who the demo users are, for programs.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{DemoSubscriber, DevSystem, Federation, PARTNER, PASSWORD, PRIMARY, REDIRECT_URI, mc_id};
use crate::certificates::OPERATOR;
use crate::config::identity_files;

/// The document: addresses as `host:port`, files as absolute paths, keys in hexadecimal.
///
/// # Errors
/// Where a path has no absolute form.
pub fn ready_document(federation: &Federation) -> Result<Value> {
    let mut systems = Map::new();
    for system in [&federation.primary, &federation.partner] {
        systems.insert(system.system.id.to_string(), system_document(system)?);
    }
    let subscribers: Vec<Value> = federation.subscribers.iter().map(subscriber_document).collect();
    Ok(json!({ "systems": systems, "subscribers": subscribers, "redirect_uri": REDIRECT_URI }))
}

fn system_document(system: &DevSystem) -> Result<Value> {
    let addresses = system.system.addresses;
    let directory =
        system.certificates.directory.canonicalize().context("the certificates are in a folder")?;
    let operator = identity_files(&directory, OPERATOR);
    Ok(json!({
        "grpc": addresses.grpc,
        "peer": addresses.peer,
        "client": addresses.client,
        "issuer": system.system.issuer,
        "admin_http": addresses.admin,
        "sip_udp": addresses.sip_udp,
        "sip_tcp": addresses.sip_tcp,
        "sip_tls": addresses.sip_tls,
        "ca_pem": operator.trust_bundle_file,
        "operator_cert_pem": operator.certificate_file,
        "operator_key_pem": operator.key_file,
    }))
}

fn subscriber_document(subscriber: &DemoSubscriber) -> Value {
    json!({
        "name": subscriber.name,
        "primary_system": PRIMARY,
        "mc_id": mc_id(subscriber.name, PRIMARY),
        "password": PASSWORD,
        "impi": subscriber.identities.impi.as_str(),
        "impus": subscriber.identities.impus.iter().map(|impu| impu.as_str()).collect::<Vec<_>>(),
        "k": hex::encode(subscriber.key.expose_octets()),
        "op": hex::encode(subscriber.operator_key.expose_octets()),
        "opc": hex::encode(subscriber.opc.expose_octets()),
        "amf": hex::encode(subscriber.amf.as_octets()),
        "partner": {
            "system": PARTNER,
            "impi": subscriber.partner.identities.impi.as_str(),
            "impus": subscriber.partner.identities.impus.iter().map(|impu| impu.as_str()).collect::<Vec<_>>(),
            "realm": subscriber.partner.realm.as_str(),
        },
    })
}
