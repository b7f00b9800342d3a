//! The authentication vector that the home network hands out (TS 33.102 clause 6.3.2).

use crate::digest::{DigestAlgorithm, DigestKey};
use crate::parameter::{Autn, Rand};
use crate::response::Xres;
use crate::secret::{CipherKey, IntegrityKey};

/// One authentication vector: a challenge and what a right answer to it looks like (TS 33.102 clause 6.3.2).
///
/// Holds nothing of the algorithm set or of the digest scheme, so that a vector of another algorithm set, or one that
/// came from another MC system, is the same type. Not `Clone`: a vector is handed out once.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthenticationVector {
    /// The random challenge.
    pub rand: Rand,
    /// The authentication token, which proves the challenge's origin and freshness.
    pub autn: Autn,
    /// The response expected.
    pub xres: Xres,
    /// The cipher key of the session.
    pub ck: CipherKey,
    /// The integrity key of the session.
    pub ik: IntegrityKey,
}

impl AuthenticationVector {
    /// The digest password of a right answer under `algorithm` (RFC 3310 clause 3.3, RFC 4169 clause 3).
    #[must_use]
    pub fn digest_key(&self, algorithm: DigestAlgorithm) -> DigestKey {
        DigestKey::derive(algorithm, self.xres.expected_res(), &self.ik, &self.ck)
    }
}
