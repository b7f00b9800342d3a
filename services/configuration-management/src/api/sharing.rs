//! `mcx.configuration.v1.ProfileSharingService`: CSC-17, on the peer listener. Which MC system calls is what its channel proves, never
//! what a request says.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::profile_sharing_service_server::ProfileSharingService;
use mcx_runtime::CallContext;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::error::Error;
use crate::wire;

/// How many users one request names at most.
const USER_LIMIT: usize = 50;

/// The service.
pub(crate) struct ProfileSharingApi(pub(crate) App);

impl ProfileSharingApi {
    /// Keeps what a primary gives of one user. The outer error is about this service, the inner one about what was given.
    async fn accept(
        &self,
        primary: &McSystemId,
        given: &proto::MigrationProfiles,
    ) -> Result<Result<(), Error>, Error> {
        let mut violations = Violations::new();
        let shared = wire::migration::shared_profiles(&mut violations, "migration_profiles", given, primary);
        let outcome = match violations.finish(shared) {
            Ok(shared) => self.0.accept(primary, shared).await,
            Err(violations) => Err(violations.into()),
        };
        match outcome {
            Err(error) if error.is_ours() => Err(error),
            outcome => Ok(outcome),
        }
    }
}

#[tonic::async_trait]
impl ProfileSharingService for ProfileSharingApi {
    async fn get_migration_profiles(
        &self,
        request: Request<proto::GetMigrationProfilesRequest>,
    ) -> Result<Response<proto::GetMigrationProfilesResponse>, Status> {
        let partner = CallContext::of(&request)?.caller.mc_system_id().clone();
        let mut violations = Violations::new();
        let user = request.into_inner().primary_identity;
        let user = wire::service_user(&mut violations, "primary_identity", user.as_ref());
        let user = violations.finish(user).map_err(refuse)?;
        let profiles = self.0.release_profiles(&partner, &user).await.map_err(refuse)?;
        Ok(Response::new(proto::GetMigrationProfilesResponse { migration_profiles: Some(profiles) }))
    }

    async fn share_migration_profiles(
        &self,
        request: Request<proto::ShareMigrationProfilesRequest>,
    ) -> Result<Response<proto::ShareMigrationProfilesResponse>, Status> {
        let primary = CallContext::of(&request)?.caller.mc_system_id().clone();
        let given = request.into_inner().migration_profiles;
        let mut violations = Violations::new();
        if given.is_empty() || given.len() > USER_LIMIT {
            violations.add("migration_profiles", format_args!("must hold 1 to {USER_LIMIT}"));
        }
        violations.finish(Some(())).map_err(refuse)?;
        self.0.usable_partner(&primary).map_err(refuse)?;
        let mut refusals = Vec::new();
        for (index, given) in (0..).zip(&given) {
            if let Err(error) = self.accept(&primary, given).await.map_err(refuse)? {
                let (reason, description) = (error.error_reason().into(), error.describe());
                refusals.push(proto::ShareMigrationProfilesRefusal { index, reason, description });
            }
        }
        Ok(Response::new(proto::ShareMigrationProfilesResponse { refusals }))
    }

    async fn withdraw_migration_profiles(
        &self,
        request: Request<proto::WithdrawMigrationProfilesRequest>,
    ) -> Result<Response<proto::WithdrawMigrationProfilesResponse>, Status> {
        let primary = CallContext::of(&request)?.caller.mc_system_id().clone();
        let mut violations = Violations::new();
        let withdrawals = wire::migration::withdrawals(&mut violations, &request.into_inner().withdrawals);
        let withdrawals = violations.finish(withdrawals).map_err(refuse)?;
        self.0.usable_partner(&primary).map_err(refuse)?;
        self.0.withdraw(&primary, withdrawals).await.map_err(refuse)?;
        Ok(Response::new(proto::WithdrawMigrationProfilesResponse {}))
    }
}
