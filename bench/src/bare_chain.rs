//! What the federated lookup is compared with: three gRPC servers that only hand the same messages on, built with nothing but tonic.

#![expect(
    clippy::disallowed_methods,
    reason = "the bare chain is bare: it has nothing of our own, the building of statuses included"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use mcx_federation::{
    ChannelSettings, Dialer, HandshakeLimits, Listener, OwnIdentity, TlsIncoming, TrustBundles, server_config,
};
use mcx_proto::migration::v1 as migration;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_proto::migration::v1::federation_service_server::{FederationService, FederationServiceServer};
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_proto::migration::v1::sip_authentication_service_server as visitor_authentication;
use mcx_proto::sipdatabase::v1 as database;
use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient as DatabaseClient;
use mcx_proto::sipdatabase::v1::sip_authentication_service_server as subscriber_authentication;
use mcx_proto::types::v1::{AuthenticationInformation, AuthenticationVector};
use mcx_types::{SpiffeId, SystemClock};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

const NOT_MEASURED: &str = "not measured";

/// How the hops are protected.
#[derive(Clone)]
pub(crate) enum Protection {
    /// They are not.
    Plaintext,
    /// By the mutual TLS of Crossband.
    MutualTls(OwnIdentity),
}

/// A server with nothing behind it, which serves until the process ends.
#[derive(Clone)]
pub(crate) struct BareServer {
    protection: Protection,
    address: SocketAddr,
}

/// Starts the three servers; the client calls the first of them.
pub(crate) async fn start(protection: &Protection) -> Result<SipAuthenticationServiceClient<Channel>> {
    let third = BareServer::start(protection).await?.channel()?;
    let second = FederationServiceServer::new(Second { next: DatabaseClient::new(third) });
    let second = serve(protection, Server::builder().add_service(second)).await?.channel()?;
    let first = First { next: FederationServiceClient::new(second) };
    let first = visitor_authentication::SipAuthenticationServiceServer::new(first);
    let first = serve(protection, Server::builder().add_service(first)).await?.channel()?;
    Ok(SipAuthenticationServiceClient::new(first))
}

impl BareServer {
    /// Starts the last server of the chain alone.
    pub(crate) async fn start(protection: &Protection) -> Result<Self> {
        let third = subscriber_authentication::SipAuthenticationServiceServer::new(Third);
        serve(protection, Server::builder().add_service(third)).await
    }

    /// A channel with a connection of its own, which is opened by the first call.
    pub(crate) fn channel(&self) -> Result<Channel> {
        match &self.protection {
            Protection::Plaintext => {
                Ok(Endpoint::from_shared(format!("http://{}", self.address))?.connect_lazy())
            }
            Protection::MutualTls(identity) => {
                secured_channel(identity, identity.spiffe_id().clone(), self.address)
            }
        }
    }
}

/// Serves until the process ends.
async fn serve(protection: &Protection, router: tonic::transport::server::Router) -> Result<BareServer> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = socket.local_addr()?;
    match protection {
        Protection::Plaintext => {
            let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
            tokio::spawn(router.serve_with_incoming(incoming));
        }
        Protection::MutualTls(identity) => {
            let bundles = TrustBundles::new(identity.clone());
            let tls = server_config(identity, &bundles, Listener::Internal);
            let limits = HandshakeLimits::default();
            let clock = Arc::new(SystemClock);
            let incoming = TlsIncoming::new(socket, tls, Listener::Internal, limits, clock);
            tokio::spawn(router.serve_with_incoming(incoming));
        }
    }
    Ok(BareServer { protection: protection.clone(), address })
}

/// A channel that shows `identity` to whoever proves to be `expected`.
pub(crate) fn secured_channel(
    identity: &OwnIdentity,
    expected: SpiffeId,
    address: SocketAddr,
) -> Result<Channel> {
    let bundles = TrustBundles::new(identity.clone());
    let dialer = Dialer::new(identity.clone(), bundles, ChannelSettings::default(), Arc::new(SystemClock));
    dialer.channel(expected, vec![address.into()]).context("there is an endpoint")
}

struct First {
    next: FederationServiceClient<Channel>,
}

#[tonic::async_trait]
impl visitor_authentication::SipAuthenticationService for First {
    async fn get_sip_authentication_information(
        &self,
        request: Request<migration::GetSipAuthenticationInformationRequest>,
    ) -> Result<Response<migration::GetSipAuthenticationInformationResponse>, Status> {
        let asked = request.into_inner();
        let identities = asked.partner_identities.unwrap_or_default();
        let request = migration::FederationServiceGetSipAuthenticationInformationRequest {
            transaction_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            partner_impi: identities.impi.clone(),
            primary_identities: Some(identities.clone()),
            scheme: asked.scheme,
            vector_count: 1,
        };
        let answer = self.next.clone().get_sip_authentication_information(request).await?.into_inner();
        Ok(Response::new(migration::GetSipAuthenticationInformationResponse {
            partner_identities: Some(identities),
            authentication_information: answer.authentication_information,
        }))
    }

    async fn resynchronise(
        &self,
        _request: Request<migration::ResynchroniseRequest>,
    ) -> Result<Response<migration::ResynchroniseResponse>, Status> {
        Err(Status::unimplemented(NOT_MEASURED))
    }
}

struct Second {
    next: DatabaseClient<Channel>,
}

#[tonic::async_trait]
impl FederationService for Second {
    async fn get_sip_authentication_information(
        &self,
        request: Request<migration::FederationServiceGetSipAuthenticationInformationRequest>,
    ) -> Result<Response<migration::FederationServiceGetSipAuthenticationInformationResponse>, Status> {
        let asked = request.into_inner();
        let request = database::GetSipAuthenticationInformationRequest {
            identities: asked.primary_identities.clone(),
            scheme: asked.scheme,
            vector_count: asked.vector_count,
            requesting_mc_system_id: "bravo.example".to_owned(),
        };
        let answer = self.next.clone().get_sip_authentication_information(request).await?.into_inner();
        Ok(Response::new(migration::FederationServiceGetSipAuthenticationInformationResponse {
            transaction_id: asked.transaction_id,
            primary_identities: asked.primary_identities,
            authentication_information: answer.authentication_information,
        }))
    }

    async fn resynchronise(
        &self,
        _request: Request<migration::FederationServiceResynchroniseRequest>,
    ) -> Result<Response<migration::FederationServiceResynchroniseResponse>, Status> {
        Err(Status::unimplemented(NOT_MEASURED))
    }

    async fn offer_user_migrations(
        &self,
        _request: Request<migration::OfferUserMigrationsRequest>,
    ) -> Result<Response<migration::OfferUserMigrationsResponse>, Status> {
        Err(Status::unimplemented(NOT_MEASURED))
    }

    async fn report_user_migrations(
        &self,
        _request: Request<migration::ReportUserMigrationsRequest>,
    ) -> Result<Response<migration::ReportUserMigrationsResponse>, Status> {
        Err(Status::unimplemented(NOT_MEASURED))
    }
}

struct Third;

#[tonic::async_trait]
impl subscriber_authentication::SipAuthenticationService for Third {
    async fn get_sip_authentication_information(
        &self,
        request: Request<database::GetSipAuthenticationInformationRequest>,
    ) -> Result<Response<database::GetSipAuthenticationInformationResponse>, Status> {
        let vector = AuthenticationVector {
            rand: vec![1; 16],
            autn: vec![2; 16],
            xres: vec![3; 8],
            ck: vec![4; 16],
            ik: vec![5; 16],
        };
        let asked = request.into_inner();
        Ok(Response::new(database::GetSipAuthenticationInformationResponse {
            identities: asked.identities,
            authentication_information: Some(AuthenticationInformation {
                scheme: asked.scheme,
                vectors: vec![vector],
            }),
        }))
    }

    async fn resynchronise(
        &self,
        _request: Request<database::ResynchroniseRequest>,
    ) -> Result<Response<database::ResynchroniseResponse>, Status> {
        Err(Status::unimplemented(NOT_MEASURED))
    }
}
