//! How often others may ask: counted over all replicas in the shared cache.

use std::time::Duration;

use mcx_store::SharedCache;
use mcx_types::{McSystemId, SourceNetwork};

use crate::config::Limits;
use crate::error::{Error, Limit};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts what others ask, in windows of a minute.
///
/// Where the shared cache is away each replica counts for itself, which is better than nothing for anybody, and better than no limit.
#[derive(Clone)]
pub(crate) struct RateLimiter {
    shared: SharedCache,
    own: SharedCache,
    limits: Limits,
}

impl RateLimiter {
    /// `own` is the in-process cache that stands in for `shared`.
    pub(crate) fn new(shared: SharedCache, own: SharedCache, limits: Limits) -> Self {
        Self { shared, own, limits }
    }

    /// Counts an attempt from this source to fetch the initial configuration of a UE.
    ///
    /// Whoever uses the names of others has his own attempts shed, not theirs; and as his are shed first, he neither uses up what all have
    /// together nor fills the cache with UEs that he invents.
    pub(crate) async fn count_bootstrap(&self, source: SourceNetwork, ue_id: &str) -> Result<(), Error> {
        let Limits {
            bootstraps_per_source_per_minute: per_source, bootstraps_per_ue_per_minute: per_ue, ..
        } = self.limits;
        self.count(&format!("bootstrap:{source}"), per_source, Limit::BootstrapsPerSourcePerMinute).await?;
        let of_ue = format!("bootstrap:{source}:{ue_id}");
        self.count(&of_ue, per_ue, Limit::BootstrapsPerUePerMinute).await?;
        self.count("bootstrap", self.limits.bootstraps_per_minute, Limit::BootstrapsPerMinute).await
    }

    /// Counts a request of a partner for user profiles.
    pub(crate) async fn count_profile_request(&self, partner: &McSystemId) -> Result<(), Error> {
        let allowed = self.limits.profile_requests_per_partner_per_minute;
        self.count(&format!("profiles:{partner}"), allowed, Limit::ProfileRequestsPerPartnerPerMinute).await
    }

    async fn count(&self, key: &str, allowed: u32, limit: Limit) -> Result<(), Error> {
        let count = match self.shared.increment(key, MINUTE).await {
            Ok(count) => count,
            Err(error) => {
                tracing::warn!(%error, "the shared cache is away, counting requests in this replica only");
                self.own.increment(key, MINUTE).await.unwrap_or(u64::MAX)
            }
        };
        if count > u64::from(allowed) {
            metrics::counter!("mcx_configuration_management_rate_limited_total", "limit" => limit.as_str())
                .increment(1);
            return Err(Error::RateLimited(limit));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mcx_store::CacheConfig;

    use super::*;

    fn in_memory() -> SharedCache {
        SharedCache::open(&CacheConfig::from_url("memory:"), "alpha.example").unwrap()
    }

    #[tokio::test]
    async fn attempts_are_shed_by_source_and_take_nothing_from_other_sources() {
        let limits = Limits {
            bootstraps_per_minute: 4,
            bootstraps_per_source_per_minute: 4,
            bootstraps_per_ue_per_minute: 2,
            ..Limits::default()
        };
        let limiter = RateLimiter::new(in_memory(), in_memory(), limits);
        let attempt = async |source: [u8; 4], ue_id: &str| match limiter
            .count_bootstrap(SourceNetwork::of(source.into()), ue_id)
            .await
        {
            Ok(()) => "counted",
            Err(Error::RateLimited(limit)) => limit.as_str(),
            Err(error) => panic!("{error}"),
        };
        let (neighbour, owner) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let mut told = Vec::new();
        for ue_id in ["engine-7", "engine-7", "engine-7", "engine-8", "engine-9"] {
            told.push(attempt(neighbour, ue_id).await);
        }
        let (of_ue, of_source) = ("bootstraps_per_ue_per_minute", "bootstraps_per_source_per_minute");
        assert_eq!(told, ["counted", "counted", of_ue, "counted", of_source]);
        assert_eq!(
            attempt(owner, "engine-7").await,
            "counted",
            "that others use her name costs the owner nothing"
        );
        assert_eq!(attempt(owner, "engine-7").await, "bootstraps_per_minute");
    }
}
