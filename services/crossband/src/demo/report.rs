//! What the demonstration shows: a ladder and a list of checks for people, or one JSON document for programs.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::ladder::{FIGURE, LadderStep};

/// One thing that the demonstration tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub name: &'static str,
    /// What should come of it.
    pub expected: String,
    /// What came of it.
    pub observed: String,
}

impl Check {
    /// Whether it came as it should.
    pub fn is_ok(&self) -> bool {
        self.expected == self.observed
    }
}

/// Collects what is shown.
pub struct Report {
    json: bool,
    /// The trace of the migration, in hexadecimal.
    pub trace_id: String,
    steps: Vec<LadderStep>,
    registered: bool,
    checks: Vec<Check>,
}

impl Report {
    /// An empty report; as JSON it is written at once in the end.
    pub fn new(json: bool) -> Self {
        Self { json, trace_id: String::new(), steps: Vec::new(), registered: false, checks: Vec::new() }
    }

    pub(super) fn title(&self, out: &mut impl Write, primary: &str, partner: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(out, "alice of {primary} (primary) migrates to {partner} (partner)")?;
        writeln!(
            out,
            "TS 23.280 10.1.6.2, signalling plane registration: real SIP over UDP, AKA, mutual TLS\n"
        )?;
        writeln!(out, "{:>4}  {:>9}  {:<22} {:<22} message", "step", "ms", "from", "to")
    }

    pub(super) fn step(&mut self, out: &mut impl Write, step: LadderStep) -> io::Result<()> {
        if !self.json {
            let arrow = if step.figure.from == step.figure.to { "" } else { step.figure.to };
            let milliseconds = step.elapsed.as_secs_f64() * 1_000.0;
            write!(
                out,
                "{:>4}  {milliseconds:>9.3}  {:<22} {arrow:<22} {}",
                step.figure.step, step.figure.from, step.figure.message
            )?;
            match &step.identity {
                Some(identity) => writeln!(out, " [{identity}]")?,
                None => writeln!(out)?,
            }
            out.flush()?;
        }
        self.steps.push(step);
        Ok(())
    }

    pub(super) fn registered(
        &mut self,
        out: &mut impl Write,
        impus: &str,
        expires: Duration,
    ) -> io::Result<()> {
        self.registered = true;
        if self.json {
            return Ok(());
        }
        writeln!(out, "\nregistered: {impus} for {} s\n", expires.as_secs())
    }

    pub(super) fn not_registered(&mut self, out: &mut impl Write, cause: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(out, "\nnot registered: {cause}\n") }
    }

    pub(super) fn check(&mut self, out: &mut impl Write, check: Check) -> io::Result<()> {
        if !self.json {
            let mark = if check.is_ok() { "ok" } else { "WRONG" };
            writeln!(out, "{mark:>5}  {:<44} {}", check.name, check.observed)?;
            if !check.is_ok() {
                writeln!(out, "       {:<44} {}", "expected", check.expected)?;
            }
            out.flush()?;
        }
        self.checks.push(check);
        Ok(())
    }

    /// Whether she migrated by all eleven steps, in their order, and every check came as it should.
    pub fn is_success(&self) -> bool {
        self.has_migrated() && self.checks.iter().all(Check::is_ok)
    }

    fn has_migrated(&self) -> bool {
        let taken: Vec<u8> = self.steps.iter().map(|step| step.figure.step).collect();
        let wanted: Vec<u8> = FIGURE.iter().map(|figure| figure.step).collect();
        self.registered && taken == wanted
    }

    pub(super) fn verdict(&self, out: &mut impl Write) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{:#}", self.document());
        }
        let wrong = self.checks.iter().filter(|check| !check.is_ok()).count();
        match (self.has_migrated(), wrong) {
            (true, 0) => writeln!(
                out,
                "\nmigrated: all {} steps of 10.1.6.2, {} of {} checks as expected; trace {}",
                self.steps.len(),
                self.checks.len(),
                self.checks.len(),
                self.trace_id
            ),
            (true, wrong) => {
                writeln!(out, "\nmigrated, but {wrong} of {} checks came out wrong", self.checks.len())
            }
            (false, _) => {
                writeln!(out, "\nnot migrated: {} of {} steps were taken", self.steps.len(), FIGURE.len())
            }
        }
    }

    /// The report as one JSON document.
    pub fn document(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                json!({
                    "clause": "10.1.6.2",
                    "step": step.figure.step,
                    "from": step.figure.from,
                    "to": step.figure.to,
                    "message": step.figure.message,
                    "identity": step.identity,
                    "elapsed_us": u64::try_from(step.elapsed.as_micros()).unwrap_or(u64::MAX),
                })
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "expected": check.expected,
                    "observed": check.observed,
                    "ok": check.is_ok(),
                })
            })
            .collect();
        json!({
            "result": if self.is_success() { "migrated" } else { "failed" },
            "trace_id": self.trace_id,
            "steps": steps,
            "checks": checks,
        })
    }
}
