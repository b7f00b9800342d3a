//! The typed clients of identity management, for the other entities of the same MC system.

mod token_trust;

use std::time::Duration;

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::account_service_client::AccountServiceClient;
use mcx_proto::identity::v1::migration_identity_service_client::MigrationIdentityServiceClient;
use mcx_proto::identity::v1::signing_key_service_client::SigningKeyServiceClient;
use mcx_proto::identity::v1::token_service_client::TokenServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::{McId, Subject};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use uuid::Uuid;

pub use token_trust::follow_token_trust;

/// Why identity management did not answer as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IdentityManagementError {
    /// The identity management server of a visitor's primary MC system is not trusted yet, or not for what she is to have. An operator has
    /// to see to it; until then a repetition fails too.
    #[error("the trust in the partner does not cover its users: {0}")]
    TrustMissing(RemoteError),
    /// An own user to be provisioned has no account any more.
    #[error("a user has no account: {0}")]
    AccountUnknown(RemoteError),
    /// An identity that was allotted to a visitor is taken.
    #[error("an identity is taken: {0}")]
    IdentityTaken(RemoteError),
    /// Identity management, or its database, is away or did not answer in time. Try again.
    #[error("identity management is unavailable: {0}")]
    Unavailable(RemoteError),
    /// A fault of the request or of identity management.
    #[error("identity management failed: {0}")]
    Failed(RemoteError),
}

impl From<Status> for IdentityManagementError {
    fn from(status: Status) -> Self {
        let remote = decode_status(&status);
        match (remote.reason.as_str(), remote.code) {
            ("PARTNER_TRUST_UNKNOWN" | "PARTNER_TRUST_MISMATCH", _) => Self::TrustMissing(remote),
            ("ACCOUNT_UNKNOWN", _) => Self::AccountUnknown(remote),
            ("IDENTITY_TAKEN", _) => Self::IdentityTaken(remote),
            (_, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted) => {
                Self::Unavailable(remote)
            }
            _ => Self::Failed(remote),
        }
    }
}

/// The client of identity management. Every call is idempotent: one that failed as [`IdentityManagementError::Unavailable`] is repeated.
#[derive(Debug, Clone)]
pub struct IdentityManagementClient {
    accounts: AccountServiceClient<Outgoing<Channel>>,
    migrations: MigrationIdentityServiceClient<Outgoing<Channel>>,
    keys: SigningKeyServiceClient<Outgoing<Channel>>,
    tokens: TokenServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl IdentityManagementClient {
    /// A client on a channel; each call ends after `timeout`, or earlier where the call it serves does.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        let channel = || Outgoing::new(channel.clone());
        Self {
            accounts: AccountServiceClient::new(channel()),
            migrations: MigrationIdentityServiceClient::new(channel()),
            keys: SigningKeyServiceClient::new(channel()),
            tokens: TokenServiceClient::new(channel()),
            timeout,
        }
    }

    /// Who the users are that have these MC IDs, at most 1000; unknown ones are named in the answer.
    ///
    /// # Errors
    /// [`IdentityManagementError`], as for every call.
    pub async fn resolve_accounts(
        &self,
        mc_ids: impl IntoIterator<Item = &McId>,
    ) -> Result<proto::ResolveAccountsResponse, IdentityManagementError> {
        let mc_ids = mc_ids.into_iter().map(McId::to_string).collect();
        let request = self.request(proto::ResolveAccountsRequest { mc_ids });
        Ok(self.accounts.clone().resolve_accounts(request).await?.into_inner())
    }

    /// Maps visitors, at most 500; who they are here, in the same order.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn put_visitors(
        &self,
        visitors: Vec<proto::Visitor>,
    ) -> Result<Vec<proto::MappedVisitor>, IdentityManagementError> {
        let request = self.request(proto::PutVisitorsRequest { visitors });
        Ok(self.migrations.clone().put_visitors(request).await?.into_inner().mapped_visitors)
    }

    /// Removes visitors, at most 500, and revokes their tokens; how many there were.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn delete_visitors(
        &self,
        migration_ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<u64, IdentityManagementError> {
        let request = self.request(proto::DeleteVisitorsRequest { migration_ids: texts(migration_ids) });
        Ok(self.migrations.clone().delete_visitors(request).await?.into_inner().deleted_count)
    }

    /// Lets own users exchange their access tokens, at most 500.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn put_exchange_targets(
        &self,
        targets: Vec<proto::ExchangeTarget>,
    ) -> Result<(), IdentityManagementError> {
        let request = self.request(proto::PutExchangeTargetsRequest { targets });
        self.migrations.clone().put_exchange_targets(request).await?;
        Ok(())
    }

    /// No longer lets own users exchange their access tokens, at most 500; how many could.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn delete_exchange_targets(
        &self,
        migration_ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<u64, IdentityManagementError> {
        let migration_ids = texts(migration_ids);
        let request = self.request(proto::DeleteExchangeTargetsRequest { migration_ids });
        Ok(self.migrations.clone().delete_exchange_targets(request).await?.into_inner().deleted_count)
    }

    /// Revokes all tokens of own users and of visitors, at most 1000 together; how many of them were known.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn revoke_subjects(
        &self,
        subjects: impl IntoIterator<Item = &Subject>,
        migration_ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<u64, IdentityManagementError> {
        let request = self.request(proto::RevokeSubjectsRequest {
            subjects: subjects.into_iter().map(Subject::to_string).collect(),
            migration_ids: texts(migration_ids),
            request_id: String::new(),
        });
        Ok(self.tokens.clone().revoke_subjects(request).await?.into_inner().revoked_count)
    }

    /// The issuer, token endpoint and public keys: what a partner needs to believe security tokens of this system.
    ///
    /// # Errors
    /// [`IdentityManagementError`].
    pub async fn json_web_key_set(&self) -> Result<proto::GetJsonWebKeySetResponse, IdentityManagementError> {
        let request = self.request(proto::GetJsonWebKeySetRequest {});
        Ok(self.keys.clone().get_json_web_key_set(request).await?.into_inner())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

fn texts(migration_ids: impl IntoIterator<Item = Uuid>) -> Vec<String> {
    migration_ids.into_iter().map(|id| id.to_string()).collect()
}
