//! The response of a digest: computed by the UE, verified by the registrar (RFC 2617 clause 3.2.2).

use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::algorithm::DigestAlgorithm;
use super::key::DigestKey;

/// The greatest number of octets of each text of a [`DigestInput`]. RFCs set no limit; no honest header comes near it.
pub const MAXIMUM_FIELD_LENGTH: usize = 1024;

/// The greatest number of octets of a body under `auth-int`, that of the largest SIP message over UDP.
pub const MAXIMUM_BODY_LENGTH: usize = 65_535;

/// What a response is computed over, apart from the password (RFC 2617 clause 3.2.2.1). Unquoted texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestInput<'a> {
    /// The `username`: in IMS the private identity, IMPI.
    pub username: &'a str,
    /// The `realm` of the challenge.
    pub realm: &'a str,
    /// The method of the request, such as `REGISTER`.
    pub method: &'a str,
    /// The `uri` (digest-uri) as in the Authorization header.
    pub uri: &'a str,
    /// The `nonce` of the challenge as text.
    pub nonce: &'a str,
    /// What goes with a `qop`; `None` for the old form without it (RFC 2617 clause 3.2.2.1, last case).
    pub qop: Option<QopParameters<'a>>,
}

/// The parameters that accompany a `qop` (RFC 2617 clause 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QopParameters<'a> {
    /// Which quality of protection.
    pub quality: QualityOfProtection<'a>,
    /// The `nc` as sent: eight hexadecimal digits.
    pub nonce_count: &'a str,
    /// The client's nonce `cnonce`.
    pub cnonce: &'a str,
}

/// The quality of protection (RFC 2617 clause 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QualityOfProtection<'a> {
    /// `auth`: the request line is protected.
    Authentication,
    /// `auth-int`: the body is protected too.
    AuthenticationWithIntegrity {
        /// The body of the request, in octets; empty if there is none.
        body: &'a [u8],
    },
}

impl QualityOfProtection<'_> {
    /// The value of the `qop` parameter.
    #[must_use]
    pub const fn token(&self) -> &'static str {
        match self {
            Self::Authentication => "auth",
            Self::AuthenticationWithIntegrity { .. } => "auth-int",
        }
    }
}

/// Why a response cannot be computed, or is not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DigestError {
    /// A text or the body is longer than the limit; nothing was hashed.
    #[error("digest {field} must have at most {limit} octets, got {actual}")]
    FieldTooLong {
        /// The parameter's name.
        field: &'static str,
        /// The greatest number of octets.
        limit: usize,
        /// The number of octets given.
        actual: usize,
    },
    /// The `nc` is not eight hexadecimal digits (RFC 2617 clause 3.2.2).
    #[error("digest nonce count is not eight hexadecimal digits")]
    MalformedNonceCount,
    /// The response is not the one that the right password gives.
    #[error("digest response is wrong")]
    WrongResponse,
}

/// Computes the `response` in lower-case hexadecimal digits (RFC 2617 clause 3.2.2.1).
///
/// # Errors
/// [`DigestError::FieldTooLong`] and [`DigestError::MalformedNonceCount`].
pub fn response(
    input: &DigestInput<'_>,
    algorithm: DigestAlgorithm,
    key: &DigestKey,
) -> Result<String, DigestError> {
    check(input)?;
    let a1 = algorithm.hash_joined(&[input.username.as_bytes(), input.realm.as_bytes(), key.expose_octets()]);
    let a2 = match input.qop.map(|qop| qop.quality) {
        None | Some(QualityOfProtection::Authentication) => {
            algorithm.hash_joined(&[input.method.as_bytes(), input.uri.as_bytes()])
        }
        Some(QualityOfProtection::AuthenticationWithIntegrity { body }) => {
            let body_hash = algorithm.hash_joined(&[body]);
            algorithm.hash_joined(&[input.method.as_bytes(), input.uri.as_bytes(), body_hash.as_bytes()])
        }
    };
    let nonce = input.nonce.as_bytes();
    let response = match &input.qop {
        None => algorithm.hash_joined(&[a1.as_bytes(), nonce, a2.as_bytes()]),
        Some(qop) => algorithm.hash_joined(&[
            a1.as_bytes(),
            nonce,
            qop.nonce_count.as_bytes(),
            qop.cnonce.as_bytes(),
            qop.quality.token().as_bytes(),
            a2.as_bytes(),
        ]),
    };
    Ok(response.to_string())
}

/// Verifies a received `response` in constant time; digits of either case are taken.
///
/// That the nonce was issued, is fresh and was not used before is for the caller to check.
///
/// # Errors
/// [`DigestError::WrongResponse`]; otherwise as [`response`].
pub fn verify(
    input: &DigestInput<'_>,
    algorithm: DigestAlgorithm,
    key: &DigestKey,
    received: &str,
) -> Result<(), DigestError> {
    let expected = response(input, algorithm, key)?;
    if received.len() != algorithm.response_length() {
        return Err(DigestError::WrongResponse);
    }
    let matches: bool = expected.as_bytes().ct_eq(received.to_ascii_lowercase().as_bytes()).into();
    if matches { Ok(()) } else { Err(DigestError::WrongResponse) }
}

/// Refuses an input that no honest peer sends, before any of it is hashed.
fn check(input: &DigestInput<'_>) -> Result<(), DigestError> {
    let at_most = |field, limit, actual| {
        if actual > limit { Err(DigestError::FieldTooLong { field, limit, actual }) } else { Ok(()) }
    };
    at_most("username", MAXIMUM_FIELD_LENGTH, input.username.len())?;
    at_most("realm", MAXIMUM_FIELD_LENGTH, input.realm.len())?;
    at_most("method", MAXIMUM_FIELD_LENGTH, input.method.len())?;
    at_most("uri", MAXIMUM_FIELD_LENGTH, input.uri.len())?;
    at_most("nonce", MAXIMUM_FIELD_LENGTH, input.nonce.len())?;
    let Some(qop) = &input.qop else { return Ok(()) };
    at_most("cnonce", MAXIMUM_FIELD_LENGTH, qop.cnonce.len())?;
    if let QualityOfProtection::AuthenticationWithIntegrity { body } = qop.quality {
        at_most("body", MAXIMUM_BODY_LENGTH, body.len())?;
    }
    if qop.nonce_count.len() != 8 || !qop.nonce_count.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(DigestError::MalformedNonceCount);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
