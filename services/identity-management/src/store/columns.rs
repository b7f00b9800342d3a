//! How values of the domain stand in columns.

use std::collections::BTreeMap;

use mcx_store::StoreError;
use mcx_types::{McService, McServiceId, Timestamp};

use crate::domain::account::ServiceIdentities;
use crate::domain::scopes::Scopes;

/// What a column holds is not what was written there: the schema and the program do not fit.
pub(crate) fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

/// Reads a column that holds JSON.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    column: &'static str,
    json: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|_| corrupt(column))
}

/// Writes a JSON column.
pub(crate) fn to_json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "a value cannot be written as JSON");
        StoreError::Internal
    })
}

/// Reads a column with scopes, separated by spaces. One that is not known any more is left out.
pub(crate) fn scopes(text: &str) -> Scopes {
    Scopes::requested(text)
}

pub(crate) fn service_identities_json(identities: &ServiceIdentities) -> Result<String, StoreError> {
    let texts: BTreeMap<&str, &str> =
        identities.iter().map(|(service, id)| (service.as_str(), id.as_str())).collect();
    to_json(&texts)
}

pub(crate) fn service_identities(json: &str) -> Result<ServiceIdentities, StoreError> {
    const COLUMN: &str = "mc_service_identities";
    let texts: BTreeMap<String, String> = from_json(COLUMN, json)?;
    texts
        .iter()
        .map(|(service, id)| Ok((parse::<McService>(COLUMN, service)?, parse::<McServiceId>(COLUMN, id)?)))
        .collect()
}

pub(crate) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(crate) fn optional_time(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

pub(crate) fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}
