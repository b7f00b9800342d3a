//! The typed clients of group management, for the MC service server and migration management of the same MC system, and for group
//! management servers of partners.

use std::time::Duration;

use mcx_federation::{PeerCallError, PeerChannel};
use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_lookup_service_client::GroupLookupServiceClient;
use mcx_proto::group::v1::group_sharing_service_client::GroupSharingServiceClient;
use mcx_proto::group::v1::migration_group_service_client::MigrationGroupServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::{McServiceGroupId, McServiceId, McSystemId, Violations};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::domain::group::{Group, is_home};
use crate::domain::member::MemberTerms;
use crate::domain::migration::{DormantGrant, SharedUser, Visitor};
use crate::wire;

/// How long a call may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a call to the own group management has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is away or busy; the same call may succeed later.
    #[error("group management is unreachable: {0}")]
    Unreachable(RemoteError),
    /// It refused the call.
    #[error("group management refused: {0}")]
    Refused(RemoteError),
    /// Its answer cannot be understood.
    #[error("the answer of group management is malformed")]
    Malformed(Violations),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let remote = decode_status(&status);
        match remote.code {
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
                Self::Unreachable(remote)
            }
            _ => Self::Refused(remote),
        }
    }
}

/// A group and the membership of one user in it, as they were in force when they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupForMember {
    /// The group.
    pub group: Group,
    /// Its home.
    pub home: McSystemId,
    /// The version of its configuration, as decisions name it.
    pub etag: String,
    /// What is said of the user; none: she is no member.
    pub member: Option<MemberTerms>,
}

/// What the MC service server asks.
#[derive(Debug, Clone)]
pub struct GroupLookupClient {
    inner: GroupLookupServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl GroupLookupClient {
    /// A client on a channel to the own group management.
    pub fn new(channel: Channel) -> Self {
        Self { inner: GroupLookupServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same with another limit of time for each call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The group and the membership in force of the user with this MC service ID in this MC system; `None` where there is no such group.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get_group_for_member(
        &self,
        group: &McServiceGroupId,
        user: &McServiceId,
    ) -> Result<Option<GroupForMember>, ClientError> {
        let request =
            proto::GetGroupForMemberRequest { group_id: group.to_string(), mc_service_id: user.to_string() };
        let answer = self.inner.clone().get_group_for_member(self.request(request)).await;
        match answer.map_err(ClientError::from) {
            Ok(answer) => {
                let answer = answer.into_inner();
                let mut violations = Violations::new();
                let decoded = decode(&mut violations, answer);
                violations.finish(decoded).map(Some).map_err(ClientError::Malformed)
            }
            Err(ClientError::Refused(remote)) if remote.reason == "GROUP_UNKNOWN" => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        with_timeout(message, self.timeout)
    }
}

fn decode(violations: &mut Violations, answer: proto::GetGroupForMemberResponse) -> Option<GroupForMember> {
    let group = violations.require("group", answer.group)?;
    let home: Option<McSystemId> = violations.parse("group.home_mc_system_id", &group.home_mc_system_id);
    let id: Option<McServiceGroupId> = violations.parse("group.group_id", &group.group_id);
    if home.as_ref().zip(id.as_ref()).is_some_and(|(home, id)| !is_home(home, id)) {
        violations.add("group.home_mc_system_id", "must be that of the group");
    }
    let terms = wire::group::terms(violations, "group", &group);
    let member = answer.member.map(|member| {
        let decoded = wire::member::decode_all(violations, "members", &[member], 1);
        decoded.and_then(|members| members.into_iter().next()).map(|(_, terms)| terms)
    });
    let member = match member {
        None => None,
        Some(member) => Some(member?),
    };
    Some(GroupForMember { group: Group { id: id?, terms: terms? }, home: home?, etag: group.etag, member })
}

/// What migration management tells. Every call takes up to 500 users, all of them or none, and can be repeated.
#[derive(Debug, Clone)]
pub struct MigrationGroupClient {
    inner: MigrationGroupServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl MigrationGroupClient {
    /// A client on a channel to the own group management.
    pub fn new(channel: Channel) -> Self {
        Self { inner: MigrationGroupServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same with another limit of time for each call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Makes users of primary MC systems known as visitors; gives the grants that have no effect yet.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn put_visitors(&self, visitors: &[Visitor]) -> Result<Vec<DormantGrant>, ClientError> {
        let visitors = visitors.iter().map(wire::migration::encode_visitor).collect();
        let request = with_timeout(proto::PutVisitorsRequest { visitors }, self.timeout);
        let answer = self.inner.clone().put_visitors(request).await?.into_inner();
        let mut violations = Violations::new();
        let dormant = wire::migration::dormant_grants(&mut violations, &answer.dormant_grants);
        violations.finish(dormant).map_err(ClientError::Malformed)
    }

    /// Forgets visitors with all their memberships.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete_visitors(&self, migration_ids: &[Uuid]) -> Result<(), ClientError> {
        let migration_ids = migration_ids.iter().map(ToString::to_string).collect();
        let request = with_timeout(proto::DeleteVisitorsRequest { migration_ids }, self.timeout);
        self.inner.clone().delete_visitors(request).await?;
        Ok(())
    }

    /// From now on the partners of these users are told of their groups.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn put_shared_users(&self, users: &[SharedUser]) -> Result<(), ClientError> {
        let users = users.iter().map(wire::migration::encode_shared_user).collect();
        let request = with_timeout(proto::PutSharedUsersRequest { users }, self.timeout);
        self.inner.clone().put_shared_users(request).await?;
        Ok(())
    }

    /// Their partners are told that they are members no more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete_shared_users(&self, migration_ids: &[Uuid]) -> Result<(), ClientError> {
        let migration_ids = migration_ids.iter().map(ToString::to_string).collect();
        let request = with_timeout(proto::DeleteSharedUsersRequest { migration_ids }, self.timeout);
        self.inner.clone().delete_shared_users(request).await?;
        Ok(())
    }
}

/// Why a call to a partner's group management has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// It could not be reached, or was not tried.
    #[error(transparent)]
    Call(#[from] PeerCallError),
    /// It refused.
    #[error(transparent)]
    Refused(RemoteError),
}

/// What one asks, and tells, the group management server of a partner over CSC-16.
pub(crate) struct GroupSharingClient {
    channel: PeerChannel,
    timeout: Duration,
}

type PeerClient = GroupSharingServiceClient<Outgoing<Channel>>;

impl GroupSharingClient {
    pub(crate) fn new(channel: PeerChannel, timeout: Duration) -> Self {
        Self { channel, timeout }
    }

    /// The groups of own users of the partner who have migrated here, by the MC service IDs that they have there.
    pub(crate) async fn get_groups(
        &self,
        ids: &[McServiceId],
        page_token: String,
    ) -> Result<proto::GroupSharingServiceGetGroupsResponse, PeerError> {
        let request = proto::GroupSharingServiceGetGroupsRequest {
            mc_service_ids: ids.iter().map(ToString::to_string).collect(),
            page_size: 0,
            page_token,
        };
        let request = with_timeout(request, self.timeout);
        self.call(async move |mut client| Ok(client.get_groups(request).await?.into_inner())).await
    }

    pub(crate) async fn share_groups(&self, groups: Vec<proto::SharedGroup>) -> Result<(), PeerError> {
        let request = with_timeout(proto::ShareGroupsRequest { groups }, self.timeout);
        self.call(async move |mut client| client.share_groups(request).await.map(drop)).await
    }

    pub(crate) async fn withdraw_groups(&self, groups: Vec<proto::WithdrawnGroup>) -> Result<(), PeerError> {
        let request = with_timeout(proto::WithdrawGroupsRequest { groups }, self.timeout);
        self.call(async move |mut client| client.withdraw_groups(request).await.map(drop)).await
    }

    async fn call<T, F>(&self, call: impl FnOnce(PeerClient) -> F) -> Result<T, PeerError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let answer = self
            .channel
            .call(self.timeout, |channel| call(GroupSharingServiceClient::new(Outgoing::new(channel))))
            .await;
        answer.map_err(|error| match error {
            PeerCallError::Status(status) if !mcx_federation::counts_against_peer(&status) => {
                PeerError::Refused(decode_status(&status))
            }
            other => PeerError::Call(other),
        })
    }
}

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}
