//! `mcx.mcservice.v1.FunctionalAliasActivationService`, on the client listener.

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::functional_alias_activation_service_server::FunctionalAliasActivationService;
use mcx_runtime::CallContext;
use mcx_types::{FunctionalAlias, Violations};
use tonic::{Request, Response, Status};

use super::{client_in, client_named, refuse, user_in};
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct ActivationApi(pub(crate) App);

#[tonic::async_trait]
impl FunctionalAliasActivationService for ActivationApi {
    async fn activate_functional_alias(
        &self,
        request: Request<proto::ActivateFunctionalAliasRequest>,
    ) -> Result<Response<proto::ActivateFunctionalAliasResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let alias = violations.parse::<FunctionalAlias>("functional_alias", &request.functional_alias);
        let (named, alias) = violations.finish(named.zip(alias)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let activated = self.0.activate_alias(&client, alias, request.take_over).await.map_err(refuse)?;
        Ok(Response::new(proto::ActivateFunctionalAliasResponse {
            activation: Some(wire::activation(&activated.activation)),
            rule: activated.rule.into(),
            displaced_mc_service_id: activated.displaced.map(|user| user.id.to_string()).unwrap_or_default(),
        }))
    }

    async fn deactivate_functional_alias(
        &self,
        request: Request<proto::DeactivateFunctionalAliasRequest>,
    ) -> Result<Response<proto::DeactivateFunctionalAliasResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.mc_service);
        let alias = violations.parse::<FunctionalAlias>("functional_alias", &request.functional_alias);
        let (mc_service, alias) = violations.finish(mc_service.zip(alias)).map_err(refuse)?;
        let user = user_in(&token, mc_service).map_err(refuse)?;
        let was_active = self.0.deactivate_alias(&user, &alias).await.map_err(refuse)?;
        Ok(Response::new(proto::DeactivateFunctionalAliasResponse { was_active }))
    }

    async fn list_active_functional_aliases(
        &self,
        request: Request<proto::ListActiveFunctionalAliasesRequest>,
    ) -> Result<Response<proto::ListActiveFunctionalAliasesResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.into_inner().mc_service);
        let mc_service = violations.finish(mc_service).map_err(refuse)?;
        let user = user_in(&token, mc_service).map_err(refuse)?;
        let found = self.0.aliases_of(&user).await.map_err(refuse)?;
        let activations = found.iter().map(wire::activation).collect();
        Ok(Response::new(proto::ListActiveFunctionalAliasesResponse { activations }))
    }
}
