//! `mcx.functionalalias.v1.FunctionalAliasLookupService`.

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_lookup_service_server::FunctionalAliasLookupService;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct FunctionalAliasLookupApi(pub(crate) App);

#[tonic::async_trait]
impl FunctionalAliasLookupService for FunctionalAliasLookupApi {
    async fn get_functional_alias(
        &self,
        request: Request<proto::FunctionalAliasLookupServiceGetFunctionalAliasRequest>,
    ) -> Result<Response<proto::FunctionalAliasLookupServiceGetFunctionalAliasResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let alias = violations.parse("functional_alias", &request.functional_alias);
        let user = wire::optional(&mut violations, "mc_service_id", &request.mc_service_id);
        let (alias, user) = violations.finish(alias.zip(user)).map_err(refuse)?;
        let (stored, is_allowed_user) = self.0.look_up(alias, user.as_ref()).await.map_err(refuse)?;
        Ok(Response::new(proto::FunctionalAliasLookupServiceGetFunctionalAliasResponse {
            functional_alias: Some(wire::encode(&stored)),
            is_allowed_user,
        }))
    }
}
