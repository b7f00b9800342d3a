//! The ladder of figure 10.1.6.2-1: the spans of the procedure's steps, heard of as they begin.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The clause of the figure.
pub(super) const CLAUSE: &str = "10.1.6.2";

/// One step of the figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FigureStep {
    /// Its number.
    pub step: u8,
    /// Who sends, or acts.
    pub from: &'static str,
    /// Who receives; the same as `from` where an entity acts by itself.
    pub to: &'static str,
    /// What is sent, or done.
    pub message: &'static str,
}

const fn figure(step: u8, from: &'static str, to: &'static str, message: &'static str) -> FigureStep {
    FigureStep { step, from, to, message }
}

/// Figure 10.1.6.2-1 of TS 23.280. Step 7 is printed as a request there; it carries the response.
pub const FIGURE: [FigureStep; 11] = [
    figure(1, "UE", "partner SIP core", "SIP registration request"),
    figure(2, "partner SIP core", "partner MMS", "get SIP authentication information request"),
    figure(3, "partner MMS", "partner MMS", "recognise identities by the binding"),
    figure(4, "partner MMS", "primary MMS", "get SIP authentication information request"),
    figure(5, "primary MMS", "primary SIP database", "get SIP authentication information request"),
    figure(6, "primary SIP database", "primary MMS", "get SIP authentication information response"),
    figure(7, "primary MMS", "partner MMS", "get SIP authentication information response"),
    figure(8, "partner MMS", "partner MMS", "map back to the partner identities"),
    figure(9, "partner MMS", "partner SIP core", "get SIP authentication information response"),
    figure(10, "partner SIP core", "UE", "SIP authentication procedure"),
    figure(11, "partner SIP core", "UE", "SIP registration response"),
];

/// A step of the figure that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderStep {
    /// Which.
    pub figure: FigureStep,
    /// How long after the beginning.
    pub elapsed: Duration,
    /// The identity that it is about, where the step told.
    pub identity: Option<String>,
}

/// Hears of the steps of one registration at a time.
#[derive(Clone)]
pub struct Ladder(Arc<Mutex<Option<Listening>>>);

struct Listening {
    since: Instant,
    is_paused: bool,
    seen: [bool; FIGURE.len()],
    steps: UnboundedSender<LadderStep>,
}

impl Ladder {
    /// A ladder that nobody climbs yet.
    #[allow(clippy::new_without_default, reason = "a ladder is only of use with its layer installed")]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// The layer to be installed.
    pub fn layer(&self) -> LadderLayer {
        LadderLayer(self.clone())
    }

    /// Listens from now on; each step is heard of once, when it is first taken.
    pub fn begin(&self) -> UnboundedReceiver<LadderStep> {
        let (steps, received) = unbounded_channel();
        *self.listening() =
            Some(Listening { since: Instant::now(), is_paused: false, seen: [false; FIGURE.len()], steps });
        received
    }

    /// Hears nothing until it is resumed: a registration at home takes some of the steps too.
    pub fn pause(&self) {
        if let Some(listening) = self.listening().as_mut() {
            listening.is_paused = true;
        }
    }

    /// Hears again.
    pub fn resume(&self) {
        if let Some(listening) = self.listening().as_mut() {
            listening.is_paused = false;
        }
    }

    /// Listens no more.
    pub fn end(&self) {
        *self.listening() = None;
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Option<Listening>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step_taken(&self, fields: &StepFields) {
        // Other procedures number their steps too.
        if fields.clause.as_deref().is_some_and(|clause| clause != CLAUSE) {
            return;
        }
        let Some(number) = fields.step else { return };
        let Some((index, figure)) = FIGURE.iter().enumerate().find(|(_, figure)| figure.step == number)
        else {
            return;
        };
        if let Some(listening) = self.listening().as_mut()
            && !listening.is_paused
            && !std::mem::replace(&mut listening.seen[index], true)
        {
            let elapsed = listening.since.elapsed();
            let step = LadderStep { figure: *figure, elapsed, identity: fields.identity.clone() };
            // Nobody listens any more once the registration is over.
            let _ = listening.steps.send(step);
        }
    }
}

/// Hears of spans.
pub struct LadderLayer(Ladder);

impl<S: Subscriber> Layer<S> for LadderLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut fields = StepFields::default();
        attributes.record(&mut fields);
        self.0.step_taken(&fields);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut fields = StepFields::default();
        values.record(&mut fields);
        self.0.step_taken(&fields);
    }
}

#[derive(Default)]
struct StepFields {
    clause: Option<String>,
    step: Option<u8>,
    identity: Option<String>,
}

impl Visit for StepFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "mcx.clause" => self.clause = Some(value.to_owned()),
            "mcx.step" => self.step = value.parse().ok(),
            "mcx.identity" => self.identity = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "mcx.clause" | "mcx.step" | "mcx.identity") {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}
