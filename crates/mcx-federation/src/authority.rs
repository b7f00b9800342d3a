//! A certificate authority for development, field exercises and tests: one per MC system.
//!
//! Production systems take their certificates from SPIRE or cert-manager; the mechanism is the same.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcx_types::{McSystemId, Principal, SpiffeId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use crate::files;

/// Why a certificate cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The identity is of another trust domain than that of the authority.
    #[error("{spiffe_id} is not of the trust domain {trust_domain}")]
    ForeignTrustDomain {
        /// The identity asked for.
        spiffe_id: SpiffeId,
        /// The authority's.
        trust_domain: McSystemId,
    },
    /// The identity is that of a caller that proves itself otherwise.
    #[error("{0} is nobody that a certificate can stand for")]
    NotCertifiable(SpiffeId),
    /// A host name is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a dns name nor an ip address")]
    InvalidHost(String),
    /// The authority's certificate does not name its trust domain, `spiffe://<mc-system-id>`, as the only URI.
    #[error("the certificate is not that of an authority of an mc system")]
    NotAnAuthority,
    /// A time is outside of what a certificate can say.
    #[error("{0} cannot be said in a certificate")]
    TimeOutOfRange(Timestamp),
    /// A file cannot be read or written.
    #[error("cannot access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The certificate library refused.
    #[error("cannot make the certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// From when until when a certificate holds, both inclusive, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateValidity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last moment.
    pub not_after: Timestamp,
}

impl CertificateValidity {
    /// From five minutes before `now`, for the sake of clocks that are slow, and for `duration` from now.
    pub fn starting(now: Timestamp, duration: Duration) -> Self {
        const SLOW_CLOCK_MICROS: i64 = 5 * 60 * 1_000_000;
        let not_before = Timestamp::from_micros(now.as_micros().saturating_sub(SLOW_CLOCK_MICROS));
        Self { not_before, not_after: now.saturating_add(duration) }
    }
}

/// A private key in PEM (PKCS#8); zeroed when dropped.
#[derive(Clone)]
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    /// The text itself, to be written to a file or given to [`crate::OwnIdentity::from_pem`].
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKeyPem(…)")
    }
}

/// A certificate with its key.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: PrivateKeyPem,
}

impl IssuedCertificate {
    /// Writes both files, the key readable by its owner only, each in one step.
    ///
    /// # Errors
    /// [`AuthorityError::File`]
    pub fn write(&self, certificate_file: &Path, key_file: &Path) -> Result<(), AuthorityError> {
        write(key_file, self.key_pem.expose(), files::PRIVATE)?;
        write(certificate_file, &self.certificate_pem, files::PUBLIC)
    }
}

/// The certificate authority of one MC system.
pub struct CertificateAuthority {
    mc_system_id: McSystemId,
    own: IssuedCertificate,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for CertificateAuthority {
    /// Never the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CertificateAuthority")
            .field("mc_system_id", &self.mc_system_id)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Makes an authority with a new key.
    ///
    /// # Errors
    /// [`AuthorityError::TimeOutOfRange`]
    pub fn create(mc_system_id: McSystemId, validity: CertificateValidity) -> Result<Self, AuthorityError> {
        let mut params = params(&format!("{mc_system_id} development authority"), validity)?;
        params.subject_alt_names = vec![uri(&format!("spiffe://{mc_system_id}"))?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        let own = IssuedCertificate { certificate_pem, key_pem: key_pem(&key) };
        Ok(Self { mc_system_id, own, issuer: Issuer::new(params, key) })
    }

    /// Takes up an authority made before.
    ///
    /// # Errors
    /// [`AuthorityError::NotAnAuthority`] or [`AuthorityError::Certificate`]
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, AuthorityError> {
        let mc_system_id = trust_domain_of(certificate_pem).ok_or(AuthorityError::NotAnAuthority)?;
        let key = KeyPair::from_pem(key_pem)?;
        let own = IssuedCertificate {
            certificate_pem: certificate_pem.to_owned(),
            key_pem: PrivateKeyPem(Zeroizing::new(key_pem.to_owned())),
        };
        Ok(Self { mc_system_id, own, issuer: Issuer::from_ca_cert_pem(certificate_pem, key)? })
    }

    /// Reads an authority that [`CertificateAuthority::write`] wrote.
    ///
    /// # Errors
    /// [`AuthorityError::File`], and those of [`CertificateAuthority::from_pem`]
    pub fn load(certificate_file: &Path, key_file: &Path) -> Result<Self, AuthorityError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path)
                .map_err(|source| AuthorityError::File { path: path.to_owned(), source })
        };
        Self::from_pem(&read(certificate_file)?, &Zeroizing::new(read(key_file)?))
    }

    /// Writes the authority's certificate and, readable by its owner only, its key.
    ///
    /// # Errors
    /// [`AuthorityError::File`]
    pub fn write(&self, certificate_file: &Path, key_file: &Path) -> Result<(), AuthorityError> {
        self.own.write(certificate_file, key_file)
    }

    /// The trust domain it issues for.
    pub fn mc_system_id(&self) -> &McSystemId {
        &self.mc_system_id
    }

    /// Its certificate: the trust bundle of the system.
    pub fn certificate_pem(&self) -> &str {
        &self.own.certificate_pem
    }

    /// Its key, with which anybody can issue for the system.
    pub fn key_pem(&self) -> &PrivateKeyPem {
        &self.own.key_pem
    }

    /// Issues a certificate for an entity or an operator, for both ends of a connection. `hosts` are DNS names and IP
    /// addresses for clients that look at them, such as grpcurl; our own look at the identity only.
    ///
    /// # Errors
    /// [`AuthorityError`]
    pub fn issue(
        &self,
        spiffe_id: &SpiffeId,
        hosts: &[&str],
        validity: CertificateValidity,
    ) -> Result<IssuedCertificate, AuthorityError> {
        if *spiffe_id.mc_system_id() != self.mc_system_id {
            let (spiffe_id, trust_domain) = (spiffe_id.clone(), self.mc_system_id.clone());
            return Err(AuthorityError::ForeignTrustDomain { spiffe_id, trust_domain });
        }
        let common_name = match spiffe_id.principal() {
            Principal::Entity(entity) => entity.to_string(),
            Principal::Operator(name) => name.clone(),
            Principal::User(_) | Principal::Anonymous => {
                return Err(AuthorityError::NotCertifiable(spiffe_id.clone()));
            }
        };
        let mut params = params(&common_name, validity)?;
        params.subject_alt_names = vec![uri(&spiffe_id.to_string())?];
        for host in hosts {
            let name = CertificateParams::new([(*host).to_owned()])
                .map_err(|_| AuthorityError::InvalidHost((*host).to_owned()))?;
            params.subject_alt_names.extend(name.subject_alt_names);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(IssuedCertificate { certificate_pem, key_pem: key_pem(&key) })
    }
}

fn params(common_name: &str, validity: CertificateValidity) -> Result<CertificateParams, AuthorityError> {
    let moment = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.as_micros().div_euclid(1_000_000))
            .map_err(|_| AuthorityError::TimeOutOfRange(at))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = moment(validity.not_before)?;
    params.not_after = moment(validity.not_after)?;
    Ok(params)
}

fn uri(text: &str) -> Result<SanType, AuthorityError> {
    Ok(SanType::URI(text.try_into()?))
}

fn key_pem(key: &KeyPair) -> PrivateKeyPem {
    PrivateKeyPem(Zeroizing::new(key.serialize_pem()))
}

fn write(path: &Path, content: &str, mode: u32) -> Result<(), AuthorityError> {
    files::replace(path, content, mode)
        .map_err(|source| AuthorityError::File { path: path.to_owned(), source })
}

/// The trust domain that an authority's certificate names (X509-SVID 4.3: a signing certificate has the bare domain).
fn trust_domain_of(certificate_pem: &str) -> Option<McSystemId> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return None };
    certificate.is_ca().then(|| uri.strip_prefix("spiffe://")?.parse().ok())?
}
