//! The part of the window that belongs to one topic.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::changes::Change;

/// Kept while it has changes in the window, or subscribers.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) recent: VecDeque<Arc<Change>>,
    /// Every change of the topic after this, up to `dispatched`, is in `recent`. Not `floor`: while other topics change,
    /// the streams of this one have nothing to read in the log.
    pub(super) complete_since: i64,
    pub(super) subscribers: HashSet<u64>,
}

impl Topic {
    pub(super) fn new(complete_since: i64) -> Self {
        Self { recent: VecDeque::new(), complete_since, subscribers: HashSet::new() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.recent.is_empty() && self.subscribers.is_empty()
    }

    pub(super) fn first_after(&self, sequence: i64) -> Option<&Arc<Change>> {
        let index = self.recent.partition_point(|change| change.token.sequence <= sequence);
        self.recent.get(index)
    }
}
