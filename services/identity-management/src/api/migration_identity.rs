//! `mcx.identity.v1.MigrationIdentityService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::migration_identity_service_server::MigrationIdentityService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct MigrationIdentityApi(pub(crate) App);

#[tonic::async_trait]
impl MigrationIdentityService for MigrationIdentityApi {
    async fn put_visitors(
        &self,
        request: Request<proto::PutVisitorsRequest>,
    ) -> Result<Response<proto::PutVisitorsResponse>, Status> {
        let mut violations = Violations::new();
        let visitors =
            wire::migration::visitors(&mut violations, &self.0.own, &request.into_inner().visitors);
        let visitors = violations.finish(visitors).map_err(refuse)?;
        let mapped = self.0.put_visitors(visitors).await.map_err(refuse)?;
        let mapped_visitors = mapped
            .into_iter()
            .map(|(id, subject)| proto::MappedVisitor {
                migration_id: id.to_string(),
                subject: subject.into(),
            })
            .collect();
        Ok(Response::new(proto::PutVisitorsResponse { mapped_visitors }))
    }

    async fn delete_visitors(
        &self,
        request: Request<proto::DeleteVisitorsRequest>,
    ) -> Result<Response<proto::DeleteVisitorsResponse>, Status> {
        let mut violations = Violations::new();
        let ids = wire::migration::migration_ids(&mut violations, &request.into_inner().migration_ids);
        let ids = violations.finish(ids).map_err(refuse)?;
        let deleted_count = self.0.delete_visitors(&ids).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteVisitorsResponse { deleted_count }))
    }

    async fn put_exchange_targets(
        &self,
        request: Request<proto::PutExchangeTargetsRequest>,
    ) -> Result<Response<proto::PutExchangeTargetsResponse>, Status> {
        let mut violations = Violations::new();
        let targets = wire::migration::targets(&mut violations, &self.0.own, &request.into_inner().targets);
        let targets = violations.finish(targets).map_err(refuse)?;
        self.0.put_exchange_targets(targets).await.map_err(refuse)?;
        Ok(Response::new(proto::PutExchangeTargetsResponse {}))
    }

    async fn delete_exchange_targets(
        &self,
        request: Request<proto::DeleteExchangeTargetsRequest>,
    ) -> Result<Response<proto::DeleteExchangeTargetsResponse>, Status> {
        let mut violations = Violations::new();
        let ids = wire::migration::migration_ids(&mut violations, &request.into_inner().migration_ids);
        let ids = violations.finish(ids).map_err(refuse)?;
        let deleted_count = self.0.delete_exchange_targets(&ids).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteExchangeTargetsResponse { deleted_count }))
    }
}
