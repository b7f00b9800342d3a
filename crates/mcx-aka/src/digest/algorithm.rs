//! The digest algorithms whose password comes from AKA, and the hash function beneath each.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// A digest algorithm of the AKA family, as the `algorithm` parameter names it (RFC 3310 clause 3.1, RFC 4169 clause 3,
/// TS 33.203 for SHA-256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// `AKAv1-MD5`: the password is RES itself (RFC 3310).
    AkaV1Md5,
    /// `AKAv2-MD5`: the password is derived from RES, IK and CK with HMAC-MD5 (RFC 4169).
    AkaV2Md5,
    /// `AKAv2-SHA-256`: as version 2, with HMAC-SHA-256 and SHA-256 in place of MD5.
    AkaV2Sha256,
}

/// The text does not name an algorithm of [`DigestAlgorithm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("digest algorithm is none of AKAv1-MD5, AKAv2-MD5, AKAv2-SHA-256")]
pub struct UnknownDigestAlgorithm;

impl DigestAlgorithm {
    /// All algorithms, the strongest first, which is the order in which to offer them.
    pub const ALL: [Self; 3] = [Self::AkaV2Sha256, Self::AkaV2Md5, Self::AkaV1Md5];

    /// The value of the `algorithm` parameter.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::AkaV1Md5 => "AKAv1-MD5",
            Self::AkaV2Md5 => "AKAv2-MD5",
            Self::AkaV2Sha256 => "AKAv2-SHA-256",
        }
    }

    /// Number of characters of a response: 32 for MD5, 64 for SHA-256.
    #[must_use]
    pub const fn response_length(self) -> usize {
        match self {
            Self::AkaV1Md5 | Self::AkaV2Md5 => 32,
            Self::AkaV2Sha256 => 64,
        }
    }

    /// H(parts joined by ':') in lower-case hexadecimal digits (RFC 2617 clause 3.2.1).
    pub(crate) fn hash_joined(self, parts: &[&[u8]]) -> Zeroizing<String> {
        match self {
            Self::AkaV1Md5 | Self::AkaV2Md5 => hash_joined::<Md5>(parts),
            Self::AkaV2Sha256 => hash_joined::<Sha256>(parts),
        }
    }
}

fn hash_joined<H: sha2::Digest>(parts: &[&[u8]]) -> Zeroizing<String> {
    let mut hash = H::new();
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    Zeroizing::new(hex::encode(hash.finalize()))
}

/// Tokens compare without regard to case (RFC 2617 clause 1.2).
impl FromStr for DigestAlgorithm {
    type Err = UnknownDigestAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.token().eq_ignore_ascii_case(text))
            .ok_or(UnknownDigestAlgorithm)
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.token())
    }
}
