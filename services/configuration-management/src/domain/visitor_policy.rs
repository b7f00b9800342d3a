//! What visitors of a partner MC system may do here.

use mcx_types::{FunctionalAlias, McServiceGroupId, McSystemId};

use super::user_profile::PrivateCallRights;

/// What visitors of one partner may do here at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorPolicy {
    /// The partner.
    pub mc_system_id: McSystemId,
    /// The priority that a visitor has at most.
    pub priority_ceiling: u8,
    /// To how many groups she may be affiliated at most.
    pub max_affiliations: u16,
    /// Which groups of her own profile stay in it.
    pub group_admission: GroupAdmission,
    /// Groups of this MC system that every visitor has besides.
    pub granted_groups: Vec<McServiceGroupId>,
    /// Functional aliases of this MC system that every visitor has.
    pub granted_functional_aliases: Vec<FunctionalAlias>,
    /// Whom she may call in private at most.
    pub private_call: PrivateCallRights,
    /// Whether she may make emergency calls, where she may at home.
    pub is_emergency_call_allowed: bool,
}

impl VisitorPolicy {
    /// The policy that holds where nobody has written one: it grants nothing.
    pub fn none(mc_system_id: McSystemId) -> Self {
        Self {
            mc_system_id,
            priority_ceiling: 0,
            max_affiliations: 0,
            group_admission: GroupAdmission::None,
            granted_groups: Vec::new(),
            granted_functional_aliases: Vec::new(),
            private_call: PrivateCallRights::None,
            is_emergency_call_allowed: false,
        }
    }
}

/// Which groups of a visitor's own profile stay in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupAdmission {
    /// All.
    All,
    /// These.
    Listed(Vec<McServiceGroupId>),
    /// None.
    None,
}

impl GroupAdmission {
    /// Whether the group stays.
    pub fn admits(&self, group: &McServiceGroupId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(groups) => groups.contains(group),
            Self::None => false,
        }
    }
}
