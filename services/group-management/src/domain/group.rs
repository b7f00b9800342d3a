//! Groups: what is said of one, and which MC system may say it.

use std::time::Duration;

use mcx_types::{McService, McServiceGroupId, McSystemId};
use serde::{Deserialize, Serialize};

/// The configuration of a group, apart from who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupTerms {
    /// The name that users read.
    pub display_name: String,
    /// The KMSUri of the group's security domain; none: that of the MC system.
    pub kms_uri: Option<String>,
    /// Whether the group may be used.
    pub is_enabled: bool,
    /// The MC services in which it may be called, each once.
    pub mc_services: Vec<McService>,
    /// Its priority in calls.
    pub priority: u8,
    /// How many members of the home MC system it may have; none: as many as the server lets any group have.
    pub max_members: Option<u32>,
    /// Whether its media must be protected end to end.
    pub encryption_mandatory: bool,
    /// What holds for its calls.
    pub call: CallParameters,
    /// Whether visitors may be members.
    pub allow_visitors: bool,
    /// Whether partner MC systems are never told of it.
    pub home_only: bool,
}

/// What holds for the calls of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallParameters {
    /// How long a call may last; none: without limit.
    pub max_duration: Option<Duration>,
    /// After how long without speech a call ends; none: by the MC service's own rule.
    pub hang_time: Option<Duration>,
    /// Whether members may begin emergency calls.
    pub emergency_allowed: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Who it is.
    pub id: McServiceGroupId,
    /// What is said of it.
    pub terms: GroupTerms,
}

/// Whether `system` is the home of the group: the host of its identifier is the MC system (TS 23.280 8.1.3). Only the home says what
/// the group is, so that a partner can neither invent a group of another MC system nor change one of ours.
pub fn is_home(system: &McSystemId, group: &McServiceGroupId) -> bool {
    group.as_str().rsplit_once('@').is_some_and(|(_, host)| host == system.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_of_a_group_is_the_system_that_its_identifier_names_and_no_other() {
        let alpha: McSystemId = "alpha.example".parse().unwrap();
        let cases = [
            ("sip:rescue@alpha.example", true),
            ("sip:rescue@ALPHA.example", true),
            ("sip:rescue@bravo.example", false),
            ("sip:rescue@sub.alpha.example", false),
            ("sip:rescue@notalpha.example", false),
        ];
        for (group, expected) in cases {
            assert_eq!(is_home(&alpha, &group.parse().unwrap()), expected, "{group}");
        }
    }
}
