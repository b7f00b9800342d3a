//! Who calls, proved by the certificate of the connection or by the access token of the call, and what he may call.
//!
//! An MC system is one trust domain. Its entities and operators hold X.509-SVIDs (SPIFFE), their listeners are mutual
//! TLS, and the same mechanism works inside a system and between two of them. UEs have no certificate: on the listener for
//! them only the server shows one, and each call carries an access token of its user. Nothing else in a request is ever
//! believed about who sent it (TS 33.180 11.1.1, "protect the border").
//!
//! | to | use |
//! | --- | --- |
//! | hold the own certificate, and the CA certificates of the own system and of the partners | [`OwnIdentity`], [`TrustBundles`] |
//! | accept connections | [`server_config`], [`TlsIncoming`]; every request then carries a [`Connection`] |
//! | tell from an access token which user a UE calls for | [`access_token::AccessTokenVerifier`] |
//! | decide who may call a method | [`PolicyTable`] |
//! | call a peer | [`Dialer`], which makes a [`PeerChannel`]; [`connect_failure`] tells why a call did not get through |
//! | call an MC system as a UE | [`UserDialer`], [`spiffe_server_client_config`] |
//! | make certificates for development and tests | [`CertificateAuthority`] |

pub mod access_token;
mod attempts;
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
mod user_dialer;
mod verifier;

pub use attempts::{ATTEMPT_DELAY, CONNECT_AGAIN_AFTER};
pub use authority::{
    AuthorityError, CertificateAuthority, CertificateValidity, IssuedCertificate, PrivateKeyPem,
};
pub use breaker::{BreakerOpen, BreakerSettings, BreakerState, CircuitBreaker, Permit};
pub use bundles::{TrustBundle, TrustBundleError, TrustBundles};
pub use certificate::HandshakeRefusal;
pub use channel::{ChannelSettings, Dialer, PeerCallError, PeerChannel, counts_against_peer};
pub use connector::{
    ConnectError, ConnectFailure, Connector, ExpectedServer, NoEndpoint, PeerEndpoint, PeerEndpointError,
    connect_failure,
};
pub use identity::{IdentityFiles, OwnIdentity, OwnIdentityError};
pub use incoming::{
    ClientConnection, Connection, ConnectionInfo, HandshakeLimits, Sha256Fingerprint, TlsIncoming,
    server_config, unauthenticated_server_config,
};
pub use partners::{Partner, PartnerDirectory, PartnerRefusal, PartnerTerms, PartnerTermsError, PeerService};
pub use policy::{Caller, Decision, Denial, DuplicateRule, MethodRule, PolicyTable};
pub use stream::{AcceptedStream, ExpiringStream};
pub use user_dialer::{UserDialer, spiffe_server_client_config};

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

/// Which of the gRPC listeners of a system a connection came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Entities and operators of the own system.
    Internal,
    /// Entities of partner systems.
    Peer,
    /// UEs, which show no certificate and prove their users with access tokens.
    Client,
}

impl Listener {
    /// Every listener.
    pub const ALL: [Self; 3] = [Self::Internal, Self::Peer, Self::Client];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Peer => "peer",
            Self::Client => "client",
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

/// What a plain HTTPS server may speak instead (RFC 7301 6).
pub(crate) const ALPN_HTTP1: &[u8] = b"http/1.1";
