//! `mcx.mcservice.v1.ServiceAuthorizationService`, on the client listener.

use crate::app::status::WatchToken;
use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::service_authorization_service_server::ServiceAuthorizationService;
use mcx_runtime::CallContext;
use mcx_types::{McService, Violations};
use tonic::{Request, Response, Status};

use super::{client_in, client_named, outcomes, refuse, user_in};
use crate::app::App;
use crate::app::migration::VisitorRequest;
use crate::app::status::Watch;
use crate::error::Error;
use crate::wire;

/// The service.
pub(crate) struct ServiceAuthorizationApi(pub(crate) App);

#[tonic::async_trait]
impl ServiceAuthorizationService for ServiceAuthorizationApi {
    async fn authorize_service(
        &self,
        request: Request<proto::AuthorizeServiceRequest>,
    ) -> Result<Response<proto::AuthorizeServiceResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let index = wire::optional_profile_index(&mut violations, request.profile_index);
        let (named, index) = violations.finish(named.zip(index)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let is_visitor = token.visitor_of.is_some();
        let authorized = self.0.authorize_service(client, index, is_visitor).await.map_err(refuse)?;
        Ok(Response::new(proto::AuthorizeServiceResponse {
            authorization: Some(wire::authorization(&authorized.authorization)),
            refresh_after: wire::duration(authorized.refresh_after),
            implicit_affiliations: outcomes(authorized.implicit),
            profile_etag: authorized.profile_etag,
        }))
    }

    async fn deauthorize_service(
        &self,
        request: Request<proto::DeauthorizeServiceRequest>,
    ) -> Result<Response<proto::DeauthorizeServiceResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let named = violations.finish(named).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let was_authorized = self.0.deauthorize(&client).await.map_err(refuse)?;
        Ok(Response::new(proto::DeauthorizeServiceResponse { was_authorized }))
    }

    async fn change_active_user_profile(
        &self,
        request: Request<proto::ChangeActiveUserProfileRequest>,
    ) -> Result<Response<proto::ChangeActiveUserProfileResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let index = wire::profile_index(&mut violations, request.profile_index);
        let (named, index) = violations.finish(named.zip(index)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let changed = self.0.change_active_profile(&client, index).await.map_err(refuse)?;
        Ok(Response::new(proto::ChangeActiveUserProfileResponse {
            authorization: Some(wire::authorization(&changed.authorized.authorization)),
            implicit_affiliations: outcomes(changed.authorized.implicit),
            ended_affiliations: changed.ended.iter().map(ToString::to_string).collect(),
            profile_etag: changed.authorized.profile_etag,
        }))
    }

    async fn authorize_migration_service(
        &self,
        request: Request<proto::AuthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::AuthorizeMigrationServiceResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let primary_id = violations.parse("primary_mc_service_id", &request.primary_mc_service_id);
        let index = wire::optional_profile_index(&mut violations, request.profile_index);
        let ((named, primary_id), index) =
            violations.finish(named.zip(primary_id).zip(index)).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let asked = VisitorRequest { client, primary_of_token: token.visitor_of, primary_id, index };
        let authorized = self.0.authorize_visitor(asked).await.map_err(refuse)?;
        Ok(Response::new(proto::AuthorizeMigrationServiceResponse {
            authorization: Some(wire::authorization(&authorized.authorization)),
            refresh_after: wire::duration(authorized.refresh_after),
            implicit_affiliations: outcomes(authorized.implicit),
            profile_etag: authorized.profile_etag,
        }))
    }

    async fn deauthorize_migration_service(
        &self,
        request: Request<proto::DeauthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::DeauthorizeMigrationServiceResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let named = violations.finish(named).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let was_authorized = self.0.deauthorize(&client).await.map_err(refuse)?;
        Ok(Response::new(proto::DeauthorizeMigrationServiceResponse { was_authorized }))
    }

    async fn get_service_status(
        &self,
        request: Request<proto::GetServiceStatusRequest>,
    ) -> Result<Response<proto::GetServiceStatusResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let mut violations = Violations::new();
        let mc_service = violations.mc_service("mc_service", request.into_inner().mc_service);
        let mc_service = violations.finish(mc_service).map_err(refuse)?;
        let user = user_in(&token, mc_service).map_err(refuse)?;
        let (authorizations, served_by) = self.0.status_of(&user).await.map_err(refuse)?;
        Ok(Response::new(proto::GetServiceStatusResponse {
            authorizations: authorizations.iter().map(wire::authorization).collect(),
            served_by: served_by.iter().map(wire::served_by).collect(),
        }))
    }

    async fn refresh_service_authorization(
        &self,
        request: Request<proto::RefreshServiceAuthorizationRequest>,
    ) -> Result<Response<proto::RefreshServiceAuthorizationResponse>, Status> {
        let token = CallContext::user_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let named = client_named(&mut violations, request.mc_service, &request.client_instance);
        let named = violations.finish(named).map_err(refuse)?;
        let client = client_in(&token, named).map_err(refuse)?;
        let (kept, refresh_after) = self.0.refresh(&client).await.map_err(refuse)?;
        Ok(Response::new(proto::RefreshServiceAuthorizationResponse {
            authorization: Some(wire::authorization(&kept)),
            refresh_after: wire::duration(refresh_after),
        }))
    }

    type WatchServiceStatusStream = BoxStream<'static, Result<proto::WatchServiceStatusResponse, Status>>;

    async fn watch_service_status(
        &self,
        request: Request<proto::WatchServiceStatusRequest>,
    ) -> Result<Response<Self::WatchServiceStatusStream>, Status> {
        let token = CallContext::user_of(&request)?;
        let shutdown = CallContext::of(&request)?.shutdown;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let resume = wire::optional::<WatchToken>(&mut violations, "resume_token", &request.resume_token);
        let (client_instance, resume) = violations.finish(instance.zip(resume)).map_err(refuse)?;
        let users: Vec<_> =
            McService::ALL.into_iter().filter_map(|mc_service| user_in(&token, mc_service).ok()).collect();
        if users.is_empty() {
            // The scope of an MC service is there, or the call would not have come here, but no identity with it.
            return Err(refuse(Error::ServiceNotInToken(McService::Ptt)));
        }
        let watch = Watch { users, client_instance, resume, until: token.expires_at, shutdown };
        let events = self.0.watch(watch).await.map_err(refuse)?;
        Ok(Response::new(events.map(|event| event.map_err(refuse)).boxed()))
    }
}
