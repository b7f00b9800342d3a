//! Why there is no token.

use std::time::Duration;

/// Why an identity management server was not reached, said no, or is not to be believed. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It cannot be reached, or broke off.
    #[error("identity management server {issuer} cannot be reached")]
    Unreachable {
        /// Its issuer URL.
        issuer: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It is there and cannot serve now.
    #[error("identity management server {issuer} cannot serve now (status {status})")]
    Unavailable {
        /// Its issuer URL.
        issuer: String,
        /// The status code of HTTP.
        status: u16,
        /// How long to wait, where it said so.
        retry_after: Option<Duration>,
    },
    /// The MC ID, or the password, is wrong; or the account is locked after too many wrong ones. The user is not told which.
    #[error("the credentials were not accepted")]
    WrongCredentials,
    /// `invalid_grant` (RFC 6749 5.2): the code, refresh token, access token or security token does not count, or no longer.
    #[error("the grant was refused: {description}")]
    InvalidGrant {
        /// What the server says of it.
        description: String,
    },
    /// `invalid_target` (RFC 8693 2.2.2): the user may not go to that partner, or there is no such partner.
    #[error("the partner was refused: {description}")]
    InvalidTarget {
        /// What the server says of it.
        description: String,
    },
    /// Another refusal of RFC 6749 4.1.2.1 or 5.2, such as `invalid_client` or `invalid_scope`.
    #[error("identity management refused with {error}: {description}")]
    Refused {
        /// The code.
        error: String,
        /// What the server says of it.
        description: String,
    },
    /// The ID token is not to be believed: wrong issuer, audience, nonce, signature, or expired.
    #[error("the id token is not to be believed: {0}")]
    IdTokenNotBelieved(String),
    /// The answer breaks the rules of OAuth 2.0 or OpenID Connect.
    #[error("malformed answer of identity management: {0}")]
    Malformed(&'static str),
    /// What the client was given to begin with cannot be used.
    #[error("identity management cannot be set up: {0}")]
    Unusable(String),
    /// There is nothing to renew the tokens with: the user has to log in.
    #[error("the user has to log in again")]
    LoginRequired,
}

impl IdentityError {
    /// Whether the same may work later without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }
}
