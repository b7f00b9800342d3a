//! Asking what is in force for a user.

use std::time::Duration;

use mcx_proto::configuration::v1::effective_profile_service_client::EffectiveProfileServiceClient;
use mcx_proto::configuration::v1::{GetEffectiveProfileRequest, ServiceConfiguration, UserProfile};
use mcx_proto::types::v1 as types;
use mcx_runtime::client::Outgoing;
use mcx_types::{McService, McServiceId, ProfileIndex};
use tonic::transport::Channel;

use super::{ClientError, DEFAULT_TIMEOUT, with_timeout};

/// What is in force for a user.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveProfile {
    /// Her user profile; that of a visitor when its `visitor` is present.
    pub user_profile: UserProfile,
    /// The service configuration of the MC service, if there is one.
    pub service_configuration: Option<ServiceConfiguration>,
}

/// Asks what is in force for users. Clones share the channel.
#[derive(Debug, Clone)]
pub struct EffectiveProfileClient {
    inner: EffectiveProfileServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl EffectiveProfileClient {
    /// A client over this channel, with a deadline of 5 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        Self { inner: EffectiveProfileServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The user profile with this index, or the pre-selected one. A visitor is named by the MC service ID that this MC system allotted.
    ///
    /// # Errors
    /// [`ClientError`]; `USER_PROFILE_UNKNOWN` where the user has no such profile, or none at all.
    pub async fn get(
        &self,
        mc_service: McService,
        mc_service_id: &McServiceId,
        index: Option<ProfileIndex>,
    ) -> Result<EffectiveProfile, ClientError> {
        let message = GetEffectiveProfileRequest {
            identity: Some(types::McServiceIdentity {
                mc_service: types::McService::from(mc_service).into(),
                mc_service_id: mc_service_id.to_string(),
            }),
            profile_index: index.map(|index| index.0.into()),
        };
        let request = with_timeout(message, self.timeout);
        let answer = self.inner.clone().get_effective_profile(request).await?.into_inner();
        let user_profile =
            answer.user_profile.ok_or(ClientError::MalformedAnswer { field: "user_profile" })?;
        Ok(EffectiveProfile { user_profile, service_configuration: answer.service_configuration })
    }
}
