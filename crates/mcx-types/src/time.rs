//! Time as the stores keep it, and the clock that tests replace.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This moment moved forward; the far end of time where that would overflow.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to this moment; zero where `earlier` is later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, in UTC.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        prost_types::Timestamp::from(*self).fmt(formatter)
    }
}

impl From<Timestamp> for prost_types::Timestamp {
    fn from(at: Timestamp) -> Self {
        let nanos = i32::try_from(at.0.rem_euclid(1_000_000) * 1_000).expect("less than a second");
        Self { seconds: at.0.div_euclid(1_000_000), nanos }
    }
}

impl TryFrom<prost_types::Timestamp> for Timestamp {
    type Error = &'static str;

    fn try_from(at: prost_types::Timestamp) -> Result<Self, Self::Error> {
        const OUT_OF_RANGE: &str = "must be a time between the years 1 and 9999";
        // The range that google.protobuf.Timestamp documents.
        let in_range = (-62_135_596_800..=253_402_300_799).contains(&at.seconds);
        if !in_range || !(0..1_000_000_000).contains(&at.nanos) {
            return Err(OUT_OF_RANGE);
        }
        Ok(Self(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000))
    }
}

/// When something is in force: from `from` (inclusive) to `until` (exclusive); an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first moment at which it is in force.
    pub from: Option<Timestamp>,
    /// The first moment at which it no longer is.
    pub until: Option<Timestamp>,
}

impl Validity {
    /// Whether the period has not begun at `now`.
    pub fn is_not_yet_valid(&self, now: Timestamp) -> bool {
        self.from.is_some_and(|from| now < from)
    }

    /// Whether the period is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Tells the time. Domain code is given a [`Timestamp`]; only the use cases ask a clock.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn starting_at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_survive_the_way_through_the_protocol_before_and_after_the_epoch() {
        for micros in [-1, 0, 1, 1_795_305_600_123_456] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::try_from(prost_types::Timestamp::from(at)), Ok(at));
        }
    }

    #[test]
    fn time_out_of_range_is_refused() {
        assert!(Timestamp::try_from(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }).is_err());
        assert!(Timestamp::try_from(prost_types::Timestamp { seconds: 0, nanos: -1 }).is_err());
    }

    #[test]
    fn validity_begins_at_its_first_and_ends_before_its_last_moment() {
        let validity =
            Validity { from: Some(Timestamp::from_micros(10)), until: Some(Timestamp::from_micros(20)) };
        let standing = |micros| {
            let now = Timestamp::from_micros(micros);
            (validity.is_not_yet_valid(now), validity.is_expired(now))
        };
        assert_eq!(
            [standing(9), standing(10), standing(19), standing(20)],
            [(true, false), (false, false), (false, false), (false, true)]
        );
    }
}
