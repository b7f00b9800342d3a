//! Creating many subscribers, batch by batch.

use mcx_types::Impu;

use super::App;
use crate::domain::import::{Existing, ImportDecision, ImportItem, ImportRefusal, plan_import};
use crate::domain::subscriber::SubscriberContent;
use crate::error::SipDatabaseError;
use crate::store::subscribers::{self, Inserted, NewSubscriber};

/// How often a batch is planned anew because somebody else created one of its subscribers meanwhile.
const ATTEMPTS: usize = 5;
/// The most refusals that are told.
const REFUSAL_LIMIT: usize = 1000;

/// What became of the items so far.
#[derive(Debug, Default)]
pub(crate) struct ImportReport {
    pub(crate) created: u64,
    pub(crate) unchanged: u64,
    pub(crate) refused: u64,
    /// The first refusals, with their positions in the import.
    pub(crate) refusals: Vec<(u64, ImportRefusal)>,
}

impl ImportReport {
    /// How many items have been looked at.
    fn position(&self) -> u64 {
        self.created + self.unchanged + self.refused
    }

    fn add(&mut self, decision: ImportDecision) {
        match decision {
            ImportDecision::Create => self.created += 1,
            ImportDecision::Unchanged => self.unchanged += 1,
            ImportDecision::Refuse(refusal) => {
                if self.refusals.len() < REFUSAL_LIMIT {
                    self.refusals.push((self.position(), refusal));
                }
                self.refused += 1;
            }
        }
    }
}

impl App {
    /// Creates the new ones of a batch in one transaction, and reports on all of them.
    pub(crate) async fn import_batch(
        &self,
        batch: &[ImportItem],
        report: &mut ImportReport,
    ) -> Result<(), SipDatabaseError> {
        for _ in 0..ATTEMPTS {
            let decisions = plan_import(batch, &self.existing(batch).await?);
            if self.create_planned(batch, &decisions).await? {
                decisions.into_iter().for_each(|decision| report.add(decision));
                return Ok(());
            }
        }
        Err(SipDatabaseError::StoreUnavailable { retry_after: self.config.store_retry_delay })
    }

    async fn existing(&self, batch: &[ImportItem]) -> Result<Existing, SipDatabaseError> {
        let contents = || batch.iter().flatten().map(|(content, _)| content);
        let of_store = |error| self.store_error(error);
        let found = self.store.subscribers(contents().map(|content| &content.identities.impi)).await;
        let mut existing = Existing::default();
        for subscriber in found.map_err(of_store)? {
            let keys = self.open_keys(&subscriber).await?;
            existing.subscribers.insert(subscriber.impi().clone(), (subscriber.content, keys));
        }
        let impus = |content: &'_ SubscriberContent| -> Vec<Impu> { content.identities.impus.clone() };
        let impus: Vec<Impu> = contents().flat_map(impus).collect();
        let owners = self.store.owners(impus.iter()).await.map_err(of_store)?;
        existing.owners.extend(owners);
        Ok(existing)
    }

    /// Whether all planned ones were created; if one was not, none was.
    async fn create_planned(
        &self,
        batch: &[ImportItem],
        decisions: &[ImportDecision],
    ) -> Result<bool, SipDatabaseError> {
        let ring = self.key_file.ring();
        let new: Vec<NewSubscriber> = batch
            .iter()
            .zip(decisions)
            .filter(|(_, decision)| **decision == ImportDecision::Create)
            .filter_map(|(item, _)| item.as_ref().ok())
            .map(|(content, keys)| NewSubscriber {
                content: content.clone(),
                keys: self.seal_keys(&ring, &content.identities.impi, keys),
            })
            .collect();
        if new.is_empty() {
            return Ok(true);
        }
        let of_store = |error| self.store_error(error);
        let mut transaction = self.store.database().begin().await.map_err(of_store)?;
        match subscribers::insert(&mut transaction, &new, self.clock.now()).await {
            Ok(Inserted::All) => {
                transaction.commit().await.map_err(of_store)?;
                Ok(true)
            }
            Ok(Inserted::Taken(_)) | Err(mcx_store::StoreError::Conflict) => Ok(false),
            Err(error) => Err(of_store(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_counts_every_refusal_and_tells_the_first_thousand_with_their_positions() {
        let mut report = ImportReport::default();
        report.add(ImportDecision::Create);
        for number in 0..1500 {
            report.add(ImportDecision::Refuse(ImportRefusal::IdentityTaken(number.to_string())));
            report.add(ImportDecision::Unchanged);
        }
        assert_eq!((report.created, report.unchanged, report.refused), (1, 1500, 1500));
        let positions: Vec<u64> = report.refusals.iter().map(|(position, _)| *position).collect();
        assert_eq!((positions.len(), positions[0], positions[999]), (1000, 1, 1999));
    }
}
