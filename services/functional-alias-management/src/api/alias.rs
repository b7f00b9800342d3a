//! `mcx.functionalalias.v1.FunctionalAliasService`.

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_service_server::FunctionalAliasService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{mutating_request, optional_version, refuse};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct FunctionalAliasApi(pub(crate) App);

#[tonic::async_trait]
impl FunctionalAliasService for FunctionalAliasApi {
    async fn create_functional_alias(
        &self,
        request: Request<proto::CreateFunctionalAliasRequest>,
    ) -> Result<Response<proto::CreateFunctionalAliasResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateFunctionalAlias", &request.request_id, &request);
        let alias = wire::decode(&mut violations, &self.0.own, request.functional_alias.as_ref());
        let (id, alias) = violations.finish(id.zip(alias)).map_err(refuse)?;
        self.0.create_alias(alias, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_functional_alias(
        &self,
        request: Request<proto::GetFunctionalAliasRequest>,
    ) -> Result<Response<proto::GetFunctionalAliasResponse>, Status> {
        let mut violations = Violations::new();
        let alias = violations.parse("functional_alias", &request.into_inner().functional_alias);
        let alias = violations.finish(alias).map_err(refuse)?;
        let (stored, allowed_users) = self.0.get_alias(alias).await.map_err(refuse)?;
        let functional_alias = Some(wire::encode_with(&stored, &allowed_users));
        Ok(Response::new(proto::GetFunctionalAliasResponse { functional_alias }))
    }

    async fn list_functional_aliases(
        &self,
        request: Request<proto::ListFunctionalAliasesRequest>,
    ) -> Result<Response<proto::ListFunctionalAliasesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_aliases(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListFunctionalAliasesResponse {
            functional_aliases: page.items.iter().map(wire::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_functional_alias(
        &self,
        request: Request<proto::UpdateFunctionalAliasRequest>,
    ) -> Result<Response<proto::UpdateFunctionalAliasResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateFunctionalAlias", &request.request_id, &request);
        let version = request
            .functional_alias
            .as_ref()
            .and_then(|alias| wire::version(&mut violations, "functional_alias.etag", &alias.etag));
        let alias = wire::decode(&mut violations, &self.0.own, request.functional_alias.as_ref());
        let ((id, alias), version) = violations.finish(id.zip(alias).zip(version)).map_err(refuse)?;
        self.0.update_alias(alias, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_functional_alias(
        &self,
        request: Request<proto::DeleteFunctionalAliasRequest>,
    ) -> Result<Response<proto::DeleteFunctionalAliasResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteFunctionalAlias", &request.request_id, &request);
        let alias = violations.parse("functional_alias", &request.functional_alias);
        let version = optional_version(&mut violations, &request.etag);
        let ((id, alias), version) = violations.finish(id.zip(alias).zip(version)).map_err(refuse)?;
        self.0.delete_alias(alias, version, id).await.map(Response::new).map_err(refuse)
    }
}
