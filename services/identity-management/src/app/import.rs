//! Bulk imports of accounts: every one on its own, none lost, none half-done, and an interrupted import can be repeated.

use std::pin::pin;

use futures::{Stream, StreamExt, TryStreamExt};
use mcx_proto::identity::v1::ErrorReason;
use mcx_types::{McId, Violations};
use secrecy::SecretString;

use super::App;
use crate::domain::account::AccountTerms;
use crate::error::Error;
use crate::store::accounts;

/// How many refusals an answer lists.
const REFUSAL_LIMIT: usize = 1_000;

/// How many accounts share a transaction.
const BATCH: usize = 100;

/// What became of an import.
#[derive(Debug, Default)]
pub(crate) struct ImportOutcome {
    pub(crate) created: u64,
    pub(crate) unchanged: u64,
    pub(crate) refused: u64,
    /// The first of them, in the order of the stream.
    pub(crate) refusals: Vec<ItemRefusal>,
}

/// Why one account was refused.
#[derive(Debug)]
pub(crate) struct ItemRefusal {
    pub(crate) index: u64,
    pub(crate) reason: ErrorReason,
    pub(crate) description: String,
}

/// An account as it was decoded.
pub(crate) type Item = Result<(AccountTerms, Option<SecretString>), Violations>;

/// An account that is not there yet, with the hash of its password.
struct Prepared {
    index: u64,
    terms: AccountTerms,
    password_hash: Option<String>,
}

impl App {
    /// Creates the accounts of a stream; `E` is how the stream itself fails.
    pub(crate) async fn import_accounts<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        let mut batches = pin!(items.chunks(BATCH));
        let mut outcome = ImportOutcome::default();
        let mut index = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.into_iter().collect::<Result<Vec<Item>, E>>()?;
            let count = batch.len() as u64;
            let prepared = self.prepare(batch, index, &mut outcome).await?;
            if self.insert_together(&prepared).await? {
                outcome.created += prepared.len() as u64;
            } else {
                // One of them is refused: each on its own, in order, so that of two that exclude each other the first one wins.
                for account in &prepared {
                    self.insert_one(account, &mut outcome).await?;
                }
            }
            index += count;
        }
        outcome.refusals.sort_by_key(|refusal| refusal.index);
        Ok(outcome)
    }

    /// Leaves what is malformed or there already, and hashes the passwords of the others.
    async fn prepare(
        &self,
        batch: Vec<Item>,
        first_index: u64,
        outcome: &mut ImportOutcome,
    ) -> Result<Vec<Prepared>, Error> {
        let mc_ids: Vec<McId> = batch.iter().flatten().map(|(terms, _)| terms.mc_id.clone()).collect();
        let present = accounts::find_all(&self.database, &mc_ids).await?;
        let mut missing = Vec::new();
        for (item, index) in batch.into_iter().zip(first_index..) {
            match item {
                Err(violations) => outcome.refuse(index, &Error::Invalid(violations)),
                Ok((terms, password)) => {
                    let same_name = present.iter().find(|account| account.value.terms.mc_id == terms.mc_id);
                    match same_name {
                        None => missing.push((index, terms, password)),
                        Some(account) if account.value.terms == terms => outcome.unchanged += 1,
                        Some(_) => outcome.refuse(index, &taken("account_pkey")),
                    }
                }
            }
        }
        let hashes = missing.into_iter().map(async |(index, terms, password)| {
            let password_hash = self.hashed(password).await?;
            Ok::<_, Error>(Prepared { index, terms, password_hash })
        });
        futures::stream::iter(hashes).buffered(self.config.passwords.hash_concurrency).try_collect().await
    }

    /// Creates all in one transaction; says whether it could.
    async fn insert_together(&self, prepared: &[Prepared]) -> Result<bool, Error> {
        let mut transaction = self.database.begin().await?;
        for account in prepared {
            let subject = self.fresh_subject()?;
            let hash = account.password_hash.as_deref();
            let now = self.clock.now();
            let inserted = accounts::insert(&mut transaction, &subject, &account.terms, hash, now).await;
            match inserted.map_err(Error::from) {
                Ok(_) => {}
                Err(error) if error.is_fault() => return Err(error),
                Err(_) => {
                    transaction.rollback().await?;
                    return Ok(false);
                }
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    async fn insert_one(&self, account: &Prepared, outcome: &mut ImportOutcome) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let subject = self.fresh_subject()?;
        let hash = account.password_hash.as_deref();
        let now = self.clock.now();
        match accounts::insert(&mut transaction, &subject, &account.terms, hash, now).await {
            Ok(_) => {
                transaction.commit().await?;
                outcome.created += 1;
            }
            Err(error) => {
                transaction.rollback().await?;
                let error = Error::from(error);
                if error.is_fault() {
                    return Err(error);
                }
                let present = accounts::find(&self.database, &account.terms.mc_id).await?;
                if present.is_some_and(|present| present.value.terms == account.terms) {
                    outcome.unchanged += 1;
                } else {
                    outcome.refuse(account.index, &error);
                }
            }
        }
        Ok(())
    }
}

fn taken(constraint: &str) -> Error {
    Error::IdentityTaken { constraint: constraint.to_owned(), mc_service_id: None }
}

impl ImportOutcome {
    fn refuse(&mut self, index: u64, error: &Error) {
        self.refused += 1;
        if self.refusals.len() < REFUSAL_LIMIT {
            let description = match error {
                Error::Invalid(violations) => {
                    let lines = violations.as_slice().iter();
                    lines
                        .map(|violation| format!("{} {}", violation.field, violation.description))
                        .collect::<Vec<_>>()
                        .join("; ")
                }
                other => other.to_string(),
            };
            self.refusals.push(ItemRefusal { index, reason: error.error_reason(), description });
        }
    }
}
