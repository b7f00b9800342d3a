//! Agreements: with which MC systems this one federates, and on what terms.

use std::collections::HashMap;

use mcx_federation::{PeerEndpoint, PeerService};
use mcx_types::{Entity, McSystemId, Timestamp, Validity};

use super::refusal::Refusal;

/// The terms on which this MC system federates with another one. Nothing crosses without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The other MC system.
    pub partner: McSystemId,
    /// Where its peer listener is reached, in the order in which they are tried; never empty.
    pub peer_endpoints: Vec<PeerEndpoint>,
    /// The certificates of its certificate authorities, PEM.
    pub trust_bundle_pem: String,
    /// Whether it is in force.
    pub state: AgreementState,
    /// When it is valid.
    pub validity: Validity,
    /// What the partner may ask of this MC system as primary.
    pub partner_may_ask: Vec<PartnerCapability>,
    /// How much the partner may ask.
    pub limits: AgreementLimits,
    /// Where other entities of the partner than its migration management server are reached; empty: where that is.
    pub peer_services: Vec<(Entity, PeerService)>,
}

/// The entities of a partner, beside its migration management server, that those of this MC system call.
pub const PEER_ENTITIES: [Entity; 3] =
    [Entity::ConfigurationManagement, Entity::GroupManagement, Entity::McService];

impl Agreement {
    /// How each entity of the partner is reached. One that is not named is not.
    pub fn services(&self) -> HashMap<Entity, PeerService> {
        let migration_management =
            PeerService { endpoints: self.peer_endpoints.clone(), presents: Entity::MigrationManagement };
        let mut services: HashMap<_, _> = if self.peer_services.is_empty() {
            PEER_ENTITIES.iter().map(|entity| (*entity, migration_management.clone())).collect()
        } else {
            self.peer_services.iter().cloned().collect()
        };
        services.insert(Entity::MigrationManagement, migration_management);
        services
    }

    /// Whether anything may cross at `now`.
    ///
    /// # Errors
    /// [`Refusal::AgreementSuspended`], [`Refusal::AgreementNotYetValid`], [`Refusal::AgreementExpired`].
    pub fn check_in_force(&self, now: Timestamp) -> Result<(), Refusal> {
        let mc_system_id = self.partner.clone();
        if self.state == AgreementState::Suspended {
            return Err(Refusal::AgreementSuspended { mc_system_id });
        }
        if let Some(valid_from) = self.validity.from.filter(|_| self.validity.is_not_yet_valid(now)) {
            return Err(Refusal::AgreementNotYetValid { mc_system_id, valid_from });
        }
        if let Some(valid_until) = self.validity.until.filter(|_| self.validity.is_expired(now)) {
            return Err(Refusal::AgreementExpired { mc_system_id, valid_until });
        }
        Ok(())
    }

    /// Whether the partner may ask for this.
    ///
    /// # Errors
    /// [`Refusal::NotAgreed`].
    pub fn check_capability(&self, capability: PartnerCapability) -> Result<(), Refusal> {
        if self.partner_may_ask.contains(&capability) {
            Ok(())
        } else {
            Err(Refusal::NotAgreed { mc_system_id: self.partner.clone(), capability })
        }
    }
}

/// Whether an agreement is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgreementState {
    /// It is.
    Active,
    /// An operator stopped it for now.
    Suspended,
}

/// What a partner may ask of a primary MC system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartnerCapability {
    /// Authentication vectors of users who migrate to it, and their resynchronisation.
    SipAuthenticationInformation,
}

impl PartnerCapability {
    /// The name in errors and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SipAuthenticationInformation => "SIP_AUTHENTICATION_INFORMATION",
        }
    }
}

/// How much a partner may ask; `None` is the default of this MC system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AgreementLimits {
    /// Requests for vectors of all users together, per minute.
    pub requests_per_minute: Option<u32>,
    /// Requests for vectors of one user, per minute.
    pub requests_per_user_per_minute: Option<u32>,
    /// Resynchronisations of one user, per hour.
    pub resynchronisations_per_user_per_hour: Option<u32>,
    /// Users offered by the partner who wait for a decision.
    pub pending_offers: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    #[test]
    fn agreement_is_in_force_only_while_active_and_valid() {
        let at = Timestamp::from_micros;
        let agreement = |state, from: Option<i64>, until: Option<i64>| Agreement {
            state,
            validity: Validity { from: from.map(at), until: until.map(at) },
            ..samples::agreement("bravo.example")
        };
        let partner: McSystemId = "bravo.example".parse().unwrap();
        let cases = [
            (agreement(AgreementState::Active, None, None), Ok(())),
            (agreement(AgreementState::Active, Some(100), Some(101)), Ok(())),
            (
                agreement(AgreementState::Suspended, None, None),
                Err(Refusal::AgreementSuspended { mc_system_id: partner.clone() }),
            ),
            (
                agreement(AgreementState::Active, Some(101), None),
                Err(Refusal::AgreementNotYetValid { mc_system_id: partner.clone(), valid_from: at(101) }),
            ),
            (
                agreement(AgreementState::Active, None, Some(100)),
                Err(Refusal::AgreementExpired { mc_system_id: partner.clone(), valid_until: at(100) }),
            ),
        ];
        for (agreement, expected) in cases {
            assert_eq!(agreement.check_in_force(at(100)), expected);
        }
    }

    #[test]
    fn partner_without_named_services_is_reached_in_one_place() {
        let agreement = samples::agreement("bravo.example");
        let services = agreement.services();
        assert_eq!(services.len(), 4);
        for service in services.values() {
            assert_eq!(service.endpoints, agreement.peer_endpoints);
            assert_eq!(service.presents, Entity::MigrationManagement);
        }
    }

    #[test]
    fn partner_with_named_services_is_reached_just_there() {
        let group = PeerService {
            endpoints: vec!["gms.bravo.example:7443".parse().unwrap()],
            presents: Entity::GroupManagement,
        };
        let mut agreement = samples::agreement("bravo.example");
        agreement.peer_services = vec![(Entity::GroupManagement, group.clone())];
        let services = agreement.services();
        assert_eq!(services.len(), 2);
        assert_eq!(services[&Entity::GroupManagement], group);
        assert_eq!(services[&Entity::MigrationManagement].endpoints, agreement.peer_endpoints);
    }
}
