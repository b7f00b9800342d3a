//! `mcx.mcservice.v1.AffiliationService`, on the client listener.

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::affiliation_service_server::AffiliationService;
use mcx_runtime::CallContext;
use mcx_types::Violations;
use tonic::{Request, Response, Status};

use super::{client_in, client_named, outcomes, refuse, user_in};
use crate::app::App;
use crate::app::affiliation::Scope;
use crate::wire;

/// The service.
pub(crate) struct AffiliationApi(pub(crate) App);

#[tonic::async_trait]
impl AffiliationService for AffiliationApi {
    async fn affiliate(
        &self,
        request: Request<proto::AffiliateRequest>,
    ) -> Result<Response<proto::AffiliateResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let groups = wire::groups(&mut violations, &request.group_ids, 1);
        let (named, groups) = violations.finish(named.zip(groups)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let decided = self.0.affiliate(&client, groups).await.map_err(refuse)?;
        Ok(Response::new(proto::AffiliateResponse { outcomes: outcomes(decided) }))
    }

    async fn deaffiliate(
        &self,
        request: Request<proto::DeaffiliateRequest>,
    ) -> Result<Response<proto::DeaffiliateResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let groups = wire::groups(&mut violations, &request.group_ids, 1);
        let scope = match request.scope() {
            proto::DeaffiliationScope::ThisClient => Some(Scope::ThisClient),
            proto::DeaffiliationScope::AllClients => Some(Scope::AllClients),
            proto::DeaffiliationScope::Unspecified => {
                violations.add("scope", "must be a known scope");
                None
            }
        };
        let ((named, groups), scope) = violations.finish(named.zip(groups).zip(scope)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let decided = self.0.deaffiliate(&client, groups, scope).await.map_err(refuse)?;
        Ok(Response::new(proto::DeaffiliateResponse { outcomes: outcomes(decided) }))
    }

    async fn list_affiliations(
        &self,
        request: Request<proto::ListAffiliationsRequest>,
    ) -> Result<Response<proto::ListAffiliationsResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.into_inner().mc_service);
        let mc_service = violations.finish(mc_service).map_err(refuse)?;
        let user = user_in(&token, mc_service).map_err(refuse)?;
        let found = self.0.affiliations_of(&user).await.map_err(refuse)?;
        let affiliations = found.iter().map(wire::affiliation).collect();
        Ok(Response::new(proto::ListAffiliationsResponse { affiliations }))
    }
}
