//! `mcx.group.v1`.

use mcx_types::Entity::{GroupManagement, McService, MigrationManagement};

use super::{client, internal, peer};
use crate::access_token::Scope;
use crate::policy::Caller::{OwnEntity, OwnOperator, PartnerEntity, User};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Operators provision groups; nobody else.
    internal("/mcx.group.v1.GroupService/CreateGroup", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/GetGroup", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/ListGroups", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/UpdateGroup", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/DeleteGroup", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/AddMembers", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/RemoveMembers", &[OwnOperator]),
    internal("/mcx.group.v1.GroupService/ListMembers", &[OwnOperator]),
    // The enforcement point asks what is in force.
    internal("/mcx.group.v1.GroupLookupService/GetGroupForMember", &[OwnEntity(McService)]),
    // TS 23.280 10.17.5: migration management puts in place what users who migrate need, in both roles.
    internal("/mcx.group.v1.MigrationGroupService/PutVisitors", &[OwnEntity(MigrationManagement)]),
    internal("/mcx.group.v1.MigrationGroupService/DeleteVisitors", &[OwnEntity(MigrationManagement)]),
    internal("/mcx.group.v1.MigrationGroupService/PutSharedUsers", &[OwnEntity(MigrationManagement)]),
    internal("/mcx.group.v1.MigrationGroupService/DeleteSharedUsers", &[OwnEntity(MigrationManagement)]),
    internal(
        "/mcx.group.v1.MigrationGroupService/ListShares",
        &[OwnOperator, OwnEntity(MigrationManagement)],
    ),
    // CSC-2: users, about the groups that they are members of.
    client("/mcx.group.v1.GroupConfigurationService/GetGroups", &[User(Scope::GroupManagement)]),
    client("/mcx.group.v1.GroupConfigurationService/WatchGroups", &[User(Scope::GroupManagement)]),
    // CSC-16: only the group management server of a partner.
    peer("/mcx.group.v1.GroupSharingService/GetGroups", &[PartnerEntity(GroupManagement)]),
    peer("/mcx.group.v1.GroupSharingService/ShareGroups", &[PartnerEntity(GroupManagement)]),
    peer("/mcx.group.v1.GroupSharingService/WithdrawGroups", &[PartnerEntity(GroupManagement)]),
];
