//! The partners of an MC system as its entities see them: whether an agreement is usable now, and how each entity of a partner is reached.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use mcx_types::{Clock, Entity, McSystemId, SpiffeId, Timestamp, Validity};
use tokio::sync::watch;

use crate::{BreakerSettings, Dialer, NoEndpoint, PeerChannel, PeerEndpoint, TrustBundleError, TrustBundles};

/// What an agreement says of a partner, as far as other entities than migration management need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerTerms {
    /// The partner MC system.
    pub mc_system_id: McSystemId,
    /// The certificates by which its entities are known, PEM.
    pub trust_bundle_pem: String,
    /// Whether an operator stopped its use for now.
    pub is_suspended: bool,
    /// When the agreement holds.
    pub validity: Validity,
    /// How each of its entities is reached. An entity that is not named is not reached at all.
    pub services: HashMap<Entity, PeerService>,
}

/// How one entity of a partner is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerService {
    /// Where it listens for partners; tried in order.
    pub endpoints: Vec<PeerEndpoint>,
    /// Whose certificate is shown there: the entity's own, or that of another one in the same process.
    pub presents: Entity,
}

/// Why nothing may be asked of a partner, and nothing answered to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartnerRefusal {
    /// The agreements are not known yet, since migration management has not been reached: try again.
    #[error("the agreements are not known yet")]
    NotYetKnown,
    /// There is no agreement with it.
    #[error("there is no agreement with {0}")]
    Unknown(McSystemId),
    /// The agreement is suspended.
    #[error("the agreement with {0} is suspended")]
    Suspended(McSystemId),
    /// The agreement's validity has not begun.
    #[error("the agreement with {mc_system_id} holds from {valid_from}")]
    NotYetValid {
        /// The partner.
        mc_system_id: McSystemId,
        /// When it begins.
        valid_from: Timestamp,
    },
    /// The agreement's validity is over.
    #[error("the agreement with {mc_system_id} ended at {valid_until}")]
    Expired {
        /// The partner.
        mc_system_id: McSystemId,
        /// When it ended.
        valid_until: Timestamp,
    },
    /// The agreement does not say how this entity of the partner is reached.
    #[error("the agreement with {mc_system_id} names no endpoint of its {entity}")]
    NotReachable {
        /// The partner.
        mc_system_id: McSystemId,
        /// The entity.
        entity: Entity,
    },
}

/// Why terms of a partner cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartnerTermsError {
    /// The certificates do not parse.
    #[error(transparent)]
    TrustBundle(#[from] TrustBundleError),
    /// An entity has no endpoint.
    #[error(transparent)]
    NoEndpoint(#[from] NoEndpoint),
}

/// A partner with which something may be exchanged now.
#[derive(Clone)]
pub struct Partner {
    /// The partner MC system.
    pub mc_system_id: McSystemId,
    channels: Arc<HashMap<Entity, PeerChannel>>,
}

impl std::fmt::Debug for Partner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Partner").field(&self.mc_system_id.as_str()).finish()
    }
}

impl Partner {
    /// The channel to an entity of the partner; what answers there has proved to be of the partner.
    ///
    /// # Errors
    /// [`PartnerRefusal::NotReachable`]
    pub fn channel(&self, entity: Entity) -> Result<PeerChannel, PartnerRefusal> {
        self.channels
            .get(&entity)
            .cloned()
            .ok_or_else(|| PartnerRefusal::NotReachable { mc_system_id: self.mc_system_id.clone(), entity })
    }
}

/// The partners, kept in step with the agreements by whoever follows migration management. Clones share them.
#[derive(Clone)]
pub struct PartnerDirectory(Arc<Shared>);

struct Shared {
    dialer: Dialer,
    bundles: TrustBundles,
    breaker: BreakerSettings,
    clock: Arc<dyn Clock>,
    partners: RwLock<HashMap<McSystemId, Known>>,
    is_known: watch::Sender<bool>,
}

struct Known {
    terms: PartnerTerms,
    channels: Arc<HashMap<Entity, PeerChannel>>,
}

impl PartnerDirectory {
    /// A directory that knows nothing yet. It calls with the certificate of `dialer` and keeps `bundles` in step.
    pub fn new(
        dialer: Dialer,
        bundles: TrustBundles,
        breaker: BreakerSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (is_known, _) = watch::channel(false);
        Self(Arc::new(Shared { dialer, bundles, breaker, clock, partners: RwLock::default(), is_known }))
    }

    /// Makes the partners exactly these. One whose terms cannot be used keeps its last good ones; the others are not held up by it.
    ///
    /// Returns what could not be used.
    pub fn replace(&self, all: Vec<PartnerTerms>) -> Vec<(McSystemId, PartnerTermsError)> {
        let mut refused = Vec::new();
        let mut partners = self.0.partners.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone: Vec<McSystemId> = partners.keys().cloned().collect();
        for terms in all {
            let id = terms.mc_system_id.clone();
            gone.retain(|known| *known != id);
            if partners.get(&id).is_some_and(|known| known.terms == terms) {
                continue;
            }
            match self.connect(&terms) {
                Ok(channels) => {
                    partners.insert(id, Known { terms, channels: Arc::new(channels) });
                }
                Err(error) => refused.push((id, error)),
            }
        }
        for id in gone {
            partners.remove(&id);
            self.0.bundles.remove_partner(&id);
        }
        drop(partners);
        self.0.is_known.send_replace(true);
        refused
    }

    fn connect(&self, terms: &PartnerTerms) -> Result<HashMap<Entity, PeerChannel>, PartnerTermsError> {
        let id = &terms.mc_system_id;
        let mut channels = HashMap::with_capacity(terms.services.len());
        for (entity, service) in &terms.services {
            let expected = SpiffeId::entity(id.clone(), service.presents);
            let channel =
                self.0.dialer.peer_channel(expected, service.endpoints.clone(), self.0.breaker.clone())?;
            channels.insert(*entity, channel);
        }
        // Last, so that terms that cannot be used change nothing; the channels have not been used yet.
        self.0.bundles.replace_partner(id, terms.trust_bundle_pem.as_bytes())?;
        Ok(channels)
    }

    /// Completes when the agreements are known for the first time.
    pub async fn wait_until_known(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.is_known.subscribe().wait_for(|known| *known).await;
    }

    /// The partner, if something may be exchanged with it now.
    ///
    /// # Errors
    /// [`PartnerRefusal`]
    pub fn partner(&self, id: &McSystemId) -> Result<Partner, PartnerRefusal> {
        if !*self.0.is_known.borrow() {
            return Err(PartnerRefusal::NotYetKnown);
        }
        let partners = self.0.partners.read().unwrap_or_else(PoisonError::into_inner);
        let known = partners.get(id).ok_or_else(|| PartnerRefusal::Unknown(id.clone()))?;
        let now = self.0.clock.now();
        if known.terms.is_suspended {
            return Err(PartnerRefusal::Suspended(id.clone()));
        }
        let validity = known.terms.validity;
        if let Some(valid_from) = validity.from.filter(|_| validity.is_not_yet_valid(now)) {
            return Err(PartnerRefusal::NotYetValid { mc_system_id: id.clone(), valid_from });
        }
        if let Some(valid_until) = validity.until.filter(|_| validity.is_expired(now)) {
            return Err(PartnerRefusal::Expired { mc_system_id: id.clone(), valid_until });
        }
        Ok(Partner { mc_system_id: id.clone(), channels: Arc::clone(&known.channels) })
    }

    /// Every partner with which something may be exchanged now.
    pub fn usable(&self) -> Vec<Partner> {
        let ids: Vec<McSystemId> =
            self.0.partners.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        ids.iter().filter_map(|id| self.partner(id).ok()).collect()
    }
}

impl std::fmt::Debug for PartnerDirectory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PartnerDirectory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcx_types::ManualClock;

    use super::*;
    use crate::{CertificateAuthority, CertificateValidity, ChannelSettings, OwnIdentity};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn system_id(name: &str) -> McSystemId {
        name.parse().unwrap()
    }

    fn authority(name: &str) -> CertificateAuthority {
        let validity = CertificateValidity::starting(NOW, Duration::from_hours(1));
        CertificateAuthority::create(system_id(name), validity).unwrap()
    }

    fn directory() -> (PartnerDirectory, TrustBundles, Arc<ManualClock>) {
        let own = authority("alpha.example");
        let id = SpiffeId::entity(system_id("alpha.example"), Entity::GroupManagement);
        let validity = CertificateValidity::starting(NOW, Duration::from_hours(1));
        let issued = own.issue(&id, &[], validity).unwrap();
        let identity = OwnIdentity::from_pem(
            issued.certificate_pem.as_bytes(),
            issued.key_pem.expose().as_bytes(),
            own.certificate_pem().as_bytes(),
        )
        .unwrap();
        let bundles = TrustBundles::new(identity.clone());
        let clock = Arc::new(ManualClock::starting_at(NOW));
        let dialer = Dialer::new(identity, bundles.clone(), ChannelSettings::default(), clock.clone());
        let directory =
            PartnerDirectory::new(dialer, bundles.clone(), BreakerSettings::default(), clock.clone());
        (directory, bundles, clock)
    }

    fn terms(name: &str) -> PartnerTerms {
        let group = PeerService {
            endpoints: vec!["gms.example:7443".parse().unwrap()],
            presents: Entity::GroupManagement,
        };
        PartnerTerms {
            mc_system_id: system_id(name),
            trust_bundle_pem: authority(name).certificate_pem().to_owned(),
            is_suspended: false,
            validity: Validity::default(),
            services: HashMap::from([(Entity::GroupManagement, group)]),
        }
    }

    fn refusal(directory: &PartnerDirectory, name: &str) -> Option<PartnerRefusal> {
        directory.partner(&system_id(name)).err()
    }

    #[tokio::test]
    async fn nobody_is_a_stranger_before_the_agreements_are_known() {
        let (directory, _, _) = directory();
        assert_eq!(refusal(&directory, "bravo.example"), Some(PartnerRefusal::NotYetKnown));
        directory.replace(Vec::new());
        directory.wait_until_known().await;
        let unknown = PartnerRefusal::Unknown(system_id("bravo.example"));
        assert_eq!(refusal(&directory, "bravo.example"), Some(unknown));
    }

    #[tokio::test]
    async fn partner_is_reached_only_at_the_entities_that_its_agreement_names() {
        let (directory, bundles, _) = directory();
        assert!(directory.replace(vec![terms("bravo.example")]).is_empty());
        assert_eq!(bundles.partners(), [system_id("bravo.example")]);
        let partner = directory.partner(&system_id("bravo.example")).unwrap();
        partner.channel(Entity::GroupManagement).unwrap();
        assert_eq!(
            partner.channel(Entity::McService).err(),
            Some(PartnerRefusal::NotReachable {
                mc_system_id: system_id("bravo.example"),
                entity: Entity::McService
            })
        );
    }

    #[tokio::test]
    async fn agreement_that_does_not_hold_now_says_why() {
        let (directory, _, clock) = directory();
        let at = |seconds: i64| Some(Timestamp::from_micros(seconds * 1_000_000));
        let suspended = PartnerTerms { is_suspended: true, ..terms("bravo.example") };
        let later = Validity { from: at(2), until: None };
        let later = PartnerTerms { validity: later, ..terms("charlie.example") };
        let ending = Validity { from: None, until: at(2) };
        let ending = PartnerTerms { validity: ending, ..terms("delta.example") };
        directory.replace(vec![suspended, later, ending]);
        let usable = |directory: &PartnerDirectory| -> Vec<String> {
            directory.usable().iter().map(|partner| partner.mc_system_id.to_string()).collect()
        };
        let bravo = PartnerRefusal::Suspended(system_id("bravo.example"));
        assert_eq!(refusal(&directory, "bravo.example"), Some(bravo));
        assert!(matches!(refusal(&directory, "charlie.example"), Some(PartnerRefusal::NotYetValid { .. })));
        assert_eq!(usable(&directory), ["delta.example"]);

        clock.advance(Duration::from_secs(1));
        assert!(matches!(refusal(&directory, "delta.example"), Some(PartnerRefusal::Expired { .. })));
        assert_eq!(usable(&directory), ["charlie.example"]);
    }

    #[tokio::test]
    async fn terms_that_cannot_be_used_leave_the_last_good_ones_and_the_other_partners() {
        let (directory, bundles, _) = directory();
        directory.replace(vec![terms("bravo.example")]);
        let broken = PartnerTerms { trust_bundle_pem: "no certificate".to_owned(), ..terms("bravo.example") };
        let refused = directory.replace(vec![broken, terms("charlie.example")]);
        let refused: Vec<_> = refused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(refused, ["bravo.example"]);
        assert_eq!(refusal(&directory, "bravo.example"), None);
        assert_eq!(refusal(&directory, "charlie.example"), None);
        assert_eq!(bundles.partners().len(), 2);
    }

    #[tokio::test]
    async fn partner_that_is_not_named_any_more_is_none_from_then_on() {
        let (directory, bundles, _) = directory();
        directory.replace(vec![terms("bravo.example"), terms("charlie.example")]);
        let charlie = terms("charlie.example");
        directory.replace(vec![charlie]);
        assert!(matches!(refusal(&directory, "bravo.example"), Some(PartnerRefusal::Unknown(_))));
        assert_eq!(bundles.partners(), [system_id("charlie.example")]);
    }

    #[tokio::test]
    async fn partner_without_any_endpoint_of_an_entity_is_refused() {
        let (directory, _, _) = directory();
        let nowhere = PeerService { endpoints: Vec::new(), presents: Entity::McService };
        let mut bravo = terms("bravo.example");
        bravo.services.insert(Entity::McService, nowhere);
        let refused = directory.replace(vec![bravo]);
        assert!(matches!(refused.as_slice(), [(_, PartnerTermsError::NoEndpoint(_))]), "{refused:?}");
    }
}
