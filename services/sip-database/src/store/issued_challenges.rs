//! Which RAND was issued to whom lately: what a resynchronisation must name (TS 33.102 6.3.5).

use std::time::Duration;

use mcx_aka::Rand;
use mcx_store::{CacheError, SharedCache};
use mcx_types::{Impi, McSystemId};

/// The challenges issued lately, in the cache that the replicas share. Losing them costs a new registration.
#[derive(Debug, Clone)]
pub(crate) struct IssuedChallenges {
    cache: SharedCache,
    lifetime: Duration,
}

impl IssuedChallenges {
    pub(crate) fn new(cache: SharedCache, lifetime: Duration) -> Self {
        Self { cache, lifetime }
    }

    pub(crate) fn cache(&self) -> &SharedCache {
        &self.cache
    }

    /// Remembers that these were issued to `requester` for the subscriber.
    ///
    /// # Errors
    /// [`CacheError`], where some may not be remembered.
    pub(crate) async fn record(
        &self,
        impi: &Impi,
        requester: &McSystemId,
        rands: &[Rand],
    ) -> Result<(), CacheError> {
        for rand in rands {
            // The key says it all.
            self.cache.set(&key(impi, requester, rand), &b"1"[..], self.lifetime).await?;
        }
        Ok(())
    }

    /// Uses a challenge up, and tells whether it was issued to this requester for this subscriber and not used before.
    /// Of concurrent callers exactly one is told so.
    ///
    /// # Errors
    /// [`CacheError`], where it is unknown whether it was used up.
    pub(crate) async fn take(
        &self,
        impi: &Impi,
        requester: &McSystemId,
        rand: &Rand,
    ) -> Result<bool, CacheError> {
        Ok(self.cache.take(&key(impi, requester, rand)).await?.is_some())
    }
}

/// No part contains a colon, so that no two challenges share a key.
fn key(impi: &Impi, requester: &McSystemId, rand: &Rand) -> String {
    format!("issued:{impi}:{requester}:{rand}")
}
