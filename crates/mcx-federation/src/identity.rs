//! Who we are: the own certificate and key, from files that are rotated while we run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use mcx_types::{McSystemId, SpiffeId, Timestamp};
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::certificate::{self, HandshakeRefusal, Leaf};
use crate::{TrustBundle, TrustBundleError};

/// Where the own identity lies, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityFiles {
    /// The own certificate, then its intermediate certificates.
    pub certificate_file: PathBuf,
    /// The private key of the own certificate: PKCS#8, SEC1 or PKCS#1.
    pub key_file: PathBuf,
    /// The CA certificates of the own trust domain.
    pub trust_bundle_file: PathBuf,
}

/// Why the own identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnIdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The certificate file holds no PEM certificate.
    #[error("no certificate in the certificate chain: {reason}")]
    NoCertificate {
        /// The parser's finding.
        reason: String,
    },
    /// The key file holds no PEM private key. The finding names no content.
    #[error("no usable private key: {reason}")]
    NoPrivateKey {
        /// The parser's finding.
        reason: String,
    },
    /// The key is not that of the certificate.
    #[error("the private key is not the one of the certificate")]
    KeyMismatch,
    /// The certificate does not carry one identity of ours.
    #[error("own certificate: {0}")]
    Certificate(#[from] HandshakeRefusal),
    /// The trust bundle of the own system cannot be used.
    #[error("own trust bundle: {0}")]
    TrustBundle(#[from] TrustBundleError),
    /// A reload would have changed who we are.
    #[error("the new certificate is that of {found} and not of {expected}")]
    IdentityChanged {
        /// Who we are.
        expected: SpiffeId,
        /// Whom the new certificate names.
        found: SpiffeId,
    },
}

/// The three texts as read; compared to notice a change. Zeroed when dropped, for the key's sake.
#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    trust_bundle: Vec<u8>,
}

struct Material {
    pem: Pem,
    leaf: Leaf,
    certified_key: Arc<CertifiedKey>,
    trust_bundle: TrustBundle,
}

struct Shared {
    spiffe_id: SpiffeId,
    files: Option<IdentityFiles>,
    material: ArcSwap<Material>,
}

/// The own certificate chain, key and trust bundle. Clones share one state, and every later handshake uses what the last
/// good [`OwnIdentity::reload`] read.
#[derive(Clone)]
pub struct OwnIdentity(Arc<Shared>);

impl fmt::Debug for OwnIdentity {
    /// Never the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("OwnIdentity")
            .field("spiffe_id", &self.0.spiffe_id)
            .field("not_after", &self.not_after())
            .finish_non_exhaustive()
    }
}

impl OwnIdentity {
    /// Reads the identity from its files.
    ///
    /// A certificate that peers would refuse (expired, or not issued by the own trust bundle) is read all the same, with
    /// a warning in the log: it may be renewed at any moment, and the peers do refuse it.
    ///
    /// # Errors
    /// [`OwnIdentityError`]
    pub fn load(files: &IdentityFiles) -> Result<Self, OwnIdentityError> {
        Self::build(read(files)?, Some(files.clone()))
    }

    /// Takes the identity from PEM texts; such an identity never changes.
    ///
    /// # Errors
    /// [`OwnIdentityError`], except those of files.
    pub fn from_pem(
        certificate: impl Into<Vec<u8>>,
        key: &[u8],
        trust_bundle: impl Into<Vec<u8>>,
    ) -> Result<Self, OwnIdentityError> {
        let key = Zeroizing::new(key.to_vec());
        Self::build(Pem { certificate: certificate.into(), key, trust_bundle: trust_bundle.into() }, None)
    }

    fn build(pem: Pem, files: Option<IdentityFiles>) -> Result<Self, OwnIdentityError> {
        let material = Material::parse(pem)?;
        let spiffe_id = material.leaf.spiffe_id.clone();
        Ok(Self(Arc::new(Shared { spiffe_id, files, material: ArcSwap::from_pointee(material) })))
    }

    /// The own SPIFFE identity, the same over every reload.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.0.spiffe_id
    }

    /// The own trust domain.
    pub fn mc_system_id(&self) -> &McSystemId {
        self.0.spiffe_id.mc_system_id()
    }

    /// The last moment of validity of the certificate in use.
    pub fn not_after(&self) -> Timestamp {
        self.0.material.load().leaf.not_after
    }

    /// The names and addresses of hosts that the own certificate has.
    pub fn hosts(&self) -> Vec<String> {
        self.0.material.load().certified_key.cert.first().map(certificate::hosts).unwrap_or_default()
    }

    /// The trust bundle of the own system in use.
    pub fn trust_bundle(&self) -> TrustBundle {
        self.0.material.load().trust_bundle.clone()
    }

    /// Reads the files again, and tells whether anything changed. Blocks for the time of three small reads.
    ///
    /// # Errors
    /// [`OwnIdentityError`], for example where a rotation is half done; the last good identity then stays in use.
    pub fn reload(&self) -> Result<bool, OwnIdentityError> {
        let Some(files) = &self.0.files else { return Ok(false) };
        let pem = read(files)?;
        if self.0.material.load().pem == pem {
            return Ok(false);
        }
        let material = Material::parse(pem)?;
        if material.leaf.spiffe_id != self.0.spiffe_id {
            return Err(OwnIdentityError::IdentityChanged {
                expected: self.0.spiffe_id.clone(),
                found: material.leaf.spiffe_id,
            });
        }
        self.0.material.store(Arc::new(material));
        Ok(true)
    }

    /// Reloads the files `every` so often, for ever; spawn it, and drop it at the end. Failures are logged and tried again.
    pub async fn watch(self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let identity = self.clone();
            match tokio::task::spawn_blocking(move || identity.reload()).await {
                Ok(Ok(true)) => tracing::info!(
                    spiffe_id = %self.spiffe_id(), not_after = %self.not_after(), "own certificate reloaded"
                ),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(
                    spiffe_id = %self.spiffe_id(), not_after = %self.not_after(), %error,
                    "own certificate not reloaded, the last good one stays in use"
                ),
                Err(error) => tracing::error!(%error, "reloading the own certificate panicked"),
            }
        }
    }

    fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.material.load().certified_key)
    }
}

impl Material {
    fn parse(pem: Pem) -> Result<Self, OwnIdentityError> {
        let chain = CertificateDer::pem_slice_iter(&pem.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| OwnIdentityError::NoCertificate { reason: error.to_string() })?;
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(OwnIdentityError::NoCertificate { reason: "the file has none".to_owned() });
        };
        let leaf = Leaf::parse(end_entity)?;
        let trust_bundle = TrustBundle::from_pem(&pem.trust_bundle)?;
        let as_peers_see_it =
            trust_bundle.client_verifier().verify_client_cert(end_entity, intermediates, UnixTime::now());
        if let Err(error) = as_peers_see_it {
            let cause = HandshakeRefusal::of_tls(&error);
            tracing::warn!(spiffe_id = %leaf.spiffe_id, %cause, "peers will refuse the own certificate");
        }
        let key = PrivateKeyDer::from_pem_slice(&pem.key)
            .map_err(|error| OwnIdentityError::NoPrivateKey { reason: error.to_string() })?;
        let certified_key =
            CertifiedKey::from_der(chain, key, &crate::provider()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => OwnIdentityError::KeyMismatch,
                other => OwnIdentityError::NoPrivateKey { reason: other.to_string() },
            })?;
        Ok(Self { pem, leaf, certified_key: Arc::new(certified_key), trust_bundle })
    }
}

fn read(files: &IdentityFiles) -> Result<Pem, OwnIdentityError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| OwnIdentityError::Unreadable { path: path.to_owned(), source })
    };
    Ok(Pem {
        certificate: read(&files.certificate_file)?,
        key: Zeroizing::new(read(&files.key_file)?),
        trust_bundle: read(&files.trust_bundle_file)?,
    })
}

impl ResolvesServerCert for OwnIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }
}

impl ResolvesClientCert for OwnIdentity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
