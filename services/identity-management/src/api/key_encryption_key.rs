//! `mcx.identity.v1.KeyEncryptionKeyService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::key_encryption_key_service_server::KeyEncryptionKeyService;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;

/// The service.
pub(crate) struct KeyEncryptionKeyApi(pub(crate) App);

#[tonic::async_trait]
impl KeyEncryptionKeyService for KeyEncryptionKeyApi {
    async fn rotate_key_encryption_key(
        &self,
        _request: Request<proto::RotateKeyEncryptionKeyRequest>,
    ) -> Result<Response<proto::RotateKeyEncryptionKeyResponse>, Status> {
        self.0.rotate_key_encryption_key().await.map(Response::new).map_err(refuse)
    }
}
