//! The password of a digest, made from what AKA agreed on.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::algorithm::DigestAlgorithm;
use crate::response::Res;
use crate::secret::{CipherKey, IntegrityKey, REDACTED};

/// The text under the pseudo-random function that makes the password of version 2 (RFC 4169 clause 3).
const PASSWORD_LABEL: &[u8] = b"http-digest-akav2-password";

/// The block size of MD5 and SHA-256, in octets.
const HASH_BLOCK_LENGTH: usize = 64;

/// The password octets that enter A1 (RFC 2617 clause 3.2.2.2). Secret; may hold any octet.
#[derive(Clone)]
pub struct DigestKey(Zeroizing<Vec<u8>>);

impl DigestKey {
    /// The password that goes with `algorithm`.
    ///
    /// Version 1 takes the octets of RES as they are (RFC 3310 clause 3.3). Version 2 takes
    /// base64(PRF(RES ‖ IK ‖ CK, "http-digest-akav2-password")) (RFC 4169 clause 3).
    #[must_use]
    pub fn derive(algorithm: DigestAlgorithm, res: &Res, ik: &IntegrityKey, ck: &CipherKey) -> Self {
        let password = match algorithm {
            DigestAlgorithm::AkaV1Md5 => return Self(Zeroizing::new(res.expose_octets().to_vec())),
            DigestAlgorithm::AkaV2Md5 => {
                let prf = Hmac::<Md5>::new(&(*prf_key(res, ik, ck)).into());
                BASE64.encode(prf.chain_update(PASSWORD_LABEL).finalize().into_bytes())
            }
            DigestAlgorithm::AkaV2Sha256 => {
                let prf = Hmac::<Sha256>::new(&(*prf_key(res, ik, ck)).into());
                BASE64.encode(prf.chain_update(PASSWORD_LABEL).finalize().into_bytes())
            }
        };
        Self(Zeroizing::new(password.into_bytes()))
    }

    /// The empty password under which a response that carries `auts` is computed, whatever the algorithm
    /// (RFC 3310 clause 3.4). It proves nothing; MAC-S in the AUTS does.
    #[must_use]
    pub fn empty_for_resynchronisation() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }

    /// A password that was derived before and kept, as a server does between its challenge and the answer.
    #[must_use]
    pub fn from_octets(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The password itself. Must not reach a log, a span, an error or an audit record.
    #[must_use]
    pub fn expose_octets(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
impl DigestKey {
    /// A plain password, for the published examples of digest without AKA.
    pub(crate) fn from_password(password: &str) -> Self {
        Self(Zeroizing::new(password.as_bytes().to_vec()))
    }
}

/// RES ‖ IK ‖ CK, filled up with zeros to a block, which is what HMAC does with a shorter key (RFC 2104 clause 2).
fn prf_key(res: &Res, ik: &IntegrityKey, ck: &CipherKey) -> Zeroizing<[u8; HASH_BLOCK_LENGTH]> {
    let mut key = Zeroizing::new([0; HASH_BLOCK_LENGTH]);
    let parts = res.expose_octets().iter().chain(ik.expose_octets()).chain(ck.expose_octets());
    for (slot, octet) in key.iter_mut().zip(parts) {
        *slot = *octet;
    }
    key
}

/// Constant-time comparison; only the lengths may show.
impl PartialEq for DigestKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for DigestKey {}

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(REDACTED)
    }
}
