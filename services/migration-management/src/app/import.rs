//! Bulk imports: every item on its own, none lost, none half-done, and an interrupted import can be repeated.

use std::pin::pin;

use futures::{Stream, StreamExt};
use mcx_proto::migration::v1::ErrorReason;
use mcx_store::{Database, Transaction};
use mcx_types::{Timestamp, Violations};
use uuid::Uuid;

use super::App;
use super::bindings::of_binding;
use super::permits::of_permit;
use crate::domain::agreement::Agreement;
use crate::domain::binding::BindingTerms;
use crate::domain::permit::PermitTerms;
use crate::error::Error;
use crate::store::{agreements, bindings, permits};

/// How many refusals an answer lists.
const REFUSAL_LIMIT: usize = 1_000;

/// How many items share a transaction.
const BATCH: usize = 200;

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
    /// Creates the agreements of a stream; `E` is how the stream itself fails. What was created is in force even where the stream fails
    /// further on.
    pub(crate) async fn import_agreements<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item<Agreement>, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        let outcome = import(self, items).await;
        self.agreements_changed().await;
        outcome
    }

    /// Creates the bindings of a stream; `E` is how the stream itself fails.
    pub(crate) async fn import_bindings<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item<BindingTerms>, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        import(self, items).await
    }

    /// Creates the permits of a stream.
    pub(crate) async fn import_permits<E: From<Error>>(
        &self,
        items: impl Stream<Item = Result<Item<PermitTerms>, E>> + Send,
    ) -> Result<ImportOutcome, E> {
        import(self, items).await
    }
}

/// What can be imported.
trait Importable: PartialEq + Sized + Send + Sync {
    /// Creates it.
    async fn insert(&self, transaction: &mut Transaction, now: Timestamp) -> Result<(), Error>;

    /// The one that is there already under the same name, if there is one.
    async fn present(&self, database: &Database) -> Result<Option<Self>, Error>;
}

impl Importable for Agreement {
    async fn insert(&self, transaction: &mut Transaction, now: Timestamp) -> Result<(), Error> {
        Ok(agreements::insert(transaction, self, now).await.map(|_| ())?)
    }

    async fn present(&self, database: &Database) -> Result<Option<Self>, Error> {
        Ok(agreements::find(database, &self.partner).await?.map(|stored| stored.value))
    }
}

impl Importable for BindingTerms {
    async fn insert(&self, transaction: &mut Transaction, now: Timestamp) -> Result<(), Error> {
        let inserted = bindings::insert(transaction, Uuid::now_v7(), self, now).await;
        inserted.map(|_| ()).map_err(|error| of_binding(error, self))
    }

    async fn present(&self, database: &Database) -> Result<Option<Self>, Error> {
        let present = bindings::find_by_partner_impi(database, &self.partner_identities.impi).await?;
        Ok(present.map(|stored| stored.value.terms))
    }
}

impl Importable for PermitTerms {
    async fn insert(&self, transaction: &mut Transaction, now: Timestamp) -> Result<(), Error> {
        let inserted = permits::insert(transaction, Uuid::now_v7(), self, now).await;
        inserted.map(|_| ()).map_err(|error| of_permit(error, self))
    }

    async fn present(&self, database: &Database) -> Result<Option<Self>, Error> {
        let present = permits::find_for(database, &self.primary_impi, &self.partner).await?;
        Ok(present.map(|stored| stored.value.terms))
    }
}

async fn import<Terms: Importable, E: From<Error>>(
    app: &App,
    items: impl Stream<Item = Result<Item<Terms>, E>> + Send,
) -> Result<ImportOutcome, E> {
    let mut batches = pin!(items.chunks(BATCH));
    let mut outcome = ImportOutcome::default();
    let mut index = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch.into_iter().collect::<Result<Vec<Item<Terms>>, E>>()?;
        if import_together(app, &batch).await? {
            outcome.created += batch.len() as u64;
        } else {
            // Something in it is refused or there already: each on its own, in order, so that of two that exclude each other the
            // first one wins.
            for (item, index) in batch.iter().zip(index..) {
                match import_one(app, item).await {
                    Ok(ItemOutcome::Created) => outcome.created += 1,
                    Ok(ItemOutcome::Unchanged) => outcome.unchanged += 1,
                    // What is not about the item ends the import; it is repeated when the database is back.
                    Err(error @ (Error::StoreUnavailable | Error::Internal(_))) => return Err(error.into()),
                    Err(error) => outcome.refuse(index, &error),
                }
            }
        }
        index += batch.len() as u64;
    }
    Ok(outcome)
}

/// Creates a whole batch in one transaction; says whether it could.
async fn import_together<Terms: Importable>(app: &App, batch: &[Item<Terms>]) -> Result<bool, Error> {
    let mut transaction = app.database.begin().await?;
    for item in batch {
        let inserted = match item {
            Ok(terms) => terms.insert(&mut transaction, app.clock.now()).await,
            Err(_) => return Ok(false),
        };
        match inserted {
            Ok(()) => {}
            Err(error @ (Error::StoreUnavailable | Error::Internal(_))) => return Err(error),
            Err(_) => return Ok(false),
        }
    }
    transaction.commit().await?;
    Ok(true)
}

async fn import_one<Terms: Importable>(app: &App, item: &Item<Terms>) -> Result<ItemOutcome, Error> {
    let terms = item.as_ref().map_err(|violations| Error::Invalid(violations.clone()))?;
    let mut transaction = app.database.begin().await?;
    match terms.insert(&mut transaction, app.clock.now()).await {
        Ok(()) => {
            transaction.commit().await?;
            Ok(ItemOutcome::Created)
        }
        Err(error @ Error::IdentityTaken { .. }) => {
            transaction.rollback().await?;
            let is_same = terms.present(&app.database).await?.is_some_and(|present| present == *terms);
            if is_same { Ok(ItemOutcome::Unchanged) } else { Err(error) }
        }
        Err(error) => Err(error),
    }
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
