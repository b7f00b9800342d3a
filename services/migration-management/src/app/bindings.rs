//! What operators do with bindings.

use mcx_proto::migration::v1 as proto;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{Impi, McSystemId};
use uuid::Uuid;

use super::App;
use super::mutation::{Begun, Mutation, begin};
use crate::domain::binding::{Binding, BindingTerms};
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::{Page, Stored, bindings};
use crate::wire;

/// Which binding is meant.
#[derive(Debug, Clone)]
pub(crate) enum BindingKey {
    /// That with this identifier.
    Id(Uuid),
    /// That of this visitor.
    PartnerImpi(Impi),
}

impl App {
    pub(crate) async fn create_binding(
        &self,
        terms: BindingTerms,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateBindingResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let binding = bindings::insert(&mut mutation.transaction, Uuid::now_v7(), &terms, now)
            .await
            .map_err(|error| of_binding(error, &terms))?;
        let response = proto::CreateBindingResponse { binding: Some(wire::binding::encode(&binding)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn get_binding(&self, key: BindingKey) -> Result<Stored<Binding>, Error> {
        match key {
            BindingKey::Id(id) => bindings::find(&self.database, id).await?.ok_or(Error::BindingNotFound(id)),
            BindingKey::PartnerImpi(partner_impi) => {
                bindings::find_by_partner_impi(&self.database, &partner_impi)
                    .await?
                    .ok_or(Error::Refused(Refusal::BindingUnknown { partner_impi }))
            }
        }
    }

    pub(crate) async fn list_bindings(
        &self,
        primary: Option<McSystemId>,
        after: &str,
        limit: u32,
    ) -> Result<Page<Stored<Binding>>, Error> {
        Ok(bindings::list(&self.database, primary.as_ref(), after, limit).await?)
    }

    pub(crate) async fn update_binding(
        &self,
        id: Uuid,
        terms: BindingTerms,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateBindingResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        check_by_hand(&mut mutation, id).await?;
        let updated = bindings::update(&mut mutation.transaction, id, &terms, version, now)
            .await
            .map_err(|error| of_binding(error, &terms))?;
        let Some(binding) = updated else {
            return Err(Error::EtagMismatch);
        };
        let response = proto::UpdateBindingResponse { binding: Some(wire::binding::encode(&binding)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_binding(
        &self,
        id: Uuid,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteBindingResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        check_by_hand(&mut mutation, id).await?;
        if !bindings::delete(&mut mutation.transaction, id, version).await? {
            return Err(Error::EtagMismatch);
        }
        let response = proto::DeleteBindingResponse {};
        mutation.commit(&response).await?;
        Ok(response)
    }
}

/// Whether the binding is there and an operator's to change: one that a user migration keeps would differ from what the other system has.
async fn check_by_hand(mutation: &mut Mutation, id: Uuid) -> Result<(), Error> {
    match bindings::kept_by(&mut mutation.transaction, id).await? {
        None => Err(Error::BindingNotFound(id)),
        Some(None) => Ok(()),
        Some(Some(migration)) => Err(Error::KeptByUserMigration(migration)),
    }
}

/// What the store's refusal of a binding means.
pub(crate) fn of_binding(error: StoreError, terms: &BindingTerms) -> Error {
    match error {
        StoreError::ForeignKeyViolation { .. } => {
            Refusal::AgreementUnknown { mc_system_id: terms.primary_mc_system_id.clone() }.into()
        }
        other => other.into(),
    }
}
