//! How often one source may ask. The shared cache counts for all replicas; where it is away, each counts for itself.

use std::time::Duration;

use mcx_store::SharedCache;
use mcx_types::SourceNetwork;
use metrics::counter;

const WINDOW: Duration = Duration::from_secs(60);

/// Counts requests per source.
pub(crate) struct SourceLimits {
    shared: SharedCache,
    own: SharedCache,
}

/// A source asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooOften;

impl SourceLimits {
    pub(crate) fn new(shared: SharedCache, own: SharedCache) -> Self {
        Self { shared, own }
    }

    /// Counts a request of that kind; at most `limit` are borne per minute.
    pub(crate) async fn count(
        &self,
        kind: &'static str,
        source: SourceNetwork,
        limit: u64,
    ) -> Result<(), TooOften> {
        let key = format!("limit/{kind}/{source}");
        let count = match self.shared.increment(&key, WINDOW).await {
            Ok(count) => Ok(count),
            Err(_) => self.own.increment(&key, WINDOW).await,
        };
        // Without any counter the request goes on: locks of passwords are counted in the database.
        if count.is_ok_and(|count| count > limit) {
            counter!("mcx_identity_management_rate_limited_total", "kind" => kind).increment(1);
            return Err(TooOften);
        }
        Ok(())
    }
}
