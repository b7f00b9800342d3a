//! Identities of MC systems and of users on the signalling plane.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the identity it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than the identity may be, in bytes.
    #[error("must not be longer than {limit} bytes")]
    TooLong {
        /// The most bytes allowed.
        limit: usize,
    },
    /// Not of the form that the identity has.
    #[error("must be {expected}")]
    Malformed {
        /// The form that was expected.
        expected: &'static str,
    },
}

/// The most bytes of any identity: that of a DNS name, and of an NAI (RFC 7542 2.2).
const IDENTITY_LIMIT: usize = 253;

#[macro_use]
mod text;

mod service;

pub use service::{FunctionalAlias, McId, McService, McServiceGroupId, McServiceId, ProfileIndex, Subject};

/// The identifier of an MC system (TS 23.280 8.1.4), and the SPIFFE trust domain that it is.
///
/// Shape: a DNS name in lower case, such as `alpha.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct McSystemId(String);
text_identity!(McSystemId);

impl FromStr for McSystemId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        domain_name(text).map(Self)
    }
}

/// The realm in which a SIP private user identity is authenticated; a visitor realm names a partner's visitors.
///
/// Shape: a DNS name in lower case, such as `visitors.bravo.example`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Realm(String);
text_identity!(Realm);

impl FromStr for Realm {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        domain_name(text).map(Self)
    }
}

/// A SIP private user identity (IMPI): a network access identifier `user@realm` (TS 23.003 13.3).
///
/// The user part is kept as given, the realm is in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Impi(String);
text_identity!(Impi);

impl Impi {
    /// The part behind the `@`, which decides who authenticates this identity.
    pub fn realm(&self) -> Realm {
        let (_, realm) = self.0.rsplit_once('@').expect("an IMPI is parsed with its realm");
        Realm(realm.to_owned())
    }
}

impl FromStr for Impi {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a private user identity of the form user@realm";
        bounded(text)?;
        let (user, realm) = text.rsplit_once('@').ok_or(IdentityError::Malformed { expected: EXPECTED })?;
        if !is_user_part(user) {
            return Err(IdentityError::Malformed { expected: EXPECTED });
        }
        let realm = domain_name(realm).map_err(|_| IdentityError::Malformed { expected: EXPECTED })?;
        Ok(Self(format!("{user}@{realm}")))
    }
}

/// A SIP public user identity (IMPU): a `sip:` or `tel:` URI without parameters (TS 23.003 13.4).
///
/// Canonical form: scheme and host in lower case, no default port, visual separators of a `tel:` number removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Impu(String);
text_identity!(Impu);

impl FromStr for Impu {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a public user identity of the form sip:user@host or tel:+number";
        const MALFORMED: IdentityError = IdentityError::Malformed { expected: EXPECTED };
        bounded(text)?;
        let (scheme, rest) = text.split_once(':').ok_or(MALFORMED)?;
        if scheme.eq_ignore_ascii_case("sip") {
            let (user, host) = rest.split_once('@').ok_or(MALFORMED)?;
            if !is_user_part(user) {
                return Err(MALFORMED);
            }
            let host = domain_name(host).map_err(|_| MALFORMED)?;
            Ok(Self(format!("sip:{user}@{host}")))
        } else if scheme.eq_ignore_ascii_case("tel") {
            let number: String = rest.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect();
            let digits = number.strip_prefix('+').ok_or(MALFORMED)?;
            if digits.is_empty() || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(MALFORMED);
            }
            Ok(Self(format!("tel:{number}")))
        } else {
            Err(MALFORMED)
        }
    }
}

/// The SIP identities of one user in one MC system: one private and one or more public user identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipIdentities {
    /// The private user identity, which authenticates.
    pub impi: Impi,
    /// The public user identities, which register; never empty, in the order given, without repetition.
    pub impus: Vec<Impu>,
}

fn bounded(text: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        Err(IdentityError::Empty)
    } else if text.len() > IDENTITY_LIMIT {
        Err(IdentityError::TooLong { limit: IDENTITY_LIMIT })
    } else {
        Ok(())
    }
}

fn domain_name(text: &str) -> Result<String, IdentityError> {
    bounded(text)?;
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.split('.').all(is_label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(IdentityError::Malformed { expected: "a DNS name such as alpha.example" })
    }
}

/// The characters that the user part of an NAI and of a SIP URI share, without those that need escaping
/// (RFC 7542 2.2, RFC 3261 25.1 `unreserved` and `user-unreserved` without `;`, `?` and `/`, which begin other parts).
fn is_user_part(user: &str) -> bool {
    !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identities_take_their_canonical_form() {
        let canonical_forms = [
            ("Alpha.Example".parse::<McSystemId>().map(String::from), "alpha.example"),
            ("Alice@Alpha.Example".parse::<Impi>().map(String::from), "Alice@alpha.example"),
            ("SIP:Alice@Alpha.Example".parse::<Impu>().map(String::from), "sip:Alice@alpha.example"),
            ("tel:+49-(30)-1234.5".parse::<Impu>().map(String::from), "tel:+493012345"),
        ];
        for (parsed, expected) in canonical_forms {
            assert_eq!(parsed.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn malformed_identities_are_refused() {
        for text in ["", "alice", "@alpha.example", "alice@", "al ice@alpha.example", "alice@alpha..example"]
        {
            assert!(text.parse::<Impi>().is_err(), "{text:?} was taken for an IMPI");
        }
        for text in [
            "alice@alpha.example",
            "sips:alice@a.example",
            "sip:alice@a.example;lr",
            "tel:112",
            "tel:+",
            "sip:@a",
        ] {
            assert!(text.parse::<Impu>().is_err(), "{text:?} was taken for an IMPU");
        }
        for text in ["", "-a.example", "a..example", "a_b.example", "a.example/x"] {
            assert!(text.parse::<McSystemId>().is_err(), "{text:?} was taken for an MC system id");
        }
    }

    #[test]
    fn overlong_identity_is_refused_with_the_limit() {
        let text = format!("{}@alpha.example", "a".repeat(300));
        assert_eq!(text.parse::<Impi>(), Err(IdentityError::TooLong { limit: 253 }));
    }

    #[test]
    fn realm_of_an_impi_is_the_part_behind_the_at_sign() {
        let impi: Impi = "alice@Visitors.Bravo.Example".parse().unwrap();
        assert_eq!(impi.realm().as_str(), "visitors.bravo.example");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_idempotent(text in ".{0,300}") {
            if let Ok(impu) = text.parse::<Impu>() {
                prop_assert_eq!(impu.as_str().parse::<Impu>(), Ok(impu.clone()));
            }
            if let Ok(impi) = text.parse::<Impi>() {
                prop_assert_eq!(impi.as_str().parse::<Impi>(), Ok(impi.clone()));
            }
        }
    }
}
