//! `mcx.migration.v1.PermitService`.

use futures::StreamExt;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::permit_service_server::PermitService;
use mcx_types::Violations;
use tonic::{Request, Response, Status, Streaming};

use super::{StreamError, mutating_request, optional_version, refuse};
use crate::app::App;
use crate::store::permits::PermitFilter;
use crate::wire;

/// The service.
pub(crate) struct PermitApi(pub(crate) App);

#[tonic::async_trait]
impl PermitService for PermitApi {
    async fn create_permit(
        &self,
        request: Request<proto::CreatePermitRequest>,
    ) -> Result<Response<proto::CreatePermitResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreatePermit", &request.request_id, &request);
        let terms = wire::permit::decode(&mut violations, &self.0.own, request.permit.as_ref());
        let (id, terms) = violations.finish(id.zip(terms)).map_err(refuse)?;
        self.0.create_permit(terms, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_permit(
        &self,
        request: Request<proto::GetPermitRequest>,
    ) -> Result<Response<proto::GetPermitResponse>, Status> {
        let mut violations = Violations::new();
        let id = wire::uuid(&mut violations, "permit_id", &request.into_inner().permit_id);
        let id = violations.finish(id).map_err(refuse)?;
        let permit = self.0.get_permit(id).await.map_err(refuse)?;
        Ok(Response::new(proto::GetPermitResponse { permit: Some(wire::permit::encode(&permit)) }))
    }

    async fn list_permits(
        &self,
        request: Request<proto::ListPermitsRequest>,
    ) -> Result<Response<proto::ListPermitsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let partner = wire::optional(&mut violations, "partner_mc_system_id", &request.partner_mc_system_id);
        let primary_impi = wire::optional(&mut violations, "primary_impi", &request.primary_impi);
        let ((limit, partner), primary_impi) =
            violations.finish(limit.zip(partner).zip(primary_impi)).map_err(refuse)?;
        let filter = PermitFilter { partner, primary_impi };
        let page = self.0.list_permits(&filter, &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListPermitsResponse {
            permits: page.items.iter().map(wire::permit::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_permit(
        &self,
        request: Request<proto::UpdatePermitRequest>,
    ) -> Result<Response<proto::UpdatePermitResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdatePermit", &request.request_id, &request);
        let terms = wire::permit::decode(&mut violations, &self.0.own, request.permit.as_ref());
        let named = request.permit.as_ref().and_then(|permit| {
            let id = wire::uuid(&mut violations, "permit.permit_id", &permit.permit_id);
            let version = wire::version(&mut violations, "permit.etag", &permit.etag);
            id.zip(version)
        });
        let ((id, terms), (permit_id, version)) =
            violations.finish(id.zip(terms).zip(named)).map_err(refuse)?;
        self.0.update_permit(permit_id, terms, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_permit(
        &self,
        request: Request<proto::DeletePermitRequest>,
    ) -> Result<Response<proto::DeletePermitResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeletePermit", &request.request_id, &request);
        let permit_id = wire::uuid(&mut violations, "permit_id", &request.permit_id);
        let version = optional_version(&mut violations, &request.etag);
        let ((id, permit_id), version) = violations.finish(id.zip(permit_id).zip(version)).map_err(refuse)?;
        self.0.delete_permit(permit_id, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn import_permits(
        &self,
        request: Request<Streaming<proto::ImportPermitsRequest>>,
    ) -> Result<Response<proto::ImportPermitsResponse>, Status> {
        let own = self.0.own.clone();
        let items = request.into_inner().map(move |item| {
            let item = item.map_err(StreamError::Stream)?;
            let mut violations = Violations::new();
            let terms = wire::permit::decode(&mut violations, &own, item.permit.as_ref());
            Ok::<_, StreamError>(violations.finish(terms))
        });
        let outcome = self.0.import_permits(items).await?;
        Ok(Response::new(proto::ImportPermitsResponse {
            created_count: outcome.created,
            unchanged_count: outcome.unchanged,
            refused_count: outcome.refused,
            refusals: outcome
                .refusals
                .into_iter()
                .map(|refusal| proto::ImportPermitsRefusal {
                    index: refusal.index,
                    reason: refusal.reason.into(),
                    description: refusal.description,
                })
                .collect(),
        }))
    }
}
