//! The configuration management client (CSC-4; TS 23.280 10.1.3, 10.1.4), and the bootstrap before there is a user (10.1.1.1).

use std::time::Duration;

use mcx_federation::UserDialer;
use mcx_proto::configuration::v1::bootstrap_service_client::BootstrapServiceClient;
use mcx_proto::configuration::v1::configuration_service_client::ConfigurationServiceClient;
use mcx_proto::configuration::v1::watch_configuration_response::Event as WireEvent;
use mcx_proto::configuration::v1::{
    self as proto, ServiceConfiguration, UeConfiguration, UserProfile, UserProfileData,
    WatchConfigurationRequest, WatchConfigurationResponse,
};
use mcx_proto::types::v1::{self as types, InitialUeConfiguration};
use mcx_types::{Entity, McService, ProfileIndex, Violations};
use secrecy::{ExposeSecret, SecretString};
use tonic::{Request, Streaming};
use uuid::Uuid;

use super::watch::{Message, Watched, watch};
use super::{Caller, Hop, MESSAGE_LIMIT, ServerError, SystemAccess, UserChannel, Watch, channel};

/// The configuration management client (CMC) of one user.
#[derive(Clone)]
pub struct ConfigurationManagementClient {
    caller: Caller,
    inner: ConfigurationServiceClient<UserChannel>,
}

/// A change of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigurationEvent {
    /// A user profile is so.
    UserProfile(Box<UserProfile>),
    /// The user has a user profile no more.
    UserProfileRemoved(McService, ProfileIndex),
    /// A service configuration is so.
    ServiceConfiguration(Box<ServiceConfiguration>),
    /// A UE configuration is so.
    UeConfiguration(Box<UeConfiguration>),
    /// The UE has a UE configuration no more.
    UeConfigurationRemoved(McService),
}

impl ConfigurationManagementClient {
    /// A client of the configuration management server at `address`, `host:port`.
    ///
    /// # Errors
    /// [`ServerError::Unusable`]
    pub fn new(access: &SystemAccess, address: &str) -> Result<Self, ServerError> {
        let (caller, channel) = access.caller(Entity::ConfigurationManagement, address)?;
        let inner = ConfigurationServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        Ok(Self { caller, inner })
    }

    /// The UE configuration of a UE for one MC service; none where there is none.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn ue_configuration(
        &self,
        mc_service: McService,
        ue_id: &str,
    ) -> Result<Option<UeConfiguration>, ServerError> {
        let message = proto::ConfigurationServiceGetUeConfigurationRequest {
            mc_service: types::McService::from(mc_service).into(),
            ue_id: ue_id.to_owned(),
        };
        let answer = self
            .caller
            .call(message, |request| {
                let mut client = self.inner.clone();
                async move { client.get_ue_configuration(request).await }
            })
            .await;
        unless(answer, "UE_CONFIGURATION_UNKNOWN").map(|answer| answer?.ue_configuration)
    }

    /// The user's user profiles, of all MC services of her access token.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn user_profiles(&self) -> Result<Vec<UserProfile>, ServerError> {
        let message = proto::GetUserProfilesRequest::default();
        let answer = self.caller.call(message, |request| {
            let mut client = self.inner.clone();
            async move { client.get_user_profiles(request).await }
        });
        Ok(answer.await?.user_profiles)
    }

    /// The service configuration of one MC service; none where there is none.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn service_configuration(
        &self,
        mc_service: McService,
    ) -> Result<Option<ServiceConfiguration>, ServerError> {
        let message = proto::ConfigurationServiceGetServiceConfigurationRequest {
            mc_service: types::McService::from(mc_service).into(),
        };
        let answer = self
            .caller
            .call(message, |request| {
                let mut client = self.inner.clone();
                async move { client.get_service_configuration(request).await }
            })
            .await;
        unless(answer, "SERVICE_CONFIGURATION_UNKNOWN").map(|answer| answer?.service_configuration)
    }

    /// Changes what the user may change of her user profile (TS 23.280 10.1.4.5). `etag` is that of the version seen.
    ///
    /// # Errors
    /// [`ServerError`]; its reason is `ETAG_MISMATCH` where somebody was faster.
    pub async fn update_user_profile_data(
        &self,
        mc_service: McService,
        profile_index: ProfileIndex,
        etag: &str,
        data: UserProfileData,
    ) -> Result<UserProfile, ServerError> {
        let message = proto::UpdateUserProfileDataRequest {
            mc_service: types::McService::from(mc_service).into(),
            profile_index: profile_index.0.into(),
            etag: etag.to_owned(),
            data: Some(data),
            request_id: Uuid::new_v4().to_string(),
        };
        let answer = self.caller.call(message, |request| {
            let mut client = self.inner.clone();
            async move { client.update_user_profile_data(request).await }
        });
        answer.await?.user_profile.ok_or_else(|| self.caller.malformed("the user profile"))
    }

    /// Makes another user profile the pre-selected one (TS 23.280 10.1.4.6).
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn set_pre_selected_user_profile(
        &self,
        mc_service: McService,
        profile_index: ProfileIndex,
    ) -> Result<UserProfile, ServerError> {
        let message = proto::SetPreSelectedUserProfileRequest {
            mc_service: types::McService::from(mc_service).into(),
            profile_index: profile_index.0.into(),
        };
        let answer = self.caller.call(message, |request| {
            let mut client = self.inner.clone();
            async move { client.set_pre_selected_user_profile(request).await }
        });
        answer.await?.user_profile.ok_or_else(|| self.caller.malformed("the user profile"))
    }

    /// The configuration of the user and of the UE, and every change of it; it goes on for as long as it can.
    pub fn watch(&self, ue_id: &str, resume_token: Option<String>) -> Watch<ConfigurationEvent> {
        watch(WatchedConfiguration { client: self.clone(), ue_id: ue_id.to_owned() }, resume_token)
    }
}

struct WatchedConfiguration {
    client: ConfigurationManagementClient,
    ue_id: String,
}

impl Watched for WatchedConfiguration {
    type Answer = WatchConfigurationResponse;
    type Event = ConfigurationEvent;

    fn caller(&self) -> &Caller {
        &self.client.caller
    }

    async fn open(&self, resume_token: String) -> Result<Streaming<Self::Answer>, ServerError> {
        let message = WatchConfigurationRequest { ue_id: self.ue_id.clone(), resume_token };
        let opened = self.client.caller.open(message, |request| {
            let mut client = self.client.inner.clone();
            async move { client.watch_configuration(request).await }
        });
        opened.await
    }

    fn read(&self, answer: Self::Answer) -> Result<Message<ConfigurationEvent>, ServerError> {
        let service = |service: i32| {
            let mut violations = Violations::new();
            violations
                .mc_service("mc_service", service)
                .ok_or_else(|| self.client.caller.malformed("an mc service"))
        };
        let mut caught_up = false;
        let event = match answer.event {
            Some(WireEvent::UserProfile(profile)) => Some(ConfigurationEvent::UserProfile(Box::new(profile))),
            Some(WireEvent::UserProfileRemoval(removal)) => {
                let index = ProfileIndex::try_from(removal.profile_index)
                    .map_err(|_| self.client.caller.malformed("a profile index"))?;
                let mc_service = service(removal.identity.unwrap_or_default().mc_service)?;
                Some(ConfigurationEvent::UserProfileRemoved(mc_service, index))
            }
            Some(WireEvent::ServiceConfiguration(configuration)) => {
                Some(ConfigurationEvent::ServiceConfiguration(Box::new(configuration)))
            }
            Some(WireEvent::UeConfiguration(configuration)) => {
                Some(ConfigurationEvent::UeConfiguration(Box::new(configuration)))
            }
            Some(WireEvent::UeConfigurationRemoval(removal)) => {
                Some(ConfigurationEvent::UeConfigurationRemoved(service(removal.mc_service)?))
            }
            Some(WireEvent::CaughtUp(_)) => {
                caught_up = true;
                None
            }
            None => None,
        };
        Ok(Message { resume_token: answer.resume_token, event, caught_up })
    }
}

/// Absent rather than refused, where that is the reason.
fn unless<T>(answer: Result<T, ServerError>, reason: &str) -> Result<Option<T>, ServerError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.reason() == reason => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fetches the initial UE configuration with the one-time enrolment code of the UE (TS 23.280 10.1.1.1). `address` is that of the
/// configuration management server, `host:port`; `dialer` believes what the UE was given together with the code. `request_id` stays the
/// same until there is an answer: one that was lost is given again.
///
/// # Errors
/// [`ServerError`]; its reason is `UE_ENROLMENT_REFUSED` where the code does not count.
pub async fn enrol(
    dialer: &UserDialer,
    address: &str,
    ue_id: &str,
    enrolment_code: &SecretString,
    request_id: Uuid,
    deadline: Duration,
) -> Result<InitialUeConfiguration, ServerError> {
    let hop = Hop { mc_system_id: dialer.mc_system_id().clone(), entity: Entity::ConfigurationManagement };
    let mut client = BootstrapServiceClient::new(channel(dialer, &hop, address)?);
    let mut request = Request::new(proto::BootstrapServiceGetInitialUeConfigurationRequest {
        ue_id: ue_id.to_owned(),
        enrolment_code: enrolment_code.expose_secret().to_owned(),
        request_id: request_id.to_string(),
    });
    request.set_timeout(deadline);
    let answer = client
        .get_initial_ue_configuration(request)
        .await
        .map_err(|status| ServerError::from_status(&hop, &status))?;
    answer.into_inner().initial_ue_configuration.ok_or(ServerError::Malformed {
        mc_system_id: hop.mc_system_id,
        entity: hop.entity,
        what: "the initial ue configuration",
    })
}
