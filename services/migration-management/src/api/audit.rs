//! `mcx.migration.v1.AuditService`.

use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::audit_service_server::AuditService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::store::audit_records::{self, AuditFilter};
use crate::wire;

/// The service.
pub(crate) struct AuditApi(pub(crate) App);

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_records(
        &self,
        request: Request<proto::ListAuditRecordsRequest>,
    ) -> Result<Response<proto::ListAuditRecordsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let peer = wire::optional(&mut violations, "peer_mc_system_id", &request.peer_mc_system_id);
        let primary_impi = wire::optional(&mut violations, "primary_impi", &request.primary_impi);
        let decision = wire::audit::decision(&mut violations, request.decision);
        let migration_id = wire::optional(&mut violations, "migration_id", &request.migration_id);
        let ((((limit, peer), primary_impi), decision), migration_id) = violations
            .finish(limit.zip(peer).zip(primary_impi).zip(decision).zip(migration_id))
            .map_err(refuse)?;
        let filter = AuditFilter { peer, primary_impi, decision, migration_id };
        let before = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let page = audit_records::list(&self.0.database, &filter, before, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListAuditRecordsResponse {
            audit_records: page.items.iter().map(wire::audit::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }
}
