//! Certificates for one MC system: an own certificate authority, and what it issues to entities and operators.
//!
//! For development and small installations. Where SPIRE or cert-manager issues them, this is not needed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_federation::{CertificateAuthority, CertificateValidity};
use mcx_types::{Entity, McSystemId, SpiffeId, Timestamp};

use crate::config::identity_files;

/// How long the certificate authority is valid, and how long what it issues.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3_600);

/// What is issued anew when less than this is left.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The name of the operator that `crossband dev` and `crossband certs` issue a certificate to.
pub const OPERATOR: &str = "operator";

/// Makes sure that a folder has the certificates of an MC system: the authority is made once, the others when they are missing, about
/// to expire, or have other hosts. `hosts` are the names and addresses by which listeners are reached, for clients that check them.
///
/// # Errors
/// Where a file cannot be read or written, or is not what its name says.
pub fn ensure(directory: &Path, system: &McSystemId, hosts: &[&str], now: Timestamp) -> Result<Certificates> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let authority = ensure_authority(directory, system, now)?;
    for entity in Entity::ALL {
        let id = SpiffeId::entity(system.clone(), *entity);
        ensure_certificate(directory, &authority, &id, entity.as_str(), hosts, now)?;
    }
    let operator = SpiffeId::operator(system.clone(), OPERATOR).context("the operator has a name")?;
    ensure_certificate(directory, &authority, &operator, OPERATOR, hosts, now)?;
    Ok(Certificates {
        directory: directory.to_owned(),
        authority_pem: authority.certificate_pem().to_owned(),
    })
}

/// Where the certificates of an MC system are.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The folder.
    pub directory: PathBuf,
    /// The certificate of the authority, PEM: the trust bundle that partners are given.
    pub authority_pem: String,
}

fn ensure_authority(directory: &Path, system: &McSystemId, now: Timestamp) -> Result<CertificateAuthority> {
    let certificate_file = directory.join("trust-bundle.pem");
    let key_file = directory.join("authority-key.pem");
    if certificate_file.exists() && key_file.exists() {
        let authority = CertificateAuthority::load(&certificate_file, &key_file)
            .with_context(|| format!("cannot use the authority in {}", directory.display()))?;
        anyhow::ensure!(
            authority.mc_system_id() == system,
            "the authority in {} is that of {}",
            directory.display(),
            authority.mc_system_id()
        );
        return Ok(authority);
    }
    let validity = CertificateValidity::starting(now, AUTHORITY_VALIDITY);
    let authority = CertificateAuthority::create(system.clone(), validity)?;
    authority.write(&certificate_file, &key_file)?;
    Ok(authority)
}

fn ensure_certificate(
    directory: &Path,
    authority: &CertificateAuthority,
    id: &SpiffeId,
    holder: &str,
    hosts: &[&str],
    now: Timestamp,
) -> Result<()> {
    let files = identity_files(directory, holder);
    let wanted: BTreeSet<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let is_good = mcx_federation::OwnIdentity::load(&files).is_ok_and(|own| {
        own.spiffe_id() == id
            && own.not_after() > now.saturating_add(RENEW_BEFORE)
            && BTreeSet::from_iter(own.hosts()) == wanted
    });
    if !is_good {
        let validity = CertificateValidity::starting(now, CERTIFICATE_VALIDITY);
        let issued = authority.issue(id, hosts, validity)?;
        issued.write(&files.certificate_file, &files.key_file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_made_once_and_renewed_before_they_expire() {
        let folder = tempfile::tempdir().unwrap();
        let system: McSystemId = "alpha.example".parse().unwrap();
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let read = || fs::read(folder.path().join("sip-core.pem")).unwrap();

        let first = ensure(folder.path(), &system, &["localhost"], now).unwrap();
        let certificate = read();
        ensure(folder.path(), &system, &["localhost"], now.saturating_add(Duration::from_secs(3_600)))
            .unwrap();
        assert_eq!(read(), certificate);

        let later = now.saturating_add(CERTIFICATE_VALIDITY - RENEW_BEFORE);
        let renewed = ensure(folder.path(), &system, &["localhost"], later).unwrap();
        assert_ne!(read(), certificate);
        assert_eq!(renewed.authority_pem, first.authority_pem);
    }

    #[test]
    fn certificates_are_made_anew_for_other_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let system: McSystemId = "alpha.example".parse().unwrap();
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let read = || fs::read(folder.path().join("sip-core.pem")).unwrap();
        let made = |hosts: &[&str]| {
            ensure(folder.path(), &system, hosts, now).unwrap();
            read()
        };
        let first = made(&["localhost", "127.0.0.1", "2001:db8::1"]);
        assert_eq!(made(&["2001:db8::1", "127.0.0.1", "localhost"]), first, "the same ones in another order");
        let more = made(&["localhost", "127.0.0.1", "2001:db8::1", "radio.alpha.example"]);
        assert_ne!(more, first);
        assert_ne!(
            made(&["localhost", "127.0.0.1", "2001:db8::1"]),
            more,
            "what was taken away is not named any more"
        );
    }

    #[test]
    fn folder_of_another_mc_system_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        ensure(folder.path(), &"alpha.example".parse().unwrap(), &[], now).unwrap();
        assert!(ensure(folder.path(), &"bravo.example".parse().unwrap(), &[], now).is_err());
    }
}
