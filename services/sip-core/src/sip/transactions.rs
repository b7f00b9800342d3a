//! Server transactions of requests other than INVITE over UDP (RFC 3261 17.2.2): a retransmission gets the same answer
//! and decides nothing anew.

use bytes::Bytes;
use mcx_sip::{Request, TIMER_T1};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Timer J for unreliable transports: how long an answer is kept.
const TIMER_J: Duration = TIMER_T1.saturating_mul(64);

/// Identifies a transaction. Narrower than RFC 3261 17.2.3, which leaves the source out: a stranger who knows a branch
/// must not see what another was answered. A retransmission is the same in all of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TransactionKey([u8; 32]);

impl TransactionKey {
    pub(super) fn new(request: &Request, source: SocketAddr) -> Self {
        let mandatory = &request.mandatory;
        let sent_by = &mandatory.top_via.sent_by;
        let mut hash = Sha256::new();
        for field in [
            source.to_string(),
            format!("{:?}", sent_by),
            mandatory.branch().to_owned(),
            request.method.clone(),
            mandatory.call_id.clone(),
            mandatory.from.clone(),
            mandatory.sequence.to_string(),
        ] {
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        Self(hash.finalize().into())
    }

    /// A tag for `To` that is the same for every retransmission, as an answer without a transaction needs (RFC 3261 8.2.7).
    pub(super) fn tag(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

/// The transactions.
#[derive(Debug)]
pub(super) struct ServerTransactions {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<TransactionKey, Entry>,
    /// Completed transactions in the order of their end.
    completed: VecDeque<(Instant, TransactionKey)>,
}

#[derive(Debug)]
enum Entry {
    Proceeding,
    Completed(Bytes),
}

/// What is known of a request.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing: decide it.
    Never(OpenTransaction),
    /// It is being decided: a retransmission waits for the same answer.
    Proceeding,
    /// It was answered with this.
    Completed(Bytes),
}

impl ServerTransactions {
    /// Keeps at most `capacity` answers.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, table: Mutex::default() }
    }

    /// How many transactions are remembered.
    pub(super) fn count(&self) -> usize {
        self.table().entries.len()
    }

    /// Looks a request up and, when it is new, begins its transaction.
    pub(super) fn begin(self: &Arc<Self>, key: TransactionKey, now: Instant) -> Seen {
        let mut table = self.table();
        table.forget_until(now);
        match table.entries.get(&key) {
            Some(Entry::Proceeding) => Seen::Proceeding,
            Some(Entry::Completed(answer)) => Seen::Completed(answer.clone()),
            None => {
                table.entries.insert(key, Entry::Proceeding);
                Seen::Never(OpenTransaction { transactions: Arc::clone(self), key, answered: false })
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_until(&mut self, now: Instant) {
        while self.completed.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.completed.pop_front() {
            self.entries.remove(&key);
        }
    }
}

/// A transaction being decided. Dropped without an answer it leaves nothing behind, so a retransmission is decided anew.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    transactions: Arc<ServerTransactions>,
    key: TransactionKey,
    answered: bool,
}

impl OpenTransaction {
    /// Remembers the answer for retransmissions.
    pub(super) fn complete(mut self, answer: Bytes, now: Instant) {
        self.answered = true;
        let mut table = self.transactions.table();
        while table.completed.len() >= self.transactions.capacity {
            table.forget_oldest();
        }
        table.entries.insert(self.key, Entry::Completed(answer));
        table.completed.push_back((now + TIMER_J, self.key));
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if !self.answered {
            self.transactions.table().entries.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> TransactionKey {
        TransactionKey([number; 32])
    }

    fn begin(transactions: &Arc<ServerTransactions>, number: u8, now: Instant) -> OpenTransaction {
        match transactions.begin(key(number), now) {
            Seen::Never(transaction) => transaction,
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn a_retransmission_waits_then_gets_the_same_answer_until_timer_j() {
        let transactions = Arc::new(ServerTransactions::new(8));
        let now = Instant::now();
        let transaction = begin(&transactions, 1, now);
        assert!(matches!(transactions.begin(key(1), now), Seen::Proceeding));
        transaction.complete(Bytes::from_static(b"answer"), now);
        let later = now + TIMER_J - Duration::from_millis(1);
        assert!(matches!(transactions.begin(key(1), later), Seen::Completed(answer) if answer == "answer"));
        assert!(matches!(transactions.begin(key(1), now + TIMER_J), Seen::Never(_)));
    }

    #[test]
    fn the_oldest_answer_is_forgotten_when_there_are_too_many() {
        let transactions = Arc::new(ServerTransactions::new(2));
        let now = Instant::now();
        for number in 1..=3 {
            begin(&transactions, number, now).complete(Bytes::new(), now);
        }
        assert_eq!(transactions.count(), 2);
        assert!(matches!(transactions.begin(key(1), now), Seen::Never(_)));
        assert!(matches!(transactions.begin(key(3), now), Seen::Completed(_)));
    }

    #[test]
    fn a_transaction_given_up_leaves_nothing() {
        let transactions = Arc::new(ServerTransactions::new(2));
        drop(begin(&transactions, 1, Instant::now()));
        assert_eq!(transactions.count(), 0);
    }
}
