//! Members: who is in a group, what she may do there, and why she is in it.

use mcx_types::{McServiceId, McSystemId};
use serde::{Deserialize, Serialize};

/// What is said of a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct MemberTerms {
    /// Her priority in the group.
    pub priority: u8,
    /// Her part in the group; may be empty.
    pub participant_type: String,
    /// Whether she may speak, or only listen.
    pub may_speak: bool,
}

/// A member, by her MC service ID in the MC system that says this.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Who.
    pub id: McServiceId,
    /// What is said of her.
    pub terms: MemberTerms,
    /// Her primary MC system.
    pub system: McSystemId,
}

/// Why someone is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An operator of this MC system made her one.
    Provisioned,
    /// She is a visitor to whom the group is granted.
    Granted,
    /// She is a visitor whose primary MC system shares the group.
    Shared,
}

/// What a visitor gets with a grant: she may speak, and comes after everybody else.
pub fn granted_terms() -> MemberTerms {
    MemberTerms { priority: 0, participant_type: String::new(), may_speak: true }
}
