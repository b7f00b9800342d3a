//! What operators do with admission policies.

use mcx_proto::migration::v1 as proto;
use mcx_store::StoreError;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::McSystemId;

use crate::app::App;
use crate::app::mutation::{Begun, begin};
use crate::domain::admission_policy::AdmissionPolicy;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::{Page, Stored, admission_policies};
use crate::wire;

impl App {
    pub(crate) async fn get_admission_policy(
        &self,
        primary: McSystemId,
    ) -> Result<Stored<AdmissionPolicy>, Error> {
        let found = admission_policies::find(&self.database, &primary).await?;
        found.ok_or(Error::AdmissionPolicyNotFound(primary))
    }

    pub(crate) async fn list_admission_policies(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Page<Stored<AdmissionPolicy>>, Error> {
        Ok(admission_policies::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn update_admission_policy(
        &self,
        policy: AdmissionPolicy,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateAdmissionPolicyResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let stored = admission_policies::put(&mut mutation.transaction, &policy, version, now).await;
        let stored = stored.map_err(|error| match error {
            StoreError::ForeignKeyViolation { .. } => {
                Refusal::AgreementUnknown { mc_system_id: policy.primary.clone() }.into()
            }
            other => Error::from(other),
        })?;
        let stored = stored.ok_or(Error::EtagMismatch)?;
        let response = proto::UpdateAdmissionPolicyResponse {
            admission_policy: Some(wire::admission_policy::encode(&stored)),
        };
        mutation.commit(&response).await?;
        Ok(response)
    }
}
