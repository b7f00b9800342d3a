//! What came of the load.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mcx_ue::state::Step;
use mcx_ue::ue::{MigrationError, StepEvent, StepObserver, StepOutcome};
use serde_json::{Value, json};

/// What is counted of all UEs together.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    migrations: u64,
    /// Migrations in which a step had to be tried again.
    retried: u64,
    returns: u64,
    failures: u64,
    untold: Vec<Value>,
    whole: Durations,
    steps: BTreeMap<(&'static str, &'static str), Durations>,
}

/// How long something took, in microseconds, to three digits.
struct Durations(Histogram<u64>);

/// What took longer is told as this.
const LONGEST: Duration = Duration::from_mins(10);

impl Default for Durations {
    fn default() -> Self {
        let longest = LONGEST.as_micros() as u64;
        Self(Histogram::new_with_max(longest, 3).expect("ten minutes to three digits are possible"))
    }
}

impl Durations {
    fn record(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    fn milliseconds(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    fn told(&self) -> Value {
        json!({ "count": self.0.len(), "p50_ms": self.milliseconds(0.50), "p99_ms": self.milliseconds(0.99) })
    }
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures the steps of one UE.
    pub(super) fn observer(self: &Arc<Self>) -> StepObserver {
        let tally = Arc::clone(self);
        let begun: Mutex<HashMap<Step, Instant>> = Mutex::default();
        Arc::new(move |event: &StepEvent<'_>| {
            let mut begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
            match event.outcome {
                StepOutcome::Started => {
                    begun.insert(event.step, Instant::now());
                }
                StepOutcome::Done => {
                    let Some(since) = begun.remove(&event.step) else { return };
                    let step = (event.step.clause(), event.step.name());
                    tally.counts().steps.entry(step).or_default().record(since.elapsed());
                }
                StepOutcome::Failed(_) => {}
                StepOutcome::GivenUp(cause) => tally.count_failure(event.step.name(), &cause.to_string()),
            }
        })
    }

    /// A user is served by the partner, after so many failed tries.
    pub(super) fn migrated(&self, took: Duration, failed_tries: u32) {
        let mut counts = self.counts();
        counts.migrations += 1;
        counts.retried += u64::from(failed_tries > 0);
        counts.whole.record(took);
    }

    /// A user is at home again.
    pub(super) fn returned(&self) {
        self.counts().returns += 1;
    }

    /// A step failed.
    pub(super) fn failed(&self, error: &MigrationError) {
        match error {
            MigrationError::Step(failed) => self.count_failure(failed.step.name(), &failed.cause.to_string()),
            MigrationError::NotBegun(cause) => self.count_failure("selection", &cause.to_string()),
        }
    }

    fn count_failure(&self, step: &str, cause: &str) {
        let mut counts = self.counts();
        counts.failures += 1;
        counts.untold.push(json!({ "step": step, "cause": cause }));
    }

    /// Failures that were not asked for before.
    pub(super) fn new_failures(&self) -> Vec<Value> {
        std::mem::take(&mut self.counts().untold)
    }

    /// The counts so far.
    pub(super) fn progress(&self, elapsed: Duration) -> Value {
        let counts = self.counts();
        json!({
            "elapsed_s": elapsed.as_secs_f64(),
            "migrations": counts.migrations,
            "returns": counts.returns,
            "failures": counts.failures,
            "migration": counts.whole.told(),
        })
    }

    /// The counts, with how long everything took.
    pub(super) fn summary(&self, elapsed: Duration) -> Value {
        let counts = self.counts();
        let steps: Vec<Value> = counts
            .steps
            .iter()
            .map(|((clause, name), durations)| {
                json!({ "clause": clause, "step": name, "took": durations.told() })
            })
            .collect();
        json!({
            "elapsed_s": elapsed.as_secs_f64(),
            "migrations": counts.migrations,
            "retried_migrations": counts.retried,
            "returns": counts.returns,
            "failures": counts.failures,
            "migrations_per_second": counts.migrations as f64 / elapsed.as_secs_f64(),
            "migration": counts.whole.told(),
            "steps": steps,
        })
    }

    /// Whether somebody migrated, and nothing failed.
    pub(super) fn is_success(&self) -> bool {
        let counts = self.counts();
        counts.migrations > 0 && counts.failures == 0
    }
}

#[cfg(test)]
mod tests {
    use mcx_ue::ue::UeError;

    use super::*;

    #[test]
    fn one_failure_is_no_success_however_many_migrations_there_were() {
        let tally = Tally::default();
        assert!(!tally.is_success(), "nothing was done");
        tally.migrated(Duration::from_millis(30), 0);
        assert!(tally.is_success());
        tally.failed(&MigrationError::NotBegun(UeError::NoPartnerSelected));
        tally.migrated(Duration::from_millis(50), 1);
        assert!(!tally.is_success());
        let summary = tally.summary(Duration::from_secs(2));
        assert_eq!((&summary["migrations"], &summary["retried_migrations"]), (&json!(2), &json!(1)));
        assert_eq!(summary["failures"], 1);
        let migration = &summary["migration"];
        assert_eq!(
            (migration["count"].as_u64(), migration["p99_ms"].as_f64().map(f64::round)),
            (Some(2), Some(50.0))
        );
        assert_eq!(summary["migrations_per_second"], 1.0);
    }

    #[test]
    fn failure_is_told_once_with_its_cause() {
        let tally = Tally::default();
        tally.failed(&MigrationError::NotBegun(UeError::NoPartnerSelected));
        let told = tally.new_failures();
        assert_eq!(told, [json!({ "step": "selection", "cause": "no partner is selected" })]);
        assert!(tally.new_failures().is_empty());
    }
}
