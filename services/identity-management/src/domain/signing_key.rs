//! Which key signs tokens, and until when one is published.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcx_types::Timestamp;
use p256::SecretKey;
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePrivateKey;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::partner::PublicKey;

/// How long a key is published beyond the lifetime of the last token it can have signed: clocks differ, and replicas learn of a rotation
/// a moment later.
const MARGIN: Duration = Duration::from_secs(120);

/// What a signing key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SigningKeyState {
    /// It is published and signs nothing yet.
    Next,
    /// It signs.
    Active,
    /// It signs nothing more.
    Retiring,
}

/// A signing key without its private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningKeyFacts {
    pub(crate) public: PublicKey,
    pub(crate) state: SigningKeyState,
    pub(crate) created_at: Timestamp,
    pub(crate) activated_at: Option<Timestamp>,
    pub(crate) remove_at: Option<Timestamp>,
}

/// When a key that signs no more from `now` on is removed.
pub(crate) fn remove_at(now: Timestamp, longest_token_lifetime: Duration) -> Timestamp {
    now.saturating_add(longest_token_lifetime).saturating_add(MARGIN)
}

/// Whether a key has signed for long enough.
pub(crate) fn is_due(active: &SigningKeyFacts, now: Timestamp, lifetime: Duration) -> bool {
    active.activated_at.is_some_and(|activated_at| now.saturating_since(activated_at) >= lifetime)
}

/// A private key on the curve P-256.
pub(crate) struct PrivateKey(SigningKey);

impl PrivateKey {
    /// The key with this scalar; `None`: the octets are none, which happens to random ones once in 2^32 times.
    pub(crate) fn from_octets(octets: &[u8]) -> Option<Self> {
        SigningKey::from_slice(octets).ok().map(Self)
    }

    /// The scalar, to be sealed.
    pub(crate) fn octets(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_bytes().to_vec())
    }

    /// The public key, named by its thumbprint (RFC 7638).
    pub(crate) fn public(&self) -> PublicKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        PublicKey { kid: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)), x, y }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey([redacted])")
    }
}

/// A key ready to sign with.
pub(crate) struct Signer {
    kid: String,
    key: EncodingKey,
}

/// A token could not be signed, which is a fault of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token cannot be signed")]
pub(crate) struct SigningFault;

impl Signer {
    pub(crate) fn new(key: &PrivateKey) -> Result<Self, SigningFault> {
        let der = SecretKey::from(&key.0).to_pkcs8_der().map_err(|_| SigningFault)?;
        Ok(Self { kid: key.public().kid, key: EncodingKey::from_ec_der(der.as_bytes()) })
    }

    /// A JWS in compact form over the claims, with ES256 (RFC 7518 3.4).
    pub(crate) fn sign(
        &self,
        token_type: &str,
        claims: &impl Serialize,
    ) -> Result<Zeroizing<String>, SigningFault> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(token_type.to_owned());
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.key).map(Zeroizing::new).map_err(|_| SigningFault)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::security_token::{Expected, SecurityTokenClaims, SecurityTokenRefusal, verify};

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://idms.alpha.example";
    const PARTNER: &str = "https://idms.bravo.example/token";

    fn key(octet: u8) -> PrivateKey {
        PrivateKey::from_octets(&[octet; 32]).unwrap()
    }

    fn claims() -> SecurityTokenClaims {
        SecurityTokenClaims {
            iss: ISSUER.to_owned(),
            sub: "alice".parse().unwrap(),
            aud: vec!["ue".to_owned(), PARTNER.to_owned()],
            exp: NOW + 300,
            iat: NOW,
            jti: "1".to_owned(),
        }
    }

    fn outcome(token: &str, now: i64) -> Result<SecurityTokenClaims, SecurityTokenRefusal> {
        let expected = Expected {
            own_issuer: "https://idms.bravo.example",
            own_token_endpoint: PARTNER,
            client_id: "ue",
        };
        verify(token, ISSUER, &[key(1).public()], expected, Timestamp::from_micros(now * 1_000_000))
    }

    fn signed(change: impl FnOnce(&mut SecurityTokenClaims)) -> String {
        let mut claims = claims();
        change(&mut claims);
        Signer::new(&key(1)).unwrap().sign("JWT", &claims).unwrap().to_string()
    }

    #[test]
    fn good_security_token_is_taken() {
        assert_eq!(outcome(&signed(|_| {}), NOW), Ok(claims()));
        let to_the_issuer = signed(|claims| claims.aud[1] = "https://idms.bravo.example".to_owned());
        assert!(outcome(&to_the_issuer, NOW).is_ok());
    }

    #[test]
    fn each_bad_security_token_is_refused_for_what_is_bad_about_it() {
        use SecurityTokenRefusal::*;
        let good = signed(|_| {});
        let forged = Signer::new(&key(2)).unwrap().sign("JWT", &claims()).unwrap().to_string();
        let same_kid = {
            let signer = Signer { kid: key(1).public().kid, ..Signer::new(&key(2)).unwrap() };
            signer.sign("JWT", &claims()).unwrap().to_string()
        };
        let altered = {
            let other = signed(|claims| claims.sub = "mallory".parse().unwrap());
            let payload = other.split('.').nth(1).unwrap().to_owned();
            let parts: Vec<&str> = good.split('.').collect();
            format!("{}.{payload}.{}", parts[0], parts[2])
        };
        let with_header = |header: &str| {
            let rest = good.split_once('.').unwrap().1;
            format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
        };
        let hmac = encode(
            &Header { kid: Some(key(1).public().kid), ..Header::new(Algorithm::HS256) },
            &claims(),
            &EncodingKey::from_secret(key(1).public().x.as_bytes()),
        )
        .unwrap();
        let header = "the header cannot be read";
        let cases = [
            ("nothing", String::new(), Malformed(header)),
            ("alg none", with_header(r#"{"alg":"none","typ":"JWT"}"#), Malformed(header)),
            ("HS256 with the public key as secret", hmac, WrongAlgorithm),
            (
                "an access token",
                Signer::new(&key(1)).unwrap().sign("at+jwt", &claims()).unwrap().to_string(),
                WrongType,
            ),
            ("unknown kid", forged, UnknownKey),
            ("another's signature", same_kid, WrongSignature),
            ("altered sub", altered, WrongSignature),
            (
                "other issuer",
                signed(|claims| claims.iss = "https://idms.charlie.example".to_owned()),
                UnknownIssuer,
            ),
            (
                "other partner",
                signed(|claims| claims.aud[1] = "https://idms.charlie.example/token".to_owned()),
                NotForUs,
            ),
            ("other client", signed(|claims| claims.aud[0] = "other".to_owned()), NotForClient),
            ("of the future", signed(|claims| (claims.iat, claims.exp) = (NOW + 31, NOW + 60)), NotYetValid),
            ("expired", signed(|claims| (claims.iat, claims.exp) = (NOW - 300, NOW - 30)), Expired),
            ("valid too long", signed(|claims| claims.exp = NOW + 331), LifetimeTooLong),
            ("ends before it begins", signed(|claims| claims.exp = NOW - 10), LifetimeTooLong),
            ("no identifier", signed(|claims| claims.jti.clear()), Malformed("jti is empty or too long")),
        ];
        for (name, token, expected) in cases {
            assert_eq!(outcome(&token, NOW), Err(expected), "{name}");
        }
    }

    #[test]
    fn clocks_may_be_half_a_minute_apart() {
        let token = signed(|_| {});
        for (now, is_good) in [(NOW - 31, false), (NOW - 30, true), (NOW + 329, true), (NOW + 330, false)] {
            assert_eq!(outcome(&token, now).is_ok(), is_good, "{now}");
        }
    }

    #[test]
    fn key_survives_sealing_and_is_named_by_its_thumbprint() {
        let again = PrivateKey::from_octets(&key(1).octets()).unwrap();
        assert_eq!(again.public(), key(1).public());
        assert_ne!(key(1).public().kid, key(2).public().kid);
        assert!(PrivateKey::from_octets(&[0; 32]).is_none());
        assert!(!format!("{:?} {:?}", key(1), Signer::new(&key(1))).contains("0101"));
    }

    #[test]
    fn retired_key_is_published_longer_than_its_last_token_lives() {
        let now = Timestamp::from_micros(0);
        let lifetime = Duration::from_secs(600);
        assert!(remove_at(now, lifetime) > now.saturating_add(lifetime));
    }
}
