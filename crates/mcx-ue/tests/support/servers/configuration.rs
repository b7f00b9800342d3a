//! Configuration management and the bootstrap.

use futures::stream::{self, BoxStream, StreamExt};
use mcx_proto::configuration::v1::bootstrap_service_server::BootstrapService;
use mcx_proto::configuration::v1::configuration_service_server::ConfigurationService;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_proto::configuration::v1::*;
use mcx_runtime::error::status;
use tonic::{Code, Request, Response, Status};

use super::{Refused, Servers};

fn service_configuration(mc_service: i32) -> ServiceConfiguration {
    ServiceConfiguration { mc_service, version: 1, ..ServiceConfiguration::default() }
}

#[tonic::async_trait]
impl BootstrapService for Servers {
    async fn get_initial_ue_configuration(
        &self,
        request: Request<BootstrapServiceGetInitialUeConfigurationRequest>,
    ) -> Result<Response<BootstrapServiceGetInitialUeConfigurationResponse>, Status> {
        let mut world = self.world();
        let request = request.into_inner();
        world.enrolment_requests.push(request.request_id);
        let is_right = !world.enrolment_code.is_empty() && request.enrolment_code == world.enrolment_code;
        if is_right {
            world.enrolment_code.clear();
        } else {
            return Err(status(&Refused { code: Code::Unauthenticated, reason: "UE_ENROLMENT_REFUSED" }));
        }
        let initial_ue_configuration = world.configuration.clone();
        Ok(Response::new(BootstrapServiceGetInitialUeConfigurationResponse { initial_ue_configuration }))
    }
}

#[tonic::async_trait]
impl ConfigurationService for Servers {
    async fn get_ue_configuration(
        &self,
        request: Request<ConfigurationServiceGetUeConfigurationRequest>,
    ) -> Result<Response<ConfigurationServiceGetUeConfigurationResponse>, Status> {
        drop(self.admit("GetUeConfiguration", &request)?);
        Err(status(&Refused { code: Code::NotFound, reason: "UE_CONFIGURATION_UNKNOWN" }))
    }

    async fn get_user_profiles(
        &self,
        request: Request<GetUserProfilesRequest>,
    ) -> Result<Response<GetUserProfilesResponse>, Status> {
        let world = self.admit("GetUserProfiles", &request)?;
        Ok(Response::new(GetUserProfilesResponse { user_profiles: world.profiles.clone() }))
    }

    async fn get_service_configuration(
        &self,
        request: Request<ConfigurationServiceGetServiceConfigurationRequest>,
    ) -> Result<Response<ConfigurationServiceGetServiceConfigurationResponse>, Status> {
        drop(self.admit("GetServiceConfiguration", &request)?);
        let mc_service = request.get_ref().mc_service;
        let service_configuration =
            Some(ServiceConfiguration { mc_service, version: 1, ..Default::default() });
        Ok(Response::new(ConfigurationServiceGetServiceConfigurationResponse { service_configuration }))
    }

    async fn update_user_profile_data(
        &self,
        request: Request<UpdateUserProfileDataRequest>,
    ) -> Result<Response<UpdateUserProfileDataResponse>, Status> {
        let world = self.admit("UpdateUserProfileData", &request)?;
        Ok(Response::new(UpdateUserProfileDataResponse { user_profile: world.profiles.first().cloned() }))
    }

    async fn set_pre_selected_user_profile(
        &self,
        request: Request<SetPreSelectedUserProfileRequest>,
    ) -> Result<Response<SetPreSelectedUserProfileResponse>, Status> {
        let world = self.admit("SetPreSelectedUserProfile", &request)?;
        Ok(Response::new(SetPreSelectedUserProfileResponse { user_profile: world.profiles.first().cloned() }))
    }

    type WatchConfigurationStream = BoxStream<'static, Result<WatchConfigurationResponse, Status>>;

    /// Tells all there is, and then nothing.
    async fn watch_configuration(
        &self,
        request: Request<WatchConfigurationRequest>,
    ) -> Result<Response<Self::WatchConfigurationStream>, Status> {
        let world = self.admit("WatchConfiguration", &request)?;
        let mut told: Vec<Event> = Vec::new();
        if request.get_ref().resume_token.is_empty() {
            told.extend(world.profiles.iter().cloned().map(Event::UserProfile));
            let services = world.profiles.iter().map(|profile| profile.identity.as_ref().unwrap().mc_service);
            told.extend(services.map(service_configuration).map(Event::ServiceConfiguration));
        }
        let caught_up = Event::CaughtUp(WatchConfigurationCaughtUp {});
        let message = |event, resume_token: &str| {
            Ok(WatchConfigurationResponse { resume_token: resume_token.to_owned(), event: Some(event) })
        };
        let mut messages: Vec<_> = told.into_iter().map(|event| message(event, "")).collect();
        messages.push(message(caught_up, "c1"));
        Ok(Response::new(stream::iter(messages).chain(stream::pending()).boxed()))
    }
}
