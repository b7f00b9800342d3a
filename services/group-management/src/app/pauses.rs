//! How long a partner that does not answer is left alone: twice as long each time, up to a limit.

use std::collections::HashMap;
use std::time::Duration;

use mcx_types::McSystemId;
use tokio::time::Instant;

/// The partners that are being left alone, or talked to.
#[derive(Debug)]
pub(crate) struct Pauses {
    first: Duration,
    limit: Duration,
    partners: HashMap<McSystemId, Pause>,
}

#[derive(Debug)]
struct Pause {
    failures: u32,
    until: Option<Instant>,
    is_busy: bool,
}

impl Pauses {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, partners: HashMap::new() }
    }

    /// Whether to begin talking to the partner now; it is then busy until [`Pauses::ended`].
    pub(crate) fn begin(&mut self, partner: &McSystemId, now: Instant) -> bool {
        let pause = self.partners.entry(partner.clone()).or_insert(Pause {
            failures: 0,
            until: None,
            is_busy: false,
        });
        let may_begin = !pause.is_busy && pause.until.is_none_or(|until| until <= now);
        pause.is_busy |= may_begin;
        may_begin
    }

    /// The talk has ended, well or not.
    pub(crate) fn ended(&mut self, partner: &McSystemId, is_good: bool, now: Instant) {
        if is_good {
            self.partners.remove(partner);
        } else if let Some(pause) = self.partners.get_mut(partner) {
            let length = self.first.saturating_mul(1 << pause.failures.min(16)).min(self.limit);
            *pause = Pause { failures: pause.failures + 1, until: Some(now + length), is_busy: false };
        }
    }

    /// When the next partner has been left alone for long enough.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.partners.values().filter(|pause| !pause.is_busy).filter_map(|pause| pause.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partner_that_fails_is_left_alone_twice_as_long_each_time_up_to_a_limit() {
        let partner: McSystemId = "bravo.example".parse().unwrap();
        let second = Duration::from_secs(1);
        let mut pauses = Pauses::new(second, 3 * second);
        let mut now = Instant::now();
        for expected in [second, 2 * second, 3 * second, 3 * second] {
            assert!(pauses.begin(&partner, now));
            assert!(!pauses.begin(&partner, now), "it is busy");
            pauses.ended(&partner, false, now);
            assert_eq!(pauses.next(), Some(now + expected));
            assert!(!pauses.begin(&partner, now));
            now += expected;
        }
        assert!(pauses.begin(&partner, now));
        pauses.ended(&partner, true, now);
        assert_eq!(pauses.next(), None);
        assert!(pauses.begin(&partner, now));
    }
}
