//! What codes and refresh tokens are good for: RFC 6749 4.1.3 and 6, RFC 7636 4.6, RFC 9700 4.14.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcx_types::{Subject, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::scopes::Scopes;

/// Something that nobody can guess: a code, a refresh token. 256 bits in base64url.
pub(crate) fn secret_of(octets: [u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(octets))
}

/// How such a secret is stored: nobody finds it from this, and since it is random no salt is needed.
pub(crate) fn fingerprint(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

/// Whether the verifier is the one whose challenge was sent before (RFC 7636 4.6).
pub(crate) fn verifier_fits(challenge: &str, verifier: &str) -> bool {
    let is_verifier = (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_verifier && bool::from(fingerprint(verifier).as_bytes().ct_eq(challenge.as_bytes()))
}

/// A login, or a security token that was taken, and what may come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenFamily {
    pub(crate) id: Uuid,
    pub(crate) client_id: String,
    pub(crate) subject: Subject,
    pub(crate) scopes: Scopes,
    pub(crate) nonce: Option<String>,
    /// When the user proved who she is.
    pub(crate) authenticated_at: Timestamp,
    /// When no token may come of it any more.
    pub(crate) ends_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// A code as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationCode {
    pub(crate) family: TokenFamily,
    pub(crate) redirect_uri: String,
    pub(crate) code_challenge: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) used_at: Option<Timestamp>,
}

/// A refresh token as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) family: TokenFamily,
    pub(crate) expires_at: Timestamp,
    pub(crate) used_at: Option<Timestamp>,
}

/// Why a code or refresh token is worth nothing. For the log: a client is told less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantRefusal {
    /// It was never issued, or is long forgotten.
    #[error("it is not known")]
    Unknown,
    /// It was used before: somebody else has it too. Everything that came of it is revoked.
    #[error("it was used before")]
    Replayed,
    /// It was issued to another client.
    #[error("it is of another client")]
    OtherClient,
    /// The token request names another redirect URI than the authorization request.
    #[error("the redirect uri is another one")]
    OtherRedirectUri,
    /// The verifier does not fit the challenge.
    #[error("the code verifier does not fit")]
    WrongVerifier,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// All that came of this login was revoked.
    #[error("it was revoked")]
    Revoked,
    /// The user was removed, disabled, or has gone home.
    #[error("the user may have no tokens any more")]
    UserNotAdmitted,
    /// Nothing is left of the scopes.
    #[error("no scope is left")]
    NoScope,
}

impl TokenFamily {
    fn check(&self, client_id: &str, now: Timestamp) -> Result<(), GrantRefusal> {
        if self.client_id != client_id {
            return Err(GrantRefusal::OtherClient);
        }
        if self.revoked_at.is_some() {
            return Err(GrantRefusal::Revoked);
        }
        if now >= self.ends_at {
            return Err(GrantRefusal::Expired);
        }
        Ok(())
    }
}

impl AuthorizationCode {
    /// Whether the client may have tokens for it.
    pub(crate) fn check(
        &self,
        client_id: &str,
        redirect_uri: &str,
        verifier: &str,
        now: Timestamp,
    ) -> Result<(), GrantRefusal> {
        // First, so that a thief who comes second takes nobody's tokens into use, whatever else he sends.
        if self.used_at.is_some() {
            return Err(GrantRefusal::Replayed);
        }
        self.family.check(client_id, now)?;
        if now >= self.expires_at {
            return Err(GrantRefusal::Expired);
        }
        if self.redirect_uri != redirect_uri {
            return Err(GrantRefusal::OtherRedirectUri);
        }
        if !verifier_fits(&self.code_challenge, verifier) {
            return Err(GrantRefusal::WrongVerifier);
        }
        Ok(())
    }
}

impl RefreshToken {
    /// Whether the client may have new tokens for it.
    pub(crate) fn check(&self, client_id: &str, now: Timestamp) -> Result<(), GrantRefusal> {
        if self.family.client_id != client_id {
            return Err(GrantRefusal::OtherClient);
        }
        if self.used_at.is_some() {
            return Err(GrantRefusal::Replayed);
        }
        self.family.check(client_id, now)?;
        if now >= self.expires_at {
            return Err(GrantRefusal::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn family() -> TokenFamily {
        TokenFamily {
            id: Uuid::nil(),
            client_id: "ue".to_owned(),
            subject: "alice".parse().unwrap(),
            scopes: Scopes::default(),
            nonce: None,
            authenticated_at: at(0),
            ends_at: at(1_000),
            revoked_at: None,
        }
    }

    fn code() -> AuthorizationCode {
        AuthorizationCode {
            family: family(),
            redirect_uri: "https://app.example/cb".to_owned(),
            code_challenge: CHALLENGE.to_owned(),
            expires_at: at(60),
            used_at: None,
        }
    }

    #[test]
    fn verifier_of_the_rfc_fits_and_others_do_not() {
        assert!(verifier_fits(CHALLENGE, VERIFIER));
        assert!(!verifier_fits(CHALLENGE, &VERIFIER[1..]));
        assert!(!verifier_fits(CHALLENGE, &VERIFIER.replace('d', "e")));
        assert!(!verifier_fits(&fingerprint("short"), "short"));
    }

    #[test]
    fn code_is_bound_to_client_redirect_uri_verifier_and_time() {
        let check =
            |code: &AuthorizationCode, client, uri, verifier, now| code.check(client, uri, verifier, at(now));
        let uri = "https://app.example/cb";
        assert_eq!(check(&code(), "ue", uri, VERIFIER, 59), Ok(()));
        assert_eq!(check(&code(), "other", uri, VERIFIER, 1), Err(GrantRefusal::OtherClient));
        assert_eq!(
            check(&code(), "ue", "https://app.example/cb2", VERIFIER, 1),
            Err(GrantRefusal::OtherRedirectUri)
        );
        assert_eq!(check(&code(), "ue", uri, CHALLENGE, 1), Err(GrantRefusal::WrongVerifier));
        assert_eq!(check(&code(), "ue", uri, VERIFIER, 60), Err(GrantRefusal::Expired));
        let used = AuthorizationCode { used_at: Some(at(1)), ..code() };
        assert_eq!(check(&used, "other", "", "", 2_000), Err(GrantRefusal::Replayed));
        let revoked = TokenFamily { revoked_at: Some(at(1)), ..family() };
        assert_eq!(
            check(&AuthorizationCode { family: revoked, ..code() }, "ue", uri, VERIFIER, 1),
            Err(GrantRefusal::Revoked)
        );
    }

    #[test]
    fn refresh_token_of_another_client_revokes_nothing() {
        let token = RefreshToken { family: family(), expires_at: at(60), used_at: Some(at(1)) };
        assert_eq!(token.check("other", at(2)), Err(GrantRefusal::OtherClient));
        assert_eq!(token.check("ue", at(2)), Err(GrantRefusal::Replayed));
        let fresh = RefreshToken { used_at: None, ..token };
        assert_eq!(fresh.check("ue", at(59)), Ok(()));
        assert_eq!(fresh.check("ue", at(60)), Err(GrantRefusal::Expired));
    }
}
