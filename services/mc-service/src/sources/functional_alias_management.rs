//! The typed client of functional alias management: functional aliases in force.

use std::time::Duration;

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_lookup_service_client::FunctionalAliasLookupServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{FunctionalAlias, McServiceId};
use tonic::transport::Channel;

use super::{AliasSource, DEFAULT_TIMEOUT, SourceError, of_remote, remote, with_timeout};
use crate::domain::alias::AliasForUser;

/// Asks the own functional alias management. Clones share the channel.
#[derive(Debug, Clone)]
pub struct FunctionalAliasManagement {
    inner: FunctionalAliasLookupServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl FunctionalAliasManagement {
    /// A client over this channel, with a deadline of 5 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        let inner = FunctionalAliasLookupServiceClient::new(Outgoing::new(channel));
        Self { inner, timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

#[tonic::async_trait]
impl AliasSource for FunctionalAliasManagement {
    async fn alias_for_user(
        &self,
        alias: &FunctionalAlias,
        id: &McServiceId,
    ) -> Result<Option<AliasForUser>, SourceError> {
        let message = proto::FunctionalAliasLookupServiceGetFunctionalAliasRequest {
            functional_alias: alias.to_string(),
            mc_service_id: id.to_string(),
        };
        match self.inner.clone().get_functional_alias(with_timeout(message, self.timeout)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let found = answer
                    .functional_alias
                    .ok_or_else(|| SourceError::Failed("functional_alias is required".to_owned()))?;
                Ok(Some(AliasForUser {
                    is_allowed_user: answer.is_allowed_user,
                    allow_visitors: found.allow_visitors,
                    max_activations: found.max_simultaneous_activations.max(1),
                    take_over: found.take_over() == proto::TakeOver::Allowed,
                }))
            }
            Err(status) => {
                let remote = remote(&status);
                if remote.reason == "FUNCTIONAL_ALIAS_UNKNOWN" { Ok(None) } else { Err(of_remote(&remote)) }
            }
        }
    }
}
