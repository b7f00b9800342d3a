//! The client of a partner's configuration management server (CSC-17), on the channel to that partner.

use std::time::Duration;

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::profile_sharing_service_client::ProfileSharingServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_types::{McSystemId, Violations};
use tonic::Status;
use tonic::transport::Channel;

use super::with_timeout;
use crate::domain::user_profile::ServiceUser;
use crate::wire;
use crate::wire::migration::SharedProfiles;

pub(crate) struct ProfileSharingClient {
    inner: ProfileSharingServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl ProfileSharingClient {
    pub(crate) fn new(channel: Channel, timeout: Duration) -> Self {
        Self { inner: ProfileSharingServiceClient::new(Outgoing::new(channel)), timeout }
    }

    /// Asks `primary` for the profiles of a user of it. The outer error is the call's, the inner one an answer that cannot be understood.
    pub(crate) async fn get(
        mut self,
        user: &ServiceUser,
        primary: &McSystemId,
    ) -> Result<Result<SharedProfiles, Violations>, Status> {
        let message =
            proto::GetMigrationProfilesRequest { primary_identity: Some(wire::service_user_to_wire(user)) };
        let answer =
            self.inner.get_migration_profiles(with_timeout(message, self.timeout)).await?.into_inner();
        let mut violations = Violations::new();
        let profiles = violations.require("migration_profiles", answer.migration_profiles);
        let shared = profiles.and_then(|profiles| {
            wire::migration::shared_profiles(&mut violations, "migration_profiles", &profiles, primary)
        });
        Ok(violations.finish(shared))
    }

    /// Gives a partner profiles of own users; returns those that it refuses.
    pub(crate) async fn share(
        mut self,
        migration_profiles: Vec<proto::MigrationProfiles>,
    ) -> Result<Vec<proto::ShareMigrationProfilesRefusal>, Status> {
        let message = proto::ShareMigrationProfilesRequest { migration_profiles };
        let answer = self.inner.share_migration_profiles(with_timeout(message, self.timeout)).await?;
        Ok(answer.into_inner().refusals)
    }

    /// Takes back what a partner has.
    pub(crate) async fn withdraw(
        mut self,
        withdrawals: Vec<proto::MigrationProfilesWithdrawal>,
    ) -> Result<(), Status> {
        let message = proto::WithdrawMigrationProfilesRequest { withdrawals };
        self.inner.withdraw_migration_profiles(with_timeout(message, self.timeout)).await.map(drop)
    }
}
