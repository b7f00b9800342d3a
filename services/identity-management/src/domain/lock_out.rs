//! When passwords are not looked at, after too many wrong ones.
//!
//! Wrong passwords are counted per MC ID and source address, and per MC ID alone. The first lock grows, since whoever guesses from one
//! address is held up alone; the second is short, since it also holds up the user herself, and it does not hold where she logged in from
//! lately: a stranger cannot keep her out. It is the same for MC IDs that nobody has.

use std::time::Duration;

use mcx_types::Timestamp;

/// For how long a source from which a user logged in counts as hers.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// How many wrong passwords are borne, and what follows then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LockOutPolicy {
    /// Wrong passwords before the first lock.
    pub(crate) failures: u32,
    /// How long the first lock lasts; each further wrong password doubles it.
    pub(crate) first_lock: Duration,
    /// How long a lock lasts at most.
    pub(crate) longest_lock: Duration,
}

/// What is known of the logins with one MC ID from one source, or from all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LoginHistory {
    pub(crate) failures: u32,
    pub(crate) locked_until: Option<Timestamp>,
    pub(crate) succeeded_at: Option<Timestamp>,
}

impl LockOutPolicy {
    /// Until when no password is looked at, after that many wrong ones of which the last was just now.
    pub(crate) fn lock_after(&self, failures: u32, now: Timestamp) -> Option<Timestamp> {
        let doublings = failures.checked_sub(self.failures)?;
        let lock = 1_u32
            .checked_shl(doublings)
            .and_then(|factor| self.first_lock.checked_mul(factor))
            .unwrap_or(self.longest_lock);
        Some(now.saturating_add(lock.min(self.longest_lock)))
    }
}

impl LoginHistory {
    fn lock_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| now < *until)
    }
}

/// Until when a password from this source is not looked at; `None`: it is.
pub(crate) fn locked_until(
    here: &LoginHistory,
    everywhere: &LoginHistory,
    now: Timestamp,
) -> Option<Timestamp> {
    let is_known =
        here.succeeded_at.is_some_and(|succeeded_at| now.saturating_since(succeeded_at) < KNOWN_FOR);
    let elsewhere = if is_known { None } else { everywhere.lock_at(now) };
    here.lock_at(now).max(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: LockOutPolicy = LockOutPolicy {
        failures: 5,
        first_lock: Duration::from_secs(2),
        longest_lock: Duration::from_secs(60),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn locks_double_and_never_exceed_the_longest() {
        let cases = [
            (0, None),
            (4, None),
            (5, Some(2)),
            (6, Some(4)),
            (9, Some(32)),
            (10, Some(60)),
            (u32::MAX, Some(60)),
        ];
        for (failures, lock) in cases {
            assert_eq!(POLICY.lock_after(failures, at(100)), lock.map(|lock| at(100 + lock)), "{failures}");
        }
    }

    #[test]
    fn lock_ends_by_itself() {
        let here = LoginHistory { failures: 5, locked_until: Some(at(102)), succeeded_at: None };
        let everywhere = LoginHistory::default();
        assert_eq!(locked_until(&here, &everywhere, at(101)), Some(at(102)));
        assert_eq!(locked_until(&here, &everywhere, at(102)), None);
    }

    #[test]
    fn stranger_does_not_lock_a_user_out_where_she_logged_in_before() {
        let everywhere = LoginHistory { failures: 99, locked_until: Some(at(200)), succeeded_at: None };
        let unknown = LoginHistory::default();
        let known = LoginHistory { succeeded_at: Some(at(50)), ..LoginHistory::default() };
        assert_eq!(locked_until(&unknown, &everywhere, at(100)), Some(at(200)));
        assert_eq!(locked_until(&known, &everywhere, at(100)), None);
        // But her own wrong passwords count, and her success is forgotten in the end.
        let locked = LoginHistory { locked_until: Some(at(101)), ..known };
        assert_eq!(locked_until(&locked, &everywhere, at(100)), Some(at(101)));
        let long_ago = at(50 + 40 * 24 * 3_600);
        let everywhere = LoginHistory {
            locked_until: Some(long_ago.saturating_add(Duration::from_secs(1))),
            ..everywhere
        };
        assert!(locked_until(&known, &everywhere, long_ago).is_some());
    }
}
