//! The group management client (CSC-2; TS 23.280 10.1.5, 10.2).

use mcx_proto::group::v1::group_configuration_service_client::GroupConfigurationServiceClient;
use mcx_proto::group::v1::watch_groups_response::Event as WireEvent;
use mcx_proto::group::v1::{GetGroupsRequest, Group, MemberGroup, WatchGroupsRequest, WatchGroupsResponse};
use mcx_types::{Entity, McServiceGroupId};
use tonic::Streaming;

use super::watch::{Message, Watched, watch};
use super::{Caller, MESSAGE_LIMIT, ServerError, SystemAccess, UserChannel, Watch};

/// The most groups that may be asked for by name at once.
const GROUP_ID_LIMIT: usize = 100;

/// The group management client (GMC) of one user.
#[derive(Clone)]
pub struct GroupManagementClient {
    caller: Caller,
    inner: GroupConfigurationServiceClient<UserChannel>,
}

/// A change of the user's groups.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupEvent {
    /// The user is a member of this group, and this is how it and her membership are.
    Group(Box<MemberGroup>),
    /// The group's configuration is so; her membership is as it was.
    Changed(Box<Group>),
    /// She is no member any more, or there is no such group.
    Left(McServiceGroupId),
}

impl GroupManagementClient {
    /// A client of the group management server at `address`, `host:port`.
    ///
    /// # Errors
    /// [`ServerError::Unusable`]
    pub fn new(access: &SystemAccess, address: &str) -> Result<Self, ServerError> {
        let (caller, channel) = access.caller(Entity::GroupManagement, address)?;
        let inner = GroupConfigurationServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        Ok(Self { caller, inner })
    }

    /// Those of the groups named that the user is a member of; without names, all of which she is.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn groups(&self, group_ids: &[McServiceGroupId]) -> Result<Vec<MemberGroup>, ServerError> {
        if group_ids.is_empty() {
            return self.pages(Vec::new()).await;
        }
        let mut groups = Vec::new();
        for group_ids in group_ids.chunks(GROUP_ID_LIMIT) {
            groups.extend(self.pages(group_ids.iter().map(ToString::to_string).collect()).await?);
        }
        Ok(groups)
    }

    async fn pages(&self, group_ids: Vec<String>) -> Result<Vec<MemberGroup>, ServerError> {
        let mut groups = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = GetGroupsRequest { group_ids: group_ids.clone(), page_size: 0, page_token };
            let answer = self.caller.call(message, |request| {
                let mut client = self.inner.clone();
                async move { client.get_groups(request).await }
            });
            let page = answer.await?;
            groups.extend(page.groups);
            if page.next_page_token.is_empty() {
                return Ok(groups);
            }
            page_token = page.next_page_token;
        }
    }

    /// The user's groups, and every change of them; it goes on for as long as it can.
    pub fn watch(&self, resume_token: Option<String>) -> Watch<GroupEvent> {
        watch(WatchedGroups(self.clone()), resume_token)
    }
}

struct WatchedGroups(GroupManagementClient);

impl Watched for WatchedGroups {
    type Answer = WatchGroupsResponse;
    type Event = GroupEvent;

    fn caller(&self) -> &Caller {
        &self.0.caller
    }

    async fn open(&self, resume_token: String) -> Result<Streaming<Self::Answer>, ServerError> {
        let opened = self.0.caller.open(WatchGroupsRequest { resume_token }, |request| {
            let mut client = self.0.inner.clone();
            async move { client.watch_groups(request).await }
        });
        opened.await
    }

    fn read(&self, answer: Self::Answer) -> Result<Message<GroupEvent>, ServerError> {
        let mut caught_up = false;
        let event = match answer.event {
            Some(WireEvent::Group(group)) => Some(GroupEvent::Group(Box::new(group))),
            Some(WireEvent::ChangedGroup(group)) => Some(GroupEvent::Changed(Box::new(group))),
            Some(WireEvent::Left(left)) => {
                let group_id = left.group_id.parse().map_err(|_| self.0.caller.malformed("a group id"))?;
                Some(GroupEvent::Left(group_id))
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
