//! What two whole MC systems tell of a registration: the trace in a collector, and a log at its most talkative.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod observed;
mod procedures;
mod secrets;
mod trace;
mod tree;
