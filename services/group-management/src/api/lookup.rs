//! `mcx.group.v1.GroupLookupService`.

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_lookup_service_server::GroupLookupService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct GroupLookupApi(pub(crate) App);

#[tonic::async_trait]
impl GroupLookupService for GroupLookupApi {
    async fn get_group_for_member(
        &self,
        request: Request<proto::GetGroupForMemberRequest>,
    ) -> Result<Response<proto::GetGroupForMemberResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let group = violations.parse("group_id", &request.group_id);
        let user = violations.parse("mc_service_id", &request.mc_service_id);
        let (group, user) = violations.finish(group.zip(user)).map_err(refuse)?;
        let (group, member) = self.0.get_group_for_member(group, &user).await.map_err(refuse)?;
        Ok(Response::new(proto::GetGroupForMemberResponse {
            group: Some(wire::group::encode(&group)),
            member: member.as_ref().map(wire::member::encode),
        }))
    }
}
