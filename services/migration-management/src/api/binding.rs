//! `mcx.migration.v1.BindingService`.

use futures::StreamExt;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::binding_service_server::BindingService;
use mcx_proto::migration::v1::get_binding_request::Binding as Key;
use mcx_types::Violations;
use tonic::{Request, Response, Status, Streaming};

use super::{StreamError, mutating_request, optional_version, refuse};
use crate::app::App;
use crate::app::bindings::BindingKey;
use crate::wire;

/// The service.
pub(crate) struct BindingApi(pub(crate) App);

#[tonic::async_trait]
impl BindingService for BindingApi {
    async fn create_binding(
        &self,
        request: Request<proto::CreateBindingRequest>,
    ) -> Result<Response<proto::CreateBindingResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateBinding", &request.request_id, &request);
        let terms = wire::binding::decode(&mut violations, &self.0.own, request.binding.as_ref());
        let (id, terms) = violations.finish(id.zip(terms)).map_err(refuse)?;
        self.0.create_binding(terms, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_binding(
        &self,
        request: Request<proto::GetBindingRequest>,
    ) -> Result<Response<proto::GetBindingResponse>, Status> {
        let mut violations = Violations::new();
        let key = match violations.require("binding", request.into_inner().binding) {
            None => None,
            Some(Key::BindingId(id)) => wire::uuid(&mut violations, "binding_id", &id).map(BindingKey::Id),
            Some(Key::PartnerImpi(impi)) => {
                violations.parse("partner_impi", &impi).map(BindingKey::PartnerImpi)
            }
        };
        let key = violations.finish(key).map_err(refuse)?;
        let binding = self.0.get_binding(key).await.map_err(refuse)?;
        Ok(Response::new(proto::GetBindingResponse { binding: Some(wire::binding::encode(&binding)) }))
    }

    async fn list_bindings(
        &self,
        request: Request<proto::ListBindingsRequest>,
    ) -> Result<Response<proto::ListBindingsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let primary = wire::optional(&mut violations, "primary_mc_system_id", &request.primary_mc_system_id);
        let (limit, primary) = violations.finish(limit.zip(primary)).map_err(refuse)?;
        let page = self.0.list_bindings(primary, &request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListBindingsResponse {
            bindings: page.items.iter().map(wire::binding::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_binding(
        &self,
        request: Request<proto::UpdateBindingRequest>,
    ) -> Result<Response<proto::UpdateBindingResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateBinding", &request.request_id, &request);
        let terms = wire::binding::decode(&mut violations, &self.0.own, request.binding.as_ref());
        let named = request.binding.as_ref().and_then(|binding| {
            let id = wire::uuid(&mut violations, "binding.binding_id", &binding.binding_id);
            let version = wire::version(&mut violations, "binding.etag", &binding.etag);
            id.zip(version)
        });
        let ((id, terms), (binding_id, version)) =
            violations.finish(id.zip(terms).zip(named)).map_err(refuse)?;
        self.0.update_binding(binding_id, terms, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_binding(
        &self,
        request: Request<proto::DeleteBindingRequest>,
    ) -> Result<Response<proto::DeleteBindingResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteBinding", &request.request_id, &request);
        let binding_id = wire::uuid(&mut violations, "binding_id", &request.binding_id);
        let version = optional_version(&mut violations, &request.etag);
        let ((id, binding_id), version) =
            violations.finish(id.zip(binding_id).zip(version)).map_err(refuse)?;
        self.0.delete_binding(binding_id, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn import_bindings(
        &self,
        request: Request<Streaming<proto::ImportBindingsRequest>>,
    ) -> Result<Response<proto::ImportBindingsResponse>, Status> {
        let own = self.0.own.clone();
        let items = request.into_inner().map(move |item| {
            let item = item.map_err(StreamError::Stream)?;
            let mut violations = Violations::new();
            let terms = wire::binding::decode(&mut violations, &own, item.binding.as_ref());
            Ok::<_, StreamError>(violations.finish(terms))
        });
        let outcome = self.0.import_bindings(items).await?;
        Ok(Response::new(proto::ImportBindingsResponse {
            created_count: outcome.created,
            unchanged_count: outcome.unchanged,
            refused_count: outcome.refused,
            refusals: outcome
                .refusals
                .into_iter()
                .map(|refusal| proto::ImportBindingsRefusal {
                    index: refusal.index,
                    reason: refusal.reason.into(),
                    description: refusal.description,
                })
                .collect(),
        }))
    }
}
