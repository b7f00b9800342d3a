//! Security tokens: how the identity management server of a primary MC system tells that of a partner who a user is. TS 33.180 B.8, B.11.3;
//! RFC 7523 3.

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use mcx_types::{Subject, Timestamp};
use serde::{Deserialize, Serialize};

use super::partner::PublicKey;

/// How far the clocks of two MC systems may be apart, in seconds.
const CLOCK_SKEW: i64 = 30;

/// How long a security token may be valid, in seconds.
pub(crate) const LONGEST_LIFETIME: i64 = 300;

/// Longest identifier of a token in bytes.
const TOKEN_ID_LIMIT: usize = 255;

/// What a security token says, TS 33.180 table B.8-1. Times are in whole seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityTokenClaims {
    pub(crate) iss: String,
    pub(crate) sub: Subject,
    /// The client, and the identity management server that it is for.
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) jti: String,
}

/// Why a security token is not taken. For the log: a client is told less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecurityTokenRefusal {
    /// Not a JWS in compact form with the claims of a security token.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// Not signed with ES256.
    #[error("it is not signed with ES256")]
    WrongAlgorithm,
    /// Another kind of token, such as an access token.
    #[error("it is another kind of token")]
    WrongType,
    /// No trusted partner has that issuer.
    #[error("its issuer is not trusted")]
    UnknownIssuer,
    /// The issuer has no key of that identifier.
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("its signature is wrong")]
    WrongSignature,
    /// Not for this identity management server.
    #[error("it is not for this identity management server")]
    NotForUs,
    /// Not for the client that brings it.
    #[error("it is not for the client that brought it")]
    NotForClient,
    /// Issued later than now.
    #[error("it is issued in the future")]
    NotYetValid,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It would be valid for too long.
    #[error("it is valid for too long")]
    LifetimeTooLong,
    /// It was taken before.
    #[error("it was used before")]
    Replayed,
    /// The user was not accepted here, or is not any more.
    #[error("its user is not mapped here")]
    UserUnknown,
    /// Nothing is left of the scopes.
    #[error("its user may have none of the scopes")]
    NoScope,
}

impl SecurityTokenRefusal {
    /// Its name in metrics.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::WrongAlgorithm => "algorithm",
            Self::WrongType => "type",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::WrongSignature => "signature",
            Self::NotForUs => "audience",
            Self::NotForClient => "client",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::LifetimeTooLong => "lifetime",
            Self::Replayed => "replayed",
            Self::UserUnknown => "not_mapped",
            Self::NoScope => "scope",
        }
    }
}

/// For whom a security token must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) own_issuer: &'a str,
    pub(crate) own_token_endpoint: &'a str,
    pub(crate) client_id: &'a str,
}

/// The issuer that a token names. Nothing is proved by it: it tells whose keys to try.
pub(crate) fn named_issuer(token: &str) -> Result<String, SecurityTokenRefusal> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let claims: Issuer = insecure_decode_claims(token)
        .map_err(|_| SecurityTokenRefusal::Malformed("the claims are not those of a security token"))?;
    Ok(claims.iss)
}

/// What a token says, if it is one of `issuer`, signed with one of `keys`, for whom it must be, and in its time.
pub(crate) fn verify(
    token: &str,
    issuer: &str,
    keys: &[PublicKey],
    expected: Expected<'_>,
    now: Timestamp,
) -> Result<SecurityTokenClaims, SecurityTokenRefusal> {
    let claims = signed_claims(token, keys)?;
    if claims.iss != issuer {
        return Err(SecurityTokenRefusal::UnknownIssuer);
    }
    let is_for = |whom: &str| claims.aud.iter().any(|audience| audience == whom);
    if !is_for(expected.own_token_endpoint) && !is_for(expected.own_issuer) {
        return Err(SecurityTokenRefusal::NotForUs);
    }
    if !is_for(expected.client_id) {
        return Err(SecurityTokenRefusal::NotForClient);
    }
    let now = now.as_micros().div_euclid(1_000_000);
    if claims.iat > now.saturating_add(CLOCK_SKEW) {
        return Err(SecurityTokenRefusal::NotYetValid);
    }
    if claims.exp.saturating_add(CLOCK_SKEW) <= now {
        return Err(SecurityTokenRefusal::Expired);
    }
    // Both are by the clock of the issuer.
    if claims.exp <= claims.iat || claims.exp.saturating_sub(claims.iat) > LONGEST_LIFETIME {
        return Err(SecurityTokenRefusal::LifetimeTooLong);
    }
    if claims.jti.is_empty() || claims.jti.len() > TOKEN_ID_LIMIT {
        return Err(SecurityTokenRefusal::Malformed("jti is empty or too long"));
    }
    Ok(claims)
}

/// Until when a token must not be taken again, in seconds.
pub(crate) fn remembered_until(claims: &SecurityTokenClaims) -> i64 {
    claims.exp.saturating_add(2 * CLOCK_SKEW)
}

fn signed_claims(token: &str, keys: &[PublicKey]) -> Result<SecurityTokenClaims, SecurityTokenRefusal> {
    use jsonwebtoken::errors::ErrorKind;
    // An algorithm that the library does not know, such as `none`, is a header that cannot be read.
    let header =
        decode_header(token).map_err(|_| SecurityTokenRefusal::Malformed("the header cannot be read"))?;
    if header.alg != Algorithm::ES256 {
        return Err(SecurityTokenRefusal::WrongAlgorithm);
    }
    if header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(SecurityTokenRefusal::WrongType);
    }
    if header.crit.is_some() {
        return Err(SecurityTokenRefusal::Malformed("the header has critical extensions"));
    }
    let key = header.kid.and_then(|kid| keys.iter().find(|key| key.kid == kid));
    let key = key.and_then(|key| DecodingKey::from_ec_components(&key.x, &key.y).ok());
    let key = key.ok_or(SecurityTokenRefusal::UnknownKey)?;
    // Only the signature: the library would ask the clock of the machine, and not ours.
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode(token, &key, &validation).map(|decoded| decoded.claims).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => SecurityTokenRefusal::WrongSignature,
        _ => SecurityTokenRefusal::Malformed("the claims are not those of a security token"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_refusal_has_a_cause_of_its_own() {
        let refusals = [
            SecurityTokenRefusal::Malformed("it is"),
            SecurityTokenRefusal::WrongAlgorithm,
            SecurityTokenRefusal::WrongType,
            SecurityTokenRefusal::UnknownIssuer,
            SecurityTokenRefusal::UnknownKey,
            SecurityTokenRefusal::WrongSignature,
            SecurityTokenRefusal::NotForUs,
            SecurityTokenRefusal::NotForClient,
            SecurityTokenRefusal::NotYetValid,
            SecurityTokenRefusal::Expired,
            SecurityTokenRefusal::LifetimeTooLong,
            SecurityTokenRefusal::Replayed,
            SecurityTokenRefusal::UserUnknown,
            SecurityTokenRefusal::NoScope,
        ];
        let causes: BTreeSet<&str> = refusals.iter().map(SecurityTokenRefusal::cause).collect();
        assert_eq!(causes.len(), refusals.len());
        let is_label = |cause: &&str| cause.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(causes.iter().all(is_label) && !causes.contains("none"), "{causes:?}");
    }
}
