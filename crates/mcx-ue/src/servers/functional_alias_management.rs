//! The functional alias management client (TS 23.280 10.1.2.11 to 10.1.2.14, 10.13).

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_configuration_service_client::FunctionalAliasConfigurationServiceClient;
use mcx_proto::functionalalias::v1::watch_functional_aliases_response::Event as WireEvent;
use mcx_types::{Entity, FunctionalAlias};
use tonic::Streaming;

use super::watch::{Message, Watched, watch};
use super::{Caller, MESSAGE_LIMIT, ServerError, SystemAccess, UserChannel, Watch};

/// The functional alias management client (FAMC) of one user.
#[derive(Clone)]
pub struct FunctionalAliasManagementClient {
    caller: Caller,
    inner: FunctionalAliasConfigurationServiceClient<UserChannel>,
}

/// A change of the functional aliases that the user may activate.
#[derive(Debug, Clone, PartialEq)]
pub enum FunctionalAliasEvent {
    /// She may activate this one, and this is how it is.
    FunctionalAlias(Box<proto::FunctionalAlias>),
    /// She may not activate this one any more, or there is no such alias.
    Removed(FunctionalAlias),
}

impl FunctionalAliasManagementClient {
    /// A client of the functional alias management server at `address`, `host:port`.
    ///
    /// # Errors
    /// [`ServerError::Unusable`]
    pub fn new(access: &SystemAccess, address: &str) -> Result<Self, ServerError> {
        let (caller, channel) = access.caller(Entity::FunctionalAliasManagement, address)?;
        let inner =
            FunctionalAliasConfigurationServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        Ok(Self { caller, inner })
    }

    /// All functional aliases that the user may activate.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn functional_aliases(&self) -> Result<Vec<proto::FunctionalAlias>, ServerError> {
        let mut aliases = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = proto::GetFunctionalAliasesRequest {
                functional_aliases: Vec::new(),
                page_size: 0,
                page_token,
            };
            let answer = self.caller.call(message, |request| {
                let mut client = self.inner.clone();
                async move { client.get_functional_aliases(request).await }
            });
            let page = answer.await?;
            aliases.extend(page.functional_aliases);
            if page.next_page_token.is_empty() {
                return Ok(aliases);
            }
            page_token = page.next_page_token;
        }
    }

    /// The functional aliases that the user may activate, and every change of them; it goes on for as long as it can.
    pub fn watch(&self, resume_token: Option<String>) -> Watch<FunctionalAliasEvent> {
        watch(WatchedFunctionalAliases(self.clone()), resume_token)
    }
}

struct WatchedFunctionalAliases(FunctionalAliasManagementClient);

impl Watched for WatchedFunctionalAliases {
    type Answer = proto::WatchFunctionalAliasesResponse;
    type Event = FunctionalAliasEvent;

    fn caller(&self) -> &Caller {
        &self.0.caller
    }

    async fn open(&self, resume_token: String) -> Result<Streaming<Self::Answer>, ServerError> {
        let message = proto::WatchFunctionalAliasesRequest { resume_token };
        let opened = self.0.caller.open(message, |request| {
            let mut client = self.0.inner.clone();
            async move { client.watch_functional_aliases(request).await }
        });
        opened.await
    }

    fn read(&self, answer: Self::Answer) -> Result<Message<FunctionalAliasEvent>, ServerError> {
        let mut caught_up = false;
        let event = match answer.event {
            Some(WireEvent::FunctionalAlias(alias)) => {
                Some(FunctionalAliasEvent::FunctionalAlias(Box::new(alias)))
            }
            Some(WireEvent::RemovedFunctionalAlias(alias)) => {
                let alias = alias.parse().map_err(|_| self.0.caller.malformed("a functional alias"))?;
                Some(FunctionalAliasEvent::Removed(alias))
            }
            Some(WireEvent::SnapshotComplete(_)) => {
                caught_up = true;
                None
            }
            None => None,
        };
        Ok(Message { resume_token: answer.resume_token, event, caught_up })
    }
}
