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
use crate::wire::migration::SharedProfiles;

/// How many users one request names at most.
const USER_LIMIT: usize = 50;

/// The service.
pub(crate) struct ProfileSharingApi(pub(crate) App);

/// Reads what a primary gives of one user.
fn read(given: &proto::MigrationProfiles, primary: &McSystemId) -> Result<SharedProfiles, Error> {
    let mut violations = Violations::new();
    let shared = wire::migration::shared_profiles(&mut violations, "migration_profiles", given, primary);
    Ok(violations.finish(shared)?)
}

fn refusal(index: u32, error: &Error) -> proto::ShareMigrationProfilesRefusal {
    let (reason, description) = (error.error_reason().into(), error.describe());
    proto::ShareMigrationProfilesRefusal { index, reason, description }
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
        let (mut readable, mut refusals) = (Vec::new(), Vec::new());
        for (index, given) in (0..).zip(&given) {
            match read(given, &primary) {
                Ok(shared) => readable.push((index, shared)),
                Err(error) => refusals.push(refusal(index, &error)),
            }
        }
        let (indices, shared): (Vec<u32>, Vec<SharedProfiles>) = readable.into_iter().unzip();
        let outcomes = self.0.accept_all(&primary, shared).await.map_err(refuse)?;
        let refused =
            indices.into_iter().zip(outcomes).filter_map(|(index, outcome)| Some((index, outcome.err()?)));
        refusals.extend(refused.map(|(index, error)| refusal(index, &error)));
        refusals.sort_by_key(|refusal| refusal.index);
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
