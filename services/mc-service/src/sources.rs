//! What the MC service server asks other entities of its MC system: user profiles, groups, functional aliases in force now.
//!
//! Each is a trait, so that rules can be tried without the entity; what stands behind it in a system is a typed client of that entity.
//! Nothing is kept here: a change is enforced from the moment the entity has it.

mod configuration_management;
mod functional_alias_management;
mod group_management;

use std::time::Duration;

use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::{FunctionalAlias, McServiceGroupId, McServiceId, McSystemId, ProfileIndex, Violations};
use tonic::{Code, Request, Status};

use crate::domain::alias::AliasForUser;
use crate::domain::group::GroupForMember;
use crate::domain::profile::{AgreedMigration, ProfileAnswer};
use crate::domain::user::User;

pub use configuration_management::ConfigurationManagement;
pub use functional_alias_management::FunctionalAliasManagement;
pub use group_management::GroupManagement;

/// Why another entity gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached, or cannot answer now.
    #[error("it did not answer: {0}")]
    Unreachable(String),
    /// It refuses to answer us, or its answer cannot be understood: a mistake of ours, or of the set-up.
    #[error("it answered what was not expected: {0}")]
    Failed(String),
}

/// Tells user profiles in force; in a system, [`ConfigurationManagement`].
#[tonic::async_trait]
pub trait ProfileSource: Send + Sync + 'static {
    /// The user profile of a user or visitor with this index, or the pre-selected one.
    ///
    /// # Errors
    /// [`SourceError`]
    async fn effective_profile(
        &self,
        user: &User,
        index: Option<ProfileIndex>,
    ) -> Result<ProfileAnswer, SourceError>;

    /// By which migration an own user may be served by a partner, with which user profiles; `None`: she may not.
    ///
    /// # Errors
    /// [`SourceError`]
    async fn agreed_migration(
        &self,
        user: &User,
        partner: &McSystemId,
    ) -> Result<Option<AgreedMigration>, SourceError>;
}

/// Tells groups in force; in a system, [`GroupManagement`].
#[tonic::async_trait]
pub trait GroupSource: Send + Sync + 'static {
    /// A group, of this MC system or shared by a partner, and the membership of a user; `None`: there is no such group here.
    ///
    /// # Errors
    /// [`SourceError`]
    async fn group_for_member(
        &self,
        group: &McServiceGroupId,
        id: &McServiceId,
    ) -> Result<Option<GroupForMember>, SourceError>;
}

/// Tells functional aliases in force; in a system, [`FunctionalAliasManagement`].
#[tonic::async_trait]
pub trait AliasSource: Send + Sync + 'static {
    /// A functional alias, and whether a user may activate it; `None`: there is none.
    ///
    /// # Errors
    /// [`SourceError`]
    async fn alias_for_user(
        &self,
        alias: &FunctionalAlias,
        id: &McServiceId,
    ) -> Result<Option<AliasForUser>, SourceError>;
}

/// How long a call may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// What an error of another entity means, where its reason does not answer what was asked.
fn of_remote(remote: &RemoteError) -> SourceError {
    match remote.code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unknown => SourceError::Unreachable(remote.to_string()),
        _ => SourceError::Failed(remote.to_string()),
    }
}

fn remote(status: &Status) -> RemoteError {
    decode_status(status)
}

/// The decoded answer, or which of its fields are not as they must be.
fn understood<T>(violations: Violations, decoded: Option<T>) -> Result<T, SourceError> {
    violations.finish(decoded).map_err(|violations| {
        let fields: Vec<String> = violations
            .as_slice()
            .iter()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .collect();
        SourceError::Failed(fields.join("; "))
    })
}
