//! `mcx.configuration.v1.MigrationConfigurationService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::migration_configuration_service_server::MigrationConfigurationService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{changed_by, refuse};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct MigrationConfigurationApi(pub(crate) App);

#[tonic::async_trait]
impl MigrationConfigurationService for MigrationConfigurationApi {
    async fn put_migration_targets(
        &self,
        request: Request<proto::PutMigrationTargetsRequest>,
    ) -> Result<Response<proto::PutMigrationTargetsResponse>, Status> {
        let by = changed_by(&request)?;
        let mut violations = Violations::new();
        let targets = wire::migration::targets(&mut violations, &request.into_inner().targets, &self.0);
        let targets = violations.finish(targets).map_err(refuse)?;
        self.0.put_migration_targets(targets, by).await.map_err(refuse)?;
        Ok(Response::new(proto::PutMigrationTargetsResponse {}))
    }

    async fn delete_migration_targets(
        &self,
        request: Request<proto::DeleteMigrationTargetsRequest>,
    ) -> Result<Response<proto::DeleteMigrationTargetsResponse>, Status> {
        let by = changed_by(&request)?;
        let mut violations = Violations::new();
        let ids = wire::migration::migration_ids(&mut violations, &request.into_inner().migration_ids);
        let ids = violations.finish(ids).map_err(refuse)?;
        self.0.delete_migration_targets(ids, by).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteMigrationTargetsResponse {}))
    }

    async fn put_visitors(
        &self,
        request: Request<proto::PutVisitorsRequest>,
    ) -> Result<Response<proto::PutVisitorsResponse>, Status> {
        let by = changed_by(&request)?;
        let mut violations = Violations::new();
        let visitors = wire::migration::visitors(&mut violations, &request.into_inner().visitors, &self.0);
        let visitors = violations.finish(visitors).map_err(refuse)?;
        self.0.put_visitors(visitors, by).await.map_err(refuse)?;
        Ok(Response::new(proto::PutVisitorsResponse {}))
    }

    async fn delete_visitors(
        &self,
        request: Request<proto::DeleteVisitorsRequest>,
    ) -> Result<Response<proto::DeleteVisitorsResponse>, Status> {
        let by = changed_by(&request)?;
        let mut violations = Violations::new();
        let ids = wire::migration::migration_ids(&mut violations, &request.into_inner().migration_ids);
        let ids = violations.finish(ids).map_err(refuse)?;
        self.0.delete_visitors(ids, by).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteVisitorsResponse {}))
    }
}
