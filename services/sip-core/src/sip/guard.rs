//! Counts what is alive at the SIP edge, and says no before it is too much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits of the SIP edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Most TCP and TLS connections.
    pub connections: usize,
    /// Most TCP and TLS connections from one address.
    pub connections_per_address: usize,
    /// Most requests being decided at once.
    pub requests_in_flight: usize,
    /// Most answers over UDP kept for retransmissions.
    pub completed_transactions: usize,
}

/// What is alive at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounts {
    /// TCP and TLS connections.
    pub connections: usize,
    /// Requests being decided.
    pub requests_in_flight: usize,
    /// Transactions over UDP, proceeding or completed.
    pub transactions: usize,
}

/// Counts connections and requests.
#[derive(Debug)]
pub struct Guard {
    limits: EdgeLimits,
    in_flight: AtomicUsize,
    connections: Mutex<HashMap<IpAddr, usize>>,
}

impl Guard {
    /// A guard with these limits.
    #[must_use]
    pub fn new(limits: EdgeLimits) -> Self {
        Self { limits, in_flight: AtomicUsize::new(0), connections: Mutex::default() }
    }

    /// The connections alive.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.by_address().values().sum()
    }

    /// The requests being decided.
    #[must_use]
    pub fn requests_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(super) fn admit_connection(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let mut connections = self.by_address();
        if connections.values().sum::<usize>() >= self.limits.connections {
            return None;
        }
        let of_address = connections.entry(address).or_default();
        if *of_address >= self.limits.connections_per_address {
            return None;
        }
        *of_address += 1;
        Some(ConnectionPermit { guard: Arc::clone(self), address })
    }

    pub(super) fn admit_request(self: &Arc<Self>) -> Option<RequestPermit> {
        let limit = self.limits.requests_in_flight;
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + 1))
            .ok()
            .map(|_| RequestPermit { guard: Arc::clone(self) })
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that can panic runs under the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection as long as it lives.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    guard: Arc<Guard>,
    address: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut connections = self.guard.by_address();
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
    }
}

/// Counts one request as long as it lives.
#[derive(Debug)]
pub(super) struct RequestPermit {
    guard: Arc<Guard>,
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.guard.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Arc<Guard> {
        let limits = EdgeLimits {
            connections: 3,
            connections_per_address: 2,
            requests_in_flight: 1,
            completed_transactions: 1,
        };
        Arc::new(Guard::new(limits))
    }

    #[test]
    fn connections_are_limited_in_total_and_per_address_and_given_back() {
        let guard = guard();
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = guard.admit_connection(one).unwrap();
        let _second = guard.admit_connection(one).unwrap();
        assert!(guard.admit_connection(one).is_none());
        let _third = guard.admit_connection(two).unwrap();
        assert!(guard.admit_connection(two).is_none());
        drop(first);
        assert_eq!(guard.connections(), 2);
        assert!(guard.admit_connection(two).is_some());
        assert_eq!(guard.connections(), 2);
    }

    #[test]
    fn requests_are_limited_and_given_back() {
        let guard = guard();
        let permit = guard.admit_request().unwrap();
        assert!(guard.admit_request().is_none());
        drop(permit);
        assert_eq!(guard.requests_in_flight(), 0);
        assert!(guard.admit_request().is_some());
    }
}
