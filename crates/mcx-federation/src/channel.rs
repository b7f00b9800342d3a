//! Channels to peers: who is called, where, with which patience.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcx_types::{Clock, McSystemId, SpiffeId};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::connector::{ExpectedServer, certified_client_config};
use crate::{
    BreakerOpen, BreakerSettings, CircuitBreaker, Connector, NoEndpoint, OwnIdentity, PeerEndpoint,
    TrustBundles,
};

/// How channels are opened and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelSettings {
    /// How long one endpoint may take to accept a TCP connection, and again to finish the TLS handshake.
    pub connect_timeout: Duration,
    /// How long an established connection is idle before TCP probes it.
    pub tcp_keep_alive: Duration,
    /// How often HTTP/2 pings the peer, calls or not: a dead peer is noticed before the next call needs it.
    pub http2_keep_alive_interval: Duration,
    /// How long the peer may take to answer such a ping before the connection is given up.
    pub http2_keep_alive_timeout: Duration,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            tcp_keep_alive: Duration::from_secs(30),
            http2_keep_alive_interval: Duration::from_secs(20),
            http2_keep_alive_timeout: Duration::from_secs(5),
        }
    }
}

impl ChannelSettings {
    /// A channel that connects with the first call, and again after a failure.
    pub(crate) fn channel(&self, mc_system_id: &McSystemId, connector: Connector) -> Channel {
        // Only the `:authority` of requests: the scheme keeps TLS in the connector's hands.
        let endpoint = Endpoint::from_shared(format!("http://{mc_system_id}"))
            .expect("an mc system id is a host name")
            .http2_keep_alive_interval(self.http2_keep_alive_interval)
            .keep_alive_timeout(self.http2_keep_alive_timeout)
            .keep_alive_while_idle(true);
        endpoint.connect_with_connector_lazy(connector)
    }
}

/// What all outgoing channels of a process share: who we are, whom we believe, and how patient we are.
#[derive(Clone)]
pub struct Dialer {
    own: OwnIdentity,
    bundles: TrustBundles,
    settings: ChannelSettings,
    clock: Arc<dyn Clock>,
}

impl Dialer {
    /// Channels made by this dialer show `own` and believe `bundles`.
    pub fn new(
        own: OwnIdentity,
        bundles: TrustBundles,
        settings: ChannelSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { own, bundles, settings, clock }
    }

    /// A connector to whoever proves to be `expected`, at the first of `endpoints` where he can be reached.
    ///
    /// # Errors
    /// [`NoEndpoint`] where `endpoints` is empty.
    pub fn connector(
        &self,
        expected: SpiffeId,
        endpoints: Vec<PeerEndpoint>,
    ) -> Result<Connector, NoEndpoint> {
        let tls = certified_client_config(&self.own, &self.bundles, expected.clone());
        let expected = ExpectedServer::Entity(expected);
        Connector::new(tls, Arc::clone(&self.clock), &self.settings, expected, endpoints)
    }

    /// A channel to an entity of the own system. It connects with the first call, and again after a failure, beginning
    /// with the first endpoint. To be called inside a tokio run time.
    ///
    /// # Errors
    /// [`NoEndpoint`] where `endpoints` is empty.
    pub fn channel(&self, expected: SpiffeId, endpoints: Vec<PeerEndpoint>) -> Result<Channel, NoEndpoint> {
        let mc_system_id = expected.mc_system_id().clone();
        let connector = self.connector(expected, endpoints)?;
        Ok(self.settings.channel(&mc_system_id, connector))
    }

    /// A channel to an entity of a partner, behind a circuit breaker of its own.
    ///
    /// # Errors
    /// [`NoEndpoint`] where `endpoints` is empty.
    pub fn peer_channel(
        &self,
        expected: SpiffeId,
        endpoints: Vec<PeerEndpoint>,
        breaker: BreakerSettings,
    ) -> Result<PeerChannel, NoEndpoint> {
        let breaker = CircuitBreaker::new(expected.mc_system_id().clone(), breaker, Arc::clone(&self.clock));
        let channel = self.channel(expected.clone(), endpoints)?;
        Ok(PeerChannel { expected, channel, breaker })
    }
}

/// Why a call to a peer has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerCallError {
    /// Not even tried: the peer has just failed too often.
    #[error(transparent)]
    BreakerOpen(#[from] BreakerOpen),
    /// Tried, and failed; [`crate::connect_failure`] tells whether the peer was reached.
    #[error("the call to the peer failed")]
    Status(#[from] Status),
    /// Tried, and not answered in time.
    #[error("the peer did not answer in time")]
    TimedOut,
}

/// A channel to one entity of one partner, with the partner's circuit breaker. Clones share both.
#[derive(Clone)]
pub struct PeerChannel {
    expected: SpiffeId,
    channel: Channel,
    breaker: CircuitBreaker,
}

impl PeerChannel {
    /// Who is called.
    pub fn expected(&self) -> &SpiffeId {
        &self.expected
    }

    /// The breaker, for metrics and for calls made otherwise than with [`PeerChannel::call`].
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Makes one call with a client built on the channel: `peer.call(deadline, |channel| async move { … }).await`.
    ///
    /// The deadline covers connecting too, which a `grpc-timeout` does not. A call that is dropped before its end, because
    /// its caller went away, counts neither for nor against the peer.
    ///
    /// # Errors
    /// [`PeerCallError::BreakerOpen`] at once while the breaker is open, else the call's own status;
    /// [`PeerCallError::TimedOut`] where there is none in time.
    pub async fn call<T, F>(
        &self,
        deadline: Duration,
        call: impl FnOnce(Channel) -> F,
    ) -> Result<T, PeerCallError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let permit = self.breaker.admit().inspect_err(|_| self.count("breaker_open"))?;
        let begun = Instant::now();
        let answer = tokio::time::timeout(deadline, call(self.channel.clone())).await;
        self.measure(begun.elapsed());
        let Ok(answer) = answer else {
            permit.failed();
            self.count("timed_out");
            return Err(PeerCallError::TimedOut);
        };
        match &answer {
            Err(status) if counts_against_peer(status) => {
                permit.failed();
                self.count("unreachable");
            }
            answered => {
                permit.succeeded();
                self.count(if answered.is_ok() { "ok" } else { "refused" });
            }
        }
        Ok(answer?)
    }

    fn count(&self, outcome: &'static str) {
        metrics::counter!("mcx_partner_calls_total", "partner" => self.partner(), "outcome" => outcome)
            .increment(1);
    }

    fn measure(&self, duration: Duration) {
        metrics::histogram!("mcx_partner_call_duration_seconds", "partner" => self.partner())
            .record(duration);
    }

    fn partner(&self) -> String {
        self.expected.mc_system_id().to_string()
    }
}

/// Whether a status says that the peer is away or too slow, rather than that it has an opinion.
///
/// A status with a source was made on this side of the wire: connecting, writing, reading or waiting has failed.
pub fn counts_against_peer(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
        || std::error::Error::source(status).is_some()
}
