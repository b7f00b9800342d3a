//! What is believed about access tokens: whose keys sign them, and which no longer count.

use std::collections::{HashMap, HashSet};
use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use mcx_types::{Subject, Timestamp};
use sha2::{Digest, Sha256};

use super::seconds;

/// The own identity management server as an issuer of access tokens.
#[derive(Debug, Clone)]
pub struct TokenTrust {
    /// Its issuer URL, compared as it is.
    pub issuer: String,
    /// The keys that it signs with, and those it signed with lately.
    pub keys: Vec<TokenKey>,
    /// What no longer counts although it has not expired.
    pub revoked: RevokedTokens,
}

/// Access tokens that no longer count although they have not expired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevokedTokens {
    /// Single tokens, by their ids (`jti`).
    pub token_ids: HashSet<String>,
    /// Users all of whose tokens are void that were issued up to a moment. Tokens tell the second in which they were issued: one of
    /// the same second is void too.
    pub subjects: HashMap<Subject, Timestamp>,
}

impl RevokedTokens {
    /// Makes these count no more, either. Of two moments for one user the later one counts.
    pub fn add(&mut self, more: RevokedTokens) {
        self.token_ids.extend(more.token_ids);
        for (subject, at) in more.subjects {
            let until = self.subjects.entry(subject).or_insert(at);
            *until = at.max(*until);
        }
    }

    /// Whether a token counts no more.
    pub(super) fn covers(&self, token_id: &str, subject: &Subject, issued_at: Timestamp) -> bool {
        let revoked_up_to = self.subjects.get(subject);
        self.token_ids.contains(token_id)
            || revoked_up_to.is_some_and(|at| seconds(issued_at) <= seconds(*at))
    }
}

/// Why a public key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a public key on the curve P-256")]
pub struct TokenKeyError;

/// A public key for ES256 (RFC 7518 3.4).
#[derive(Clone)]
pub struct TokenKey {
    kid: String,
    key: DecodingKey,
    fingerprint: KeyFingerprint,
}

/// Tells keys apart, whatever identifiers they go by.
pub(super) type KeyFingerprint = [u8; 32];

impl TokenKey {
    /// A key by the coordinates of its JWK: `x` and `y`, in base64url (RFC 7518 6.2.1).
    ///
    /// # Errors
    /// [`TokenKeyError`]
    pub fn from_jwk(kid: impl Into<String>, x: &str, y: &str) -> Result<Self, TokenKeyError> {
        let key = DecodingKey::from_ec_components(x, y).map_err(|_| TokenKeyError)?;
        Self::checked(kid.into(), key, Sha256::digest(format!("jwk {x} {y}")).into())
    }

    /// A key as an elliptic curve point (SEC 1 2.3.3), compressed or not.
    ///
    /// # Errors
    /// [`TokenKeyError`]
    pub fn from_sec1(kid: impl Into<String>, point: &[u8]) -> Result<Self, TokenKeyError> {
        let fingerprint = Sha256::digest([b"sec1 ", point].concat()).into();
        Self::checked(kid.into(), DecodingKey::from_ec_der(point), fingerprint)
    }

    fn checked(kid: String, key: DecodingKey, fingerprint: KeyFingerprint) -> Result<Self, TokenKeyError> {
        // A signature of nothing: whether it fits is no matter, only that the key could be tried.
        match jsonwebtoken::crypto::verify("", b"", &key, Algorithm::ES256) {
            Ok(_) => Ok(Self { kid, key, fingerprint }),
            Err(_) => Err(TokenKeyError),
        }
    }

    /// The id by which the header of a token names the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    pub(super) fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}
