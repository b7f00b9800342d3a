//! Putting in place what the migration of users needs.

use std::time::Duration;

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::initial_ue_configuration_service_client::InitialUeConfigurationServiceClient;
use mcx_proto::configuration::v1::migration_configuration_service_client::MigrationConfigurationServiceClient;
use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_runtime::client::Outgoing;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{ClientError, with_timeout};

/// How long a call for up to 500 users may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// What migration management asks of configuration management. Every call may be repeated. Clones share the channel.
#[derive(Debug, Clone)]
pub struct MigrationConfigurationClient {
    inner: MigrationConfigurationServiceClient<Outgoing<Channel>>,
    initial: InitialUeConfigurationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl MigrationConfigurationClient {
    /// A client over this channel, with a deadline of 20 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        let channel = Outgoing::new(channel);
        Self {
            inner: MigrationConfigurationServiceClient::new(channel.clone()),
            initial: InitialUeConfigurationServiceClient::new(channel),
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// What UEs need to reach this MC system.
    ///
    /// # Errors
    /// [`ClientError`]; `INITIAL_UE_CONFIGURATION_UNKNOWN` until an operator has written it.
    pub async fn initial_ue_configuration(&self) -> Result<InitialUeConfiguration, ClientError> {
        let request = with_timeout(proto::GetInitialUeConfigurationRequest {}, self.timeout);
        let answer = self.initial.clone().get_initial_ue_configuration(request).await?.into_inner();
        let configuration = answer.document.and_then(|document| document.initial_ue_configuration);
        configuration.ok_or(ClientError::MalformedAnswer { field: "document.initial_ue_configuration" })
    }

    /// Lets up to 500 own users migrate.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn put_migration_targets(
        &self,
        targets: Vec<proto::UserMigrationTarget>,
    ) -> Result<(), ClientError> {
        let request = with_timeout(proto::PutMigrationTargetsRequest { targets }, self.timeout);
        self.inner.clone().put_migration_targets(request).await?;
        Ok(())
    }

    /// Lets up to 500 own users not migrate any more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete_migration_targets(&self, migration_ids: &[Uuid]) -> Result<(), ClientError> {
        let message = proto::DeleteMigrationTargetsRequest { migration_ids: texts(migration_ids) };
        self.inner.clone().delete_migration_targets(with_timeout(message, self.timeout)).await?;
        Ok(())
    }

    /// Expects up to 500 visitors.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn put_visitors(&self, visitors: Vec<proto::Visitor>) -> Result<(), ClientError> {
        let request = with_timeout(proto::PutVisitorsRequest { visitors }, self.timeout);
        self.inner.clone().put_visitors(request).await?;
        Ok(())
    }

    /// Expects up to 500 visitors no more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn delete_visitors(&self, migration_ids: &[Uuid]) -> Result<(), ClientError> {
        let message = proto::DeleteVisitorsRequest { migration_ids: texts(migration_ids) };
        self.inner.clone().delete_visitors(with_timeout(message, self.timeout)).await?;
        Ok(())
    }
}

fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}
