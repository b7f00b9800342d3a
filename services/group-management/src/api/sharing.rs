//! `mcx.group.v1.GroupSharingService`, on the peer listener: CSC-16.

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_sharing_service_server::GroupSharingService;
use mcx_runtime::CallContext;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire::{self, PageSizes};

/// How many users one request may name.
const USER_LIMIT: usize = 500;

/// The service.
pub(crate) struct GroupSharingApi(pub(crate) App);

impl GroupSharingApi {
    /// Who calls, as the channel proves it, with an agreement in force.
    fn partner<T>(&self, request: &Request<T>) -> Result<McSystemId, Status> {
        let caller = CallContext::of(request)?.caller;
        let partner = self.0.partners.partner(caller.mc_system_id()).map_err(refuse)?;
        Ok(partner.mc_system_id)
    }
}

#[tonic::async_trait]
impl GroupSharingService for GroupSharingApi {
    async fn get_groups(
        &self,
        request: Request<proto::GroupSharingServiceGetGroupsRequest>,
    ) -> Result<Response<proto::GroupSharingServiceGetGroupsResponse>, Status> {
        let partner = self.partner(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let is_good =
            wire::count(&mut violations, "mc_service_ids", request.mc_service_ids.len(), 1, USER_LIMIT);
        let ids = is_good
            .then(|| wire::distinct(&mut violations, "mc_service_ids", &request.mc_service_ids))
            .flatten();
        let limit = wire::page_size(&mut violations, PageSizes::OF_PARTNER, request.page_size);
        let (ids, limit) = violations.finish(ids.zip(limit)).map_err(refuse)?;
        let (groups, next) =
            self.0.groups_for_partner(&partner, &ids, &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::GroupSharingServiceGetGroupsResponse {
            groups,
            next_page_token: next.unwrap_or_default(),
        }))
    }

    async fn share_groups(
        &self,
        request: Request<proto::ShareGroupsRequest>,
    ) -> Result<Response<proto::ShareGroupsResponse>, Status> {
        let home = self.partner(&request)?;
        let groups = wire::sharing::shared_groups(&home, &request.into_inner().groups, 1).map_err(refuse)?;
        self.0.take_shared_groups(&home, groups).await.map_err(refuse)?;
        Ok(Response::new(proto::ShareGroupsResponse {}))
    }

    async fn withdraw_groups(
        &self,
        request: Request<proto::WithdrawGroupsRequest>,
    ) -> Result<Response<proto::WithdrawGroupsResponse>, Status> {
        let home = self.partner(&request)?;
        let groups = wire::sharing::withdrawn_groups(&home, &request.into_inner().groups).map_err(refuse)?;
        self.0.take_withdrawn_groups(&home, groups).await.map_err(refuse)?;
        Ok(Response::new(proto::WithdrawGroupsResponse {}))
    }
}
