//! Systems with their authorities, and clients that show whatever certificate a test wants.

use std::sync::Arc;
use std::time::Duration;

use mcx_types::{Clock, Entity, McSystemId, SpiffeId, SystemClock};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::{CertificateAuthority, CertificateValidity, IssuedCertificate, OwnIdentity};

pub(super) const HOUR: Duration = Duration::from_hours(1);

pub(super) fn valid_now() -> CertificateValidity {
    CertificateValidity::starting(SystemClock.now(), HOUR)
}

/// A validity that ended an hour ago, before the five minutes that are granted to slow clocks.
pub(super) fn expired() -> CertificateValidity {
    let valid = valid_now();
    let micros = valid.not_before.as_micros();
    let at = |hours: i64| mcx_types::Timestamp::from_micros(micros - hours * 3_600_000_000);
    CertificateValidity { not_before: at(2), not_after: at(1) }
}

pub(super) fn system_id(name: &str) -> McSystemId {
    name.parse().unwrap()
}

pub(super) fn authority(name: &str) -> CertificateAuthority {
    CertificateAuthority::create(system_id(name), valid_now()).unwrap()
}

pub(super) fn mms(name: &str) -> SpiffeId {
    SpiffeId::entity(system_id(name), Entity::MigrationManagement)
}

pub(super) fn identity(authority: &CertificateAuthority, id: &SpiffeId) -> OwnIdentity {
    let issued = authority.issue(id, &[], valid_now()).unwrap();
    own_identity(&issued, authority)
}

pub(super) fn own_identity(issued: &IssuedCertificate, bundle: &CertificateAuthority) -> OwnIdentity {
    let key = issued.key_pem.expose().as_bytes();
    OwnIdentity::from_pem(issued.certificate_pem.as_bytes(), key, bundle.certificate_pem()).unwrap()
}

/// The identity of the system's migration management server.
pub(super) fn mms_identity(authority: &CertificateAuthority) -> OwnIdentity {
    identity(authority, &mms(authority.mc_system_id().as_str()))
}

/// A certificate that our authority would not issue: with just these URI names.
pub(super) fn issue_with_uris(authority: &CertificateAuthority, uris: &[&str]) -> (String, String) {
    let authority_key = KeyPair::from_pem(authority.key_pem().expose()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), authority_key).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A client that believes any server and shows this certificate.
pub(super) fn client_with(certificate_pem: &str, key_pem: &str) -> ClientConfig {
    let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
    credulous_client().with_client_auth_cert(chain, key).unwrap()
}

pub(super) fn client_of(issued: &IssuedCertificate) -> ClientConfig {
    client_with(&issued.certificate_pem, issued.key_pem.expose())
}

/// A client that believes any server and shows no certificate.
pub(super) fn anonymous_client() -> ClientConfig {
    credulous_client().with_no_client_auth()
}

fn credulous_client() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(crate::TLS_VERSIONS)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        crate::provider().signature_verification_algorithms.supported_schemes()
    }
}
