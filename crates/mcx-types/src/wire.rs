//! Between the messages of `mcx.types.v1` and the types that they stand for.
//!
//! Decoding collects every violation under the path of the field; it never repeats a value, because some are secret.

mod mc_service;

use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{AuthenticationVector, Autn, Auts, CipherKey, IntegrityKey, Rand, Xres};
use mcx_proto::types::v1 as proto;

use crate::{Impu, SipIdentities, Violations};

pub use mc_service::{MigratedServiceIdentity, mc_service_identities_to_wire};

/// The most public user identities that one user may have.
const IMPU_LIMIT: usize = 16;

impl From<SipIdentities> for proto::SipIdentities {
    fn from(identities: SipIdentities) -> Self {
        Self { impi: identities.impi.into(), impus: identities.impus.into_iter().map(String::from).collect() }
    }
}

/// The RAND and the AUTS with which an ISIM asks for resynchronisation (TS 33.102 6.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynchronisationFailure {
    /// The RAND of the vector that the ISIM refused.
    pub rand: Rand,
    /// The token.
    pub auts: Auts,
}

impl From<SynchronisationFailure> for proto::SynchronisationFailure {
    fn from(failure: SynchronisationFailure) -> Self {
        Self { rand: failure.rand.0.to_vec(), auts: failure.auts.0.to_vec() }
    }
}

/// Authentication information as it is handed on: vectors of one scheme (TS 23.280 10.1.6.2 steps 6, 7 and 9).
///
/// A vector is handed out once, so this cannot be cloned; its secrets print as `[redacted]`.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthenticationInformation {
    /// The scheme that the vectors are for.
    pub scheme: DigestAlgorithm,
    /// The vectors, in the order of use.
    pub vectors: Vec<AuthenticationVector>,
}

impl From<AuthenticationInformation> for proto::AuthenticationInformation {
    fn from(information: AuthenticationInformation) -> Self {
        let vectors = information.vectors.iter().map(|vector| proto::AuthenticationVector {
            rand: vector.rand.0.to_vec(),
            autn: vector.autn.0.to_vec(),
            xres: vector.xres.expose_octets().to_vec(),
            ck: vector.ck.expose_octets().to_vec(),
            ik: vector.ik.expose_octets().to_vec(),
        });
        Self { scheme: scheme_to_wire(Some(information.scheme)).into(), vectors: vectors.collect() }
    }
}

/// The scheme as the protocol names it; `None` is `UNSPECIFIED`.
pub fn scheme_to_wire(scheme: Option<DigestAlgorithm>) -> proto::AuthenticationScheme {
    match scheme {
        None => proto::AuthenticationScheme::Unspecified,
        Some(DigestAlgorithm::AkaV1Md5) => proto::AuthenticationScheme::DigestAkav1Md5,
        Some(DigestAlgorithm::AkaV2Md5) => proto::AuthenticationScheme::DigestAkav2Md5,
        Some(DigestAlgorithm::AkaV2Sha256) => proto::AuthenticationScheme::DigestAkav2Sha256,
    }
}

impl Violations {
    /// Decodes the SIP identities of a required field.
    pub fn sip_identities(
        &mut self,
        field: &str,
        identities: Option<proto::SipIdentities>,
    ) -> Option<SipIdentities> {
        let identities = self.require(field, identities)?;
        let impi = self.parse(format!("{field}.impi"), &identities.impi);
        let impus = self.impus(&format!("{field}.impus"), &identities.impus);
        Some(SipIdentities { impi: impi?, impus: impus? })
    }

    fn impus(&mut self, field: &str, texts: &[String]) -> Option<Vec<Impu>> {
        if texts.is_empty() || texts.len() > IMPU_LIMIT {
            self.add(field, format_args!("must hold 1 to {IMPU_LIMIT} public user identities"));
            return None;
        }
        let mut impus: Vec<Impu> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{field}[{index}]");
            if let Some(impu) = self.parse::<Impu>(path.as_str(), text) {
                if impus.contains(&impu) {
                    self.add(path, "must not repeat a public user identity");
                } else {
                    impus.push(impu);
                }
            }
        }
        (impus.len() == texts.len()).then_some(impus)
    }

    /// Decodes an optional scheme: `UNSPECIFIED` is `Some(None)`; a number that the protocol does not know is noted.
    pub fn scheme(&mut self, field: &str, scheme: i32) -> Option<Option<DigestAlgorithm>> {
        let scheme = self.accept(
            field,
            proto::AuthenticationScheme::try_from(scheme)
                .map_err(|_| "must be a known authentication scheme"),
        )?;
        Some(match scheme {
            proto::AuthenticationScheme::Unspecified => None,
            proto::AuthenticationScheme::DigestAkav1Md5 => Some(DigestAlgorithm::AkaV1Md5),
            proto::AuthenticationScheme::DigestAkav2Md5 => Some(DigestAlgorithm::AkaV2Md5),
            proto::AuthenticationScheme::DigestAkav2Sha256 => Some(DigestAlgorithm::AkaV2Sha256),
        })
    }

    /// Decodes the RAND and AUTS of a required field.
    pub fn synchronisation_failure(
        &mut self,
        field: &str,
        failure: Option<proto::SynchronisationFailure>,
    ) -> Option<SynchronisationFailure> {
        let failure = self.require(field, failure)?;
        let rand = self.accept(format!("{field}.rand"), Rand::try_from(failure.rand.as_slice()));
        let auts = self.accept(format!("{field}.auts"), Auts::try_from(failure.auts.as_slice()));
        Some(SynchronisationFailure { rand: rand?, auts: auts? })
    }

    /// Decodes the authentication information of a required field, as an answer carries it.
    pub fn authentication_information(
        &mut self,
        field: &str,
        information: Option<proto::AuthenticationInformation>,
    ) -> Option<AuthenticationInformation> {
        let information = self.require(field, information)?;
        let scheme = self.scheme(&format!("{field}.scheme"), information.scheme)?;
        let scheme = self.require(format!("{field}.scheme"), scheme);
        let decoded: Vec<Option<AuthenticationVector>> = information
            .vectors
            .iter()
            .enumerate()
            .map(|(index, vector)| self.authentication_vector(&format!("{field}.vectors[{index}]"), vector))
            .collect();
        let vectors = decoded.into_iter().collect::<Option<Vec<_>>>();
        Some(AuthenticationInformation { scheme: scheme?, vectors: vectors? })
    }

    fn authentication_vector(
        &mut self,
        field: &str,
        vector: &proto::AuthenticationVector,
    ) -> Option<AuthenticationVector> {
        let rand = self.accept(format!("{field}.rand"), Rand::try_from(vector.rand.as_slice()));
        let autn = self.accept(format!("{field}.autn"), Autn::try_from(vector.autn.as_slice()));
        let xres = self.accept(format!("{field}.xres"), Xres::try_from(vector.xres.as_slice()));
        let ck = self.accept(format!("{field}.ck"), CipherKey::try_from(vector.ck.as_slice()));
        let ik = self.accept(format!("{field}.ik"), IntegrityKey::try_from(vector.ik.as_slice()));
        Some(AuthenticationVector { rand: rand?, autn: autn?, xres: xres?, ck: ck?, ik: ik? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(violations: &Violations) -> Vec<&str> {
        violations.as_slice().iter().map(|violation| violation.field.as_str()).collect()
    }

    #[test]
    fn every_malformed_identity_is_named_by_its_path() {
        let mut violations = Violations::new();
        let identities = proto::SipIdentities {
            impi: "alice".into(),
            impus: vec![
                "sip:alice@alpha.example".into(),
                "nonsense".into(),
                "sip:alice@ALPHA.example".into(),
            ],
        };
        assert_eq!(violations.sip_identities("identities", Some(identities)), None);
        assert_eq!(fields(&violations), ["identities.impi", "identities.impus[1]", "identities.impus[2]"]);
    }

    #[test]
    fn vector_of_the_wrong_shape_is_named_without_its_octets() {
        let mut violations = Violations::new();
        let information = proto::AuthenticationInformation {
            scheme: proto::AuthenticationScheme::DigestAkav1Md5.into(),
            vectors: vec![proto::AuthenticationVector { xres: vec![0xab; 17], ..Default::default() }],
        };
        assert_eq!(violations.authentication_information("answer", Some(information)), None);
        assert_eq!(
            fields(&violations),
            [
                "answer.vectors[0].rand",
                "answer.vectors[0].autn",
                "answer.vectors[0].xres",
                "answer.vectors[0].ck",
                "answer.vectors[0].ik"
            ]
        );
        let printed = format!("{violations:?}");
        assert!(!printed.contains("171") && !printed.contains("abab"), "{printed}");
    }

    #[test]
    fn scheme_of_a_later_version_is_refused_and_an_absent_one_is_not() {
        let mut violations = Violations::new();
        assert_eq!(violations.scheme("scheme", 0), Some(None));
        assert_eq!(violations.scheme("scheme", 99), None);
        assert_eq!(fields(&violations), ["scheme"]);
    }
}
