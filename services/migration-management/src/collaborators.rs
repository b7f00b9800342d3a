//! The other entities of this MC system that the provisioning of users works with, TS 23.280 10.17.5. Every call may be repeated.

mod grpc;

use std::collections::HashMap;
use std::sync::Arc;

use mcx_proto::types::v1::{AccessInformation, InitialUeConfiguration};
use mcx_types::{Impu, McId, McService, McServiceId, Subject};
use tonic::async_trait;
use uuid::Uuid;

pub use grpc::Channels;

use crate::domain::user_migration::UserMigration;
use crate::error::Error;

/// An own user as identity management knows her.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Her `sub` in tokens.
    pub subject: Subject,
    /// Who she is in each MC service.
    pub mc_service_ids: std::collections::BTreeMap<McService, McServiceId>,
}

/// An own user with what she needs to reach her partner.
#[derive(Debug, Clone)]
pub struct MigrationTarget {
    /// Her migration.
    pub migration: UserMigration,
    /// What she needs to reach the partner.
    pub access_information: AccessInformation,
}

/// Why migrations have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// An operator revoked them.
    Revoked,
    /// Their validity is over.
    Expired,
}

/// Identity management. At most 500 users per call.
///
/// The errors of all of these are [`Error::EntityUnreachable`] and [`Error::EntityRefused`].
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// The accounts of users, as many as there are.
    async fn resolve_accounts(&self, mc_ids: &[McId]) -> Result<HashMap<McId, Account>, Error>;
    /// Maps visitors to who they are here.
    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error>;
    /// Undoes that, and refuses the tokens that they have.
    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error>;
    /// Lets own users exchange their tokens for security tokens for their partners.
    async fn put_exchange_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error>;
    /// Undoes that.
    async fn delete_exchange_targets(&self, migrations: &[Uuid]) -> Result<(), Error>;
}

/// Configuration management. At most 500 users per call.
#[async_trait]
pub trait Configuration: Send + Sync + 'static {
    /// What every UE needs to reach this MC system.
    async fn initial_ue_configuration(&self) -> Result<InitialUeConfiguration, Error>;
    /// Puts the access information into own users' profiles, and lets their partners have those.
    async fn put_migration_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error>;
    /// Undoes that.
    async fn delete_migration_targets(&self, migrations: &[Uuid]) -> Result<(), Error>;
    /// Takes and serves the user profiles of visitors.
    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error>;
    /// Undoes that.
    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error>;
}

/// Group management. At most 500 users per call.
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// Makes visitors members of the groups granted to them.
    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error>;
    /// Undoes that.
    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error>;
    /// Lets partners have the groups of own users.
    async fn put_shared_users(&self, users: &[UserMigration]) -> Result<(), Error>;
    /// Undoes that.
    async fn delete_shared_users(&self, migrations: &[Uuid]) -> Result<(), Error>;
}

/// The MC service server. At most 500 migrations per call.
#[async_trait]
pub trait McServices: Send + Sync + 'static {
    /// Ends the authorizations of migrated users' clients.
    async fn end_migrations(&self, migrations: &[Uuid], reason: EndReason) -> Result<(), Error>;
}

/// The SIP core.
#[async_trait]
pub trait SipCore: Send + Sync + 'static {
    /// Ends registrations; one that is not there is no error.
    async fn deregister(&self, impus: &[Impu]) -> Result<(), Error>;
}

/// All of them. Clones share them.
#[derive(Clone)]
pub struct Collaborators {
    /// Identity management.
    pub identity: Arc<dyn Identity>,
    /// Configuration management.
    pub configuration: Arc<dyn Configuration>,
    /// Group management.
    pub groups: Arc<dyn Groups>,
    /// The MC service server.
    pub mc_services: Arc<dyn McServices>,
    /// The SIP core.
    pub sip_core: Arc<dyn SipCore>,
}

impl std::fmt::Debug for Collaborators {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Collaborators").finish_non_exhaustive()
    }
}
