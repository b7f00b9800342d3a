//! `mcx.configuration.v1.UserProfileService`.

use futures::StreamExt;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::user_profile_service_server::UserProfileService;
use mcx_types::{McServiceId, ProfileIndex, Violations};
use tonic::{Request, Response, Status, Streaming};

use super::{StreamError, changed_by, mutating_request, refuse};
use crate::app::App;
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire;
use crate::wire::document::{Document, user_profile_list_prefix, user_profile_prefix};

/// The service.
pub(crate) struct UserProfileApi(pub(crate) App);

fn profile_index(violations: &mut Violations, index: u32) -> Option<ProfileIndex> {
    violations.accept("profile_index", ProfileIndex::try_from(index))
}

#[tonic::async_trait]
impl UserProfileService for UserProfileApi {
    async fn create_user_profile(
        &self,
        request: Request<proto::CreateUserProfileRequest>,
    ) -> Result<Response<proto::CreateUserProfileResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateUserProfile", &request.request_id, &by, &request);
        let profile = request.user_profile.as_ref();
        let profile = wire::user_profile::decode(&mut violations, "user_profile", profile, &self.0);
        let (id, profile) = violations.finish(id.zip(profile)).map_err(refuse)?;
        self.0.create_user_profile(&profile, id, by).await.map(Response::new).map_err(refuse)
    }

    async fn get_user_profile(
        &self,
        request: Request<proto::GetUserProfileRequest>,
    ) -> Result<Response<proto::GetUserProfileResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::service_user(&mut violations, "identity", request.identity.as_ref());
        let index = profile_index(&mut violations, request.profile_index);
        let (user, index) = violations.finish(user.zip(index)).map_err(refuse)?;
        let profile = self.0.user_profile(&user, index).await.map_err(refuse)?;
        Ok(Response::new(proto::GetUserProfileResponse { user_profile: Some(profile) }))
    }

    async fn list_user_profiles(
        &self,
        request: Request<proto::ListUserProfilesRequest>,
    ) -> Result<Response<proto::ListUserProfilesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let mc_service = match request.mc_service {
            0 => Some(None),
            service => violations.mc_service("mc_service", service).map(Some),
        };
        let id = wire::optional::<McServiceId>(&mut violations, "mc_service_id", &request.mc_service_id);
        if let (Some(None), Some(Some(_))) = (&mc_service, &id) {
            violations.add("mc_service", "is required where mc_service_id is given");
        }
        let ((limit, mc_service), id) = violations.finish(limit.zip(mc_service).zip(id)).map_err(refuse)?;
        let prefix = user_profile_list_prefix(mc_service, id.as_ref());
        let page = self.0.documents(&prefix, &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListUserProfilesResponse {
            user_profiles: page.items,
            next_page_token: page.next_after,
        }))
    }

    async fn update_user_profile(
        &self,
        request: Request<proto::UpdateUserProfileRequest>,
    ) -> Result<Response<proto::UpdateUserProfileResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateUserProfile", &request.request_id, &by, &request);
        let message = request.user_profile.as_ref();
        let profile = wire::user_profile::decode(&mut violations, "user_profile", message, &self.0);
        let version =
            message.and_then(|profile| wire::version(&mut violations, "user_profile.etag", &profile.etag));
        let ((id, profile), version) = violations.finish(id.zip(profile).zip(version)).map_err(refuse)?;
        self.0.update_user_profile(&profile, version, id, by).await.map(Response::new).map_err(refuse)
    }

    async fn delete_user_profile(
        &self,
        request: Request<proto::DeleteUserProfileRequest>,
    ) -> Result<Response<proto::DeleteUserProfileResponse>, Status> {
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteUserProfile", &request.request_id, &by, &request);
        let user = wire::service_user(&mut violations, "identity", request.identity.as_ref());
        let index = profile_index(&mut violations, request.profile_index);
        let version = wire::optional_version(&mut violations, "etag", &request.etag);
        let (((id, user), index), version) =
            violations.finish(id.zip(user).zip(index).zip(version)).map_err(refuse)?;
        self.0.delete_user_profile(&user, index, version, id, by).await.map(Response::new).map_err(refuse)
    }

    async fn import_user_profiles(
        &self,
        request: Request<Streaming<proto::ImportUserProfilesRequest>>,
    ) -> Result<Response<proto::ImportUserProfilesResponse>, Status> {
        let by = changed_by(&request)?;
        let app = self.0.clone();
        let items = request.into_inner().map(move |item| {
            let item = item.map_err(StreamError::Stream)?;
            let mut violations = Violations::new();
            let profile = item.user_profile.as_ref();
            let profile = wire::user_profile::decode(&mut violations, "user_profile", profile, &app);
            Ok::<_, StreamError>(violations.finish(profile))
        });
        Ok(Response::new(self.0.import_user_profiles(items, &by).await?))
    }

    async fn list_user_profile_versions(
        &self,
        request: Request<proto::ListUserProfileVersionsRequest>,
    ) -> Result<Response<proto::ListUserProfileVersionsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::service_user(&mut violations, "identity", request.identity.as_ref());
        let index = profile_index(&mut violations, request.profile_index);
        let limit = wire::page_size(&mut violations, request.page_size);
        let ((user, index), limit) = violations.finish(user.zip(index).zip(limit)).map_err(refuse)?;
        let key = format!("{}{:03}", user_profile_prefix(&user), index.0);
        let page = self.0.versions(Kind::UserProfile, &key, &request.page_token, limit).await;
        let page = page.map_err(refuse)?.try_map(|version| {
            Ok::<_, Error>(proto::UserProfileVersion {
                version: version.version.unsigned_abs(),
                create_time: wire::time(version.created_at),
                user_profile: proto::UserProfile::read_version(&version)?,
                changed_by: version.changed_by,
            })
        });
        let page = page.map_err(refuse)?;
        Ok(Response::new(proto::ListUserProfileVersionsResponse {
            versions: page.items,
            next_page_token: page.next_after,
        }))
    }
}
