//! How values of the domain stand in columns.

use mcx_store::StoreError;
use mcx_types::ProfileIndex;
use uuid::Uuid;

use crate::domain::Rule;
use crate::domain::user::{Client, User};

/// What a column holds is not what was written there: the schema and the program do not fit.
pub(crate) fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

pub(crate) fn client(service: &str, id: &str, instance: &str) -> Result<Client, StoreError> {
    let instance: Uuid = parse("client_instance", instance)?;
    Ok(Client { user: user(service, id)?, instance })
}

pub(crate) fn user(service: &str, id: &str) -> Result<User, StoreError> {
    Ok(User { mc_service: parse("mc_service", service)?, id: parse("mc_service_id", id)? })
}

pub(crate) fn profile_index(number: i64) -> Result<ProfileIndex, StoreError> {
    u8::try_from(number).map(ProfileIndex).map_err(|_| corrupt("profile_index"))
}

pub(crate) fn rule(name: &str) -> Result<Rule, StoreError> {
    Rule::from_str_name(&format!("DECISION_RULE_{name}")).ok_or_else(|| corrupt("rule"))
}
