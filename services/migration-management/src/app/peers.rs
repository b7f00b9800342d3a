//! Who the partners are and how they are reached: kept in step with the agreements.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use mcx_federation::{BreakerSettings, Dialer, PeerChannel, PeerEndpoint, TrustBundles};
use mcx_types::{Entity, McSystemId, SpiffeId};

use crate::domain::agreement::Agreement;
use crate::error::{Error, Hop};

/// The partners' trust bundles and the channels to their migration management servers.
///
/// Whoever answers a request asks the agreement as it stands in the database; what is kept here follows it, so that a change holds
/// from the next request on in this replica, and from the next reconciliation on in others.
#[derive(Clone)]
pub(crate) struct Peers {
    dialer: Dialer,
    bundles: TrustBundles,
    breaker: BreakerSettings,
    known: Arc<RwLock<HashMap<McSystemId, Peer>>>,
}

struct Peer {
    endpoints: Vec<PeerEndpoint>,
    trust_bundle_pem: String,
    channel: PeerChannel,
}

impl Peers {
    pub(crate) fn new(dialer: Dialer, bundles: TrustBundles, breaker: BreakerSettings) -> Self {
        Self { dialer, bundles, breaker, known: Arc::default() }
    }

    /// The migration management server of a partner, as an error names it.
    pub(crate) fn hop(partner: &McSystemId) -> Hop {
        Hop { mc_system_id: partner.clone(), entity: Entity::MigrationManagement }
    }

    /// Makes the trust bundles and channels those of the agreements. One whose bundle does not parse keeps its last good one.
    pub(crate) fn reconcile<'a>(&self, agreements: impl IntoIterator<Item = &'a Agreement>) {
        let mut gone: Vec<McSystemId> = self.bundles.partners();
        for agreement in agreements {
            gone.retain(|partner| *partner != agreement.partner);
            if let Err(error) = self.channel(agreement) {
                tracing::error!(partner = %agreement.partner, %error, "the agreement cannot be used, what held before it stays");
            }
        }
        for partner in gone {
            self.forget(&partner);
        }
    }

    /// Forgets a partner whose agreement is gone: its certificates are worth nothing from the next handshake on.
    pub(crate) fn forget(&self, partner: &McSystemId) {
        self.bundles.remove_partner(partner);
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(partner);
    }

    /// The channel to the migration management server that the agreement names.
    ///
    /// # Errors
    /// [`Error::Internal`] where the agreement holds no usable trust bundle or endpoint, which its provisioning refuses.
    pub(crate) fn channel(&self, agreement: &Agreement) -> Result<PeerChannel, Error> {
        let is_current = |peer: &&Peer| {
            peer.endpoints == agreement.peer_endpoints && peer.trust_bundle_pem == agreement.trust_bundle_pem
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = known.get(&agreement.partner).filter(is_current) {
            return Ok(peer.channel.clone());
        }
        drop(known);
        self.connect(agreement)
    }

    fn connect(&self, agreement: &Agreement) -> Result<PeerChannel, Error> {
        let partner = &agreement.partner;
        self.bundles
            .replace_partner(partner, agreement.trust_bundle_pem.as_bytes())
            .map_err(|error| Error::Internal(format!("trust bundle of {partner}: {error}")))?;
        let expected = SpiffeId::entity(partner.clone(), Entity::MigrationManagement);
        let channel = self
            .dialer
            .peer_channel(expected, agreement.peer_endpoints.clone(), self.breaker.clone())
            .map_err(|error| Error::Internal(error.to_string()))?;
        let peer = Peer {
            endpoints: agreement.peer_endpoints.clone(),
            trust_bundle_pem: agreement.trust_bundle_pem.clone(),
            channel: channel.clone(),
        };
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(partner.clone(), peer);
        Ok(channel)
    }
}
