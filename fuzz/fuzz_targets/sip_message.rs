//! Any bytes from the network, at the one place where they enter: over UDP as one datagram, over TCP through the framing.

#![no_main]

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mcx_aka::{Auts, Rand};
use mcx_sip::{Frame, Message, MessageLimits, StreamFraming};
use mcx_store::{CacheConfig, SharedCache};
use mcx_types::{SipIdentities, SystemClock};
use sip_core::app::{
    AuthenticationInformation, AuthenticationInformationSource, Realms, Registrar, RegistrarPolicy, SourceError,
};
use sip_core::domain::registration::RegistrationPolicy;
use sip_core::domain::request::{RequestSource, SipTransport};
use sip_core::sip::{EdgeLimits, Reception, Reply, SipEdge, SipEdgeSettings};
use sip_core::store::{AttemptLimits, Attempts, Challenges, Registrations};
use tokio::runtime::Runtime;
use tokio_util::codec::Decoder;

/// Knows nobody, so that every REGISTER is decided without a peer.
struct Nobody;

#[async_trait]
impl AuthenticationInformationSource for Nobody {
    async fn get(&self, _: &SipIdentities) -> Result<AuthenticationInformation, SourceError> {
        Err(SourceError::UserUnknown)
    }

    async fn resynchronise(
        &self,
        _: &SipIdentities,
        _: &Rand,
        _: &Auts,
    ) -> Result<AuthenticationInformation, SourceError> {
        Err(SourceError::ResynchronisationRefused)
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"));

static EDGE: LazyLock<Arc<SipEdge>> = LazyLock::new(|| {
    let _entered = RUNTIME.enter();
    let cache = SharedCache::open(&CacheConfig::from_url("memory:"), "fuzz").expect("a cache");
    let policy = RegistrarPolicy {
        realms: Realms {
            own: "bravo.example".parse().expect("a realm"),
            visitors: Some("visitors.bravo.example".parse().expect("a realm")),
        },
        registration: RegistrationPolicy {
            minimum_expiry: Duration::from_secs(60),
            maximum_expiry: Duration::from_secs(3600),
            default_expiry: Duration::from_secs(600),
            maximum_contacts: 4,
        },
        source_deadline: Duration::from_secs(1),
        retry_after: Duration::from_secs(1),
        trust_connection_for: Duration::ZERO,
    };
    let attempts = AttemptLimits {
        failures_per_identity: 5,
        failures_per_address: 50,
        lockout_window: Duration::from_secs(1),
        resynchronisations: 5,
        resynchronisation_window: Duration::from_secs(1),
        challenges: 1000,
        challenge_window: Duration::from_secs(1),
    };
    let registrar = Registrar::new(
        policy,
        Arc::new(Nobody),
        Arc::new(Nobody),
        Challenges::new(cache.clone(), Duration::from_secs(240)),
        Registrations::new(cache.clone()),
        Attempts::new(cache, attempts),
        Arc::new(SystemClock),
        Arc::new(|| 7),
    );
    let settings = SipEdgeSettings {
        domains: vec!["bravo.example".to_owned(), "visitors.bravo.example".to_owned()],
        request_deadline: Duration::from_secs(2),
        retry_after: Duration::from_secs(1),
        service_route: Vec::new(),
        message_limits: MessageLimits::default(),
        edge_limits: EdgeLimits {
            connections: 1,
            connections_per_address: 1,
            requests_in_flight: 8,
            completed_transactions: 64,
        },
    };
    SipEdge::new(settings, registrar)
});

fn enter(bytes: &Bytes, transport: SipTransport) {
    let address: SocketAddr = ([192, 0, 2, 1], 5060).into();
    let source = RequestSource { address, transport, connection: None };
    let reply = match EDGE.receive(bytes, source) {
        Reception::Silence => None,
        Reception::Reply(reply) => Some(reply),
        Reception::Decide(deciding) => Some(RUNTIME.block_on(deciding.decide())),
    };
    if let Some(Reply { bytes, destination }) = reply {
        assert_eq!(destination.ip(), address.ip(), "the answer goes where the request came from");
        let limits = MessageLimits { message_bytes: usize::MAX, header_lines: usize::MAX, header_line_bytes: usize::MAX };
        assert!(matches!(Message::parse(&bytes, &limits), Ok(Message::Response(_))), "the answer is a response");
    }
    let counts = EDGE.live_counts();
    assert_eq!(counts.requests_in_flight, 0);
    assert!(counts.transactions <= 64, "{counts:?}");
}

fuzz_target!(|data: &[u8]| {
    let _entered = RUNTIME.enter();
    enter(&Bytes::copy_from_slice(data), SipTransport::Udp);
    let mut framing = StreamFraming::new(MessageLimits::default());
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = framing.decode(&mut buffer) {
        if let Frame::Message(message) = frame {
            enter(&message, SipTransport::Tcp);
        }
    }
});
