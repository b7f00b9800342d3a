//! How often a partner may ask: counted over all replicas in the shared cache.

use std::time::Duration;

use mcx_store::{CacheError, SharedCache};
use mcx_types::{Impi, McSystemId};

use crate::config::DefaultLimits;
use crate::domain::agreement::AgreementLimits;
use crate::domain::refusal::{Limit, Refusal};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Counts what partners ask, in windows of fixed length.
///
/// Where the shared cache is away each replica counts for itself: a partner may then ask as often of each of them, which is better
/// than no vector for anybody, and better than no limit.
#[derive(Clone)]
pub(crate) struct RateLimiter {
    shared: SharedCache,
    own: SharedCache,
    defaults: DefaultLimits,
}

impl RateLimiter {
    /// `own` is the in-process cache that stands in for `shared`.
    pub(crate) fn new(shared: SharedCache, own: SharedCache, defaults: DefaultLimits) -> Self {
        Self { shared, own, defaults }
    }

    /// Counts one request of a partner, whatever it asks.
    pub(crate) async fn count_request(
        &self,
        partner: &McSystemId,
        limits: AgreementLimits,
    ) -> Result<(), Refusal> {
        let allowed = limits.requests_per_minute.unwrap_or(self.defaults.requests_per_minute);
        self.count(&format!("requests:{partner}"), MINUTE, allowed, partner, Limit::RequestsPerMinute).await
    }

    /// Counts one request of a partner for a user.
    pub(crate) async fn count_user_request(
        &self,
        partner: &McSystemId,
        user: &Impi,
        limits: AgreementLimits,
    ) -> Result<(), Refusal> {
        let allowed =
            limits.requests_per_user_per_minute.unwrap_or(self.defaults.requests_per_user_per_minute);
        let key = format!("requests:{partner}:{user}");
        self.count(&key, MINUTE, allowed, partner, Limit::RequestsPerUserPerMinute).await
    }

    /// Counts one resynchronisation by a partner for a user.
    pub(crate) async fn count_resynchronisation(
        &self,
        partner: &McSystemId,
        user: &Impi,
        limits: AgreementLimits,
    ) -> Result<(), Refusal> {
        let allowed = limits
            .resynchronisations_per_user_per_hour
            .unwrap_or(self.defaults.resynchronisations_per_user_per_hour);
        let key = format!("resynchronisations:{partner}:{user}");
        self.count(&key, HOUR, allowed, partner, Limit::ResynchronisationsPerUserPerHour).await
    }

    async fn count(
        &self,
        key: &str,
        window: Duration,
        allowed: u32,
        partner: &McSystemId,
        limit: Limit,
    ) -> Result<(), Refusal> {
        let count = match self.shared.increment(key, window).await {
            Ok(count) => count,
            Err(error) => self.count_alone(key, window, error).await,
        };
        if count > u64::from(allowed) {
            count_limited(partner, limit, 1);
            return Err(Refusal::RateLimited { mc_system_id: partner.clone(), limit });
        }
        Ok(())
    }

    /// Counts users whom a partner offered and who were not taken down, because too many wait for a decision.
    pub(crate) fn offers_left_out(&self, partner: &McSystemId, users: usize) {
        if users > 0 {
            tracing::warn!(%partner, users, "too many offers of the partner wait for a decision, further ones are not taken");
            count_limited(partner, Limit::PendingOffers, users as u64);
        }
    }

    async fn count_alone(&self, key: &str, window: Duration, error: CacheError) -> u64 {
        tracing::warn!(%error, "the shared cache is away, counting requests in this replica only");
        self.own.increment(key, window).await.unwrap_or(u64::MAX)
    }
}

fn count_limited(partner: &McSystemId, limit: Limit, count: u64) {
    const METRIC: &str = "mcx_migration_management_rate_limited_total";
    metrics::counter!(METRIC, "partner" => partner.to_string(), "limit" => limit.as_str()).increment(count);
}
