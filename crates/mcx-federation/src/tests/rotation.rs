//! Certificates and bundles that change while the system runs.

use std::path::Path;
use std::time::Duration;

use mcx_types::{Clock, Entity, SpiffeId, SystemClock};
use tempfile::TempDir;

use super::fixtures::*;
use crate::{
    CertificateAuthority, CertificateValidity, IdentityFiles, OwnIdentity, OwnIdentityError,
    TrustBundleError, TrustBundles,
};

fn issue_into(files: &IdentityFiles, authority: &CertificateAuthority, id: &SpiffeId, life: Duration) {
    let validity = CertificateValidity::starting(SystemClock.now(), life);
    let issued = authority.issue(id, &[], validity).unwrap();
    issued.write(&files.certificate_file, &files.key_file).unwrap();
    std::fs::write(&files.trust_bundle_file, authority.certificate_pem()).unwrap();
}

fn files_in(directory: &Path) -> IdentityFiles {
    IdentityFiles {
        certificate_file: directory.join("certificate.pem"),
        key_file: directory.join("key.pem"),
        trust_bundle_file: directory.join("bundle.pem"),
    }
}

fn loaded() -> (TempDir, IdentityFiles, CertificateAuthority, OwnIdentity) {
    let directory = tempfile::tempdir().unwrap();
    let files = files_in(directory.path());
    let authority = authority("alpha.example");
    issue_into(&files, &authority, &mms("alpha.example"), HOUR);
    let identity = OwnIdentity::load(&files).unwrap();
    (directory, files, authority, identity)
}

#[test]
fn renewed_certificate_is_taken_up_by_all_clones() {
    let (_directory, files, authority, identity) = loaded();
    let clone = identity.clone();
    let before = clone.not_after();
    assert!(!identity.reload().unwrap(), "nothing has changed");
    issue_into(&files, &authority, &mms("alpha.example"), 2 * HOUR);
    assert!(identity.reload().unwrap());
    assert!(clone.not_after() > before);
}

#[test]
fn half_done_rotation_keeps_the_last_good_identity() {
    let (_directory, files, authority, identity) = loaded();
    let before = identity.not_after();
    let other = authority.issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    std::fs::write(&files.certificate_file, &other.certificate_pem).unwrap();
    assert!(matches!(identity.reload(), Err(OwnIdentityError::KeyMismatch)));
    std::fs::write(&files.certificate_file, "").unwrap();
    assert!(matches!(identity.reload(), Err(OwnIdentityError::NoCertificate { .. })));
    std::fs::remove_file(&files.key_file).unwrap();
    let error = identity.reload().unwrap_err();
    assert!(error.to_string().contains("key.pem"), "{error}");
    assert_eq!(identity.not_after(), before);
}

#[test]
fn reload_never_changes_who_we_are() {
    let (_directory, files, authority, identity) = loaded();
    let sip_core = SpiffeId::entity(system_id("alpha.example"), Entity::SipCore);
    issue_into(&files, &authority, &sip_core, HOUR);
    assert!(matches!(identity.reload(), Err(OwnIdentityError::IdentityChanged { .. })));
    assert_eq!(*identity.spiffe_id(), mms("alpha.example"));
}

#[tokio::test]
async fn watched_files_are_reloaded() {
    let (_directory, files, authority, identity) = loaded();
    let before = identity.not_after();
    let watching = tokio::spawn(identity.clone().watch(Duration::from_millis(1)));
    issue_into(&files, &authority, &mms("alpha.example"), 2 * HOUR);
    while identity.not_after() == before {
        tokio::task::yield_now().await;
    }
    watching.abort();
}

#[test]
fn key_is_never_shown() {
    let (_directory, files, authority, identity) = loaded();
    let key = std::fs::read_to_string(&files.key_file).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let issued = authority.issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    let authority_secret = authority.key_pem().expose().lines().nth(1).unwrap().to_owned();
    let issued_secret = issued.key_pem.expose().lines().nth(1).unwrap().to_owned();
    let shown = format!("{identity:?} {:?} {authority:?} {issued:?}", TrustBundles::new(identity.clone()));
    for secret in [secret, &authority_secret, &issued_secret] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn bundle_that_cannot_be_used_leaves_the_last_good_one_in_force() {
    let (_directory, _, _, identity) = loaded();
    let bundles = TrustBundles::new(identity);
    let bravo = authority("bravo.example");
    let system = bravo.mc_system_id();
    bundles.replace_partner(system, bravo.certificate_pem().as_bytes()).unwrap();
    let leaf = bravo.issue(&mms("bravo.example"), &[], valid_now()).unwrap().certificate_pem;
    let half = format!("{}-----BEGIN CERTIFICATE-----\nMIIB", bravo.certificate_pem());
    assert_eq!(bundles.replace_partner(system, b""), Err(TrustBundleError::Empty));
    let not_an_authority = TrustBundleError::NotAnAuthority { position: 1 };
    assert_eq!(bundles.replace_partner(system, leaf.as_bytes()), Err(not_an_authority));
    let half_read = bundles.replace_partner(system, half.as_bytes());
    assert!(matches!(half_read, Err(TrustBundleError::NotPem { .. })), "{half_read:?}");
    assert!(bundles.bundle_of(system).is_some());
}

#[test]
fn partners_cannot_replace_the_bundle_of_the_own_system() {
    let (_directory, _, _, identity) = loaded();
    let bundles = TrustBundles::new(identity);
    let forged = authority("alpha.example");
    let refused = bundles.replace_partner(forged.mc_system_id(), forged.certificate_pem().as_bytes());
    assert_eq!(refused, Err(TrustBundleError::OwnSystem(system_id("alpha.example"))));
}

#[test]
fn setting_all_partners_forgets_the_others_and_keeps_last_good_bundles() {
    let (_directory, _, _, identity) = loaded();
    let bundles = TrustBundles::new(identity);
    let [bravo, charlie, delta] =
        ["bravo", "charlie", "delta"].map(|name| authority(&format!("{name}.example")));
    let entry = |authority: &CertificateAuthority| {
        (authority.mc_system_id().clone(), authority.certificate_pem().as_bytes().to_vec())
    };
    assert!(bundles.set_partners([entry(&bravo), entry(&charlie)]).is_empty());
    let broken = |name| (system_id(name), b"broken".to_vec());
    let failed = bundles.set_partners([broken("bravo.example"), entry(&delta), broken("echo.example")]);
    assert_eq!(failed.len(), 2);
    let mut partners = bundles.partners();
    partners.sort();
    assert_eq!(partners, [system_id("bravo.example"), system_id("delta.example")]);
}
