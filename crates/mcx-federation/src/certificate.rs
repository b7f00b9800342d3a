//! What a leaf certificate says, and why a handshake is refused.

use std::net::IpAddr;
use std::sync::Arc;

use mcx_types::{McSystemId, SpiffeId, Timestamp};
use rustls::{CertificateError, OtherError};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::Listener;

/// Why a peer was not let in, as an operator needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeRefusal {
    /// The peer showed no certificate.
    #[error("no certificate was presented")]
    NoCertificate,
    /// What the peer showed is not an X.509 certificate.
    #[error("the certificate is malformed")]
    MalformedCertificate,
    /// The leaf carries no URI, several, or one that is not a SPIFFE identity of ours.
    #[error("the certificate does not carry exactly one spiffe identity: {reason}")]
    NoSpiffeId {
        /// What it carries instead.
        reason: String,
    },
    /// The trust domain is neither ours nor one of a partner with a bundle.
    #[error("trust domain {0} is not trusted here")]
    ForeignTrustDomain(McSystemId),
    /// A trusted trust domain, on the other listener's port.
    #[error("trust domain {trust_domain} is not served on the {listener} listener")]
    WrongListener {
        /// The trust domain of the certificate.
        trust_domain: McSystemId,
        /// Where the peer knocked.
        listener: Listener,
    },
    /// The certificate, or one of its chain, has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The certificate, or one of its chain, is not valid yet.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The chain does not lead to the bundle of the trust domain that the leaf claims.
    #[error("the chain does not lead to the trust bundle of the claimed trust domain: {reason}")]
    UntrustedChain {
        /// The verifier's finding.
        reason: String,
    },
    /// The server proved another identity than the one expected.
    #[error("the peer is {presented} instead of {expected}")]
    IdentityMismatch {
        /// Who was called.
        expected: SpiffeId,
        /// Who answered.
        presented: SpiffeId,
    },
    /// The server proved to be of another MC system than the one that a UE called, or none of its entities.
    #[error("the server is {presented} and not an entity of {expected}")]
    NotAnEntityOf {
        /// The MC system that was called.
        expected: McSystemId,
        /// Who answered.
        presented: SpiffeId,
    },
    /// The peer refused *our* certificate, with this TLS alert (RFC 8446 6.2).
    #[error("the peer refused our side of the handshake with alert {alert}")]
    RefusedByPeer {
        /// The alert's name.
        alert: String,
    },
    /// The handshake took too long.
    #[error("the handshake was not finished in time")]
    TimedOut,
    /// The peer went away before the handshake was over.
    #[error("the peer closed the connection")]
    Closed,
    /// Not a TLS handshake as we speak it.
    #[error("{reason}")]
    Protocol {
        /// The finding of the TLS library.
        reason: String,
    },
}

impl HandshakeRefusal {
    /// The name of the cause in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::MalformedCertificate => "malformed_certificate",
            Self::NoSpiffeId { .. } => "no_spiffe_id",
            Self::ForeignTrustDomain(_) => "foreign_trust_domain",
            Self::WrongListener { .. } => "wrong_listener",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UntrustedChain { .. } => "untrusted_chain",
            Self::IdentityMismatch { .. } => "identity_mismatch",
            Self::NotAnEntityOf { .. } => "not_an_entity",
            Self::RefusedByPeer { .. } => "refused_by_peer",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::Protocol { .. } => "protocol",
        }
    }

    /// The cause inside the error of a TLS handshake.
    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error),
            None => match error.kind() {
                std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Protocol { reason: error.to_string() },
            },
        }
    }

    pub(crate) fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error as Tls;
        match error {
            Tls::NoCertificatesPresented => Self::NoCertificate,
            Tls::AlertReceived(alert) => Self::RefusedByPeer { alert: format!("{alert:?}") },
            Tls::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause
                .downcast_ref::<Self>()
                .cloned()
                .unwrap_or_else(|| Self::UntrustedChain { reason: cause.to_string() }),
            Tls::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
                Self::Expired
            }
            Tls::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => Self::NotYetValid,
            Tls::InvalidCertificate(CertificateError::BadEncoding) => Self::MalformedCertificate,
            Tls::InvalidCertificate(error) => Self::UntrustedChain { reason: error.to_string() },
            other => Self::Protocol { reason: other.to_string() },
        }
    }
}

impl From<HandshakeRefusal> for rustls::Error {
    /// As a verifier must return it: the cause travels through the TLS library and comes out whole.
    fn from(refusal: HandshakeRefusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The names and addresses of hosts that a certificate has, in its order; none where it cannot be read.
pub(crate) fn hosts(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match (<[u8; 4]>::try_from(*octets), <[u8; 16]>::try_from(*octets))
        {
            (Ok(octets), _) => Some(IpAddr::from(octets).to_string()),
            (_, Ok(octets)) => Some(IpAddr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(host).collect()
}

/// What we read from a leaf certificate. Nothing of it is proved until its chain is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The one SPIFFE identity it carries.
    pub(crate) spiffe_id: SpiffeId,
    /// The last moment of its validity.
    pub(crate) not_after: Timestamp,
}

impl Leaf {
    /// Reads the leaf. A certificate must carry exactly one URI name, a SPIFFE ID (X509-SVID 2).
    pub(crate) fn parse(certificate: &CertificateDer<'_>) -> Result<Self, HandshakeRefusal> {
        let no_spiffe_id = |reason: String| HandshakeRefusal::NoSpiffeId { reason };
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| HandshakeRefusal::MalformedCertificate)?;
        let names =
            certificate.subject_alternative_name().map_err(|_| HandshakeRefusal::MalformedCertificate)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris.as_slice() else {
            return Err(no_spiffe_id(format!("{} uri names", uris.len())));
        };
        let spiffe_id = uri.parse().map_err(|error| no_spiffe_id(format!("{uri:?} {error}")))?;
        let not_after = certificate.validity().not_after.timestamp();
        Ok(Self { spiffe_id, not_after: Timestamp::from_micros(not_after.saturating_mul(1_000_000)) })
    }
}
