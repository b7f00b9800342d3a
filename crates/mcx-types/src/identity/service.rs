//! Identities of users, groups and roles in MC services, TS 23.280 clause 8.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{IdentityError, Impu, bounded};

/// An MC service. A user may use one, two or all of them, and may migrate for some only (TS 23.280 10.1.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum McService {
    /// MCPTT, TS 23.379.
    Ptt,
    /// MCVideo, TS 23.281.
    Video,
    /// MCData, TS 23.282.
    Data,
}

impl McService {
    /// Every MC service.
    pub const ALL: [Self; 3] = [Self::Ptt, Self::Video, Self::Data];

    /// The short name that scopes and claims have: `ptt`, `video` or `data` (TS 33.180 annex B).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ptt => "ptt",
            Self::Video => "video",
            Self::Data => "data",
        }
    }
}

impl fmt::Display for McService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for McService {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|service| service.as_str() == text)
            .ok_or(IdentityError::Malformed { expected: "one of ptt, video, data" })
    }
}

/// The identity of a user in one MC service: her MCPTT ID, MCVideo ID or MCData ID (TS 23.280 8.1.2). A partner allots its own.
///
/// Shape and canonical form are those of [`Impu`]: `sip:user@host` or `tel:+number`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct McServiceId(String);
text_identity!(McServiceId);

impl FromStr for McServiceId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Impu = text
            .parse()
            .map_err(|error| expecting(error, "an mc service id of the form sip:user@host or tel:+number"))?;
        Ok(Self(uri.into()))
    }
}

/// The identity of an MC service group (TS 23.280 8.1.3): `sip:group@host`. The host tells the group's home system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct McServiceGroupId(String);
text_identity!(McServiceGroupId);

impl FromStr for McServiceGroupId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        sip_uri(text, "an mc service group id of the form sip:group@host").map(Self)
    }
}

/// A functional alias (TS 23.280 8.1.5): a role such as `sip:incident-commander@alpha.example` that users take on and lay down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionalAlias(String);
text_identity!(FunctionalAlias);

impl FromStr for FunctionalAlias {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        sip_uri(text, "a functional alias of the form sip:alias@host").map(Self)
    }
}

/// The identity with which a person logs in at the identity management server (TS 23.280 8.1.1). It is never called.
///
/// Shape: 1 to 253 bytes of printable ASCII without spaces, for example `alice@alpha.example`. Kept as given, compared as given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct McId(String);
text_identity!(McId);

impl FromStr for McId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bounded(text)?;
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityError::Malformed {
                expected: "an mc id of printable ascii characters without spaces",
            })
        }
    }
}

/// The `sub` of a user in tokens of one identity management server: unique there, never given to another user (TS 33.180 B.8).
///
/// Shape: 1 to 253 bytes of printable ASCII without spaces; ours are UUIDs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);
text_identity!(Subject);

impl FromStr for Subject {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        bounded(text)?;
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdentityError::Malformed {
                expected: "a subject of printable ascii characters without spaces",
            })
        }
    }
}

/// The index of one of the user profiles that a user has in one MC service (TS 23.280 10.1.4.1); 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileIndex(pub u8);

impl TryFrom<u32> for ProfileIndex {
    type Error = IdentityError;

    fn try_from(index: u32) -> Result<Self, Self::Error> {
        u8::try_from(index)
            .map(Self)
            .map_err(|_| IdentityError::Malformed { expected: "a profile index from 0 to 255" })
    }
}

impl fmt::Display for ProfileIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

fn sip_uri(text: &str, expected: &'static str) -> Result<String, IdentityError> {
    let uri: Impu = text.parse().map_err(|error| expecting(error, expected))?;
    if uri.as_str().starts_with("sip:") { Ok(uri.into()) } else { Err(IdentityError::Malformed { expected }) }
}

fn expecting(error: IdentityError, expected: &'static str) -> IdentityError {
    match error {
        IdentityError::Malformed { .. } => IdentityError::Malformed { expected },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_identities_take_their_canonical_form() {
        let canonical_forms = [
            ("SIP:Alice@Alpha.Example".parse::<McServiceId>().map(String::from), "sip:Alice@alpha.example"),
            (
                "sip:Rescue-7@ALPHA.example".parse::<McServiceGroupId>().map(String::from),
                "sip:Rescue-7@alpha.example",
            ),
            (
                "sip:commander@Bravo.example".parse::<FunctionalAlias>().map(String::from),
                "sip:commander@bravo.example",
            ),
            ("Alice@Alpha.Example".parse::<McId>().map(String::from), "Alice@Alpha.Example"),
        ];
        for (parsed, expected) in canonical_forms {
            assert_eq!(parsed.as_deref(), Ok(expected));
        }
    }

    #[test]
    fn malformed_service_identities_say_what_was_expected() {
        let refused = "tel:+4930123".parse::<McServiceGroupId>().unwrap_err();
        assert_eq!(refused.to_string(), "must be an mc service group id of the form sip:group@host");
        assert!("alice".parse::<McServiceId>().is_err());
        assert!("sip:a b@alpha.example".parse::<FunctionalAlias>().is_err());
        assert!("al ice".parse::<McId>().is_err());
        assert!("".parse::<Subject>().is_err());
        assert!(ProfileIndex::try_from(256).is_err());
    }

    #[test]
    fn every_mc_service_is_found_by_its_name() {
        for service in McService::ALL {
            assert_eq!(service.as_str().parse(), Ok(service));
        }
    }
}
