//! The circuit breaker: a partner that is down costs its callers nothing, and is tried again by one call at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcx_types::{Clock, McSystemId, Timestamp};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures without a success between them open it; at least 1.
    pub failures_to_open: u32,
    /// So long all calls are refused before one may try.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures_to_open: 5, open_for: Duration::from_secs(5) }
    }
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets it pass.
    Closed,
    /// Lets one pass at a time, to see whether the peer is back.
    HalfOpen,
    /// Refuses it.
    Open,
}

impl BreakerState {
    /// The value of the gauge `mcx_federation_circuit_breaker_state`: 0 closed, 1 half-open, 2 open.
    fn gauge(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
        }
    }
}

/// The answer of an open breaker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calls to {partner} are suspended after repeated failures")]
pub struct BreakerOpen {
    /// Who is not called.
    pub partner: McSystemId,
    /// After how long a call may be tried.
    pub retry_after: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Timestamp },
    Probing { since: Timestamp },
}

struct Shared {
    partner: McSystemId,
    settings: BreakerSettings,
    clock: Arc<dyn Clock>,
    /// The circuit, and how often it has changed: a result that belongs to an earlier circuit is of no interest.
    circuit: Mutex<(Circuit, u64)>,
}

/// The circuit breaker of one partner. Clones share one state.
#[derive(Clone)]
pub struct CircuitBreaker(Arc<Shared>);

impl CircuitBreaker {
    /// A closed breaker for calls to `partner`.
    pub fn new(partner: McSystemId, settings: BreakerSettings, clock: Arc<dyn Clock>) -> Self {
        let circuit = Mutex::new((Circuit::Closed { failures: 0 }, 0));
        Self(Arc::new(Shared { partner, settings, clock, circuit }))
    }

    /// What would happen to a call now.
    pub fn state(&self) -> BreakerState {
        match self.circuit().0 {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { until } if self.0.clock.now() < until => BreakerState::Open,
            Circuit::Open { .. } | Circuit::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// Asks for one call. The permit wants to know how the call ended.
    ///
    /// # Errors
    /// [`BreakerOpen`] while the breaker is open, or half-open with another call trying.
    pub fn admit(&self) -> Result<Permit, BreakerOpen> {
        let now = self.0.clock.now();
        let mut circuit = self.circuit();
        let refused_until = match circuit.0 {
            Circuit::Closed { .. } => None,
            Circuit::Open { until } => (now < until).then_some(until),
            // A probe that never reports must not keep the partner away for ever.
            Circuit::Probing { since } => {
                let until = since.saturating_add(self.0.settings.open_for);
                (now < until).then_some(until)
            }
        };
        if let Some(until) = refused_until {
            let partner = self.0.partner.clone();
            return Err(BreakerOpen { partner, retry_after: until.saturating_since(now) });
        }
        if !matches!(circuit.0, Circuit::Closed { .. }) {
            self.turn(&mut circuit, Circuit::Probing { since: now });
        }
        Ok(Permit { breaker: self.clone(), generation: circuit.1, reported: false })
    }

    fn report(&self, generation: u64, outcome: Outcome) {
        let now = self.0.clock.now();
        let mut circuit = self.circuit();
        if circuit.1 != generation {
            return;
        }
        let open = Circuit::Open { until: now.saturating_add(self.0.settings.open_for) };
        match (circuit.0, outcome) {
            (Circuit::Closed { .. }, Outcome::Success) => circuit.0 = Circuit::Closed { failures: 0 },
            (Circuit::Closed { failures }, Outcome::Failure) => {
                let failures = failures.saturating_add(1);
                if failures >= self.0.settings.failures_to_open {
                    self.turn(&mut circuit, open);
                } else {
                    circuit.0 = Circuit::Closed { failures };
                }
            }
            (Circuit::Probing { .. }, Outcome::Success) => {
                self.turn(&mut circuit, Circuit::Closed { failures: 0 });
            }
            (Circuit::Probing { .. }, Outcome::Failure) => self.turn(&mut circuit, open),
            // The next call may try at once: nothing is known about the peer.
            (Circuit::Probing { .. }, Outcome::Unknown) => {
                self.turn(&mut circuit, Circuit::Open { until: now })
            }
            (Circuit::Closed { .. }, Outcome::Unknown) | (Circuit::Open { .. }, _) => {}
        }
    }

    fn turn(&self, circuit: &mut (Circuit, u64), next: Circuit) {
        let partner = self.0.partner.as_str();
        let state = match next {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { .. } => BreakerState::Open,
            Circuit::Probing { .. } => BreakerState::HalfOpen,
        };
        *circuit = (next, circuit.1 + 1);
        metrics::gauge!("mcx_federation_circuit_breaker_state", "partner" => partner.to_owned())
            .set(state.gauge());
        match state {
            BreakerState::Open => tracing::warn!(partner, "calls to partner suspended"),
            BreakerState::HalfOpen => tracing::info!(partner, "trying whether partner is back"),
            BreakerState::Closed => tracing::info!(partner, "calls to partner resumed"),
        }
    }

    fn circuit(&self) -> std::sync::MutexGuard<'_, (Circuit, u64)> {
        // The state is whole after every statement, so a panic elsewhere has not broken it.
        self.0.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Success,
    Failure,
    Unknown,
}

/// The right to make one call. Dropped without a report, for instance because the caller went away, it counts neither
/// for nor against the peer.
#[must_use]
pub struct Permit {
    breaker: CircuitBreaker,
    generation: u64,
    reported: bool,
}

impl Permit {
    /// The peer answered, whatever it said.
    pub fn succeeded(mut self) {
        self.report(Outcome::Success);
    }

    /// The peer could not be reached, or did not answer in time.
    pub fn failed(mut self) {
        self.report(Outcome::Failure);
    }

    fn report(&mut self, outcome: Outcome) {
        self.reported = true;
        self.breaker.report(self.generation, outcome);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Outcome::Unknown);
        }
    }
}

#[cfg(test)]
mod tests {
    use mcx_types::ManualClock;

    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(10);

    fn breaker() -> (CircuitBreaker, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_micros(0)));
        let settings = BreakerSettings { failures_to_open: 2, open_for: OPEN_FOR };
        let partner = "bravo.example".parse().unwrap();
        (CircuitBreaker::new(partner, settings, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn open_breaker() -> (CircuitBreaker, Arc<ManualClock>) {
        let (breaker, clock) = breaker();
        breaker.admit().unwrap().failed();
        breaker.admit().unwrap().failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        (breaker, clock)
    }

    #[test]
    fn consecutive_failures_open_the_breaker_and_calls_are_refused_with_the_time_left() {
        let (breaker, clock) = open_breaker();
        clock.advance(Duration::from_secs(4));
        let refused = breaker.admit().err().unwrap();
        assert_eq!(refused.retry_after, Duration::from_secs(6));
        assert_eq!(refused.partner.as_str(), "bravo.example");
    }

    #[test]
    fn a_success_between_failures_keeps_the_breaker_closed() {
        let (breaker, _) = breaker();
        for _ in 0..3 {
            breaker.admit().unwrap().failed();
            breaker.admit().unwrap().succeeded();
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn one_call_at_a_time_probes_a_half_open_breaker() {
        let (breaker, clock) = open_breaker();
        clock.advance(OPEN_FOR);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err(), "a second call passed while the first was trying");
        probe.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_failed_probe_opens_the_breaker_for_the_whole_time_again() {
        let (breaker, clock) = open_breaker();
        clock.advance(OPEN_FOR);
        breaker.admit().unwrap().failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit().err().map(|open| open.retry_after), Some(OPEN_FOR));
    }

    #[test]
    fn a_probe_that_its_caller_gave_up_lets_the_next_call_try() {
        let (breaker, clock) = open_breaker();
        clock.advance(OPEN_FOR);
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_ok());
    }

    #[test]
    fn calls_that_their_callers_gave_up_do_not_open_the_breaker() {
        let (breaker, _) = breaker();
        for _ in 0..10 {
            drop(breaker.admit().unwrap());
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn results_of_calls_from_before_the_opening_do_not_disturb_the_probe() {
        let (breaker, clock) = breaker();
        let slow_calls: Vec<Permit> = (0..4).map(|_| breaker.admit().unwrap()).collect();
        breaker.admit().unwrap().failed();
        breaker.admit().unwrap().failed();
        clock.advance(OPEN_FOR);
        let probe = breaker.admit().unwrap();
        for (index, call) in slow_calls.into_iter().enumerate() {
            if index % 2 == 0 { call.failed() } else { call.succeeded() }
        }
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
