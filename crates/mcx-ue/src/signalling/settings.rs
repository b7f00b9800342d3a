//! What a signalling user agent is told.

use bytes::Bytes;
use mcx_aka::digest::DigestAlgorithm;
use mcx_types::{Impi, Impu, Realm};
use rustls_pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How to reach the SIP core.
#[derive(Clone)]
pub enum SignallingTransport {
    /// UDP, with retransmission.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls {
        /// Whom to trust.
        config: Arc<rustls::ClientConfig>,
        /// The name that the SIP core's certificate must show.
        server_name: ServerName<'static>,
    },
}

impl SignallingTransport {
    /// The name in `Via`.
    pub(super) fn via_name(&self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls { .. } => "TLS",
        }
    }
}

impl fmt::Debug for SignallingTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.via_name())
    }
}

/// Who registers, where, and how.
///
/// The identities are those of the system registered at. In a partner MC system they are the partner SIP identities of NOTE 1
/// of TS 23.280 10.1.6.2, which are not those on the ISIM.
#[derive(Debug, Clone)]
pub struct SignallingSettings {
    /// The private user identity.
    pub impi: Impi,
    /// The public user identity.
    pub impu: Impu,
    /// The realm registered in; it is the host of the Request-URI.
    pub realm: Realm,
    /// Address and port of the SIP core.
    pub registrar: SocketAddr,
    /// How to reach it.
    pub transport: SignallingTransport,
    /// The lifetime asked for.
    pub expires: Duration,
    /// The algorithms that may be answered. A challenge with another one is refused, so leaving out the weaker ones
    /// protects against a downgrade.
    pub algorithms: Vec<DigestAlgorithm>,
    /// Parameters of the contact, such as the feature tags of MC services (TS 24.379 7.2.1), written as they stand.
    pub contact_parameters: Vec<String>,
    /// The name in `User-Agent`.
    pub user_agent: String,
    /// Timer F: how long an answer, and before it the connection, is waited for.
    pub response_deadline: Duration,
}

impl SignallingSettings {
    /// Settings with the usual values: one hour, every AKA algorithm, the MCPTT feature tags, Timer F of 32 s.
    #[must_use]
    pub fn new(impi: Impi, impu: Impu, registrar: SocketAddr, transport: SignallingTransport) -> Self {
        Self {
            realm: impi.realm(),
            impi,
            impu,
            registrar,
            transport,
            expires: Duration::from_secs(3600),
            algorithms: DigestAlgorithm::ALL.to_vec(),
            contact_parameters: vec![
                "+g.3gpp.mcptt".to_owned(),
                "+g.3gpp.icsi-ref=\"urn%3Aurn-7%3A3gpp-service.ims.icsi.mcptt\"".to_owned(),
            ],
            user_agent: concat!("crossband-ue/", env!("CARGO_PKG_VERSION")).to_owned(),
            response_deadline: mcx_sip::TIMER_T1 * 64,
        }
    }
}

/// Makes numbers that nobody can guess, for branches, tags, `Call-ID` and client nonces.
pub type Randomness = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Whether a message was sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// By this user agent.
    Sent,
    /// By this user agent, again, because no answer came.
    Retransmitted,
    /// From the SIP core.
    Received,
}

/// One message on the wire.
#[derive(Debug, Clone)]
pub struct SignallingEvent {
    /// Which way it went.
    pub direction: Direction,
    /// What it is, for people: `REGISTER`, `REGISTER (auts)`, `401 Unauthorized`…
    pub label: String,
    /// The message as it was on the wire.
    pub message: Bytes,
}

/// Is told of every message.
pub type Observer = Arc<dyn Fn(&SignallingEvent) + Send + Sync>;
