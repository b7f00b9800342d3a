//! Subscribers as operators see them.

use mcx_store::Transaction;
use mcx_store::idempotency::{Claim, MutatingRequest};
use mcx_types::{Impi, Timestamp};

use super::App;
use crate::domain::subscriber::{Subscriber, SubscriberContent, SubscriberKeys, Version};
use crate::error::SipDatabaseError;
use crate::store::subscribers::{self, Inserted, NewSubscriber, Removal, Update, Updated};

/// How a mutating request is carried out once: its id where the caller gave one, and how its answer is encoded.
///
/// The encoded answer is kept in the transaction that carries the request out, so the first answer and the repeated one
/// are the same octets.
pub(crate) struct Mutation<T: ?Sized> {
    pub(crate) request: Option<MutatingRequest>,
    pub(crate) encode_answer: fn(&T) -> Vec<u8>,
}

/// A transaction that is to carry a request out, or the answer of an earlier one.
enum Begun {
    Now(Transaction),
    Before(Vec<u8>),
}

impl App {
    /// Creates a subscriber; its sequence numbers go on behind those of an earlier one with the same identity.
    pub(crate) async fn create(
        &self,
        mutation: Mutation<Subscriber>,
        content: SubscriberContent,
        keys: SubscriberKeys,
    ) -> Result<Vec<u8>, SipDatabaseError> {
        let now = self.clock.now();
        let mut transaction = match self.begin(mutation.request.as_ref(), now).await? {
            Begun::Now(transaction) => transaction,
            Begun::Before(answer) => return Ok(answer),
        };
        let impi = content.identities.impi.clone();
        let keys = self.seal_keys(&self.key_file.ring(), &impi, &keys);
        let inserted = subscribers::insert(&mut transaction, &[NewSubscriber { content, keys }], now).await;
        match inserted.map_err(|error| self.store_error(error))? {
            Inserted::All => {}
            Inserted::Taken(identity) => return Err(SipDatabaseError::IdentityTaken(identity)),
        }
        let created =
            subscribers::read(&mut transaction, &impi).await.map_err(|error| self.store_error(error))?;
        let created = created.ok_or(SipDatabaseError::Internal("a created subscriber is not there"))?;
        let answer = self.finish(transaction, mutation, &created).await?;
        tracing::info!(%impi, "subscriber created");
        Ok(answer)
    }

    /// Reads a subscriber.
    pub(crate) async fn get(&self, impi: &Impi) -> Result<Subscriber, SipDatabaseError> {
        let found = self.store.subscriber(impi).await.map_err(|error| self.store_error(error))?;
        found.ok_or_else(|| SipDatabaseError::SubscriberUnknown(impi.clone()))
    }

    /// A page of at most `size` subscribers behind `after`, and behind whom the next page begins.
    pub(crate) async fn list(
        &self,
        after: Option<&Impi>,
        size: u32,
    ) -> Result<(Vec<Subscriber>, Option<Impi>), SipDatabaseError> {
        // One more than asked for tells whether there is a next page.
        let mut page =
            self.store.page(after, size.saturating_add(1)).await.map_err(|error| self.store_error(error))?;
        let has_next = page.len() > size as usize;
        page.truncate(size as usize);
        let next = page.last().filter(|_| has_next).map(|last| last.impi().clone());
        Ok((page, next))
    }

    /// Replaces what is said of the subscriber that has this version. Its sequence numbers go on where they stood.
    pub(crate) async fn update(
        &self,
        mutation: Mutation<Subscriber>,
        content: SubscriberContent,
        keys: Option<SubscriberKeys>,
        version: Version,
    ) -> Result<Vec<u8>, SipDatabaseError> {
        let now = self.clock.now();
        let mut transaction = match self.begin(mutation.request.as_ref(), now).await? {
            Begun::Now(transaction) => transaction,
            Begun::Before(answer) => return Ok(answer),
        };
        let impi = content.identities.impi.clone();
        let keys = keys.map(|keys| self.seal_keys(&self.key_file.ring(), &impi, &keys));
        let updated = subscribers::update(&mut transaction, &content, keys.as_ref(), version, now)
            .await
            .map_err(|error| self.store_error(error))?;
        let updated = match updated {
            Updated::Update(Update::Done(updated)) => updated,
            Updated::Update(Update::SubscriberUnknown) => {
                return Err(SipDatabaseError::SubscriberUnknown(impi));
            }
            Updated::Update(Update::VersionMismatch) => return Err(SipDatabaseError::EtagMismatch(impi)),
            Updated::Taken(identity) => return Err(SipDatabaseError::IdentityTaken(identity)),
        };
        let answer = self.finish(transaction, mutation, &updated).await?;
        tracing::info!(%impi, version = %updated.version, new_keys = keys.is_some(), "subscriber updated");
        Ok(answer)
    }

    /// Removes a subscriber, where a version is given only that one. Its counter stays behind.
    pub(crate) async fn delete(
        &self,
        mutation: Mutation<()>,
        impi: Impi,
        version: Option<Version>,
    ) -> Result<Vec<u8>, SipDatabaseError> {
        let mut transaction = match self.begin(mutation.request.as_ref(), self.clock.now()).await? {
            Begun::Now(transaction) => transaction,
            Begun::Before(answer) => return Ok(answer),
        };
        let removal = subscribers::remove(&mut transaction, &impi, version).await;
        match removal.map_err(|error| self.store_error(error))? {
            Removal::Done => {}
            Removal::SubscriberUnknown => return Err(SipDatabaseError::SubscriberUnknown(impi)),
            Removal::VersionMismatch => return Err(SipDatabaseError::EtagMismatch(impi)),
        }
        let answer = self.finish(transaction, mutation, &()).await?;
        tracing::info!(%impi, "subscriber removed");
        Ok(answer)
    }

    async fn begin(
        &self,
        request: Option<&MutatingRequest>,
        now: Timestamp,
    ) -> Result<Begun, SipDatabaseError> {
        let mut transaction = self.store.database().begin().await.map_err(|error| self.store_error(error))?;
        let Some(request) = request else { return Ok(Begun::Now(transaction)) };
        let claim = request.claim(&mut transaction, now.as_micros()).await;
        match claim.map_err(|error| self.store_error(error))? {
            Claim::Granted => Ok(Begun::Now(transaction)),
            Claim::Answered(answer) => Ok(Begun::Before(answer)),
            Claim::Reused => Err(SipDatabaseError::RequestIdReused(request.id())),
        }
    }

    async fn finish<T>(
        &self,
        mut transaction: Transaction,
        mutation: Mutation<T>,
        done: &T,
    ) -> Result<Vec<u8>, SipDatabaseError> {
        let answer = (mutation.encode_answer)(done);
        if let Some(request) = &mutation.request {
            request.answer(&mut transaction, &answer).await.map_err(|error| self.store_error(error))?;
        }
        transaction.commit().await.map_err(|error| self.store_error(error))?;
        Ok(answer)
    }
}
