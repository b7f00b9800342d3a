//! `mcx.group.v1.GroupService`.

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_service_server::GroupService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, optional_version, refuse};
use crate::app::App;
use crate::wire::{self, PageSizes};

/// How many members one request may name.
const MEMBER_LIMIT: usize = 1_000;

/// The service.
pub(crate) struct GroupApi(pub(crate) App);

#[tonic::async_trait]
impl GroupService for GroupApi {
    async fn create_group(
        &self,
        request: Request<proto::CreateGroupRequest>,
    ) -> Result<Response<proto::CreateGroupResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateGroup", &request.request_id, &request);
        let group = wire::group::decode(&mut violations, "group", &self.0.own, request.group.as_ref());
        let (id, group) = violations.finish(id.zip(group)).map_err(refuse)?;
        self.0.create_group(group, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_group(
        &self,
        request: Request<proto::GetGroupRequest>,
    ) -> Result<Response<proto::GetGroupResponse>, Status> {
        let mut violations = Violations::new();
        let id = violations.parse("group_id", &request.into_inner().group_id);
        let id = violations.finish(id).map_err(refuse)?;
        let (group, member_count) = self.0.get_group(id).await.map_err(refuse)?;
        Ok(Response::new(proto::GetGroupResponse {
            group: Some(wire::group::encode(&group)),
            member_count: u32::try_from(member_count).unwrap_or_default(),
        }))
    }

    async fn list_groups(
        &self,
        request: Request<proto::ListGroupsRequest>,
    ) -> Result<Response<proto::ListGroupsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, PageSizes::LISTING, request.page_size);
        let home = wire::optional(&mut violations, "home_mc_system_id", &request.home_mc_system_id);
        let (limit, home) = violations.finish(limit.zip(home)).map_err(refuse)?;
        let page = self.0.list_groups(home.as_ref(), &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListGroupsResponse {
            groups: page.items.iter().map(wire::group::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_group(
        &self,
        request: Request<proto::UpdateGroupRequest>,
    ) -> Result<Response<proto::UpdateGroupResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateGroup", &request.request_id, &request);
        let version = request
            .group
            .as_ref()
            .and_then(|group| wire::version(&mut violations, "group.etag", &group.etag));
        // Whose group it is, is asked of what is stored: a group of another system is refused as such.
        let group = request.group.as_ref().map(|group| {
            let id = violations.parse("group.group_id", &group.group_id);
            id.zip(wire::group::terms(&mut violations, "group", group))
        });
        let group = violations.require("group", group).flatten();
        let ((id, (group_id, terms)), version) =
            violations.finish(id.zip(group).zip(version)).map_err(refuse)?;
        let group = crate::domain::group::Group { id: group_id, terms };
        self.0.update_group(group, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_group(
        &self,
        request: Request<proto::DeleteGroupRequest>,
    ) -> Result<Response<proto::DeleteGroupResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteGroup", &request.request_id, &request);
        let group_id = violations.parse("group_id", &request.group_id);
        let version = optional_version(&mut violations, &request.etag);
        let ((id, group_id), version) = violations.finish(id.zip(group_id).zip(version)).map_err(refuse)?;
        self.0.delete_group(group_id, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn add_members(
        &self,
        request: Request<proto::AddMembersRequest>,
    ) -> Result<Response<proto::AddMembersResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "AddMembers", &request.request_id, &request);
        let group_id = violations.parse("group_id", &request.group_id);
        let members = wire::member::decode_all(&mut violations, "members", &request.members, MEMBER_LIMIT);
        let ((id, group_id), members) = violations.finish(id.zip(group_id).zip(members)).map_err(refuse)?;
        self.0.add_members(group_id, members, id).await.map(Response::new).map_err(refuse)
    }

    async fn remove_members(
        &self,
        request: Request<proto::RemoveMembersRequest>,
    ) -> Result<Response<proto::RemoveMembersResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "RemoveMembers", &request.request_id, &request);
        let group_id = violations.parse("group_id", &request.group_id);
        let is_good =
            wire::count(&mut violations, "mc_service_ids", request.mc_service_ids.len(), 1, MEMBER_LIMIT);
        let members = is_good
            .then(|| wire::distinct(&mut violations, "mc_service_ids", &request.mc_service_ids))
            .flatten();
        let ((id, group_id), members) = violations.finish(id.zip(group_id).zip(members)).map_err(refuse)?;
        self.0.remove_members(group_id, members, id).await.map(Response::new).map_err(refuse)
    }

    async fn list_members(
        &self,
        request: Request<proto::ListMembersRequest>,
    ) -> Result<Response<proto::ListMembersResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let group_id = violations.parse("group_id", &request.group_id);
        let limit = wire::page_size(&mut violations, PageSizes::LISTING, request.page_size);
        let (group_id, limit) = violations.finish(group_id.zip(limit)).map_err(refuse)?;
        let page = self.0.list_members(group_id, &request.page_token, limit).await.map_err(refuse)?;
        let members = page.items.iter().map(|membership| wire::member::encode(&membership.member));
        Ok(Response::new(proto::ListMembersResponse {
            members: members.collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }
}
