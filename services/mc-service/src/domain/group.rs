//! Groups in force, as group management tells them (TS 23.280 A.4).

use std::collections::BTreeSet;

use mcx_types::{McService, McServiceGroupId, McSystemId};

/// A group, of this MC system or shared by a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub id: McServiceGroupId,
    /// The MC system that owns it.
    pub home: McSystemId,
    /// Whether it may be used.
    pub is_enabled: bool,
    /// The MC services that it has.
    pub mc_services: BTreeSet<McService>,
    /// Whether it admits visitors; asked only where it is of this MC system.
    pub allow_visitors: bool,
    /// Whether members may begin emergency calls.
    pub emergency_calls: bool,
    /// Its version.
    pub etag: String,
}

/// The membership of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Whether she may speak, or only listen.
    pub may_speak: bool,
    /// Her primary MC system.
    pub primary: McSystemId,
}

/// A group, and the membership of the user who was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupForMember {
    /// The group.
    pub group: Group,
    /// The membership; `None`: she is no member.
    pub membership: Option<Membership>,
}
