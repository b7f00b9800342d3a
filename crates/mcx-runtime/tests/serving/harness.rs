//! One small gRPC service, the certificates to call it with, and a server to run it in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use mcx_federation::access_token::{AccessTokenVerifier, Scope};
use mcx_federation::policy::RULES;
use mcx_federation::{
    Caller, CertificateAuthority, CertificateValidity, ChannelSettings, Dialer, Listener, MethodRule,
    OwnIdentity, PeerEndpoint, PolicyTable, TrustBundles, UserDialer,
};
use mcx_runtime::client::Outgoing;
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::{BoundServer, Drained, Server, ServerConfig};
use mcx_types::{Clock, Entity, SpiffeId, SystemClock};
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
    ServiceDescriptorProto,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

pub(crate) const SYSTEM: &str = "alpha.example";
pub(crate) const SERVICE: &str = "mcx.test.v1.TestService";
const ASK: &str = "/mcx.test.v1.TestService/Ask";
const WATCH: &str = "/mcx.test.v1.TestService/Watch";
const FOLLOW: &str = "/mcx.test.v1.TestService/Follow";

/// The one message of the test service.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

pub(crate) fn text(text: impl Into<String>) -> Text {
    Text { text: text.into() }
}

type Answer = BoxFuture<'static, Result<Response<Text>, Status>>;

/// `Ask` answers with what the closure says; `Watch` streams it once and then goes on for ever, and so does `Follow`, for users only.
#[derive(Clone)]
pub(crate) struct TestService(Arc<dyn Fn(Request<Text>) -> Answer + Send + Sync>);

impl TestService {
    pub(crate) fn new<F>(handler: impl Fn(Request<Text>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Text, Status>> + Send + 'static,
    {
        Self(Arc::new(move |request| {
            let answer = handler(request);
            Box::pin(async move { answer.await.map(Response::new) })
        }))
    }

    pub(crate) fn echo() -> Self {
        Self::new(|request| async move { Ok(request.into_inner()) })
    }
}

impl UnaryService<Text> for TestService {
    type Response = Text;
    type Future = Answer;

    fn call(&mut self, request: Request<Text>) -> Answer {
        (self.0)(request)
    }
}

impl ServerStreamingService<Text> for TestService {
    type Response = Text;
    type ResponseStream = BoxStream<'static, Result<Text, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move {
            let first = futures::stream::iter([Ok(answer.await?.into_inner())]);
            let stream: Self::ResponseStream =
                Box::pin(futures::StreamExt::chain(first, futures::stream::pending()));
            Ok(Response::new(stream))
        })
    }
}

impl NamedService for TestService {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for TestService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Text, Text>::default());
            Ok(match request.uri().path() {
                WATCH | FOLLOW => grpc.server_streaming(service, request).await,
                _ => grpc.unary(service, request).await,
            })
        })
    }
}

/// The descriptor of the test service, and of another that nobody serves.
pub(crate) static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let method = |name: &str, server_streaming| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".mcx.test.v1.Text".to_owned()),
        output_type: Some(".mcx.test.v1.Text".to_owned()),
        server_streaming: Some(server_streaming),
        ..Default::default()
    };
    let service = |name: &str| ServiceDescriptorProto {
        name: Some(name.to_owned()),
        method: vec![method("Ask", false), method("Watch", true), method("Follow", true)],
        ..Default::default()
    };
    let field = FieldDescriptorProto {
        name: Some("text".to_owned()),
        number: Some(1),
        r#type: Some(Type::String.into()),
        label: Some(Label::Optional.into()),
        ..Default::default()
    };
    let message = DescriptorProto { name: Some("Text".to_owned()), field: vec![field], ..Default::default() };
    let file =
        |name: &str, dependency: &[&str], messages: Vec<DescriptorProto>, services| FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some("mcx.test.v1".to_owned()),
            dependency: dependency.iter().map(|name| (*name).to_owned()).collect(),
            message_type: messages,
            service: services,
            syntax: Some("proto3".to_owned()),
            ..Default::default()
        };
    let text = "mcx/test/v1/text.proto";
    FileDescriptorSet {
        file: vec![
            file(text, &[], vec![message], vec![]),
            file("mcx/test/v1/test_service.proto", &[text], vec![], vec![service("TestService")]),
            file("mcx/test/v1/secret_service.proto", &[text], vec![], vec![service("SecretService")]),
        ],
    }
    .encode_to_vec()
});

/// The certificates of one system, and who may call the test service in it: its own SIP core.
pub(crate) struct System {
    authority: CertificateAuthority,
}

impl System {
    pub(crate) fn new() -> Self {
        let authority = CertificateAuthority::create(SYSTEM.parse().unwrap(), validity()).unwrap();
        Self { authority }
    }

    fn identity(&self, spiffe_id: &SpiffeId) -> OwnIdentity {
        let issued = self.authority.issue(spiffe_id, &[], validity()).unwrap();
        let bundle = self.authority.certificate_pem().as_bytes();
        OwnIdentity::from_pem(issued.certificate_pem, issued.key_pem.expose().as_bytes(), bundle).unwrap()
    }

    /// A server on the internal listener, with everything but its services.
    pub(crate) fn server(&self) -> Server {
        let own = self.identity(&entity(Entity::MigrationManagement));
        let rules: Vec<MethodRule> = [ASK, WATCH]
            .map(|method| MethodRule {
                method,
                listener: Listener::Internal,
                callers: &[Caller::OwnEntity(Entity::SipCore)],
            })
            .into_iter()
            .chain([
                MethodRule {
                    method: ASK,
                    listener: Listener::Client,
                    callers: &[Caller::User(Scope::PttService), Caller::User(Scope::DataService)],
                },
                MethodRule {
                    method: FOLLOW,
                    listener: Listener::Client,
                    callers: &[Caller::User(Scope::PttService)],
                },
                MethodRule { method: WATCH, listener: Listener::Client, callers: &[Caller::Anyone] },
            ])
            .chain(RULES.iter().copied())
            .collect();
        let policy = PolicyTable::new(SYSTEM.parse().unwrap(), &rules).unwrap();
        Server::builder(own.clone(), TrustBundles::new(own), Arc::new(policy))
            .listener(Listener::Internal, ([127, 0, 0, 1], 0).into())
            .file_descriptor_set(&DESCRIPTORS)
    }

    /// A running server with the test service on the internal listener and on that for UEs, whose tokens it verifies.
    pub(crate) async fn serve_users(
        &self,
        service: TestService,
        config: ServerConfig,
        access_tokens: AccessTokenVerifier,
    ) -> Running {
        let readiness = Readiness::new("test");
        let server = self
            .server()
            .config(config)
            .access_tokens(access_tokens)
            .listener(Listener::Client, ([127, 0, 0, 1], 0).into())
            .add_service(Listener::Internal, service.clone(), &readiness)
            .add_service(Listener::Client, service, &readiness);
        Running::start(server.bind().await.unwrap(), readiness)
    }

    /// The CA certificate of the system, which its UEs are given.
    pub(crate) fn bundle_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// A channel of a UE, which shows no certificate.
    pub(crate) fn user_channel(&self, address: SocketAddr) -> Channel {
        let (bundle, clock) = (self.bundle_pem().as_bytes(), Arc::new(SystemClock));
        UserDialer::new(SYSTEM.parse().unwrap(), bundle, ChannelSettings::default(), clock)
            .unwrap()
            .channel(vec![PeerEndpoint::from(address)])
            .unwrap()
    }

    /// A client of the test service that calls as a UE.
    pub(crate) fn user_client(&self, address: SocketAddr) -> Client {
        Client::over(self.user_channel(address))
    }

    /// A running server with the test service on the internal listener.
    pub(crate) async fn serve(&self, service: TestService, config: ServerConfig) -> Running {
        let readiness = Readiness::new("test");
        let server = self.server().config(config).add_service(Listener::Internal, service, &readiness);
        Running::start(server.bind().await.unwrap(), readiness)
    }

    /// A channel that calls as one of the entities.
    pub(crate) fn channel(&self, caller: Entity, address: SocketAddr) -> Channel {
        let own = self.identity(&entity(caller));
        let clock = Arc::new(SystemClock);
        Dialer::new(own.clone(), TrustBundles::new(own), ChannelSettings::default(), clock)
            .channel(entity(Entity::MigrationManagement), vec![PeerEndpoint::from(address)])
            .unwrap()
    }

    /// A connection as the SIP core that has passed the handshake, was taken by the server, and says nothing.
    pub(crate) async fn mute_connection(&self, address: SocketAddr) -> impl AsyncRead + AsyncWrite + Unpin {
        let own = self.identity(&entity(Entity::SipCore));
        let clock = Arc::new(SystemClock);
        let dialer = Dialer::new(own.clone(), TrustBundles::new(own), ChannelSettings::default(), clock);
        let mut connector =
            dialer.connector(entity(Entity::MigrationManagement), vec![PeerEndpoint::from(address)]).unwrap();
        let uri = "http://alpha.example".parse().unwrap();
        let mut connection = connector.call(uri).await.unwrap().into_inner();
        // The settings of HTTP/2, with which the server begins.
        connection.read_u8().await.unwrap();
        connection
    }

    /// A client of the test service that calls as the SIP core.
    pub(crate) fn client(&self, address: SocketAddr) -> Client {
        Client::over(self.channel(Entity::SipCore, address))
    }
}

fn entity(entity: Entity) -> SpiffeId {
    SpiffeId::entity(SYSTEM.parse().unwrap(), entity)
}

fn validity() -> CertificateValidity {
    CertificateValidity::starting(SystemClock.now(), Duration::from_secs(3600))
}

/// A server that serves in the background until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Where UEs are listened to, if they are.
    pub(crate) client_address: Option<SocketAddr>,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<Drained>,
}

impl Running {
    pub(crate) fn start(server: BoundServer, readiness: Readiness) -> Self {
        let address = server.address(Listener::Internal).unwrap();
        let client_address = server.address(Listener::Client);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.serve(shutdown.clone()));
        Self { address, client_address, readiness, shutdown, serving }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
pub(crate) struct Client(tonic::client::Grpc<Outgoing<Channel>>);

impl Client {
    pub(crate) fn over(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(Outgoing::new(channel)))
    }

    pub(crate) async fn ask(&mut self, question: &str) -> Result<Response<Text>, Status> {
        self.ask_with(Request::new(text(question))).await
    }

    pub(crate) async fn ask_with(&mut self, request: Request<Text>) -> Result<Response<Text>, Status> {
        self.0.ready().await.map_err(Status::from_error)?;
        self.0.unary(request, ASK.parse().unwrap(), ProstCodec::<Text, Text>::default()).await
    }

    pub(crate) async fn watch(&mut self, question: &str) -> Result<tonic::Streaming<Text>, Status> {
        self.stream(WATCH, Request::new(text(question))).await
    }

    pub(crate) async fn follow(&mut self, request: Request<Text>) -> Result<tonic::Streaming<Text>, Status> {
        self.stream(FOLLOW, request).await
    }

    async fn stream(
        &mut self,
        method: &str,
        request: Request<Text>,
    ) -> Result<tonic::Streaming<Text>, Status> {
        self.0.ready().await.map_err(Status::from_error)?;
        let codec = ProstCodec::<Text, Text>::default();
        self.0.server_streaming(request, method.parse().unwrap(), codec).await.map(Response::into_inner)
    }
}
