//! Tokens that count no more.

use std::collections::BTreeMap;

use mcx_store::{Database, StoreError, Transaction};
use mcx_types::{Subject, Timestamp};

use super::columns::{parse, time};

/// What was revoked and may not have expired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Revocations {
    /// Single tokens, and when they expire.
    pub(crate) tokens: BTreeMap<String, Timestamp>,
    /// Users, and up to when their tokens are void.
    pub(crate) subjects: BTreeMap<Subject, Timestamp>,
}

impl Revocations {
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.subjects.is_empty()
    }

    /// Adds others; what of them is news. Of two moments for one user the later one counts.
    pub(crate) fn add(&mut self, others: &Self) -> Self {
        let news = others.except(self);
        self.tokens.extend(news.tokens.clone());
        self.subjects.extend(news.subjects.clone());
        news
    }

    /// Those that do not follow from `known`.
    pub(crate) fn except(&self, known: &Self) -> Self {
        let tokens = self.tokens.iter().filter(|(id, _)| !known.tokens.contains_key(*id));
        let is_later = |(subject, at): &(&Subject, &Timestamp)| {
            known.subjects.get(*subject).is_none_or(|known_at| known_at < *at)
        };
        let subjects = self.subjects.iter().filter(is_later);
        Self {
            tokens: tokens.map(|(id, at)| (id.clone(), *at)).collect(),
            subjects: subjects.map(|(subject, at)| (subject.clone(), *at)).collect(),
        }
    }
}

/// Those in force that were recorded `since`, or all; and those of a replica that does not say when.
pub(crate) async fn in_force(
    database: &Database,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Revocations, StoreError> {
    let since = since.map_or(0, Timestamp::as_micros);
    let tokens: Vec<(String, i64)> = database
        .statement(
            "SELECT token_id, expires_at FROM revoked_token WHERE (recorded_at >= $1 OR recorded_at = 0) \
             AND expires_at > $2",
        )
        .bind(since)
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    let subjects: Vec<(String, i64)> = database
        .statement(
            "SELECT subject, revoked_at FROM revoked_subject WHERE (recorded_at >= $1 OR recorded_at = 0) \
             AND forget_at > $2",
        )
        .bind(since)
        .bind(now.as_micros())
        .fetch_all()
        .await?;
    let subjects = subjects
        .into_iter()
        .map(|(subject, revoked_at)| Ok((parse("subject", &subject)?, time(revoked_at))))
        .collect::<Result<_, StoreError>>()?;
    let tokens = tokens.into_iter().map(|(id, expires_at)| (id, time(expires_at))).collect();
    Ok(Revocations { tokens, subjects })
}

pub(crate) async fn revoke_token(
    transaction: &mut Transaction,
    token_id: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO revoked_token (token_id, expires_at, recorded_at) VALUES ($1, $2, $3) \
             ON CONFLICT (token_id) DO NOTHING",
        )
        .bind(token_id)
        .bind(expires_at.as_micros())
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn revoke_subject(
    transaction: &mut Transaction,
    subject: &Subject,
    revoked_at: Timestamp,
    forget_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    transaction
        .statement(
            "INSERT INTO revoked_subject (subject, revoked_at, forget_at, recorded_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (subject) DO UPDATE SET revoked_at = excluded.revoked_at, forget_at = excluded.forget_at, \
             recorded_at = excluded.recorded_at",
        )
        .bind(subject.as_str())
        .bind(revoked_at.as_micros())
        .bind(forget_at.as_micros())
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(())
}

/// Up to when the tokens of a user are void.
pub(crate) async fn subject_revoked_at(
    transaction: &mut Transaction,
    subject: &Subject,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<(i64,)> = transaction
        .statement("SELECT revoked_at FROM revoked_subject WHERE subject = $1")
        .bind(subject.as_str())
        .fetch_optional()
        .await?;
    Ok(row.map(|(revoked_at,)| time(revoked_at)))
}

/// Notes that a security token is taken; whether it was not before.
pub(crate) async fn take_security_token(
    transaction: &mut Transaction,
    issuer: &str,
    token_id: &str,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let taken = transaction
        .statement(
            "INSERT INTO used_security_token (issuer, token_id, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (issuer, token_id) DO NOTHING",
        )
        .bind(issuer)
        .bind(token_id)
        .bind(expires_at.as_micros())
        .execute()
        .await?;
    Ok(taken == 1)
}

/// Forgets what has expired.
pub(crate) async fn forget_before(database: &Database, now: Timestamp) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM revoked_token WHERE expires_at < $1",
        "DELETE FROM revoked_subject WHERE forget_at < $1",
        "DELETE FROM used_security_token WHERE expires_at < $1",
    ] {
        database.statement(statement).bind(now.as_micros()).execute().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revocations(tokens: &[&str], subjects: &[(&str, i64)]) -> Revocations {
        let subject = |(subject, at): &(&str, i64)| (subject.parse().unwrap(), Timestamp::from_micros(*at));
        Revocations {
            tokens: tokens.iter().map(|id| ((*id).to_owned(), Timestamp::from_micros(1))).collect(),
            subjects: subjects.iter().map(subject).collect(),
        }
    }

    #[test]
    fn what_is_added_is_news_once_and_a_user_again_only_with_a_later_moment() {
        let mut known = revocations(&["one"], &[("alice", 5), ("bob", 5)]);
        let told = revocations(&["one", "two"], &[("alice", 4), ("bob", 6), ("chloe", 1)]);
        assert_eq!(known.add(&told), revocations(&["two"], &[("bob", 6), ("chloe", 1)]));
        assert_eq!(known, revocations(&["one", "two"], &[("alice", 5), ("bob", 6), ("chloe", 1)]));
        assert!(known.add(&told).is_empty());
    }
}
