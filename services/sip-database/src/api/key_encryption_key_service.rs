//! `mcx.sipdatabase.v1.KeyEncryptionKeyService`.

use std::sync::Arc;

use mcx_proto::sipdatabase::v1::key_encryption_key_service_server::KeyEncryptionKeyService;
use mcx_proto::sipdatabase::v1::{
    KeyEncryptionKeyUse, RotateKeyEncryptionKeyRequest, RotateKeyEncryptionKeyResponse,
};
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refused;
use super::request::request_id;
use crate::app::App;
use crate::error::SipDatabaseError;

#[derive(Clone)]
pub(crate) struct KeyEncryptionKeyApi {
    app: Arc<App>,
}

impl KeyEncryptionKeyApi {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn rotate(
        &self,
        message: RotateKeyEncryptionKeyRequest,
    ) -> Result<RotateKeyEncryptionKeyResponse, SipDatabaseError> {
        let mut violations = Violations::new();
        let id = request_id(&mut violations, &message.request_id);
        if let Some(request_id) = violations.finish(id)? {
            tracing::info!(%request_id, "rotation asked for");
        }
        let rotated = self.app.rotate().await?;
        Ok(RotateKeyEncryptionKeyResponse {
            active_key_id: rotated.active_key_id,
            rotated_count: rotated.count,
            uses: rotated
                .uses
                .into_iter()
                .map(|(key_id, count)| KeyEncryptionKeyUse { key_id, count })
                .collect(),
        })
    }
}

#[tonic::async_trait]
impl KeyEncryptionKeyService for KeyEncryptionKeyApi {
    async fn rotate_key_encryption_key(
        &self,
        request: Request<RotateKeyEncryptionKeyRequest>,
    ) -> Result<Response<RotateKeyEncryptionKeyResponse>, Status> {
        self.rotate(request.into_inner()).await.map(Response::new).map_err(|error| refused(&error))
    }
}
