//! Whom we believe: the CA certificates of the own system and of every partner, replaceable while running.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mcx_types::McSystemId;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::OwnIdentity;

/// Why a trust bundle cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustBundleError {
    /// Not PEM.
    #[error("the trust bundle is not pem: {reason}")]
    NotPem {
        /// The parser's finding.
        reason: String,
    },
    /// There is no certificate in it.
    #[error("the trust bundle holds no certificate")]
    Empty,
    /// One of its certificates is not that of a certificate authority.
    #[error("certificate {position} of the trust bundle is not that of a certificate authority")]
    NotAnAuthority {
        /// Which one, from 1.
        position: usize,
    },
    /// One of its certificates cannot be used for verification.
    #[error("certificate {position} of the trust bundle cannot be used: {reason}")]
    Unusable {
        /// Which one, from 1.
        position: usize,
        /// The verifier's finding.
        reason: String,
    },
    /// A partner's bundle was given for the own system, whose bundle comes only from its own configuration.
    #[error("{0} is the own system and not a partner")]
    OwnSystem(McSystemId),
}

/// The CA certificates of one trust domain, ready to verify with. Cheap to clone.
#[derive(Clone)]
pub struct TrustBundle {
    roots: Arc<RootCertStore>,
    client_verifier: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TrustBundle").field("certificates", &self.roots.len()).finish()
    }
}

impl TrustBundle {
    /// Reads a bundle from PEM: one or more CA certificates.
    ///
    /// # Errors
    /// [`TrustBundleError`] where any certificate of it cannot be used: a half-read bundle would refuse peers for no
    /// visible reason.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TrustBundleError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let position = index + 1;
            let certificate =
                certificate.map_err(|error| TrustBundleError::NotPem { reason: error.to_string() })?;
            let is_authority =
                X509Certificate::from_der(&certificate).is_ok_and(|(_, certificate)| certificate.is_ca());
            if !is_authority {
                return Err(TrustBundleError::NotAnAuthority { position });
            }
            roots
                .add(certificate)
                .map_err(|error| TrustBundleError::Unusable { position, reason: error.to_string() })?;
        }
        if roots.is_empty() {
            return Err(TrustBundleError::Empty);
        }
        let roots = Arc::new(roots);
        let client_verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), crate::provider())
                .build()
                .map_err(|error| TrustBundleError::Unusable { position: 1, reason: error.to_string() })?;
        Ok(Self { roots, client_verifier })
    }

    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    pub(crate) fn client_verifier(&self) -> &dyn ClientCertVerifier {
        self.client_verifier.as_ref()
    }
}

/// The trust bundles of the own system and of its partners. Clones share one state; reads take no lock; a change holds
/// from the next handshake on.
#[derive(Clone, Debug)]
pub struct TrustBundles {
    own: OwnIdentity,
    partners: Arc<ArcSwap<HashMap<McSystemId, TrustBundle>>>,
}

impl TrustBundles {
    /// The own system's bundle, which follows the reloads of `own`, and no partner yet.
    pub fn new(own: OwnIdentity) -> Self {
        Self { own, partners: Arc::default() }
    }

    /// The own trust domain.
    pub fn own_system(&self) -> &McSystemId {
        self.own.mc_system_id()
    }

    /// The bundle of exactly this trust domain; none where it is neither the own one nor that of a partner.
    pub fn bundle_of(&self, system: &McSystemId) -> Option<TrustBundle> {
        if system == self.own_system() {
            Some(self.own.trust_bundle())
        } else {
            self.partners.load().get(system).cloned()
        }
    }

    /// The partners that have a bundle, in no order.
    pub fn partners(&self) -> Vec<McSystemId> {
        self.partners.load().keys().cloned().collect()
    }

    /// Adds a partner, or replaces its bundle.
    ///
    /// # Errors
    /// [`TrustBundleError`]; the last good bundle then stays in force.
    pub fn replace_partner(&self, system: &McSystemId, bundle_pem: &[u8]) -> Result<(), TrustBundleError> {
        let bundle = self.parse_partner(system, bundle_pem)?;
        self.partners.rcu(|partners| {
            let mut partners = HashMap::clone(partners);
            partners.insert(system.clone(), bundle.clone());
            partners
        });
        Ok(())
    }

    /// Forgets a partner: its next handshake is refused. Unknown ones are ignored.
    pub fn remove_partner(&self, system: &McSystemId) {
        self.partners.rcu(|partners| {
            let mut partners = HashMap::clone(partners);
            partners.remove(system);
            partners
        });
    }

    /// Makes these all the partners there are, in one step.
    ///
    /// Returns those whose bundle cannot be used: each keeps its last good one, or stays unknown where it had none.
    pub fn set_partners(
        &self,
        all: impl IntoIterator<Item = (McSystemId, Vec<u8>)>,
    ) -> Vec<(McSystemId, TrustBundleError)> {
        let mut good = HashMap::new();
        let mut failed = Vec::new();
        for (system, bundle_pem) in all {
            match self.parse_partner(&system, &bundle_pem) {
                Ok(bundle) => {
                    good.insert(system, bundle);
                }
                Err(error) => failed.push((system, error)),
            }
        }
        self.partners.rcu(|previous| {
            let mut partners = good.clone();
            for (system, _) in &failed {
                if let Some(last_good) = previous.get(system) {
                    partners.entry(system.clone()).or_insert_with(|| last_good.clone());
                }
            }
            partners
        });
        failed
    }

    fn parse_partner(&self, system: &McSystemId, pem: &[u8]) -> Result<TrustBundle, TrustBundleError> {
        if system == self.own_system() {
            return Err(TrustBundleError::OwnSystem(system.clone()));
        }
        TrustBundle::from_pem(pem)
    }
}
