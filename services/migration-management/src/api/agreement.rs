//! `mcx.migration.v1.AgreementService`.

use futures::StreamExt;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::agreement_service_server::AgreementService;
use mcx_types::Violations;
use tonic::{Request, Response, Status, Streaming};

use super::{StreamError, mutating_request, optional_version, refuse};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct AgreementApi(pub(crate) App);

#[tonic::async_trait]
impl AgreementService for AgreementApi {
    async fn create_agreement(
        &self,
        request: Request<proto::CreateAgreementRequest>,
    ) -> Result<Response<proto::CreateAgreementResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateAgreement", &request.request_id, &request);
        let agreement = wire::agreement::decode(&mut violations, &self.0.own, request.agreement);
        let (id, agreement) = violations.finish(id.zip(agreement)).map_err(refuse)?;
        self.0.create_agreement(agreement, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_agreement(
        &self,
        request: Request<proto::GetAgreementRequest>,
    ) -> Result<Response<proto::GetAgreementResponse>, Status> {
        let mut violations = Violations::new();
        let partner = violations.parse("partner_mc_system_id", &request.into_inner().partner_mc_system_id);
        let partner = violations.finish(partner).map_err(refuse)?;
        let agreement = self.0.get_agreement(partner).await.map_err(refuse)?;
        let agreement = Some(wire::agreement::encode(&agreement));
        Ok(Response::new(proto::GetAgreementResponse { agreement }))
    }

    async fn list_agreements(
        &self,
        request: Request<proto::ListAgreementsRequest>,
    ) -> Result<Response<proto::ListAgreementsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_agreements(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListAgreementsResponse {
            agreements: page.items.iter().map(wire::agreement::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_agreement(
        &self,
        request: Request<proto::UpdateAgreementRequest>,
    ) -> Result<Response<proto::UpdateAgreementResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateAgreement", &request.request_id, &request);
        let version = request
            .agreement
            .as_ref()
            .and_then(|agreement| wire::version(&mut violations, "agreement.etag", &agreement.etag));
        let agreement = wire::agreement::decode(&mut violations, &self.0.own, request.agreement);
        let ((id, agreement), version) = violations.finish(id.zip(agreement).zip(version)).map_err(refuse)?;
        self.0.update_agreement(agreement, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_agreement(
        &self,
        request: Request<proto::DeleteAgreementRequest>,
    ) -> Result<Response<proto::DeleteAgreementResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteAgreement", &request.request_id, &request);
        let partner = violations.parse("partner_mc_system_id", &request.partner_mc_system_id);
        let version = optional_version(&mut violations, &request.etag);
        let ((id, partner), version) = violations.finish(id.zip(partner).zip(version)).map_err(refuse)?;
        self.0.delete_agreement(partner, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn import_agreements(
        &self,
        request: Request<Streaming<proto::ImportAgreementsRequest>>,
    ) -> Result<Response<proto::ImportAgreementsResponse>, Status> {
        let own = self.0.own.clone();
        let items = request.into_inner().map(move |item| {
            let item = item.map_err(StreamError::Stream)?;
            let mut violations = Violations::new();
            let agreement = wire::agreement::decode(&mut violations, &own, item.agreement);
            Ok::<_, StreamError>(violations.finish(agreement))
        });
        let outcome = self.0.import_agreements(items).await?;
        Ok(Response::new(proto::ImportAgreementsResponse {
            created_count: outcome.created,
            unchanged_count: outcome.unchanged,
            refused_count: outcome.refused,
            refusals: outcome
                .refusals
                .into_iter()
                .map(|refusal| proto::ImportAgreementsRefusal {
                    index: refusal.index,
                    reason: refusal.reason.into(),
                    description: refusal.description,
                })
                .collect(),
        }))
    }
}
