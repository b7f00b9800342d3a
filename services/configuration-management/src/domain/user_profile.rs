//! User profiles, annex A.3 of TS 23.379, TS 23.281 and TS 23.282.

use std::fmt;

use mcx_proto::configuration::v1::MigrationSelection;
use mcx_types::{FunctionalAlias, McService, McServiceGroupId, McServiceId, McSystemId, ProfileIndex};

/// A user in one MC service: her user profiles belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceUser {
    /// The MC service.
    pub mc_service: McService,
    /// The user.
    pub id: McServiceId,
}

impl fmt::Display for ServiceUser {
    /// `ptt/sip:alice@alpha.example`: the name of the user in keys and topics.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.mc_service, self.id)
    }
}

/// What a user may do in an MC service.
#[derive(Debug, Clone, PartialEq)]
pub struct UserProfile {
    /// The user.
    pub user: ServiceUser,
    /// The index, unique among the user's profiles.
    pub index: ProfileIndex,
    /// The name, for people.
    pub name: String,
    /// Whether it can be used.
    pub is_enabled: bool,
    /// Whether it becomes active at service authorization.
    pub is_pre_selected: bool,
    /// What the user is in her organisation.
    pub participant_type: String,
    /// Her organisation.
    pub organisation: String,
    /// The KMSUri of her security domain.
    pub kms_uri: String,
    /// 0 (lowest) to 255.
    pub priority: u8,
    /// Whom she may call in private.
    pub private_call: PrivateCallRights,
    /// The groups that she may use.
    pub groups: Vec<ProfileGroup>,
    /// To how many groups she may be affiliated at one time.
    pub max_affiliations: u16,
    /// The functional aliases that she may activate.
    pub functional_aliases: Vec<FunctionalAlias>,
    /// Whether she may make emergency calls.
    pub is_emergency_call_allowed: bool,
    /// Names that others see of her.
    pub alphanumeric_aliases: Vec<String>,
    /// The rules by which her UE chooses partners by itself.
    pub migration_targets: Vec<TargetRule>,
    /// The partners in which it is to be used, and there only; empty: for the own MC system.
    pub valid_in: Vec<McSystemId>,
}

impl UserProfile {
    /// Whether it is for the own MC system.
    pub fn is_for_home(&self) -> bool {
        self.valid_in.is_empty()
    }

    /// Whether a UE in the own MC system sees it.
    pub fn is_visible_at_home(&self) -> bool {
        self.is_enabled && self.is_for_home()
    }
}

/// Whom a user may call in private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateCallRights {
    /// Any user.
    Any,
    /// These users.
    Listed(Vec<McServiceId>),
    /// Nobody.
    None,
}

impl PrivateCallRights {
    /// What both allow. The order of a list is that of `self`, or of `ceiling` where `self` has none.
    #[must_use]
    pub fn within(&self, ceiling: &Self) -> Self {
        match (self, ceiling) {
            (Self::None, _) | (_, Self::None) => Self::None,
            (rights, Self::Any) => rights.clone(),
            (Self::Any, listed) => listed.clone(),
            (Self::Listed(users), Self::Listed(admitted)) => {
                Self::Listed(users.iter().filter(|user| admitted.contains(user)).cloned().collect())
            }
        }
    }

    /// Whether a private call to this user is allowed.
    pub fn allow(&self, user: &McServiceId) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(users) => users.contains(user),
            Self::None => false,
        }
    }
}

impl fmt::Display for PrivateCallRights {
    /// As an adaptation tells it to people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any user"),
            Self::Listed(users) => write!(formatter, "{} listed users", users.len()),
            Self::None => formatter.write_str("nobody"),
        }
    }
}

/// A group that a user may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileGroup {
    /// The group.
    pub id: McServiceGroupId,
    /// The MC system in which it is defined.
    pub mc_system_id: McSystemId,
    /// Whether the user is affiliated at service authorization without asking.
    pub is_implicitly_affiliated: bool,
}

/// When a UE chooses a partner by itself. The rule is only handed through, so it stays the message as which it was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRule {
    /// The partner.
    pub mc_system_id: McSystemId,
    /// The rule; none: the user chooses.
    pub selection: Option<MigrationSelection>,
}
