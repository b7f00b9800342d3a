//! What the development authority issues.

use std::os::unix::fs::PermissionsExt;

use mcx_types::SpiffeId;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::fixtures::*;
use crate::{AuthorityError, CertificateAuthority, TrustBundle};

#[test]
fn authority_read_back_from_its_files_issues_for_the_same_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("ca.pem"), directory.path().join("ca.key.pem"));
    let created = authority("alpha.example");
    created.write(&certificate, &key).unwrap();
    let loaded = CertificateAuthority::load(&certificate, &key).unwrap();
    assert_eq!(loaded.mc_system_id(), created.mc_system_id());
    let issued = loaded.issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    let leaf = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let bundle = TrustBundle::from_pem(created.certificate_pem().as_bytes()).unwrap();
    bundle.client_verifier().verify_client_cert(&leaf, &[], UnixTime::now()).unwrap();
}

#[test]
fn keys_are_written_for_their_owner_only_whatever_was_there_before() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("c.pem"), directory.path().join("k.pem"));
    std::fs::write(&key, "readable by everybody").unwrap();
    let issued = authority("alpha.example").issue(&mms("alpha.example"), &[], valid_now()).unwrap();
    issued.write(&certificate, &key).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), issued.key_pem.expose());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "something was left behind");
}

#[test]
fn clients_that_look_at_host_names_accept_the_hosts_given_and_no_other() {
    let authority = authority("alpha.example");
    let issued = authority.issue(&mms("alpha.example"), &["localhost", "127.0.0.1"], valid_now()).unwrap();
    let leaf = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let bundle = TrustBundle::from_pem(authority.certificate_pem().as_bytes()).unwrap();
    let roots = std::sync::Arc::new(bundle.roots().clone());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, crate::provider()).build().unwrap();
    let is_accepted = |host: &'static str| {
        let host = ServerName::try_from(host).unwrap();
        verifier.verify_server_cert(&leaf, &[], &host, &[], UnixTime::now()).is_ok()
    };
    assert!(is_accepted("localhost"));
    assert!(is_accepted("127.0.0.1"));
    assert!(!is_accepted("bravo.example"));
}

#[test]
fn identity_of_another_system_is_not_issued() {
    let refused = authority("alpha.example").issue(&mms("bravo.example"), &[], valid_now());
    assert!(matches!(refused, Err(AuthorityError::ForeignTrustDomain { .. })), "{refused:?}");
}

#[test]
fn leaf_certificate_is_not_taken_for_an_authority() {
    let authority = authority("alpha.example");
    let operator = SpiffeId::operator(system_id("alpha.example"), "o").unwrap();
    let leaf = authority.issue(&operator, &[], valid_now()).unwrap();
    let refused = CertificateAuthority::from_pem(&leaf.certificate_pem, leaf.key_pem.expose());
    assert!(matches!(refused, Err(AuthorityError::NotAnAuthority)), "{refused:?}");
}
