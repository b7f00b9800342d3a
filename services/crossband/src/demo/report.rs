//! What the demonstration shows: a ladder and a list of checks for people, or one JSON document for programs.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use mcx_ue::ue::McServiceUe;

use super::ladder::{CLAUSE, FIGURE, LadderStep};

/// A step of the UE on its way through the sequences of 10.1.1.1 and 10.1.1.2, and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UeStep {
    /// The clauses that it follows.
    pub clause: &'static str,
    /// What is done.
    pub name: String,
    /// The MC system that it deals with, if any.
    pub mc_system_id: Option<String>,
    /// How long after the UE was switched on, or turned home.
    pub elapsed: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A step in the order in which it was heard of.
#[derive(Debug, Clone)]
enum Shown {
    Ue(UeStep),
    Figure(LadderStep),
}

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
    steps: Vec<Shown>,
    served_by_partner: bool,
    checks: Vec<Check>,
}

impl Report {
    /// An empty report; as JSON it is written at once in the end.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            trace_id: String::new(),
            steps: Vec::new(),
            served_by_partner: false,
            checks: Vec::new(),
        }
    }

    pub(super) fn title(&self, out: &mut impl Write, primary: &str, partner: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(out, "alice of {primary} (primary) migrates to {partner} (partner)")?;
        writeln!(
            out,
            "TS 23.280 10.1.1: real OpenID Connect, gRPC, SIP over UDP, AKA, mutual TLS between the systems\n"
        )
    }

    /// What 10.17.5 has put in place before.
    pub(super) fn provisioned(&self, out: &mut impl Write, visitor: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        writeln!(
            out,
            "10.17.5: requested by the primary's operator, accepted by the partner's; at the partner she is {visitor}\n"
        )?;
        writeln!(out, "{:>9}  {:<27} {:<15} step of the UE, and of figure 10.1.6.2-1", "ms", "clause", "with")
    }

    /// Shows a step of the UE.
    pub(super) fn ue_step(&mut self, out: &mut impl Write, step: UeStep) -> io::Result<()> {
        if !self.json {
            let milliseconds = step.elapsed.as_secs_f64() * 1_000.0;
            let with = step.mc_system_id.as_deref().unwrap_or_default();
            write!(out, "{milliseconds:>9.1}  {:<27} {with:<15} {}", step.clause, step.name)?;
            match &step.failure {
                Some(failure) => writeln!(out, ": FAILED, {failure}")?,
                None => writeln!(out)?,
            }
            out.flush()?;
        }
        self.steps.push(Shown::Ue(step));
        Ok(())
    }

    pub(super) fn step(&mut self, out: &mut impl Write, step: LadderStep) -> io::Result<()> {
        if !self.json {
            let way = if step.figure.from == step.figure.to {
                step.figure.from.to_owned()
            } else {
                format!("{} → {}", step.figure.from, step.figure.to)
            };
            write!(
                out,
                "{:>9}  {:<27} {:<15}   {:>2} {way}: {}",
                "", CLAUSE, "", step.figure.step, step.figure.message
            )?;
            match &step.identity {
                Some(identity) => writeln!(out, " [{identity}]")?,
                None => writeln!(out)?,
            }
            out.flush()?;
        }
        self.steps.push(Shown::Figure(step));
        Ok(())
    }

    pub(super) fn migrated(&mut self, out: &mut impl Write, impus: &str, ue: &McServiceUe) -> io::Result<()> {
        self.served_by_partner = !ue.evidence().migrated.is_empty();
        if self.json {
            return Ok(());
        }
        writeln!(out, "\nserved by the partner as {impus}: {}\n", ue.state())
    }

    pub(super) fn not_migrated(&mut self, out: &mut impl Write, cause: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(out, "\nnot migrated: {cause}\n") }
    }

    pub(super) fn check(&mut self, out: &mut impl Write, check: Check) -> io::Result<()> {
        if !self.json {
            let mark = if check.is_ok() { "ok" } else { "WRONG" };
            writeln!(out, "{mark:>5}  {:<52} {}", check.name, check.observed)?;
            if !check.is_ok() {
                writeln!(out, "       {:<52} {}", "expected", check.expected)?;
            }
            out.flush()?;
        }
        self.checks.push(check);
        Ok(())
    }

    /// Whether she was served by the partner, by all eleven steps in their order, and every check came as it should.
    pub fn is_success(&self) -> bool {
        self.has_migrated() && self.checks.iter().all(Check::is_ok)
    }

    fn has_migrated(&self) -> bool {
        let taken: Vec<u8> = self.figure_steps().map(|step| step.figure.step).collect();
        let wanted: Vec<u8> = FIGURE.iter().map(|figure| figure.step).collect();
        self.served_by_partner && taken == wanted
    }

    fn figure_steps(&self) -> impl Iterator<Item = &LadderStep> {
        self.steps.iter().filter_map(|shown| match shown {
            Shown::Figure(step) => Some(step),
            Shown::Ue(_) => None,
        })
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
                FIGURE.len(),
                self.checks.len(),
                self.checks.len(),
                self.trace_id
            ),
            (true, wrong) => {
                writeln!(out, "\nmigrated, but {wrong} of {} checks came out wrong", self.checks.len())
            }
            (false, _) => {
                writeln!(
                    out,
                    "\nnot migrated: {} of {} steps were taken",
                    self.figure_steps().count(),
                    FIGURE.len()
                )
            }
        }
    }

    /// The report as one JSON document.
    pub fn document(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(step_document).collect();
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

fn step_document(shown: &Shown) -> Value {
    let micros = |elapsed: Duration| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    match shown {
        Shown::Ue(step) => json!({
            "clause": step.clause,
            "step": Value::Null,
            "from": "UE",
            "to": step.mc_system_id.as_deref().unwrap_or("UE"),
            "message": step.name,
            "identity": Value::Null,
            "failure": step.failure,
            "elapsed_us": micros(step.elapsed),
        }),
        Shown::Figure(step) => json!({
            "clause": CLAUSE,
            "step": step.figure.step,
            "from": step.figure.from,
            "to": step.figure.to,
            "message": step.figure.message,
            "identity": step.identity,
            "failure": Value::Null,
            "elapsed_us": micros(step.elapsed),
        }),
    }
}
