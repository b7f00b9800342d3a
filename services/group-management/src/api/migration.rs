//! `mcx.group.v1.MigrationGroupService`.

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::migration_group_service_server::MigrationGroupService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire::{self, PageSizes};

/// The service.
pub(crate) struct MigrationGroupApi(pub(crate) App);

/// Decodes the migrations that a removal names, as the store has them.
fn migration_ids(ids: &[String]) -> Result<Vec<String>, Status> {
    let mut violations = Violations::new();
    let ids = wire::migration::migration_ids(&mut violations, ids);
    let ids = violations.finish(ids).map_err(refuse)?;
    Ok(ids.iter().map(ToString::to_string).collect())
}

#[tonic::async_trait]
impl MigrationGroupService for MigrationGroupApi {
    async fn put_visitors(
        &self,
        request: Request<proto::PutVisitorsRequest>,
    ) -> Result<Response<proto::PutVisitorsResponse>, Status> {
        let mut violations = Violations::new();
        let visitors =
            wire::migration::visitors(&mut violations, &self.0.own, &request.into_inner().visitors);
        let visitors = violations.finish(visitors).map_err(refuse)?;
        let dormant = self.0.put_visitors(visitors).await.map_err(refuse)?;
        let dormant_grants = dormant.iter().map(wire::migration::encode_dormant).collect();
        Ok(Response::new(proto::PutVisitorsResponse { dormant_grants }))
    }

    async fn delete_visitors(
        &self,
        request: Request<proto::DeleteVisitorsRequest>,
    ) -> Result<Response<proto::DeleteVisitorsResponse>, Status> {
        let ids = migration_ids(&request.into_inner().migration_ids)?;
        self.0.delete_visitors(&ids).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteVisitorsResponse {}))
    }

    async fn put_shared_users(
        &self,
        request: Request<proto::PutSharedUsersRequest>,
    ) -> Result<Response<proto::PutSharedUsersResponse>, Status> {
        let mut violations = Violations::new();
        let users = wire::migration::shared_users(&mut violations, &self.0.own, &request.into_inner().users);
        let users = violations.finish(users).map_err(refuse)?;
        self.0.put_shared_users(users).await.map_err(refuse)?;
        Ok(Response::new(proto::PutSharedUsersResponse {}))
    }

    async fn delete_shared_users(
        &self,
        request: Request<proto::DeleteSharedUsersRequest>,
    ) -> Result<Response<proto::DeleteSharedUsersResponse>, Status> {
        let ids = migration_ids(&request.into_inner().migration_ids)?;
        self.0.delete_shared_users(&ids).await.map_err(refuse)?;
        Ok(Response::new(proto::DeleteSharedUsersResponse {}))
    }

    async fn list_shares(
        &self,
        request: Request<proto::ListSharesRequest>,
    ) -> Result<Response<proto::ListSharesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, PageSizes::LISTING, request.page_size);
        let partner = violations.parse("partner_mc_system_id", &request.partner_mc_system_id);
        let (limit, partner) = violations.finish(limit.zip(partner)).map_err(refuse)?;
        let page = self
            .0
            .list_shares(&partner, request.only_pending, &request.page_token, limit)
            .await
            .map_err(refuse)?;
        Ok(Response::new(proto::ListSharesResponse {
            shares: page.items.iter().map(wire::migration::encode_share).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }
}
