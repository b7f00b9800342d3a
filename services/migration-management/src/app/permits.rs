//! What operators do with permits.

use mcx_proto::migration::v1 as proto;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use uuid::Uuid;

use super::App;
use super::mutation::{Begun, Mutation, begin};
use crate::domain::permit::{Permit, PermitTerms};
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::permits::PermitFilter;
use crate::store::{Page, Stored, permits};
use crate::wire;

impl App {
    pub(crate) async fn create_permit(
        &self,
        terms: PermitTerms,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreatePermitResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let permit = permits::insert(&mut mutation.transaction, Uuid::now_v7(), &terms, now)
            .await
            .map_err(|error| of_permit(error, &terms))?;
        let response = proto::CreatePermitResponse { permit: Some(wire::permit::encode(&permit)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn get_permit(&self, id: Uuid) -> Result<Stored<Permit>, Error> {
        permits::find(&self.database, id).await?.ok_or(Error::PermitNotFound(id))
    }

    pub(crate) async fn list_permits(
        &self,
        filter: &PermitFilter,
        after: &str,
        limit: u32,
    ) -> Result<Page<Stored<Permit>>, Error> {
        Ok(permits::list(&self.database, filter, after, limit).await?)
    }

    pub(crate) async fn update_permit(
        &self,
        id: Uuid,
        terms: PermitTerms,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdatePermitResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        check_by_hand(&mut mutation, id).await?;
        let updated = permits::update(&mut mutation.transaction, id, &terms, version, now)
            .await
            .map_err(|error| of_permit(error, &terms))?;
        let Some(permit) = updated else {
            return Err(Error::EtagMismatch);
        };
        let response = proto::UpdatePermitResponse { permit: Some(wire::permit::encode(&permit)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_permit(
        &self,
        id: Uuid,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeletePermitResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        check_by_hand(&mut mutation, id).await?;
        if !permits::delete(&mut mutation.transaction, id, version).await? {
            return Err(Error::EtagMismatch);
        }
        let response = proto::DeletePermitResponse {};
        mutation.commit(&response).await?;
        Ok(response)
    }
}

/// Whether the permit is there and an operator's to change: one that a user migration keeps would differ from what the other system has.
async fn check_by_hand(mutation: &mut Mutation, id: Uuid) -> Result<(), Error> {
    match permits::kept_by(&mut mutation.transaction, id).await? {
        None => Err(Error::PermitNotFound(id)),
        Some(None) => Ok(()),
        Some(Some(migration)) => Err(Error::KeptByUserMigration(migration)),
    }
}

/// What the store's refusal of a permit means.
pub(crate) fn of_permit(error: StoreError, terms: &PermitTerms) -> Error {
    match error {
        StoreError::ForeignKeyViolation { .. } => {
            Refusal::AgreementUnknown { mc_system_id: terms.partner.clone() }.into()
        }
        other => other.into(),
    }
}
