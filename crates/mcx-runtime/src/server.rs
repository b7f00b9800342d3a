//! The gRPC server: listeners, the layers in front of every handler, health, reflection, and an end in good order.

mod config;
mod connections;
mod health;
mod methods;
mod reflection;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::response::IntoResponse;
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_federation::{
    HandshakeLimits, Listener, OwnIdentity, PolicyTable, TlsIncoming, TrustBundles, server_config,
};
use mcx_types::{Clock, SystemClock};
use prost_types::FileDescriptorSet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

pub use config::ServerConfig;
pub(crate) use methods::{MethodKind, MethodTable};

use crate::layers::{self, Stack, concurrency::Concurrency};
use crate::readiness::Readiness;
use connections::Connections;
use health::Health;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for the {listener} listener: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The listener.
        listener: Listener,
        /// Why not.
        source: io::Error,
    },
    /// A service is meant for a listener that has no address.
    #[error("{service} is to be served on the {listener} listener, which has no address")]
    NoListener {
        /// The gRPC service.
        service: &'static str,
        /// The listener.
        listener: Listener,
    },
    /// The listener for UEs is to be opened, and nothing was given to verify their access tokens with.
    #[error("the client listener needs something to verify access tokens with")]
    NoAccessTokens,
    /// No descriptor set describes a service, so that it could neither be reflected nor counted.
    #[error("no file descriptor set describes {service}")]
    NoDescriptor {
        /// The gRPC service.
        service: String,
    },
    /// A descriptor set cannot be read.
    #[error("cannot read a file descriptor set: {reason}")]
    BadDescriptor {
        /// Why not.
        reason: String,
    },
}

/// A gRPC server that is being put together.
pub struct Server {
    identity: OwnIdentity,
    bundles: TrustBundles,
    policy: Arc<PolicyTable>,
    config: ServerConfig,
    clock: Arc<dyn Clock>,
    access_tokens: Option<AccessTokenVerifier>,
    addresses: BTreeMap<Listener, SocketAddr>,
    services: Vec<ServedService>,
    routes: BTreeMap<Listener, Routes>,
    descriptor_sets: Vec<&'static [u8]>,
}

/// One gRPC service on one listener.
struct ServedService {
    listener: Listener,
    name: &'static str,
    readiness: Readiness,
}

impl Server {
    /// Begins a server of an MC system: what it proves itself with, whom it trusts, and who may call what.
    pub fn builder(identity: OwnIdentity, bundles: TrustBundles, policy: Arc<PolicyTable>) -> Self {
        Self {
            identity,
            bundles,
            policy,
            config: ServerConfig::default(),
            clock: Arc::new(SystemClock),
            access_tokens: None,
            addresses: BTreeMap::new(),
            services: Vec::new(),
            routes: BTreeMap::new(),
            descriptor_sets: Vec::new(),
        }
    }

    /// Replaces the default settings.
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Replaces the clock that tells when certificates expire.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Gives what the access tokens of UEs are verified with; [`Listener::Client`] is not opened without.
    #[must_use]
    pub fn access_tokens(mut self, verifier: AccessTokenVerifier) -> Self {
        self.access_tokens = Some(verifier);
        self
    }

    /// Gives a listener its address; port 0 lets the operating system choose.
    #[must_use]
    pub fn listener(mut self, listener: Listener, address: SocketAddr) -> Self {
        self.addresses.insert(listener, address);
        self
    }

    /// Adds an encoded `google.protobuf.FileDescriptorSet` that describes services to be added; it may describe more.
    #[must_use]
    pub fn file_descriptor_set(mut self, encoded: &'static [u8]) -> Self {
        self.descriptor_sets.push(encoded);
        self
    }

    /// Adds a service to a listener; its health follows `readiness`.
    ///
    /// Make the service with [`limited!`](crate::limited), which sets its message limits.
    #[must_use]
    pub fn add_service<S>(mut self, listener: Listener, service: S, readiness: &Readiness) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.services.push(ServedService { listener, name: S::NAME, readiness: readiness.clone() });
        let routes = self.routes.remove(&listener).unwrap_or_default();
        self.routes.insert(listener, routes.add_service(service));
        self
    }

    /// Opens the listeners. Connections are accepted from now on, and answered once [`BoundServer::serve`] runs.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn bind(mut self) -> Result<BoundServer, ServerError> {
        crate::admin::install_recorder();
        if let Some(service) =
            self.services.iter().find(|service| !self.addresses.contains_key(&service.listener))
        {
            return Err(ServerError::NoListener { service: service.name, listener: service.listener });
        }
        if self.addresses.contains_key(&Listener::Client) && self.access_tokens.is_none() {
            return Err(ServerError::NoAccessTokens);
        }
        let descriptors = reflection::merge(&self.descriptor_sets)?;
        let methods = Arc::new(MethodTable::new(&descriptors));
        let system: Arc<str> = self.identity.mc_system_id().as_str().into();
        let concurrency =
            Concurrency::new(&system, self.config.max_concurrent_calls, self.config.overload_retry_after);
        let draining = CancellationToken::new();
        let mut listeners = Vec::new();
        for (listener, address) in std::mem::take(&mut self.addresses) {
            let (health, routes) = self.handlers_of(listener, &descriptors)?;
            let settings = layers::Settings {
                system: Arc::clone(&system),
                listener,
                limits: self.config.clone(),
                concurrency: concurrency.clone(),
                policy: Arc::clone(&self.policy),
                methods: Arc::clone(&methods),
                own_system: self.identity.mc_system_id().clone(),
                access_tokens: self.access_tokens.clone(),
                shutdown: draining.clone(),
            };
            let bind_error = |source| ServerError::Bind { address, listener, source };
            let socket = TcpListener::bind(address).await.map_err(bind_error)?;
            let address = socket.local_addr().map_err(bind_error)?;
            tracing::info!(%system, %listener, %address, "listening for grpc");
            let tls = server_config(&self.identity, &self.bundles, listener);
            let limits =
                HandshakeLimits { timeout: self.config.handshake_timeout, ..HandshakeLimits::default() };
            let incoming = TlsIncoming::new(socket, tls, listener, limits, Arc::clone(&self.clock));
            let stack = layers::stack(settings, routes);
            listeners.push(BoundListener { listener, address, incoming, stack, health });
        }
        let mut readiness: Vec<Readiness> = Vec::new();
        for service in &self.services {
            if readiness.iter().all(|known| known.name() != service.readiness.name()) {
                readiness.push(service.readiness.clone());
            }
        }
        Ok(BoundServer { listeners, readiness, config: self.config, draining })
    }

    /// The services of a listener, with the health of exactly these and the reflection of exactly these.
    fn handlers_of(
        &mut self,
        listener: Listener,
        descriptors: &FileDescriptorSet,
    ) -> Result<(Health, Routes), ServerError> {
        let of_listener = self.services.iter().filter(|service| service.listener == listener);
        let names: Vec<&str> = of_listener.clone().map(|service| service.name).collect();
        let (health, health_service) =
            Health::new(of_listener.map(|service| (service.name, service.readiness.clone())).collect());
        let reflection = reflection::services(descriptors, &names)?;
        let routes = self
            .routes
            .remove(&listener)
            .unwrap_or_default()
            .add_service(health_service)
            .add_service(reflection.v1)
            .add_service(reflection.v1alpha)
            .prepare();
        Ok((health, routes))
    }
}

struct BoundListener {
    listener: Listener,
    address: SocketAddr,
    incoming: TlsIncoming,
    stack: Stack,
    health: Health,
}

/// A gRPC server whose listeners are open.
pub struct BoundServer {
    listeners: Vec<BoundListener>,
    readiness: Vec<Readiness>,
    config: ServerConfig,
    /// What handlers find in their contexts.
    draining: CancellationToken,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every connection ended by itself.
    Completely,
    /// So many connections had to be cut when the time was over.
    Cut(usize),
}

impl BoundServer {
    /// The address of a listener, with the port that it really has.
    pub fn address(&self, listener: Listener) -> Option<SocketAddr> {
        self.listeners.iter().find(|bound| bound.listener == listener).map(|bound| bound.address)
    }

    /// Serves until `shutdown`, and then ends in good order: health says NOT_SERVING, nothing new is accepted, calls
    /// under way are finished within `drain_timeout`, and what is left is cut.
    ///
    /// A stream of responses that never ends keeps its connection until then; its handler ends it early by watching
    /// [`CallContext::shutdown`](crate::CallContext), which is cancelled once nothing new is accepted.
    pub async fn serve(self, shutdown: CancellationToken) -> Drained {
        let Self { listeners, readiness, config, draining } = self;
        let connections = Connections::new(config.clone());
        let no_more_accepting = CancellationToken::new();
        // Whoever drops this future instead of cancelling the token ends everything at once.
        let _cut = connections.cut_on_drop();
        let _close = no_more_accepting.clone().drop_guard();
        let mut health = Vec::new();
        let mut followers = Vec::new();
        for BoundListener { listener, incoming, stack, health: of_listener, .. } in listeners {
            health.push(of_listener.clone());
            connections.accept(listener, incoming, stack, no_more_accepting.clone());
            followers.push(AbortOnDropHandle::new(tokio::spawn(of_listener.follow())));
        }

        shutdown.cancelled().await;
        tracing::info!("draining");
        for readiness in &readiness {
            readiness.begin_draining();
        }
        for health in &health {
            health.not_serving().await;
        }
        tokio::time::sleep(config.announce_duration).await;
        no_more_accepting.cancel();
        // Only now: a watcher that came back at once would be let in again.
        draining.cancel();
        connections.drain(config.drain_timeout).await
    }
}

/// Gives a generated gRPC server the message limits of a [`ServerConfig`], both ways:
/// `limited!(MigrationServiceServer::new(api), config.server)`.
///
/// A macro, because generated servers have these methods in common but no trait.
#[macro_export]
macro_rules! limited {
    ($service:expr, $config:expr) => {{
        let config: &$crate::server::ServerConfig = &$config;
        $service
            .max_decoding_message_size(config.max_request_bytes)
            .max_encoding_message_size(config.max_response_bytes)
    }};
}
