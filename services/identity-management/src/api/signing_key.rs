//! `mcx.identity.v1.SigningKeyService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::signing_key_service_server::SigningKeyService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, refuse};
use crate::app::App;

/// The service.
pub(crate) struct SigningKeyApi(pub(crate) App);

#[tonic::async_trait]
impl SigningKeyService for SigningKeyApi {
    async fn list_signing_keys(
        &self,
        _request: Request<proto::ListSigningKeysRequest>,
    ) -> Result<Response<proto::ListSigningKeysResponse>, Status> {
        let signing_keys = self.0.list_signing_keys().await.map_err(refuse)?;
        Ok(Response::new(proto::ListSigningKeysResponse { signing_keys }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<proto::RotateSigningKeyRequest>,
    ) -> Result<Response<proto::RotateSigningKeyResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "RotateSigningKey", &request.request_id, &request);
        let id = violations.finish(id).map_err(refuse)?;
        self.0.rotate_signing_key(id).await.map(Response::new).map_err(refuse)
    }

    async fn retire_signing_key(
        &self,
        request: Request<proto::RetireSigningKeyRequest>,
    ) -> Result<Response<proto::RetireSigningKeyResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "RetireSigningKey", &request.request_id, &request);
        if request.kid.is_empty() {
            violations.add("kid", "is required");
        }
        let id = violations.finish(id).map_err(refuse)?;
        self.0.retire_signing_key(request.kid, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_json_web_key_set(
        &self,
        _request: Request<proto::GetJsonWebKeySetRequest>,
    ) -> Result<Response<proto::GetJsonWebKeySetResponse>, Status> {
        let keys = self.0.list_signing_keys().await.map_err(refuse)?;
        Ok(Response::new(proto::GetJsonWebKeySetResponse {
            issuer: self.0.issuer.clone(),
            token_endpoint: self.0.token_endpoint(),
            keys: keys.into_iter().filter_map(|key| key.key).collect(),
        }))
    }
}
