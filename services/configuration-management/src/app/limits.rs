//! How often others may ask: counted over all replicas in the shared cache.

use std::time::Duration;

use mcx_store::SharedCache;
use mcx_types::McSystemId;

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

    /// Counts an attempt of a UE to fetch its initial configuration.
    pub(crate) async fn count_bootstrap(&self, ue_id: &str) -> Result<(), Error> {
        let (per_ue, all) = (self.limits.bootstraps_per_ue_per_minute, self.limits.bootstraps_per_minute);
        // First all together: whoever invents UEs does not fill the cache with them.
        self.count("bootstrap", all, Limit::BootstrapsPerMinute).await?;
        self.count(&format!("bootstrap:{ue_id}"), per_ue, Limit::BootstrapsPerUePerMinute).await
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
