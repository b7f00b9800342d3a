//! Why the SIP core refuses a request to its management interface: one variant for each reason of its contract.

use std::time::Duration;

use mcx_runtime::error::ErrorFacts;
use mcx_types::{Impu, Violation, Violations};
use tonic::Code;

use crate::app::WatchError;
use crate::store::SharedStateError;

/// The protocol package of the reasons.
const DOMAIN: &str = "mcx.sipcore.v1";

/// How long a caller waits when the shared cache is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The errors of this service. The variants are the reasons of `mcx.sipcore.v1.ErrorReason`.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SipCoreError {
    #[error("the request is not as it must be")]
    InvalidRequest(Violations),
    #[error("nobody is registered as {0}")]
    NotRegistered(Impu),
    #[error("the shared cache is away")]
    StoreUnavailable,
    #[error("changes may have been missed")]
    WatchLagged,
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<Violations> for SipCoreError {
    fn from(violations: Violations) -> Self {
        Self::InvalidRequest(violations)
    }
}

impl From<SharedStateError> for SipCoreError {
    fn from(error: SharedStateError) -> Self {
        match error {
            SharedStateError::Unavailable | SharedStateError::Contended => Self::StoreUnavailable,
            SharedStateError::Unreadable => Self::Internal("the shared cache holds an unreadable entry"),
        }
    }
}

impl From<WatchError> for SipCoreError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Lagged => Self::WatchLagged,
            WatchError::SharedState(error) => error.into(),
        }
    }
}

impl ErrorFacts for SipCoreError {
    fn code(&self) -> Code {
        match self {
            Self::InvalidRequest(_) => Code::InvalidArgument,
            Self::NotRegistered(_) => Code::NotFound,
            Self::StoreUnavailable => Code::Unavailable,
            Self::WatchLagged => Code::DataLoss,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "INVALID_REQUEST",
            Self::NotRegistered(_) => "NOT_REGISTERED",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::WatchLagged => "WATCH_LAGGED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn metadata(&self) -> Vec<(String, String)> {
        match self {
            Self::NotRegistered(impu) => vec![("impu".to_owned(), impu.to_string())],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::StoreUnavailable).then_some(RETRY_AFTER)
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::InvalidRequest(violations) => violations.as_slice(),
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use mcx_proto::sipcore::v1::ErrorReason;

    use super::*;

    #[test]
    fn every_reason_of_the_contract_has_an_error_and_the_other_way_round() {
        let one_of_each = [
            SipCoreError::InvalidRequest(Violations::new()),
            SipCoreError::NotRegistered("sip:alice@bravo.example".parse().unwrap()),
            SipCoreError::StoreUnavailable,
            SipCoreError::WatchLagged,
            SipCoreError::Internal("test"),
        ];
        let reasons: Vec<String> =
            one_of_each.iter().map(|error| format!("ERROR_REASON_{}", error.reason())).collect();
        let of_contract: Vec<&str> =
            (1..).map_while(|number| ErrorReason::try_from(number).ok()).map(|it| it.as_str_name()).collect();
        assert_eq!(reasons, of_contract);
    }
}
