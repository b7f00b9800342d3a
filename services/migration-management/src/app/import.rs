//! Bulk imports: every item on its own, none lost, none half-done, and an interrupted import can be repeated.

use std::pin::pin;

use futures::{Stream, StreamExt};
use mcx_proto::migration::v1::ErrorReason;
use mcx_types::Violations;
use uuid::Uuid;

use super::App;
use super::bindings::of_binding;
use super::permits::of_permit;
use crate::domain::binding::BindingTerms;
use crate::domain::permit::PermitTerms;
use crate::error::Error;
use crate::store::{bindings, permits};

/// How many refusals an answer lists.
const REFUSAL_LIMIT: usize = 1_000;

/// How many items are worked on at a time.
const CONCURRENCY: usize = 16;

/// What became of an import.
#[derive(Debug, Default)]
pub(crate) struct ImportOutcome {
    pub(crate) created: u64,
    pub(crate) unchanged: u64,
    pub(crate) refused: u64,
    /// The first of them, in the order of the stream.
    pub(crate) refusals: Vec<ItemRefusal>,
}

/// Why one item was refused.
#[derive(Debug)]
pub(crate) struct ItemRefusal {
    pub(crate) index: u64,
    pub(crate) reason: ErrorReason,
    pub(crate) description: String,
}

/// What became of one item.
enum ItemOutcome {
    Created,
    Unchanged,
}

/// An item as it was decoded.
pub(crate) type Item<Terms> = Result<Terms, Violations>;

impl App {
    /// Creates the bindings of a stream; `E` is how the stream itself fails.
    pub(crate) async fn import_bindings<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item<BindingTerms>, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        import(items, |terms| self.import_binding(terms)).await
    }

    /// Creates the permits of a stream.
    pub(crate) async fn import_permits<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item<PermitTerms>, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        import(items, |terms| self.import_permit(terms)).await
    }

    async fn import_binding(&self, terms: BindingTerms) -> Result<ItemOutcome, Error> {
        let mut transaction = self.database.begin().await?;
        match bindings::insert(&mut transaction, Uuid::now_v7(), &terms, self.clock.now()).await {
            Ok(_) => {
                transaction.commit().await?;
                Ok(ItemOutcome::Created)
            }
            Err(error) => {
                transaction.rollback().await?;
                let error = of_binding(error, &terms);
                let present =
                    bindings::find_by_partner_impi(&self.database, &terms.partner_identities.impi).await?;
                let is_same = present.is_some_and(|present| present.value.terms == terms);
                unchanged_if(is_same, error)
            }
        }
    }

    async fn import_permit(&self, terms: PermitTerms) -> Result<ItemOutcome, Error> {
        let mut transaction = self.database.begin().await?;
        match permits::insert(&mut transaction, Uuid::now_v7(), &terms, self.clock.now()).await {
            Ok(_) => {
                transaction.commit().await?;
                Ok(ItemOutcome::Created)
            }
            Err(error) => {
                transaction.rollback().await?;
                let error = of_permit(error, &terms);
                let present = permits::find_for(&self.database, &terms.primary_impi, &terms.partner).await?;
                let is_same = present.is_some_and(|present| present.value.terms == terms);
                unchanged_if(is_same, error)
            }
        }
    }
}

fn unchanged_if(is_same: bool, error: Error) -> Result<ItemOutcome, Error> {
    match error {
        Error::IdentityTaken { .. } if is_same => Ok(ItemOutcome::Unchanged),
        error => Err(error),
    }
}

async fn import<Terms, E: From<Error>, Work, Working>(
    items: impl Stream<Item = Result<Item<Terms>, E>> + Send,
    work: Work,
) -> Result<ImportOutcome, E>
where
    Work: Fn(Terms) -> Working,
    Working: Future<Output = Result<ItemOutcome, Error>>,
{
    let worked = items
        .map(|item| async {
            Ok::<_, E>(match item? {
                Ok(terms) => work(terms).await,
                Err(violations) => Err(Error::Invalid(violations)),
            })
        })
        .buffered(CONCURRENCY)
        .enumerate();
    let mut worked = pin!(worked);
    let mut outcome = ImportOutcome::default();
    while let Some((index, item)) = worked.next().await {
        match item? {
            Ok(ItemOutcome::Created) => outcome.created += 1,
            Ok(ItemOutcome::Unchanged) => outcome.unchanged += 1,
            // What is not about the item ends the import; it is repeated when the database is back.
            Err(error @ (Error::StoreUnavailable | Error::Internal(_))) => return Err(error.into()),
            Err(error) => outcome.refuse(index as u64, &error),
        }
    }
    Ok(outcome)
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
