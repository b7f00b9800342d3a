//! `mcx.configuration.v1.ConfigurationService`: CSC-4, on the client listener. Whose configuration it is, is what the access token proves.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::configuration_service_server::ConfigurationService;
use mcx_runtime::CallContext;
use mcx_types::{ProfileIndex, Violations};
use tonic::{Request, Response, Status};

use super::{changed_by, mutating_request, refuse};
use crate::app::App;
use crate::app::effective::{user_in, users_in};
use crate::app::user_profiles::UserData;
use crate::error::Error;
use crate::wire;

/// How many groups a user may name for implicit affiliation.
const GROUP_LIMIT: usize = 1_000;

/// The service.
pub(crate) struct ConfigurationApi(pub(crate) App);

fn user_data(violations: &mut Violations, data: Option<&proto::UserProfileData>) -> Option<UserData> {
    let data = violations.require("data", data)?;
    let name = wire::user_profile::profile_name(violations, "data.profile_name", &data.profile_name);
    let aliases = &data.alphanumeric_aliases;
    let aliases = wire::user_profile::alphanumeric_aliases(violations, "data.alphanumeric_aliases", aliases);
    let groups = &data.implicit_affiliation_group_ids;
    let groups = wire::identities(violations, "data.implicit_affiliation_group_ids", groups, GROUP_LIMIT);
    Some(UserData { name: name?, alphanumeric_aliases: aliases?, implicit_groups: groups? })
}

#[tonic::async_trait]
impl ConfigurationService for ConfigurationApi {
    async fn get_ue_configuration(
        &self,
        request: Request<proto::ConfigurationServiceGetUeConfigurationRequest>,
    ) -> Result<Response<proto::ConfigurationServiceGetUeConfigurationResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.mc_service);
        let ue_id = wire::ue_id(&mut violations, "ue_id", &request.ue_id);
        let (mc_service, ue_id) = violations.finish(mc_service.zip(ue_id)).map_err(refuse)?;
        user_in(&user, mc_service).map_err(refuse)?;
        let found = self.0.effective_ue_configuration(mc_service, &ue_id).await.map_err(refuse)?;
        let found = found.ok_or_else(|| refuse(Error::UeConfigurationUnknown { mc_service, ue_id }))?;
        Ok(Response::new(proto::ConfigurationServiceGetUeConfigurationResponse {
            ue_configuration: Some(found),
        }))
    }

    async fn get_user_profiles(
        &self,
        request: Request<proto::GetUserProfilesRequest>,
    ) -> Result<Response<proto::GetUserProfilesResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let services = request.into_inner().mc_services;
        let mut violations = Violations::new();
        let services =
            wire::list(&mut violations, "mc_services", &services, 3, |violations, path, service| {
                violations.mc_service(path, *service)
            });
        let services = violations.finish(services).map_err(refuse)?;
        let mut user_profiles = Vec::new();
        for user in users_in(&user, &services).map_err(refuse)? {
            user_profiles.extend(self.0.user_profiles(&user).await.map_err(refuse)?);
        }
        Ok(Response::new(proto::GetUserProfilesResponse { user_profiles }))
    }

    async fn get_service_configuration(
        &self,
        request: Request<proto::ConfigurationServiceGetServiceConfigurationRequest>,
    ) -> Result<Response<proto::ConfigurationServiceGetServiceConfigurationResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.into_inner().mc_service);
        let mc_service = violations.finish(mc_service).map_err(refuse)?;
        user_in(&user, mc_service).map_err(refuse)?;
        let found = self.0.service_configuration(mc_service).await.map_err(refuse)?;
        let found = found.ok_or_else(|| refuse(Error::ServiceConfigurationUnknown(mc_service)))?;
        Ok(Response::new(proto::ConfigurationServiceGetServiceConfigurationResponse {
            service_configuration: Some(found),
        }))
    }

    async fn update_user_profile_data(
        &self,
        request: Request<proto::UpdateUserProfileDataRequest>,
    ) -> Result<Response<proto::UpdateUserProfileDataResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id =
            mutating_request(&mut violations, "UpdateUserProfileData", &request.request_id, &by, &request);
        let mc_service = violations.mc_service("mc_service", request.mc_service);
        let index = violations.accept("profile_index", ProfileIndex::try_from(request.profile_index));
        let version = wire::version(&mut violations, "etag", &request.etag);
        let data = user_data(&mut violations, request.data.as_ref());
        let ((((id, mc_service), index), version), data) =
            violations.finish(id.zip(mc_service).zip(index).zip(version).zip(data)).map_err(refuse)?;
        let user = user_in(&user, mc_service).map_err(refuse)?;
        let outcome = self.0.update_user_profile_data(&user, index, version, data, id, by).await;
        outcome.map(Response::new).map_err(refuse)
    }

    async fn set_pre_selected_user_profile(
        &self,
        request: Request<proto::SetPreSelectedUserProfileRequest>,
    ) -> Result<Response<proto::SetPreSelectedUserProfileResponse>, Status> {
        let user = CallContext::user_of(&request)?;
        let by = changed_by(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.mc_service);
        let index = violations.accept("profile_index", ProfileIndex::try_from(request.profile_index));
        let (mc_service, index) = violations.finish(mc_service.zip(index)).map_err(refuse)?;
        let user = user_in(&user, mc_service).map_err(refuse)?;
        self.0.pre_select(&user, index, by).await.map(Response::new).map_err(refuse)
    }

    type WatchConfigurationStream =
        Pin<Box<dyn Stream<Item = Result<proto::WatchConfigurationResponse, Status>> + Send>>;

    async fn watch_configuration(
        &self,
        request: Request<proto::WatchConfigurationRequest>,
    ) -> Result<Response<Self::WatchConfigurationStream>, Status> {
        let user = CallContext::user_of(&request)?;
        let shutdown = CallContext::of(&request)?.shutdown;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let ue_id = match request.ue_id.as_str() {
            "" => Some(None),
            ue_id => wire::ue_id(&mut violations, "ue_id", ue_id).map(Some),
        };
        let resume_token = wire::optional(&mut violations, "resume_token", &request.resume_token);
        let (ue_id, resume_token) = violations.finish(ue_id.zip(resume_token)).map_err(refuse)?;
        let told = self.0.watch(&user, ue_id, resume_token, shutdown).await.map_err(refuse)?;
        Ok(Response::new(told.map(|told| told.map_err(refuse)).boxed()))
    }
}
