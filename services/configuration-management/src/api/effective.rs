//! `mcx.configuration.v1.EffectiveProfileService`.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::effective_profile_service_server::EffectiveProfileService;
use mcx_types::{ProfileIndex, Violations};
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::wire;

/// The service.
pub(crate) struct EffectiveProfileApi(pub(crate) App);

#[tonic::async_trait]
impl EffectiveProfileService for EffectiveProfileApi {
    async fn get_effective_profile(
        &self,
        request: Request<proto::GetEffectiveProfileRequest>,
    ) -> Result<Response<proto::GetEffectiveProfileResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::service_user(&mut violations, "identity", request.identity.as_ref());
        let index = match request.profile_index {
            None => Some(None),
            Some(index) => violations.accept("profile_index", ProfileIndex::try_from(index)).map(Some),
        };
        let (user, index) = violations.finish(user.zip(index)).map_err(refuse)?;
        self.0.effective_profile(&user, index).await.map(Response::new).map_err(refuse)
    }

    async fn get_permitted_migration(
        &self,
        request: Request<proto::GetPermittedMigrationRequest>,
    ) -> Result<Response<proto::GetPermittedMigrationResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let user = wire::service_user(&mut violations, "identity", request.identity.as_ref());
        let partner = violations.parse("partner_mc_system_id", &request.partner_mc_system_id);
        let (user, partner) = violations.finish(user.zip(partner)).map_err(refuse)?;
        self.0.permitted_migration(&user, &partner).await.map(Response::new).map_err(refuse)
    }
}
