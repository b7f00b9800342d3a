//! The nonce that carries a challenge: base64(RAND ‖ AUTN ‖ server data) (RFC 3310 clause 3.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use crate::parameter::{Autn, Rand};

/// The greatest number of octets of server data. The RFC sets no limit; this one keeps a header short.
pub const MAXIMUM_SERVER_DATA_LENGTH: usize = 256;

/// The greatest number of characters of a nonce.
pub const MAXIMUM_NONCE_LENGTH: usize = (CHALLENGE_LENGTH + MAXIMUM_SERVER_DATA_LENGTH).div_ceil(3) * 4;

/// RAND and AUTN, in octets.
const CHALLENGE_LENGTH: usize = Rand::LENGTH + Autn::LENGTH;

/// Why a nonce cannot be made or does not carry a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceError {
    /// The text is not base64 of RFC 4648 clause 4 (with padding).
    #[error("nonce is not base64 text")]
    NotBase64,
    /// There is no room for RAND and AUTN.
    #[error("nonce must hold at least {CHALLENGE_LENGTH} octets, got {actual}")]
    TooShort {
        /// The number of octets in the nonce.
        actual: usize,
    },
    /// The text is longer than [`MAXIMUM_NONCE_LENGTH`] characters; it was not decoded.
    #[error("nonce must have at most {MAXIMUM_NONCE_LENGTH} characters, got {actual}")]
    TooLong {
        /// The number of characters.
        actual: usize,
    },
    /// More server data than [`MAXIMUM_SERVER_DATA_LENGTH`] octets.
    #[error("server data must have at most {MAXIMUM_SERVER_DATA_LENGTH} octets, got {actual}")]
    ServerDataTooLong {
        /// The number of octets.
        actual: usize,
    },
}

/// Makes the nonce of a challenge (RFC 3310 clause 3.2).
///
/// `server_data` is the server's own, often empty or a few random octets that make the nonce findable.
///
/// # Errors
/// [`NonceError::ServerDataTooLong`].
pub fn nonce_from(rand: &Rand, autn: &Autn, server_data: &[u8]) -> Result<String, NonceError> {
    if server_data.len() > MAXIMUM_SERVER_DATA_LENGTH {
        return Err(NonceError::ServerDataTooLong { actual: server_data.len() });
    }
    Ok(BASE64.encode([rand.as_octets(), autn.as_octets(), server_data].concat()))
}

/// Takes a nonce apart into RAND, AUTN and server data (RFC 3310 clause 3.2).
///
/// # Errors
/// [`NonceError`] for a text that is too long, too short or not base64.
pub fn parse_nonce(nonce: &str) -> Result<(Rand, Autn, Vec<u8>), NonceError> {
    if nonce.len() > MAXIMUM_NONCE_LENGTH {
        return Err(NonceError::TooLong { actual: nonce.len() });
    }
    let octets = BASE64.decode(nonce).map_err(|_| NonceError::NotBase64)?;
    let too_short = NonceError::TooShort { actual: octets.len() };
    let (rand, rest) = octets.split_first_chunk().ok_or(too_short)?;
    let (autn, server_data) = rest.split_first_chunk().ok_or(too_short)?;
    Ok((Rand(*rand), Autn(*autn), server_data.to_vec()))
}
