//! How values of the domain stand in columns.

use mcx_store::StoreError;
use mcx_types::{Impu, SipIdentities, Timestamp, Validity};

use crate::domain::binding::{SignallingAccess, UseState};

/// What a column holds is not what was written there: the schema and the program do not fit.
pub(crate) fn corrupt(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read back");
    StoreError::Internal
}

/// Parses a column.
pub(crate) fn parse<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| corrupt(column))
}

/// Reads a column that holds a list as JSON.
pub(crate) fn parse_list<T: std::str::FromStr>(
    column: &'static str,
    json: &str,
) -> Result<Vec<T>, StoreError> {
    let texts: Vec<String> = serde_json::from_str(json).map_err(|_| corrupt(column))?;
    texts.iter().map(|text| parse(column, text)).collect()
}

/// Writes a list for a JSON column.
pub(crate) fn list_json<T: std::fmt::Display>(items: &[T]) -> String {
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    serde_json::Value::from(texts).to_string()
}

pub(crate) fn identities(impi: &str, impus: &str) -> Result<SipIdentities, StoreError> {
    Ok(SipIdentities { impi: parse("impi", impi)?, impus: parse_list::<Impu>("impus", impus)? })
}

pub(crate) fn validity(from: Option<i64>, until: Option<i64>) -> Validity {
    Validity { from: from.map(Timestamp::from_micros), until: until.map(Timestamp::from_micros) }
}

pub(crate) fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}

pub(crate) fn use_state_name(state: UseState) -> &'static str {
    match state {
        UseState::Enabled => "ENABLED",
        UseState::Suspended => "SUSPENDED",
    }
}

pub(crate) fn use_state(name: &str) -> Result<UseState, StoreError> {
    match name {
        "ENABLED" => Ok(UseState::Enabled),
        "SUSPENDED" => Ok(UseState::Suspended),
        _ => Err(corrupt("state")),
    }
}

pub(crate) fn signalling_access_name(access: SignallingAccess) -> &'static str {
    match access {
        SignallingAccess::FederatedAuth => "FEDERATED_AUTH",
        SignallingAccess::LocalCredentials => "LOCAL_CREDENTIALS",
    }
}

pub(crate) fn signalling_access(name: &str) -> Result<SignallingAccess, StoreError> {
    match name {
        "FEDERATED_AUTH" => Ok(SignallingAccess::FederatedAuth),
        "LOCAL_CREDENTIALS" => Ok(SignallingAccess::LocalCredentials),
        _ => Err(corrupt("signalling_access")),
    }
}
