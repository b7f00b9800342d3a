//! Identity from the channel: who calls, proved by the certificate of the connection, and what he may call.
//!
//! An MC system is one trust domain. Its entities and operators hold X.509-SVIDs (SPIFFE), every listener is mutual
//! TLS, and the same mechanism works inside a system and between two of them. Nothing in a request is ever believed
//! about who sent it (TS 33.180 11.1.1, "protect the border").
//!
//! | to | use |
//! | --- | --- |
//! | hold the own certificate, and the CA certificates of the own system and of the partners | [`OwnIdentity`], [`TrustBundles`] |
//! | accept connections | [`server_config`], [`TlsIncoming`]; every request then carries a [`ConnectionInfo`] |
//! | decide who may call a method | [`PolicyTable`] |
//! | call a peer | [`Dialer`], which makes a [`PeerChannel`]; [`connect_failure`] tells why a call did not get through |
//! | make certificates for development and tests | [`CertificateAuthority`] |

mod authority;
mod breaker;
mod bundles;
mod certificate;
mod channel;
mod connector;
mod files;
mod identity;
mod incoming;
mod partners;
pub mod policy;
mod stream;
#[cfg(test)]
mod tests;
mod verifier;

pub use authority::{
    AuthorityError, CertificateAuthority, CertificateValidity, IssuedCertificate, PrivateKeyPem,
};
pub use breaker::{BreakerOpen, BreakerSettings, BreakerState, CircuitBreaker, Permit};
pub use bundles::{TrustBundle, TrustBundleError, TrustBundles};
pub use certificate::HandshakeRefusal;
pub use channel::{ChannelSettings, Dialer, PeerCallError, PeerChannel, counts_against_peer};
pub use connector::{
    ConnectError, ConnectFailure, Connector, NoEndpoint, PeerEndpoint, PeerEndpointError, connect_failure,
};
pub use identity::{IdentityFiles, OwnIdentity, OwnIdentityError};
pub use incoming::{
    ConnectionInfo, HandshakeLimits, Sha256Fingerprint, TlsIncoming, server_config,
    unauthenticated_server_config,
};
pub use partners::{Partner, PartnerDirectory, PartnerRefusal, PartnerTerms, PartnerTermsError, PeerService};
pub use policy::{Caller, Decision, Denial, DuplicateRule, MethodRule, PolicyTable};
pub use stream::{AuthenticatedStream, ExpiringStream};

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

/// Which of the two gRPC listeners of a system a connection came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Entities and operators of the own system.
    Internal,
    /// Entities of partner systems.
    Peer,
}

impl Listener {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Peer => "peer",
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The one cryptography provider, passed explicitly everywhere: a process default could be set by any library.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// Both ends of our connections are ours or a partner's, and all of them speak TLS 1.3.
pub(crate) const TLS_VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The protocol negotiated in the handshake (RFC 7540 3.3): gRPC is HTTP/2.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
