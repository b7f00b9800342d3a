//! Sequence numbers: durable before they are handed out, and none handed out twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mcx_aka::Sequence;
use mcx_store::{Engine, StoreError};
use mcx_types::Impi;

use super::Store;
use super::rows::SubscriberRow;
use crate::domain::sequence_block::{SequenceBlock, SharingOut, wanted_in_total};
use crate::domain::subscriber::Subscriber;

/// How often a batch is tried again that lost against another replica.
const CONFLICT_RETRIES: usize = 5;

/// So many SEQ values wanted for a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advance {
    pub(crate) impi: Impi,
    pub(crate) count: u64,
}

/// What became of an [`Advance`].
#[derive(Debug, Clone)]
pub(crate) enum Advanced {
    /// There is no such subscriber.
    SubscriberUnknown,
    /// The block is the request's own, and durable.
    Issued {
        /// The subscriber as of the same statement.
        subscriber: Arc<Subscriber>,
        /// The values.
        block: SequenceBlock,
    },
    /// The subscriber is barred; its counter stays.
    Barred {
        /// The subscriber.
        subscriber: Arc<Subscriber>,
    },
    /// Its counter would pass 43 bits.
    Exhausted {
        /// The subscriber.
        subscriber: Arc<Subscriber>,
    },
    /// The subscriber came to be, or was unbarred, at the same moment. Asking again helps.
    Overtaken,
}

/// One statement for the whole batch: it moves the counters and reads the subscribers.
///
/// Rows are locked in the order of their keys, so that replicas with overlapping batches wait for each other instead of
/// dying of a deadlock. The counter of a barred subscriber, or one that would pass 43 bits, stays, and has no row.
const ADVANCE_POSTGRES: &str = "\
WITH wanted AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS wanted (impi, vectors)
), locked AS (
    SELECT sequence.impi, wanted.vectors
    FROM sequence JOIN wanted ON wanted.impi = sequence.impi
    ORDER BY sequence.impi
    FOR NO KEY UPDATE OF sequence
)
UPDATE sequence SET last_issued = sequence.last_issued + locked.vectors
FROM locked JOIN subscriber ON subscriber.impi = locked.impi
WHERE sequence.impi = locked.impi
  AND NOT subscriber.barred
  AND sequence.last_issued <= 8796093022207 - locked.vectors
RETURNING subscriber.*, sequence.last_issued";

/// As above; the writer is alone, so nothing needs locking. `$1` is a JSON object from identity to number.
const ADVANCE_SQLITE: &str = "\
WITH wanted AS (SELECT key AS impi, value AS vectors FROM json_each($1))
UPDATE sequence SET last_issued = sequence.last_issued + wanted.vectors
FROM wanted JOIN subscriber ON subscriber.impi = wanted.impi
WHERE sequence.impi = wanted.impi
  AND NOT subscriber.barred
  AND sequence.last_issued <= 8796093022207 - wanted.vectors
RETURNING impi, last_issued";

#[derive(sqlx::FromRow)]
struct AdvancedRow {
    #[sqlx(flatten)]
    subscriber: SubscriberRow,
    last_issued: i64,
}

impl Store {
    /// Moves the counters of a whole batch in one durable step and shares the blocks out to the requests, in their order.
    /// One response per request, in the same order.
    ///
    /// # Errors
    /// [`StoreError`]. After `Unavailable` the counters may have moved; the values are then lost, never reused.
    pub(crate) async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, StoreError> {
        let totals = wanted_in_total(batch.iter().map(|request| (&request.impi, request.count)));
        let mut found = HashMap::with_capacity(totals.len());
        let mut sharing = SharingOut::default();
        for (row, last_issued) in self.advance_counters(&totals).await? {
            let subscriber = Subscriber::try_from(row)?;
            let total = totals.get(subscriber.impi()).copied().unwrap_or_default();
            sharing.add(subscriber.impi().clone(), block_of(last_issued, total)?);
            found.insert(subscriber.impi().clone(), Arc::new(subscriber));
        }
        let mut refused = HashMap::new();
        let without: Vec<&Impi> = totals.keys().copied().filter(|impi| !found.contains_key(*impi)).collect();
        if !without.is_empty() {
            for row in self.refused(&without).await? {
                let last_issued = sequence_of(row.last_issued)?;
                let subscriber = Arc::new(Subscriber::try_from(row.subscriber)?);
                let total = totals.get(subscriber.impi()).copied().unwrap_or_default();
                let impi = subscriber.impi().clone();
                let refusal = if subscriber.content.barred {
                    Advanced::Barred { subscriber }
                } else if last_issued.advanced_by(total).is_err() {
                    Advanced::Exhausted { subscriber }
                } else {
                    Advanced::Overtaken
                };
                refused.insert(impi, refusal);
            }
        }
        let mut outcome = Vec::with_capacity(batch.len());
        for request in batch {
            outcome.push(match found.get(&request.impi) {
                Some(subscriber) => Advanced::Issued {
                    subscriber: Arc::clone(subscriber),
                    block: sharing.next_block(&request.impi, request.count).ok_or(StoreError::Internal)?,
                },
                None => refused.get(&request.impi).cloned().unwrap_or(Advanced::SubscriberUnknown),
            });
        }
        Ok(outcome)
    }

    /// Why no counter moved, which the statement that moves them does not tell.
    async fn refused(&self, impis: &[&Impi]) -> Result<Vec<AdvancedRow>, StoreError> {
        let statement = self.database.dialect(
            "SELECT subscriber.*, sequence.last_issued FROM subscriber \
             JOIN sequence ON sequence.impi = subscriber.impi WHERE subscriber.impi = ANY($1::text[])",
            "SELECT subscriber.*, sequence.last_issued FROM subscriber \
             JOIN sequence ON sequence.impi = subscriber.impi \
             WHERE subscriber.impi IN (SELECT value FROM json_each($1))",
        );
        let impis = impis.iter().map(|impi| impi.as_str().to_owned());
        self.database.statement(statement).bind_text_array(impis).fetch_all().await
    }

    async fn advance_counters(
        &self,
        totals: &BTreeMap<&Impi, u64>,
    ) -> Result<Vec<(SubscriberRow, i64)>, StoreError> {
        let mut outcome = self.try_advance_counters(totals).await;
        for _ in 0..CONFLICT_RETRIES {
            if !matches!(outcome, Err(StoreError::Conflict)) {
                break;
            }
            outcome = self.try_advance_counters(totals).await;
        }
        outcome
    }

    async fn try_advance_counters(
        &self,
        totals: &BTreeMap<&Impi, u64>,
    ) -> Result<Vec<(SubscriberRow, i64)>, StoreError> {
        match self.database.engine() {
            Engine::Postgres => {
                let rows: Vec<AdvancedRow> = self
                    .database
                    .statement(ADVANCE_POSTGRES)
                    .bind_text_array(totals.keys().map(|impi| impi.as_str().to_owned()))
                    .bind_integer_array(
                        totals.values().map(|&count| i64::try_from(count).unwrap_or(i64::MAX)),
                    )
                    .fetch_all()
                    .await?;
                Ok(rows.into_iter().map(|row| (row.subscriber, row.last_issued)).collect())
            }
            Engine::Sqlite => {
                let wanted: serde_json::Map<String, serde_json::Value> =
                    totals.iter().map(|(impi, &count)| (impi.as_str().to_owned(), count.into())).collect();
                let wanted = serde_json::Value::Object(wanted).to_string();
                let advanced: Vec<(String, i64)> =
                    self.database.statement(ADVANCE_SQLITE).bind(wanted).fetch_all().await?;
                // SQLite cannot return columns of another table from the statement that moves the counters.
                let mut last_issued: HashMap<String, i64> = advanced.into_iter().collect();
                let rows = self.subscriber_rows(last_issued.keys().cloned().collect()).await?;
                let with_counter = |row: SubscriberRow| Some((last_issued.remove(&row.impi)?, row));
                Ok(rows.into_iter().filter_map(with_counter).map(|(last, row)| (row, last)).collect())
            }
        }
    }

    /// Replaces the counter of a subscriber by what `decide` makes of it, alone with it: no other request moves it
    /// meanwhile. `None` where there is no counter; nothing changes where `decide` refuses.
    ///
    /// # Errors
    /// [`StoreError`], with the counter as it was, except that it is unknown after `Unavailable`.
    pub(crate) async fn replace_counter<T, E>(
        &self,
        impi: &Impi,
        decide: impl FnOnce(Sequence) -> Result<(Sequence, T), E>,
    ) -> Result<Option<Result<T, E>>, StoreError> {
        // An update that changes nothing locks the row on either engine.
        const LOCK: &str =
            "UPDATE sequence SET last_issued = last_issued WHERE impi = $1 RETURNING last_issued";
        const REPLACE: &str = "UPDATE sequence SET last_issued = $2 WHERE impi = $1";
        let mut transaction = self.database.begin().await?;
        let locked: Option<(i64,)> =
            transaction.statement(LOCK).bind(impi.as_str().to_owned()).fetch_optional().await?;
        let Some((last_issued,)) = locked else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let (replaced, decided) = match decide(sequence_of(last_issued)?) {
            Ok(decided) => decided,
            Err(refusal) => {
                transaction.rollback().await?;
                return Ok(Some(Err(refusal)));
            }
        };
        let replaced = i64::try_from(replaced.get()).map_err(|_| StoreError::Internal)?;
        transaction.statement(REPLACE).bind(impi.as_str().to_owned()).bind(replaced).execute().await?;
        transaction.commit().await?;
        Ok(Some(Ok(decided)))
    }
}

fn sequence_of(stored: i64) -> Result<Sequence, StoreError> {
    let value = u64::try_from(stored).map_err(|_| StoreError::Internal)?;
    Sequence::new(value).map_err(|_| StoreError::Internal)
}

fn block_of(last_issued: i64, total: u64) -> Result<SequenceBlock, StoreError> {
    SequenceBlock::ending_at(sequence_of(last_issued)?, total).ok_or(StoreError::Internal)
}
