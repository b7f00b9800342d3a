//! What a UE tells of its way.

use std::sync::Arc;

use mcx_types::McSystemId;

use super::UeError;
use crate::state::{Step, UeState};

/// One thing to know about a step.
#[derive(Debug, Clone, Copy)]
pub struct StepEvent<'a> {
    /// The step; it knows its clause and its name.
    pub step: Step,
    /// The MC system that it deals with; none for a UE that knows none yet, and for a step inside of the UE.
    pub mc_system_id: Option<&'a McSystemId>,
    /// Where the UE is now.
    pub state: UeState,
    /// How it goes.
    pub outcome: StepOutcome<'a>,
}

/// How a step goes.
#[derive(Debug, Clone, Copy)]
pub enum StepOutcome<'a> {
    /// It begins.
    Started,
    /// It is done.
    Done,
    /// It failed, and will be tried again when the user or an application says so.
    Failed(&'a UeError),
    /// It undoes something in a partner that does not let it be undone; what it would undo expires there.
    GivenUp(&'a UeError),
}

/// Hears of every step.
pub type StepObserver = Arc<dyn Fn(&StepEvent<'_>) + Send + Sync>;
