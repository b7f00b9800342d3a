//! `mcx.group.v1.GroupConfigurationService`, on the listener for UEs: CSC-2.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_configuration_service_server::GroupConfigurationService;
use mcx_runtime::CallContext;
use mcx_types::{McServiceId, Violations};
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::app::watch::member_group;
use crate::wire::{self, PageSizes};

/// How many groups one request may name.
const GROUP_LIMIT: usize = 100;

/// The service.
pub(crate) struct GroupConfigurationApi(pub(crate) App);

#[tonic::async_trait]
impl GroupConfigurationService for GroupConfigurationApi {
    async fn get_groups(
        &self,
        request: Request<proto::GetGroupsRequest>,
    ) -> Result<Response<proto::GetGroupsResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let is_good = wire::count(&mut violations, "group_ids", request.group_ids.len(), 0, GROUP_LIMIT);
        let among =
            is_good.then(|| wire::distinct(&mut violations, "group_ids", &request.group_ids)).flatten();
        let limit = wire::page_size(&mut violations, PageSizes::OF_USER, request.page_size);
        let (among, limit) = violations.finish(among.zip(limit)).map_err(refuse)?;
        let ids: Vec<McServiceId> = user.service_ids.values().cloned().collect();
        let page = self
            .0
            .get_groups_of(&ids, user.visitor_of.is_some(), &among, &request.page_token, limit)
            .await
            .map_err(refuse)?;
        Ok(Response::new(proto::GetGroupsResponse {
            groups: page.items.iter().map(|(group, members)| member_group(group, members)).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    type WatchGroupsStream = BoxStream<'static, Result<proto::WatchGroupsResponse, Status>>;

    async fn watch_groups(
        &self,
        request: Request<proto::WatchGroupsRequest>,
    ) -> Result<Response<Self::WatchGroupsStream>, Status> {
        let user = CallContext::user_of(&request)?;
        let shutdown = CallContext::of(&request)?.shutdown;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let resume = wire::optional(&mut violations, "resume_token", &request.resume_token);
        let resume = violations.finish(resume).map_err(refuse)?;
        let events = self.0.watch_groups(&user, resume, shutdown).await.map_err(refuse)?;
        Ok(Response::new(events.map_err(refuse).boxed()))
    }
}
