//! Admission policies: which users of a primary MC system are let in, and what they get here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mcx_federation::access_token::Scope;
use mcx_types::{McService, McServiceGroupId, McServiceId, McSystemId, Timestamp};

use super::audit::stored_names;

/// Which users of one primary MC system are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionPolicy {
    /// The primary MC system.
    pub primary: McSystemId,
    /// Who decides.
    pub mode: AdmissionMode,
    /// The MC services that visitors may use; empty: all.
    pub mc_services: BTreeSet<McService>,
    /// The scopes that visitors may have at most; empty: those of their MC services.
    pub scopes: BTreeSet<Scope>,
    /// Groups of which visitors become members.
    pub granted_group_ids: Vec<McServiceGroupId>,
    /// How many users may be accepted at the same time.
    pub max_users: Option<u32>,
    /// For how long a user is accepted at most.
    pub validity_limit: Option<Duration>,
}

stored_names! {
    /// Who decides whether a user is let in.
    AdmissionMode {
        /// An operator.
        Manual = "MANUAL",
        /// The policy alone.
        Automatic = "AUTOMATIC",
        /// Nobody is let in.
        Refuse = "REFUSE",
    }
}

/// The scopes of the entities that every visitor talks to, whatever her MC services.
const COMMON_SCOPES: [Scope; 4] = [
    Scope::ConfigurationManagement,
    Scope::GroupManagement,
    Scope::FunctionalAliasManagement,
    Scope::KeyManagement,
];

impl AdmissionPolicy {
    /// What applies where no operator said anything: an operator decides, and nothing is limited.
    pub fn default_for(primary: McSystemId) -> Self {
        Self {
            primary,
            mode: AdmissionMode::Manual,
            mc_services: BTreeSet::new(),
            scopes: BTreeSet::new(),
            granted_group_ids: Vec::new(),
            max_users: None,
            validity_limit: None,
        }
    }

    /// Of the MC services that are asked for, those that are admitted; none: the user is not let in.
    pub fn admitted_services(&self, asked: &BTreeMap<McService, McServiceId>) -> BTreeSet<McService> {
        let services = asked.keys().copied();
        services.filter(|service| self.mc_services.is_empty() || self.mc_services.contains(service)).collect()
    }

    /// The scopes of a visitor with these MC services.
    pub fn scopes_of(&self, services: &BTreeSet<McService>) -> Vec<String> {
        let wanted = services.iter().map(|service| Scope::of_service(*service)).chain(COMMON_SCOPES);
        wanted
            .filter(|scope| self.scopes.is_empty() || self.scopes.contains(scope))
            .map(|scope| scope.to_string())
            .collect()
    }

    /// Until when a user is accepted at `now` who asks for `asked`.
    pub fn valid_until(&self, asked: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let limit = self.validity_limit.map(|limit| now.saturating_add(limit));
        [asked, limit].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AdmissionPolicy {
        AdmissionPolicy::default_for("alpha.example".parse().unwrap())
    }

    fn asked() -> BTreeMap<McService, McServiceId> {
        let id: McServiceId = "sip:alice@alpha.example".parse().unwrap();
        [McService::Ptt, McService::Data].into_iter().map(|service| (service, id.clone())).collect()
    }

    #[test]
    fn only_admitted_services_are_granted_and_only_their_scopes() {
        assert_eq!(policy().admitted_services(&asked()).len(), 2);
        let narrow = AdmissionPolicy {
            mc_services: BTreeSet::from([McService::Ptt, McService::Video]),
            scopes: BTreeSet::from([Scope::PttService, Scope::GroupManagement, Scope::DataService]),
            ..policy()
        };
        let services = narrow.admitted_services(&asked());
        assert_eq!(services, BTreeSet::from([McService::Ptt]));
        assert_eq!(narrow.scopes_of(&services), ["3gpp:mc:ptt_service", "3gpp:mc:group_management_service"]);
    }

    #[test]
    fn validity_is_the_shorter_of_what_is_asked_and_what_is_admitted() {
        let at = Timestamp::from_micros;
        let limited = AdmissionPolicy { validity_limit: Some(Duration::from_micros(50)), ..policy() };
        assert_eq!(policy().valid_until(None, at(100)), None);
        assert_eq!(policy().valid_until(Some(at(120)), at(100)), Some(at(120)));
        assert_eq!(limited.valid_until(Some(at(120)), at(100)), Some(at(120)));
        assert_eq!(limited.valid_until(Some(at(500)), at(100)), Some(at(150)));
        assert_eq!(limited.valid_until(None, at(100)), Some(at(150)));
    }
}
