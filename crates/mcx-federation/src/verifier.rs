//! The two verifiers: of clients that knock at a listener, and of the server that we meant to call.

use mcx_types::{McSystemId, Principal, SpiffeId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::certificate::{HandshakeRefusal, Leaf};
use crate::{Listener, TrustBundle, TrustBundles};

fn algorithms() -> WebPkiSupportedAlgorithms {
    crate::provider().signature_verification_algorithms
}

/// How signatures are checked is the same on both sides and left to the library.
macro_rules! library_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signature, &algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            algorithms().supported_schemes()
        }
    };
}

/// Lets in clients whose chain leads to the bundle of exactly the trust domain they claim, where the listener serves it.
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    pub(crate) bundles: TrustBundles,
    pub(crate) listener: Listener,
}

impl ClientVerifier {
    fn bundle_for(&self, client: &SpiffeId) -> Result<TrustBundle, HandshakeRefusal> {
        let trust_domain = client.mc_system_id();
        let is_own = trust_domain == self.bundles.own_system();
        let is_served_here = match self.listener {
            Listener::Internal => is_own,
            Listener::Peer => !is_own,
            Listener::Client => false,
        };
        match self.bundles.bundle_of(trust_domain) {
            None => Err(HandshakeRefusal::ForeignTrustDomain(trust_domain.clone())),
            Some(_) if !is_served_here => Err(HandshakeRefusal::WrongListener {
                trust_domain: trust_domain.clone(),
                listener: self.listener,
            }),
            Some(bundle) => Ok(bundle),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: a client has one certificate, and the list of our partners is nobody's business.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let leaf = Leaf::parse(end_entity)?;
        self.bundle_for(&leaf.spiffe_id)?.client_verifier().verify_client_cert(end_entity, intermediates, now)
    }

    library_signatures!();
}

/// Verifies the chain of a server against the bundle of the trust domain that its leaf names.
fn verify_chain(
    bundle: &TrustBundle,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(end_entity)?,
        bundle.roots(),
        intermediates,
        now,
        algorithms().all,
    )?;
    Ok(ServerCertVerified::assertion())
}

/// Accepts the one server that proves the expected identity; its host name is of no interest.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) bundles: TrustBundles,
    pub(crate) expected: SpiffeId,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = Leaf::parse(end_entity)?;
        // First, so that the error names who answered; the chain is verified all the same before anything is accepted.
        if leaf.spiffe_id != self.expected {
            let expected = self.expected.clone();
            return Err(HandshakeRefusal::IdentityMismatch { expected, presented: leaf.spiffe_id }.into());
        }
        let trust_domain = self.expected.mc_system_id();
        let bundle = self
            .bundles
            .bundle_of(trust_domain)
            .ok_or_else(|| HandshakeRefusal::ForeignTrustDomain(trust_domain.clone()))?;
        verify_chain(&bundle, end_entity, intermediates, now)
    }

    library_signatures!();
}

/// Accepts any entity of one MC system, for UEs: which of its entities serves where is that system's business.
#[derive(Debug)]
pub(crate) struct SystemVerifier {
    pub(crate) bundle: TrustBundle,
    pub(crate) mc_system_id: McSystemId,
}

impl ServerCertVerifier for SystemVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = Leaf::parse(end_entity)?;
        let is_entity = matches!(leaf.spiffe_id.principal(), Principal::Entity(_));
        if !is_entity || *leaf.spiffe_id.mc_system_id() != self.mc_system_id {
            let expected = self.mc_system_id.clone();
            return Err(HandshakeRefusal::NotAnEntityOf { expected, presented: leaf.spiffe_id }.into());
        }
        verify_chain(&self.bundle, end_entity, intermediates, now)
    }

    library_signatures!();
}
