//! `mcx.identity.v1.PartnerTrustService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::partner_trust_service_server::PartnerTrustService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, refuse};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct PartnerTrustApi(pub(crate) App);

#[tonic::async_trait]
impl PartnerTrustService for PartnerTrustApi {
    async fn put_partner_trust(
        &self,
        request: Request<proto::PutPartnerTrustRequest>,
    ) -> Result<Response<proto::PutPartnerTrustResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "PutPartnerTrust", &request.request_id, &request);
        let trust = request.partner_trust.as_ref();
        let decoded = wire::partner_trust::decode(&mut violations, &self.0.own, &self.0.issuer, trust);
        let version = trust.map_or(Some(None), |trust| {
            wire::optional_version(&mut violations, "partner_trust.etag", &trust.etag)
        });
        let ((id, trust), version) = violations.finish(id.zip(decoded).zip(version)).map_err(refuse)?;
        self.0.put_partner_trust(trust, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_partner_trust(
        &self,
        request: Request<proto::GetPartnerTrustRequest>,
    ) -> Result<Response<proto::GetPartnerTrustResponse>, Status> {
        let mut violations = Violations::new();
        let id = violations.parse("mc_system_id", &request.into_inner().mc_system_id);
        let id = violations.finish(id).map_err(refuse)?;
        let trust = self.0.get_partner_trust(id).await.map_err(refuse)?;
        let partner_trust = Some(wire::partner_trust::encode(&trust));
        Ok(Response::new(proto::GetPartnerTrustResponse { partner_trust }))
    }

    async fn list_partner_trusts(
        &self,
        request: Request<proto::ListPartnerTrustsRequest>,
    ) -> Result<Response<proto::ListPartnerTrustsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_partner_trusts(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListPartnerTrustsResponse {
            partner_trusts: page.items.iter().map(wire::partner_trust::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn delete_partner_trust(
        &self,
        request: Request<proto::DeletePartnerTrustRequest>,
    ) -> Result<Response<proto::DeletePartnerTrustResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeletePartnerTrust", &request.request_id, &request);
        let mc_system_id = violations.parse("mc_system_id", &request.mc_system_id);
        let version = wire::optional_version(&mut violations, "etag", &request.etag);
        let ((id, mc_system_id), version) =
            violations.finish(id.zip(mc_system_id).zip(version)).map_err(refuse)?;
        self.0.delete_partner_trust(mc_system_id, version, id).await.map(Response::new).map_err(refuse)
    }
}
