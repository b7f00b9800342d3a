//! The ready file of the two systems of `crossband dev`.

use anyhow::{Context, Result};

use super::{DevSystem, Federation};
use crate::certificates::OPERATOR;
use crate::config::identity_files;
use crate::dev::REDIRECT_URI;
use crate::ready_file::{ReadyFile, ReadySystem};

/// The document; files are named by absolute paths.
///
/// # Errors
/// Where a path has no absolute form.
pub fn ready_document(federation: &Federation) -> Result<ReadyFile> {
    let systems = [&federation.primary, &federation.partner];
    let systems = systems
        .iter()
        .map(|system| Ok((system.system.id.to_string(), ready_system(system)?)))
        .collect::<Result<_>>()?;
    Ok(ReadyFile {
        systems,
        subscribers: federation.subscribers.iter().map(|subscriber| subscriber.to_ready()).collect(),
        redirect_uri: REDIRECT_URI.to_owned(),
    })
}

/// Where one of the two systems is reached.
///
/// # Errors
/// Where a path has no absolute form.
pub(super) fn ready_system(system: &DevSystem) -> Result<ReadySystem> {
    let addresses = system.system.addresses;
    let directory =
        system.certificates.directory.canonicalize().context("the certificates are in a folder")?;
    let operator = identity_files(&directory, OPERATOR);
    Ok(ReadySystem {
        grpc: Some(addresses.grpc.into()),
        peer: addresses.peer.map(Into::into),
        client: addresses.client.map(Into::into),
        issuer: system.system.issuer.clone(),
        admin_http: Some(addresses.admin),
        sip_udp: addresses.sip_udp,
        sip_tcp: addresses.sip_tcp,
        sip_tls: addresses.sip_tls,
        ca_pem: operator.trust_bundle_file,
        operator_cert_pem: Some(operator.certificate_file),
        operator_key_pem: Some(operator.key_file),
        ..ReadySystem::default()
    })
}
