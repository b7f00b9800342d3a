//! What operators do with agreements, and how every replica hears of it.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use mcx_proto::migration::v1 as proto;
use mcx_store::SharedCache;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::McSystemId;
use tokio_stream::wrappers::WatchStream;

use super::App;
use super::mutation::{Begun, begin};
use crate::domain::agreement::Agreement;
use crate::error::Error;
use crate::store::{Page, Stored, agreements, user_migrations};
use crate::wire;

/// Where replicas tell each other that agreements have changed.
pub(crate) const CHANGES: &str = "agreements";

impl App {
    pub(crate) async fn create_agreement(
        &self,
        agreement: Agreement,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateAgreementResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let stored = agreements::insert(&mut mutation.transaction, &agreement, now).await?;
        let response = proto::CreateAgreementResponse { agreement: Some(wire::agreement::encode(&stored)) };
        mutation.commit(&response).await?;
        self.agreements_changed().await;
        Ok(response)
    }

    pub(crate) async fn get_agreement(&self, partner: McSystemId) -> Result<Stored<Agreement>, Error> {
        agreements::find(&self.database, &partner).await?.ok_or(Error::AgreementNotFound(partner))
    }

    pub(crate) async fn list_agreements(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Page<Stored<Agreement>>, Error> {
        Ok(agreements::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn update_agreement(
        &self,
        agreement: Agreement,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateAgreementResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let Some(stored) = agreements::update(&mut mutation.transaction, &agreement, version, now).await?
        else {
            let exists = agreements::exists(&mut mutation.transaction, &agreement.partner).await?;
            return Err(if exists {
                Error::EtagMismatch
            } else {
                Error::AgreementNotFound(agreement.partner)
            });
        };
        let response = proto::UpdateAgreementResponse { agreement: Some(wire::agreement::encode(&stored)) };
        mutation.commit(&response).await?;
        self.agreements_changed().await;
        self.retry_with(&agreement.partner).await;
        Ok(response)
    }

    pub(crate) async fn delete_agreement(
        &self,
        partner: McSystemId,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteAgreementResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        agreements::lock(&mut mutation.transaction, &partner).await?;
        if user_migrations::is_active_with(&mut mutation.transaction, &partner).await? {
            return Err(Error::AgreementInUse(partner));
        }
        let deleted = agreements::delete(&mut mutation.transaction, &partner, version).await;
        let deleted = deleted.map_err(|error| match error {
            StoreError::ForeignKeyViolation { .. } => Error::AgreementInUse(partner.clone()),
            other => other.into(),
        })?;
        if !deleted {
            let exists = agreements::exists(&mut mutation.transaction, &partner).await?;
            return Err(if exists { Error::EtagMismatch } else { Error::AgreementNotFound(partner) });
        }
        let response = proto::DeleteAgreementResponse {};
        mutation.commit(&response).await?;
        // Even should the agreements not be readable right now: its certificates are worth nothing from the next handshake on.
        self.peers.forget(&partner);
        self.agreements_changed().await;
        Ok(response)
    }

    /// Tells a partner at once what it could not be told: where that failed for what the agreement said, it need not fail again.
    async fn retry_with(&self, partner: &McSystemId) {
        match user_migrations::retry_now(&self.database, partner, self.clock.now()).await {
            Ok(true) => self.user_migrations_changed().await,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, %partner, "what waits for the partner is tried again at its next interval");
            }
        }
    }

    /// Puts changed agreements in force, here and in the other replicas. They are durable already: where they cannot be read now, they
    /// are at the next interval.
    pub(crate) async fn agreements_changed(&self) {
        if let Err(error) = self.reconcile_peers().await {
            tracing::warn!(%error, "the changed agreements cannot be read now");
        }
        notify(&self.cache).await;
    }

    /// Makes the peers those of the agreements, and tells whoever follows them.
    pub(crate) async fn reconcile_peers(&self) -> Result<(), StoreError> {
        // One at a time: what was read last is in force last.
        let _turn = self.agreements_turn.lock().await;
        let agreements: Vec<_> =
            agreements::all(&self.database).await?.into_iter().map(|stored| stored.value).collect();
        self.peers.reconcile(&agreements);
        self.agreements.send_if_modified(|known| {
            let is_changed = known.as_deref() != Some(&agreements);
            if is_changed {
                *known = Some(Arc::new(agreements));
            }
            is_changed
        });
        Ok(())
    }

    /// All agreements as they are, as soon as they were read once, and again after each change.
    pub(crate) fn watch_agreements(&self) -> impl Stream<Item = Arc<Vec<Agreement>>> + Send + use<> {
        let changes = WatchStream::new(self.agreements.subscribe());
        changes.filter_map(std::future::ready)
    }
}

/// Tells the other replicas. Should it fail, they find out at their next interval.
async fn notify(cache: &SharedCache) {
    if let Err(error) = cache.publish(CHANGES, "changed").await {
        tracing::warn!(%error, "other replicas are not told of the change, they will find it at their next interval");
    }
}
