//! Making and replacing signing keys. Replicas may try at once: the store lets only one key sign.

use std::collections::BTreeMap;

use mcx_proto::identity::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_store::sealing::{KeyRing, NONCE_LENGTH, UnsealError};
use mcx_store::{StoreError, Transaction};
use metrics::counter;
use zeroize::Zeroizing;

use super::App;
use super::mutation::{Begun, begin};
use crate::domain::signing_key::{PrivateKey, SigningKeyState, is_due, remove_at};
use crate::error::Error;
use crate::store::signing_keys::{self, StoredKey};
use crate::wire;

/// What binds a sealed signing key to its purpose and its row.
pub(crate) fn bound_to(kid: &str) -> Vec<u8> {
    [b"mcx.identity.v1 signing key\0", kid.as_bytes()].concat()
}

/// Why a stored signing key cannot be used: an operator took its key-encryption key away, or it is damaged.
pub(crate) fn unseal_error(kid: &str, error: UnsealError) -> Error {
    match error {
        UnsealError::KeyMissing { key_id } => Error::KeyEncryptionKeyMissing { key_id },
        UnsealError::Unopenable { .. } => Error::Internal(format!("signing key {kid}: {error}")),
    }
}

impl App {
    pub(crate) async fn list_signing_keys(&self) -> Result<Vec<proto::SigningKey>, Error> {
        let keys = signing_keys::list(&self.database).await?;
        Ok(wire::signing_key::encode_all(&keys))
    }

    /// The next key signs, the active one retires.
    pub(crate) async fn rotate_signing_key(
        &self,
        request: Option<MutatingRequest>,
    ) -> Result<proto::RotateSigningKeyResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        self.rotate(&mut mutation.transaction).await?;
        let keys = signing_keys::list_in(&mut mutation.transaction).await?;
        let response = proto::RotateSigningKeyResponse { signing_keys: wire::signing_key::encode_all(&keys) };
        mutation.commit(&response).await?;
        self.trust_changed().await;
        Ok(response)
    }

    /// Removes a key at once.
    pub(crate) async fn retire_signing_key(
        &self,
        kid: String,
        request: Option<MutatingRequest>,
    ) -> Result<proto::RetireSigningKeyResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        if !signing_keys::delete(transaction, &kid).await? {
            return Err(Error::SigningKeyNotFound(kid));
        }
        self.fill_up(transaction).await?;
        let keys = signing_keys::list_in(transaction).await?;
        let response = proto::RetireSigningKeyResponse { signing_keys: wire::signing_key::encode_all(&keys) };
        mutation.commit(&response).await?;
        tracing::warn!(kid, "signing key removed: tokens that it signed are refused from now on");
        self.trust_changed().await;
        Ok(response)
    }

    /// Replaces the active key if it has signed for long enough, and removes keys whose time is over.
    pub(crate) async fn keep_signing_keys_fresh(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let removed = signing_keys::remove_retired(&self.database, now).await?;
        let mut transaction = self.database.begin().await?;
        let keys = signing_keys::list_in(&mut transaction).await?;
        let active = keys.iter().find(|key| key.facts.state == SigningKeyState::Active);
        let is_due = active.is_some_and(|key| is_due(&key.facts, now, self.config.signing_key_lifetime));
        if is_due {
            self.rotate(&mut transaction).await?;
            transaction.commit().await?;
        }
        if is_due || removed > 0 {
            self.trust_changed().await;
        }
        Ok(())
    }

    /// Reads the key file again, seals what is not under its active key anew, and tells what is sealed under which key now.
    pub(crate) async fn rotate_key_encryption_key(
        &self,
    ) -> Result<proto::RotateKeyEncryptionKeyResponse, Error> {
        let reloaded = self.key_file.reload().await;
        let ring =
            reloaded.map_err(|error| Error::Internal(format!("the key file cannot be read: {error}")))?;
        let rotated_count = self.reseal_signing_keys(&ring).await?;
        let mut uses: BTreeMap<String, u64> = BTreeMap::new();
        for key in signing_keys::list(&self.database).await? {
            *uses.entry(key.sealed.key_id).or_default() += 1;
        }
        let uses = uses.into_iter().map(|(key_id, count)| proto::KeyEncryptionKeyUse { key_id, count });
        Ok(proto::RotateKeyEncryptionKeyResponse {
            active_key_id: ring.active_key_id().to_owned(),
            rotated_count,
            uses: uses.collect(),
        })
    }

    /// Seals under the active key-encryption key what is not; how many keys those were. Where one cannot be opened the others are
    /// sealed first, then that one is told.
    pub(crate) async fn reseal_signing_keys(&self, ring: &KeyRing) -> Result<u64, Error> {
        let mut count = 0;
        let mut failure = None;
        for key in signing_keys::list(&self.database).await? {
            let former = key.sealed.key_id.as_str();
            if former == ring.active_key_id() {
                continue;
            }
            let kid = key.facts.public.kid.as_str();
            let secret = match ring.open(&bound_to(kid), &key.sealed) {
                Ok(secret) => secret,
                Err(error) => {
                    failure = Some(unseal_error(kid, error));
                    continue;
                }
            };
            let sealed = ring.seal(&bound_to(kid), &secret, self.nonce());
            signing_keys::reseal(&self.database, kid, former, &sealed).await?;
            count += 1;
            tracing::info!(kid, key_encryption_key_id = sealed.key_id, "signing key sealed anew");
        }
        failure.map_or(Ok(count), Err)
    }

    fn nonce(&self) -> [u8; NONCE_LENGTH] {
        let mut nonce = [0; NONCE_LENGTH];
        nonce.copy_from_slice(&(self.randomness)()[..NONCE_LENGTH]);
        nonce
    }

    /// Makes the first keys; where another replica was faster, its keys are taken.
    pub(crate) async fn make_missing_keys(&self) -> Result<Vec<StoredKey>, Error> {
        let mut transaction = self.database.begin().await?;
        match self.fill_up(&mut transaction).await {
            Ok(()) => match transaction.commit().await {
                Ok(()) | Err(StoreError::UniqueViolation { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            Err(Error::IdentityTaken { .. }) => transaction.rollback().await?,
            Err(error) => return Err(error),
        }
        Ok(signing_keys::list(&self.database).await?)
    }

    async fn rotate(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let now = self.clock.now();
        signing_keys::retire_active(transaction, remove_at(now, self.config.longest_token_lifetime()))
            .await?;
        self.fill_up(transaction).await?;
        counter!("mcx_identity_management_signing_key_rotations_total").increment(1);
        tracing::info!("signing key rotated");
        Ok(())
    }

    /// Sees to it that one key signs and one is the next.
    async fn fill_up(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let now = self.clock.now();
        let state = |keys: &[StoredKey], state| keys.iter().any(|key| key.facts.state == state);
        let keys = signing_keys::list_in(transaction).await?;
        if !state(&keys, SigningKeyState::Active) {
            if state(&keys, SigningKeyState::Next) {
                signing_keys::activate_next(transaction, now).await?;
            } else {
                self.make_key(transaction, SigningKeyState::Active).await?;
            }
        }
        let keys = signing_keys::list_in(transaction).await?;
        if !state(&keys, SigningKeyState::Next) {
            self.make_key(transaction, SigningKeyState::Next).await?;
        }
        Ok(())
    }

    async fn make_key(&self, transaction: &mut Transaction, state: SigningKeyState) -> Result<(), Error> {
        let private =
            std::iter::repeat_with(|| PrivateKey::from_octets(&Zeroizing::new((self.randomness)())[..]))
                .take(8)
                .flatten()
                .next()
                .ok_or_else(|| Error::Internal("no private key can be made".to_owned()))?;
        let public = private.public();
        let sealed = self.key_file.ring().seal(&bound_to(&public.kid), &private.octets(), self.nonce());
        signing_keys::insert(transaction, &public, &sealed, state, self.clock.now()).await?;
        tracing::info!(kid = public.kid, ?state, "signing key made");
        Ok(())
    }
}
