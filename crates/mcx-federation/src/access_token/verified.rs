//! Access tokens whose signature was verified already: an ECDSA verification costs a hundred times as much as all the rest, and a UE shows
//! the same token with each call.
//!
//! Only that is remembered which cannot change, the signature by one key and what it signed. Whether the key is still believed, the time and
//! the revocations are asked each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcx_types::Timestamp;
use moka::Expiry;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::claims::AccessTokenClaims;
use super::trust::KeyFingerprint;
use super::{AuthenticatedUser, user};

/// How many tokens are remembered; with what they say, about 2 KB each.
const CAPACITY: u64 = 16_384;

/// For how long at most a token is remembered.
const CEILING: Duration = Duration::from_secs(600);

/// A token by its hash: the token itself would be a secret to keep.
pub(super) type TokenHash = [u8; 32];

/// A token with a good signature.
pub(super) struct VerifiedToken {
    /// The key that it names.
    pub(super) kid: String,
    /// The key that verified it.
    pub(super) key: KeyFingerprint,
    pub(super) claims: AccessTokenClaims,
    pub(super) user: AuthenticatedUser,
}

impl VerifiedToken {
    pub(super) fn new(kid: String, key: KeyFingerprint, claims: AccessTokenClaims) -> Self {
        let user = user(&claims);
        Self { kid, key, claims, user }
    }
}

#[derive(Clone)]
struct Remembered {
    token: Arc<VerifiedToken>,
    lifetime: Duration,
}

/// The verified tokens. Clones share them.
#[derive(Clone)]
pub(super) struct VerifiedTokens(Cache<TokenHash, Remembered>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).expire_after(ByLifetime).build())
    }

    pub(super) fn hash(token: &str) -> TokenHash {
        Sha256::digest(token).into()
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<VerifiedToken>> {
        self.0.get(hash).map(|remembered| remembered.token)
    }

    /// Remembers a token until `until`, which is when it is no longer taken by anybody, or for a shorter time.
    pub(super) fn put(&self, hash: TokenHash, token: &Arc<VerifiedToken>, until: Timestamp, now: Timestamp) {
        let lifetime = until.saturating_since(now).min(CEILING);
        if !lifetime.is_zero() {
            self.0.insert(hash, Remembered { token: Arc::clone(token), lifetime });
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}

struct ByLifetime;

impl Expiry<TokenHash, Remembered> for ByLifetime {
    fn expire_after_create(&self, _: &TokenHash, token: &Remembered, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}
