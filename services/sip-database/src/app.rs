//! The use cases: the domain's rules applied to what the store keeps.

mod authentication;
mod import;
mod provisioning;
mod rotation;
mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use mcx_aka::IndexValue;
use mcx_store::sealing::{KeyFile, KeyFileError, KeyRing, SealedSecret, UnsealError};
use mcx_store::{Database, GroupCommit, GroupCommitConfig, GroupCommitError, SharedCache, StoreError};
use mcx_types::{Clock, Impi, McSystemId};

use crate::config::SipDatabaseConfig;
use crate::domain::requester::{Requester, index_of_partner};
use crate::domain::subscriber::{Subscriber, SubscriberKeys};
use crate::error::SipDatabaseError;
use crate::random::RandomSource;
use crate::store::{Advance, Advanced, IssuedChallenges, Store};

pub(crate) use import::ImportReport;
pub(crate) use provisioning::Mutation;
pub(crate) use upkeep::Latches;

/// What the SIP database is built from.
#[derive(Clone)]
pub struct Dependencies {
    /// The MC system whose subscribers these are.
    pub own_system: McSystemId,
    /// The durable state, opened with [`SCHEMA`](crate::SCHEMA).
    pub database: Database,
    /// What the replicas share and may lose.
    pub cache: SharedCache,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives RAND values and nonces.
    pub random: Arc<dyn RandomSource>,
}

/// The use cases of one SIP database.
pub(crate) struct App {
    own_system: McSystemId,
    config: SipDatabaseConfig,
    store: Store,
    challenges: IssuedChallenges,
    /// Moves the counters of concurrent requests in one commit.
    sequences: GroupCommit<Advance, Advanced, StoreError>,
    key_file: KeyFile,
    /// The IND of each partner that has asked, once it is durable.
    partner_indexes: RwLock<HashMap<McSystemId, IndexValue>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn RandomSource>,
}

impl App {
    /// Reads the key file, and starts the task that commits. Call from within a Tokio runtime.
    pub(crate) fn new(
        config: SipDatabaseConfig,
        Dependencies { own_system, database, cache, clock, random }: Dependencies,
    ) -> Result<Self, KeyFileError> {
        let key_file = KeyFile::open(&config.key_file)?;
        let store = Store::new(database);
        let group =
            GroupCommitConfig { max_batch: config.commit_batch_size, max_queue: config.commit_queue_size };
        let sequences = GroupCommit::start("sip_database_sequences", group, {
            let store = store.clone();
            move |batch: Vec<Advance>| {
                let store = store.clone();
                async move { store.advance(&batch).await }
            }
        });
        let challenges = IssuedChallenges::new(cache, config.challenge_lifetime);
        let partner_indexes = RwLock::default();
        Ok(Self {
            own_system,
            config,
            store,
            challenges,
            sequences,
            key_file,
            partner_indexes,
            clock,
            random,
        })
    }

    pub(crate) fn own_system(&self) -> &McSystemId {
        &self.own_system
    }

    pub(crate) fn import_batch_size(&self) -> usize {
        self.config.import_batch_size
    }

    /// The IND of a requester; that of a partner is durable before it is used (TS 33.102 Annex C.3.4).
    async fn index_of(&self, requester: &Requester) -> Result<IndexValue, SipDatabaseError> {
        let Requester::Partner(partner) = requester else { return Ok(IndexValue::ZERO) };
        let known = {
            let indexes = self.partner_indexes.read().unwrap_or_else(PoisonError::into_inner);
            indexes.get(partner).copied()
        };
        if let Some(index) = known {
            return Ok(index);
        }
        let number = self.store.requester_number(partner).await.map_err(|error| self.store_error(error))?;
        let index = index_of_partner(number);
        tracing::info!(%partner, number = number.0, %index, "partner has an ind");
        let mut indexes = self.partner_indexes.write().unwrap_or_else(PoisonError::into_inner);
        indexes.insert(partner.clone(), index);
        Ok(index)
    }

    /// Opens the keys of a subscriber. A key that is missing may have been added to the file since it was read.
    async fn open_keys(&self, subscriber: &Subscriber) -> Result<SubscriberKeys, SipDatabaseError> {
        let open = |ring: &KeyRing| SubscriberKeys::open(ring, subscriber.impi(), &subscriber.keys);
        let mut opened = open(&self.key_file.ring());
        if let Err(UnsealError::KeyMissing { .. }) = opened {
            match self.key_file.reload().await {
                Ok(ring) => opened = open(&ring),
                Err(error) => tracing::error!(%error, "key file cannot be read again"),
            }
        }
        opened.map_err(|error| open_error(subscriber, error))
    }

    fn seal_keys(&self, ring: &KeyRing, impi: &Impi, keys: &SubscriberKeys) -> SealedSecret {
        keys.seal(ring, impi, self.random.array())
    }

    fn store_error(&self, error: StoreError) -> SipDatabaseError {
        SipDatabaseError::of_store(error, self.config.store_retry_delay)
    }

    fn commit_error(&self, error: GroupCommitError<StoreError>) -> SipDatabaseError {
        match error {
            GroupCommitError::Flush(error) => self.store_error(error),
            GroupCommitError::Unanswered => {
                SipDatabaseError::Internal("a batch of requests was not answered")
            }
        }
    }
}

fn open_error(subscriber: &Subscriber, error: UnsealError) -> SipDatabaseError {
    tracing::error!(impi = %subscriber.impi(), %error, "subscriber's keys cannot be opened");
    match error {
        UnsealError::KeyMissing { key_id } => SipDatabaseError::KeyEncryptionKeyMissing { key_id },
        UnsealError::Unopenable { .. } => SipDatabaseError::Internal("the keys of a subscriber do not open"),
    }
}
