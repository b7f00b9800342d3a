//! The log in the database: written, read by pages, and compacted.

use std::sync::Arc;

use super::{Change, NewChange, ResumeToken, Sequence};
use crate::{Database, StoreError, Transaction};

/// Changes inserted by one statement.
const INSERT_ROWS: usize = 256;

/// Changes removed by one transaction; writers wait for its end.
const COMPACT_ROWS: i64 = 1000;

/// Writes changes, in this order, into the transaction that makes them; returns the place of the last one, to be
/// announced by [`ChangeFeed::announce`](super::ChangeFeed::announce) after the commit.
///
/// Do this last in the transaction: from here to its end every other writer to the log waits.
///
/// # Errors
/// [`StoreError`], as of any statement.
pub async fn append(
    transaction: &mut Transaction,
    changes: &[NewChange],
    now_micros: i64,
) -> Result<Sequence, StoreError> {
    // A sequence of the database, or a clock, would number changes in the order in which they were begun. A reader could
    // then see 7 committed while 6 is not yet, go on to 8 and never come back for 6. The lock on this one row is held
    // until the transaction ends, so whoever has got 7 knows that 6 is committed: the order of the numbers is the order
    // of the commits. What rolls back gives its numbers back, so there are no gaps either.
    const TAKE: &str =
        "UPDATE change_counter SET last_sequence = last_sequence + $1 WHERE id = 1 RETURNING last_sequence";
    let count = i64::try_from(changes.len()).map_err(|_| StoreError::Internal)?;
    let (last,): (i64,) = transaction.statement(TAKE).bind(count).fetch_one().await?;
    let mut first = last - count + 1;
    for part in changes.chunks(INSERT_ROWS) {
        insert(transaction, part, first, now_micros).await?;
        first += part.len() as i64;
    }
    Ok(Sequence(last))
}

async fn insert(
    transaction: &mut Transaction,
    changes: &[NewChange],
    first: i64,
    now_micros: i64,
) -> Result<(), StoreError> {
    let insert = transaction.engine().dialect(
        "INSERT INTO change_log (sequence, topic, document, version, payload, recorded_at) \
         SELECT row.*, $6 FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bytea[]) AS row",
        "INSERT INTO change_log (sequence, topic, document, version, payload, recorded_at) \
         SELECT a.value, b.value, c.value, d.value, unhex(e.value), $6 \
         FROM json_each($1) AS a JOIN json_each($2) AS b USING (key) JOIN json_each($3) AS c USING (key) \
         JOIN json_each($4) AS d USING (key) JOIN json_each($5) AS e USING (key)",
    );
    transaction
        .statement(insert)
        .bind_integer_array((first..).take(changes.len()))
        .bind_text_array(changes.iter().map(|change| change.topic.clone()))
        .bind_text_array(changes.iter().map(|change| change.document.clone()))
        .bind_integer_array(changes.iter().map(|change| change.version))
        .bind_bytes_array(changes.iter().map(|change| change.payload.to_vec()))
        .bind(now_micros)
        .execute()
        .await
        .map(drop)
}

/// Removes the changes recorded before `older_than_micros`, oldest first up to the first younger one, and tells how many
/// there were. Tokens from before them can no longer be resumed from. Any number of replicas may do so at once.
///
/// # Errors
/// [`StoreError`], as of any statement; what was removed before it stays removed.
pub async fn compact(database: &Database, older_than_micros: i64) -> Result<u64, StoreError> {
    const OLDEST: &str =
        "SELECT sequence, recorded_at FROM change_log WHERE sequence > $1 ORDER BY sequence LIMIT $2";
    const REMOVE: &str = "DELETE FROM change_log WHERE sequence <= $1";
    // In the transaction that removes the rows, so that no reader sees them missing without being told.
    const REMEMBER: &str =
        "UPDATE change_counter SET compacted_through = $1 WHERE id = 1 AND compacted_through < $1";
    let mut removed = 0;
    let mut through = 0;
    loop {
        let oldest: Vec<(i64, i64)> =
            database.statement(OLDEST).bind(through).bind(COMPACT_ROWS).fetch_all().await?;
        let removable = oldest.into_iter().take_while(|(_, recorded_at)| *recorded_at < older_than_micros);
        let Some((last, _)) = removable.last() else { return Ok(removed) };
        through = last;
        let mut transaction = database.begin().await?;
        removed += transaction.statement(REMOVE).bind(through).execute().await?;
        transaction.statement(REMEMBER).bind(through).execute().await?;
        transaction.commit().await?;
    }
}

/// A part of the log, and the bounds of all of it, as of one moment.
#[derive(Debug)]
pub(super) struct LogPage {
    pub(super) log_id: i64,
    pub(super) last_sequence: i64,
    pub(super) compacted_through: i64,
    /// In order.
    pub(super) changes: Vec<Arc<Change>>,
    /// Every change asked for up to this one is in the page.
    pub(super) covered_through: i64,
}

impl LogPage {
    pub(super) fn token(&self, sequence: i64) -> ResumeToken {
        ResumeToken { log_id: self.log_id, sequence }
    }
}

/// The bounds, and the columns of a change or nulls.
type Row =
    (i64, i64, i64, Option<i64>, Option<String>, Option<String>, Option<i64>, Option<Vec<u8>>, Option<i64>);

/// The bounds of the log, and the first `rows` changes after `after`, whatever their topic.
pub(super) async fn read(database: &Database, after: i64, rows: usize) -> Result<LogPage, StoreError> {
    // One statement and so one snapshot: between two of them changes could be compacted unnoticed.
    const READ: &str = "SELECT bounds.log_id, bounds.last_sequence, bounds.compacted_through, found.* \
         FROM change_counter AS bounds LEFT JOIN ( \
           SELECT sequence, topic, document, version, payload, recorded_at FROM change_log \
           WHERE sequence > $1 ORDER BY sequence LIMIT $2 \
         ) AS found ON TRUE WHERE bounds.id = 1 ORDER BY found.sequence";
    let found = database.statement(READ).bind(after).bind(rows as i64).fetch_all().await?;
    page(found, rows)
}

/// The bounds of the log, and the first `rows` changes of these topics after `after`.
pub(super) async fn read_topics(
    database: &Database,
    topics: &[Arc<str>],
    after: i64,
    rows: usize,
) -> Result<LogPage, StoreError> {
    // Both engines are made to walk the index once per topic: left to themselves they may walk the whole log.
    let read = database.dialect(
        "SELECT bounds.log_id, bounds.last_sequence, bounds.compacted_through, found.* \
         FROM change_counter AS bounds LEFT JOIN ( \
           SELECT of_topic.* FROM unnest($3::text[]) AS wanted (topic) CROSS JOIN LATERAL ( \
             SELECT sequence, topic, document, version, payload, recorded_at FROM change_log \
             WHERE change_log.topic = wanted.topic AND sequence > $1 ORDER BY sequence LIMIT $2 \
           ) AS of_topic ORDER BY sequence LIMIT $2 \
         ) AS found ON TRUE WHERE bounds.id = 1 ORDER BY found.sequence",
        "SELECT bounds.log_id, bounds.last_sequence, bounds.compacted_through, found.* \
         FROM change_counter AS bounds LEFT JOIN ( \
           SELECT sequence, topic, document, version, payload, recorded_at \
           FROM json_each($3) AS wanted CROSS JOIN change_log INDEXED BY change_log_topic_sequence \
           WHERE topic = wanted.value AND sequence > $1 ORDER BY sequence LIMIT $2 \
         ) AS found ON TRUE WHERE bounds.id = 1 ORDER BY found.sequence",
    );
    let found = database
        .statement(read)
        .bind(after)
        .bind(rows as i64)
        .bind_text_array(topics.iter().map(|topic| topic.to_string()))
        .fetch_all()
        .await?;
    page(found, rows)
}

fn page(found: Vec<Row>, rows: usize) -> Result<LogPage, StoreError> {
    let Some(&(log_id, last_sequence, compacted_through, ..)) = found.first() else {
        tracing::error!("the change counter has no row");
        return Err(StoreError::Internal);
    };
    let changes: Vec<Arc<Change>> = found
        .into_iter()
        .filter_map(|(_, _, _, sequence, topic, document, version, payload, recorded_at)| {
            Some(Arc::new(Change {
                token: ResumeToken { log_id, sequence: sequence? },
                topic: topic?.into(),
                document: document?,
                version: version?,
                payload: payload?.into(),
                recorded_at_micros: recorded_at?,
            }))
        })
        .collect();
    let covered_through = match changes.last() {
        Some(last) if changes.len() >= rows => last.token.sequence,
        _ => last_sequence,
    };
    Ok(LogPage { log_id, last_sequence, compacted_through, changes, covered_through })
}
