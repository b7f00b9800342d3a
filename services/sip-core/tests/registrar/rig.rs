//! A SIP core on real sockets before a home network in memory.

use crate::home::{Home, isim};
use mcx_aka::digest::DigestAlgorithm;
use mcx_sip::MessageLimits;
use mcx_store::{CacheConfig, SharedCache};
use mcx_types::{Clock, ManualClock, Timestamp};
use mcx_ue::{SignallingSettings, SignallingTransport, SignallingUserAgent};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use sip_core::app::{Randomness, Realms, Registrar, RegistrarPolicy, Registry};
use sip_core::domain::registration::RegistrationPolicy;
use sip_core::sip::{
    BoundAddresses, ConnectionTimeouts, EdgeLimits, SipEdge, SipEdgeSettings, SipListeners, SipServer,
};
use sip_core::store::{AttemptLimits, Attempts, Challenges, Registrations};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) const VISITOR_IMPI: &str = "alice@visitors.bravo.example";
pub(crate) const VISITOR_IMPU: &str = "sip:alice@visitors.bravo.example";
pub(crate) const OWN_IMPI: &str = "bob@bravo.example";
pub(crate) const OWN_IMPU: &str = "sip:bob@bravo.example";

/// What a test may change before the SIP core starts.
pub(crate) struct Setup {
    pub(crate) algorithm: DigestAlgorithm,
    pub(crate) policy: RegistrarPolicy,
    pub(crate) attempts: AttemptLimits,
    pub(crate) edge: SipEdgeSettings,
    pub(crate) timeouts: ConnectionTimeouts,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            algorithm: DigestAlgorithm::AkaV1Md5,
            policy: RegistrarPolicy {
                realms: Realms {
                    own: "bravo.example".parse().unwrap(),
                    visitors: Some("visitors.bravo.example".parse().unwrap()),
                },
                registration: RegistrationPolicy {
                    minimum_expiry: Duration::from_secs(60),
                    maximum_expiry: Duration::from_secs(7200),
                    default_expiry: Duration::from_secs(600),
                    maximum_contacts: 4,
                },
                source_deadline: Duration::from_millis(300),
                retry_after: Duration::from_secs(7),
                trust_connection_for: Duration::ZERO,
            },
            attempts: AttemptLimits {
                failures_per_identity: 3,
                failures_per_address: 1000,
                lockout_window: Duration::from_secs(300),
                resynchronisations: 2,
                resynchronisation_window: Duration::from_secs(300),
                challenges: 1000,
                challenge_window: Duration::from_secs(60),
            },
            edge: SipEdgeSettings {
                domains: vec!["bravo.example".to_owned(), "visitors.bravo.example".to_owned()],
                request_deadline: Duration::from_secs(5),
                retry_after: Duration::from_secs(7),
                service_route: vec!["<sip:orig@sip.bravo.example;lr>".to_owned()],
                message_limits: MessageLimits::default(),
                edge_limits: EdgeLimits {
                    connections: 64,
                    connections_per_address: 32,
                    requests_in_flight: 64,
                    completed_transactions: 128,
                },
            },
            timeouts: ConnectionTimeouts {
                handshake: Duration::from_secs(5),
                idle: Duration::from_secs(60),
                write: Duration::from_secs(5),
            },
        }
    }
}

pub(crate) struct Rig {
    pub(crate) visitors: Arc<Home>,
    pub(crate) own: Arc<Home>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) registrations: Registrations,
    pub(crate) edge: Arc<SipEdge>,
    pub(crate) bound: BoundAddresses,
    trust: Arc<rustls::ClientConfig>,
    shutdown: CancellationToken,
    server: tokio::task::JoinSet<()>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Setup)) -> Self {
        let cache = SharedCache::open(&CacheConfig::from_url("memory:"), "test").unwrap();
        Self::replica(cache, change).await
    }

    /// One of several SIP cores that share a cache. Each has a home network of its own.
    pub(crate) async fn replica(cache: SharedCache, change: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup::default();
        change(&mut setup);
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_micros(1_795_305_600_000_000)));
        let visitors = Arc::new(Home::new(VISITOR_IMPI, &[VISITOR_IMPU, "tel:+4930123456"], setup.algorithm));
        let own = Arc::new(Home::new(OWN_IMPI, &[OWN_IMPU], setup.algorithm));
        let registrations = Registrations::new(cache.clone());
        let registry = Registry::new(registrations.clone(), clock.clone());
        let registrar = Registrar::new(
            setup.policy,
            own.clone(),
            visitors.clone(),
            Challenges::new(cache.clone(), Duration::from_secs(240)),
            registrations.clone(),
            Attempts::new(cache, setup.attempts),
            clock.clone() as Arc<dyn Clock>,
            randomness(),
        );
        let edge = SipEdge::new(setup.edge, registrar);
        let (server_tls, trust) = tls();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = SipListeners { udp: Some(any), tcp: Some(any), tls: Some((any, server_tls)) };
        let server = SipServer::bind(listeners, setup.timeouts, 7).await.unwrap();
        let bound = server.bound();
        let mut running = tokio::task::JoinSet::new();
        let shutdown = CancellationToken::new();
        running.spawn(server.run(edge.clone(), shutdown.clone().cancelled_owned()));
        Self { visitors, own, clock, registry, registrations, edge, bound, trust, shutdown, server: running }
    }

    /// Asks the SIP core to end.
    pub(crate) fn begin_to_end(&self) {
        self.shutdown.cancel();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) {
        self.server.join_next().await.unwrap().unwrap();
    }

    /// Settings of the visitor's UE.
    pub(crate) fn visitor(&self, transport: &str) -> SignallingSettings {
        self.settings(VISITOR_IMPI, VISITOR_IMPU, transport)
    }

    pub(crate) fn settings(&self, impi: &str, impu: &str, transport: &str) -> SignallingSettings {
        let (address, transport) = match transport {
            "udp" => (self.bound.udp, SignallingTransport::Udp),
            "tcp" => (self.bound.tcp, SignallingTransport::Tcp),
            _ => {
                let server_name = "sip.bravo.example".try_into().unwrap();
                (self.bound.tls, SignallingTransport::Tls { config: self.trust.clone(), server_name })
            }
        };
        SignallingSettings::new(impi.parse().unwrap(), impu.parse().unwrap(), address.unwrap(), transport)
    }

    /// The visitor's UE with her ISIM, connected.
    pub(crate) async fn visitor_agent(&self, transport: &str) -> SignallingUserAgent {
        SignallingUserAgent::connect(self.visitor(transport), isim(), randomness()).await.unwrap()
    }
}

/// Numbers that differ from each other and are the same in every run.
pub(crate) fn randomness() -> Randomness {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Arc::new(|| {
        u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    })
}

fn tls() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["sip.bravo.example".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}
