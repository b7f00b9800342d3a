//! `mcx.mcservice.v1.FederationService`: TS 23.280 10.6.3 and 10.8.3.2 between MC systems, on the peer listener.

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::federation_service_server::FederationService;
use mcx_runtime::CallContext;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};

use super::{outcomes, refuse};
use crate::app::App;
use crate::app::served::{PartnerQuestion, client_of};
use crate::domain::user::{Client, User};
use crate::wire;

/// The service.
pub(crate) struct FederationApi(pub(crate) App);

/// The partner is who the channel proves, never what the request says.
fn partner_of<T>(request: &Request<T>) -> Result<McSystemId, Status> {
    Ok(CallContext::of(request)?.caller.mc_system_id().clone())
}

#[tonic::async_trait]
impl FederationService for FederationApi {
    async fn authorize_migration_service(
        &self,
        request: Request<proto::FederationServiceAuthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::FederationServiceAuthorizeMigrationServiceResponse>, Status> {
        let partner = partner_of(&request)?;
        let request = request.into_inner();
        let named = request.identity.clone();
        let mut violations = Violations::new();
        let identity = wire::migrated_identity(&mut violations, request.identity);
        let index = wire::profile_index(&mut violations, request.profile_index);
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let migration = wire::uuid(&mut violations, "migration_id", &request.migration_id);
        let authorization = wire::uuid(&mut violations, "authorization_id", &request.authorization_id);
        let decoded = identity.zip(index).zip(instance).zip(migration).zip(authorization);
        let ((((identity, profile_index), client_instance), migration_id), authorization_id) =
            violations.finish(decoded).map_err(refuse)?;
        let question = PartnerQuestion {
            identity,
            profile_index,
            client_instance,
            migration_id,
            authorization_id,
            renewal: request.renewal,
        };
        let lease = self.0.permit_migration(&partner, question).await.map_err(refuse)?;
        Ok(Response::new(proto::FederationServiceAuthorizeMigrationServiceResponse {
            identity: named,
            lease: wire::duration(lease),
        }))
    }

    async fn deauthorize_migration_service(
        &self,
        request: Request<proto::FederationServiceDeauthorizeMigrationServiceRequest>,
    ) -> Result<Response<proto::FederationServiceDeauthorizeMigrationServiceResponse>, Status> {
        let partner = partner_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let identity = wire::migrated_identity(&mut violations, request.identity);
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let reason = wire::end_reason(&mut violations, request.reason);
        let authorization = wire::uuid(&mut violations, "authorization_id", &request.authorization_id);
        let decoded = identity.zip(instance).zip(reason).zip(authorization);
        let (((identity, instance), reason), authorization_id) =
            violations.finish(decoded).map_err(refuse)?;
        let client = client_of(&identity, instance);
        self.0.ended_by_partner(&partner, &client, authorization_id, reason).await.map_err(refuse)?;
        Ok(Response::new(proto::FederationServiceDeauthorizeMigrationServiceResponse {}))
    }

    async fn end_migration_service(
        &self,
        request: Request<proto::EndMigrationServiceRequest>,
    ) -> Result<Response<proto::EndMigrationServiceResponse>, Status> {
        let primary = partner_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let identity = wire::migrated_identity(&mut violations, request.identity);
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let reason = wire::end_reason(&mut violations, request.reason);
        let authorization = wire::uuid(&mut violations, "authorization_id", &request.authorization_id);
        let decoded = identity.zip(instance).zip(reason).zip(authorization);
        let (((identity, instance), reason), authorization_id) =
            violations.finish(decoded).map_err(refuse)?;
        // Here she is known by the MC service ID that this MC system allotted.
        let client =
            Client { user: User { mc_service: identity.mc_service, id: identity.partner }, instance };
        let ended = self.0.end_for_primary(&primary, &client, authorization_id, reason).await;
        let was_authorized = ended.map_err(refuse)?;
        Ok(Response::new(proto::EndMigrationServiceResponse { was_authorized }))
    }

    async fn affiliate(
        &self,
        request: Request<proto::FederationServiceAffiliateRequest>,
    ) -> Result<Response<proto::FederationServiceAffiliateResponse>, Status> {
        let partner = partner_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::user(&mut violations, request.identity);
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let groups = wire::groups(&mut violations, &request.group_ids, 1);
        let lease = wire::lease(&mut violations, request.lease);
        let at = wire::required_time(&mut violations, "request_time", request.request_time);
        let decoded = user.zip(instance).zip(groups).zip(lease).zip(at);
        let ((((user, instance), groups), lease), at) = violations.finish(decoded).map_err(refuse)?;
        let client = Client { user, instance };
        let decided = self.0.affiliate_for_partner(&partner, &client, groups, lease, at).await;
        let outcomes = outcomes(decided.map_err(refuse)?);
        Ok(Response::new(proto::FederationServiceAffiliateResponse { outcomes }))
    }

    async fn deaffiliate(
        &self,
        request: Request<proto::FederationServiceDeaffiliateRequest>,
    ) -> Result<Response<proto::FederationServiceDeaffiliateResponse>, Status> {
        let partner = partner_of(&request)?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::user(&mut violations, request.identity);
        let instance = wire::uuid(&mut violations, "client_instance", &request.client_instance);
        let groups = wire::groups(&mut violations, &request.group_ids, 0);
        let until = wire::required_time(&mut violations, "request_time", request.request_time);
        let decoded = user.zip(instance).zip(groups).zip(until);
        let (((user, instance), groups), until) = violations.finish(decoded).map_err(refuse)?;
        let client = Client { user, instance };
        let ended = self.0.deaffiliate_for_partner(&partner, &client, &groups, until).await;
        let ended_count = u32::try_from(ended.map_err(refuse)?).unwrap_or(u32::MAX);
        Ok(Response::new(proto::FederationServiceDeaffiliateResponse { ended_count }))
    }
}
