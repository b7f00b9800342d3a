//! How often one source may ask. The shared cache counts for all replicas; where it is away, each counts for itself.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use mcx_store::SharedCache;
use metrics::counter;

const WINDOW: Duration = Duration::from_secs(60);

/// Where requests come from: an IPv4 address, or the /64 of an IPv6 address, since one subscriber has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        })
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

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
    pub(crate) async fn count(&self, kind: &'static str, source: Source, limit: u64) -> Result<(), TooOften> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_source() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
