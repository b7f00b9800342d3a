//! The typed client of the MC service server for the own migration management.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::migrated_user_service_client::MigratedUserServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use tonic::transport::Channel;
use tonic::{Code, Request};
use uuid::Uuid;

/// How long a call may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most migrations that one call may end.
pub const MIGRATION_LIMIT: usize = 500;

/// Why migrations could not be ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the mc service server did not end the migrations: {0}")]
pub struct ClientError(pub RemoteError);

impl ClientError {
    /// Whether the same call may succeed when it is repeated unchanged.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Cancelled
                | Code::Internal
        )
    }
}

/// Ends migrations, TS 23.280 10.17.5. Clones share the channel.
#[derive(Debug, Clone)]
pub struct MigratedUserClient {
    inner: MigratedUserServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl MigratedUserClient {
    /// A client over this channel, with a deadline of 5 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        Self { inner: MigratedUserServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Ends migrations for good in this MC system, at most [`MIGRATION_LIMIT`]; clients are told REVOKED. Returns how many authorizations
    /// of clients ended. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn end_migrations(&self, migration_ids: &[Uuid]) -> Result<u32, ClientError> {
        let message = proto::EndMigrationsRequest {
            migration_ids: migration_ids.iter().map(Uuid::to_string).collect(),
            reason: proto::EndReason::Revoked.into(),
        };
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let answer = self.inner.clone().end_migrations(request).await;
        answer
            .map(|answer| answer.into_inner().ended_count)
            .map_err(|status| ClientError(decode_status(&status)))
    }
}
