//! How values of the domain stand in columns.

use mcx_store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::member::Origin;

/// What a column holds is not what was written there: the schema and the program do not fit.
pub(crate) fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

/// Reads a column that is JSON.
pub(crate) fn parse_json<T: DeserializeOwned>(column: &'static str, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|_| corrupt(column))
}

/// Writes a column that is JSON. The same value always gives the same text, so that texts can be compared.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "a value cannot be written as json");
        StoreError::Internal
    })
}

pub(crate) fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Provisioned => "PROVISIONED",
        Origin::Granted => "GRANTED",
        Origin::Shared => "SHARED",
    }
}

pub(crate) fn origin(name: &str) -> Result<Origin, StoreError> {
    match name {
        "PROVISIONED" => Ok(Origin::Provisioned),
        "GRANTED" => Ok(Origin::Granted),
        "SHARED" => Ok(Origin::Shared),
        _ => Err(corrupt("origin")),
    }
}
