//! `mcx.identity.v1.ClientRegistrationService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::client_registration_service_server::ClientRegistrationService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, refuse};
use crate::app::App;
use crate::domain::client::ClientAuthentication;
use crate::wire;

/// The service.
pub(crate) struct ClientRegistrationApi(pub(crate) App);

#[tonic::async_trait]
impl ClientRegistrationService for ClientRegistrationApi {
    async fn create_client(
        &self,
        request: Request<proto::CreateClientRequest>,
    ) -> Result<Response<proto::CreateClientResponse>, Status> {
        let mut request = request.into_inner();
        let secret = request.secret.take();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateClient", &request.request_id, &request);
        let client = wire::client::decode(&mut violations, request.client.as_ref());
        let authentication = request.client.as_ref().map_or(0, |client| client.authentication);
        let secret = wire::client::secret(&mut violations, secret, authentication);
        let needs_secret =
            client.as_ref().is_some_and(|client| client.authentication == ClientAuthentication::SecretBasic);
        if needs_secret && matches!(secret, Some(None)) {
            violations.add("secret", "is required where the client authenticates with one");
        }
        let ((id, client), secret) = violations.finish(id.zip(client).zip(secret)).map_err(refuse)?;
        self.0.create_client(client, secret, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_client(
        &self,
        request: Request<proto::GetClientRequest>,
    ) -> Result<Response<proto::GetClientResponse>, Status> {
        let client = self.0.get_client(request.into_inner().client_id).await.map_err(refuse)?;
        Ok(Response::new(proto::GetClientResponse { client: Some(wire::client::encode(&client)) }))
    }

    async fn list_clients(
        &self,
        request: Request<proto::ListClientsRequest>,
    ) -> Result<Response<proto::ListClientsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_clients(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListClientsResponse {
            clients: page.items.iter().map(wire::client::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_client(
        &self,
        request: Request<proto::UpdateClientRequest>,
    ) -> Result<Response<proto::UpdateClientResponse>, Status> {
        let mut request = request.into_inner();
        let secret = request.secret.take();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateClient", &request.request_id, &request);
        let client = wire::client::decode(&mut violations, request.client.as_ref());
        let version = request
            .client
            .as_ref()
            .and_then(|client| wire::version(&mut violations, "client.etag", &client.etag));
        let authentication = request.client.as_ref().map_or(0, |client| client.authentication);
        let secret = wire::client::secret(&mut violations, secret, authentication);
        let (((id, client), version), secret) =
            violations.finish(id.zip(client).zip(version).zip(secret)).map_err(refuse)?;
        self.0.update_client(client, secret, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_client(
        &self,
        request: Request<proto::DeleteClientRequest>,
    ) -> Result<Response<proto::DeleteClientResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteClient", &request.request_id, &request);
        let version = wire::optional_version(&mut violations, "etag", &request.etag);
        let (id, version) = violations.finish(id.zip(version)).map_err(refuse)?;
        self.0.delete_client(request.client_id, version, id).await.map(Response::new).map_err(refuse)
    }
}
