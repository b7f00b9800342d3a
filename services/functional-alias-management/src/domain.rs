//! What functional alias management knows: types and rules, without input or output. TS 23.280 8.1.5, annex A.7.

use std::collections::BTreeSet;

use mcx_types::{FunctionalAlias, McServiceId, McSystemId};
use serde::{Deserialize, Serialize};

/// What is said of a functional alias, apart from who may activate it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTerms {
    /// The name that users read.
    pub display_name: String,
    /// By how many users it may be active at the same time; at least 1.
    pub max_simultaneous_activations: u32,
    /// Whether it may be taken over from a user who has it.
    pub take_over_allowed: bool,
    /// Its priority in communications.
    pub priority: u8,
    /// Whether visitors may activate it, as far as their user profiles name it.
    pub allow_visitors: bool,
}

/// The configuration of a functional alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasConfiguration {
    /// The functional alias.
    pub alias: FunctionalAlias,
    /// What is said of it.
    pub terms: AliasTerms,
    /// The users of this MC system who may activate it.
    pub allowed_users: BTreeSet<McServiceId>,
}

/// Who asks which functional aliases she may activate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asker {
    /// A user of this MC system: those that name one of her MC service IDs.
    Own(Vec<McServiceId>),
    /// A visitor: those that allow visitors. That her user profile names them too is looked at where she activates one.
    Visitor,
}

/// Whether the functional alias is of `system`: its host is the MC system (TS 23.280 8.1.5).
pub fn is_of(system: &McSystemId, alias: &FunctionalAlias) -> bool {
    alias.as_str().rsplit_once('@').is_some_and(|(_, host)| host == system.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functional_alias_is_of_the_system_that_it_names_and_no_other() {
        let alpha: McSystemId = "alpha.example".parse().unwrap();
        for (alias, expected) in
            [("sip:commander@Alpha.example", true), ("sip:commander@sub.alpha.example", false)]
        {
            assert_eq!(is_of(&alpha, &alias.parse().unwrap()), expected, "{alias}");
        }
    }
}
