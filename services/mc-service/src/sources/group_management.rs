//! The typed client of group management: groups and memberships in force.

use std::collections::BTreeSet;
use std::time::Duration;

use mcx_proto::group::v1 as proto;
use mcx_proto::group::v1::group_lookup_service_client::GroupLookupServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{McService, McServiceGroupId, McServiceId, Violations};
use tonic::transport::Channel;

use super::{DEFAULT_TIMEOUT, GroupSource, SourceError, of_remote, remote, understood, with_timeout};
use crate::domain::group::{Group, GroupForMember, Membership};

/// Asks the own group management. Clones share the channel.
#[derive(Debug, Clone)]
pub struct GroupManagement {
    inner: GroupLookupServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl GroupManagement {
    /// A client over this channel, with a deadline of 5 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        Self { inner: GroupLookupServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

#[tonic::async_trait]
impl GroupSource for GroupManagement {
    async fn group_for_member(
        &self,
        group: &McServiceGroupId,
        id: &McServiceId,
    ) -> Result<Option<GroupForMember>, SourceError> {
        let message =
            proto::GetGroupForMemberRequest { group_id: group.to_string(), mc_service_id: id.to_string() };
        match self.inner.clone().get_group_for_member(with_timeout(message, self.timeout)).await {
            Ok(answer) => decode(answer.into_inner(), group).map(Some),
            Err(status) => {
                let remote = remote(&status);
                if remote.reason == "GROUP_UNKNOWN" { Ok(None) } else { Err(of_remote(&remote)) }
            }
        }
    }
}

fn decode(
    answer: proto::GetGroupForMemberResponse,
    asked_for: &McServiceGroupId,
) -> Result<GroupForMember, SourceError> {
    let mut violations = Violations::new();
    let group = violations.require("group", answer.group);
    let group = group.and_then(|group| decode_group(&mut violations, &group, asked_for));
    let membership = match answer.member {
        None => Some(None),
        Some(member) => violations
            .parse("member.mc_system_id", &member.mc_system_id)
            .map(|primary| Some(Membership { may_speak: member.may_speak, primary })),
    };
    let (group, membership) = understood(violations, group.zip(membership))?;
    Ok(GroupForMember { group, membership })
}

fn decode_group(
    violations: &mut Violations,
    group: &proto::Group,
    asked_for: &McServiceGroupId,
) -> Option<Group> {
    let id = violations.parse("group.group_id", &group.group_id);
    if id.as_ref().is_some_and(|id| id != asked_for) {
        violations.add("group.group_id", "must be the group that was asked for");
    }
    let home = violations.parse("group.home_mc_system_id", &group.home_mc_system_id);
    let mut mc_services: BTreeSet<McService> = BTreeSet::new();
    for (at, service) in group.mc_services.iter().enumerate() {
        mc_services.extend(violations.mc_service(format!("group.mc_services[{at}]"), *service));
    }
    Some(Group {
        id: id?,
        home: home?,
        is_enabled: group.status() != proto::GroupStatus::Disabled,
        mc_services,
        allow_visitors: group.allow_visitors,
        emergency_calls: group.call.as_ref().is_some_and(|call| call.emergency_allowed),
        etag: group.etag.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_for_another_group_is_not_taken() {
        let group = proto::Group {
            group_id: "sip:other@alpha.example".to_owned(),
            home_mc_system_id: "alpha.example".to_owned(),
            ..Default::default()
        };
        let answer = proto::GetGroupForMemberResponse { group: Some(group), member: None };
        let asked_for = "sip:rescue@alpha.example".parse().unwrap();
        assert!(matches!(decode(answer, &asked_for), Err(SourceError::Failed(_))));
    }
}
