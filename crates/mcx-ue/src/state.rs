//! Where a UE is on its way from the factory to a partner MC system and home again (TS 23.280 10.1.1): what it has in hand, what
//! comes next, and where a failure leaves it.
//!
//! [`StateMachine`] is pure. It holds [`Evidence`] of what was reached, and the state follows from the evidence: no state is entered
//! without everything that the states before it stand for. A failed step takes away only the evidence that it refuted, so that
//! [`StateMachine::next`] leads back to the same step by the shortest way.

mod evidence;
mod machine;
mod step;
#[cfg(test)]
mod tests;

pub use evidence::{Evidence, Selected};
pub use machine::{Event, FailureKind, Goal, OutOfOrder, PartnerOrder, StateMachine};
pub use step::{Step, UeState};
