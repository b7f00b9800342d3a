//! What operators do with the trust in partners' identity management servers.

use mcx_proto::identity::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::McSystemId;

use super::App;
use super::mutation::{Begun, begin};
use crate::domain::partner::PartnerTrust;
use crate::error::Error;
use crate::store::{Page, Stored, partner_trusts};
use crate::wire;

impl App {
    pub(crate) async fn put_partner_trust(
        &self,
        trust: PartnerTrust,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::PutPartnerTrustResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        let present = partner_trusts::find_in(transaction, &trust.mc_system_id).await?;
        let is_same = present.as_ref().is_some_and(|present| {
            present.value == trust && version.is_none_or(|version| version == present.version)
        });
        let issuer_changes = present.as_ref().is_some_and(|present| present.value.issuer != trust.issuer);
        if issuer_changes && partner_trusts::is_in_use(transaction, &trust.mc_system_id).await? {
            return Err(Error::PartnerTrustInUse(trust.mc_system_id));
        }
        let stored = match present {
            Some(present) if is_same => present,
            _ => {
                let put = partner_trusts::put(transaction, &trust, version, now).await?;
                put.ok_or(Error::EtagMismatch)?
            }
        };
        let response =
            proto::PutPartnerTrustResponse { partner_trust: Some(wire::partner_trust::encode(&stored)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn get_partner_trust(&self, id: McSystemId) -> Result<Stored<PartnerTrust>, Error> {
        partner_trusts::find(&self.database, &id).await?.ok_or(Error::PartnerTrustNotFound(id))
    }

    pub(crate) async fn list_partner_trusts(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Page<Stored<PartnerTrust>>, Error> {
        Ok(partner_trusts::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn delete_partner_trust(
        &self,
        id: McSystemId,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeletePartnerTrustResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        if partner_trusts::is_in_use(transaction, &id).await? {
            return Err(Error::PartnerTrustInUse(id));
        }
        if !partner_trusts::delete(transaction, &id, version).await? {
            let exists = partner_trusts::find_in(transaction, &id).await?.is_some();
            return Err(if exists { Error::EtagMismatch } else { Error::PartnerTrustNotFound(id) });
        }
        let response = proto::DeletePartnerTrustResponse {};
        mutation.commit(&response).await?;
        Ok(response)
    }
}
