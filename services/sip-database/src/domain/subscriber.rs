//! A subscriber, and whether a request for its vectors is granted.

use std::fmt;

use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::{Amf, Opc, SubscriberKey};
use mcx_store::sealing::SealedSecret;
use mcx_types::{Impi, Impu, SipIdentities, Timestamp};

/// What an operator says of a subscriber, besides its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriberContent {
    /// The identities; a public one is of one subscriber only.
    pub(crate) identities: SipIdentities,
    /// The scheme that authenticates it.
    pub(crate) scheme: DigestAlgorithm,
    /// The AMF of its vectors (TS 33.102 Annex F).
    pub(crate) amf: Amf,
    /// Whether it is refused any vector.
    pub(crate) barred: bool,
}

/// Identifies one state of a subscriber; grows with every change, over removals too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) i64);

impl fmt::Display for Version {
    /// The `etag`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A subscriber as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscriber {
    /// What was said of it.
    pub(crate) content: SubscriberContent,
    /// Which state this is.
    pub(crate) version: Version,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// When it was last changed by an operator.
    pub(crate) updated_at: Timestamp,
    /// Its keys as they are stored.
    pub(crate) keys: SealedSecret,
}

/// The keys that the subscriber's ISIM holds too. Compared in constant time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriberKeys {
    /// K.
    pub(crate) key: SubscriberKey,
    /// OPc.
    pub(crate) opc: Opc,
}

/// Why a request for vectors is refused, in the order in which TS 29.228 6.3.1 checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VectorRefusal {
    /// The public user identity is not of this private one.
    IdentitiesDoNotMatch(Impu),
    /// The subscriber is barred.
    Barred,
    /// The subscriber is authenticated by another scheme.
    SchemeNotSupported(DigestAlgorithm),
}

/// Who is to be authenticated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VectorRequest {
    /// The identities as asked for: any of the public identities of the subscriber.
    pub(crate) identities: SipIdentities,
    /// The scheme asked for; `None`: that of the subscriber.
    pub(crate) scheme: Option<DigestAlgorithm>,
}

impl VectorRequest {
    /// The private user identity.
    pub(crate) fn impi(&self) -> &Impi {
        &self.identities.impi
    }
}

impl Subscriber {
    /// The private user identity.
    pub(crate) fn impi(&self) -> &Impi {
        &self.content.identities.impi
    }
}

impl SubscriberContent {
    /// Decides whether vectors are made (TS 29.228 6.3.1 steps 2 and 3; TS 23.280 10.1.6.2 step 5).
    pub(crate) fn grants(&self, request: &VectorRequest) -> Result<(), VectorRefusal> {
        let foreign = request.identities.impus.iter().find(|impu| !self.identities.impus.contains(impu));
        if let Some(impu) = foreign {
            return Err(VectorRefusal::IdentitiesDoNotMatch(impu.clone()));
        }
        if self.barred {
            return Err(VectorRefusal::Barred);
        }
        match request.scheme {
            Some(scheme) if scheme != self.scheme => Err(VectorRefusal::SchemeNotSupported(scheme)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(impus: &[&str]) -> SipIdentities {
        SipIdentities {
            impi: "alice@alpha.example".parse().unwrap(),
            impus: impus.iter().map(|impu| impu.parse().unwrap()).collect(),
        }
    }

    fn alice() -> SubscriberContent {
        SubscriberContent {
            identities: identities(&["sip:alice@alpha.example", "tel:+4930123"]),
            scheme: DigestAlgorithm::AkaV1Md5,
            amf: Amf([0, 0]),
            barred: false,
        }
    }

    #[test]
    fn vectors_are_granted_for_any_public_identities_of_the_subscriber_and_its_scheme() {
        for (impus, scheme) in [
            (&["sip:alice@alpha.example"][..], None),
            (&["tel:+4930123"], Some(DigestAlgorithm::AkaV1Md5)),
            (&["tel:+4930123", "sip:alice@alpha.example"], None),
        ] {
            let request = VectorRequest { identities: identities(impus), scheme };
            assert_eq!(alice().grants(&request), Ok(()), "{impus:?} {scheme:?}");
        }
    }

    #[test]
    fn each_refusal_names_its_cause_and_mismatched_identities_come_first() {
        let foreign = VectorRequest {
            identities: identities(&["tel:+4930123", "sip:bob@alpha.example"]),
            scheme: Some(DigestAlgorithm::AkaV2Md5),
        };
        let barred = SubscriberContent { barred: true, ..alice() };
        let mismatch = VectorRefusal::IdentitiesDoNotMatch("sip:bob@alpha.example".parse().unwrap());
        assert_eq!(barred.grants(&foreign), Err(mismatch));

        let other_scheme = VectorRequest { identities: identities(&["tel:+4930123"]), ..foreign };
        assert_eq!(barred.grants(&other_scheme), Err(VectorRefusal::Barred));
        let refused = VectorRefusal::SchemeNotSupported(DigestAlgorithm::AkaV2Md5);
        assert_eq!(alice().grants(&other_scheme), Err(refused));
    }
}
