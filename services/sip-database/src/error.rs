//! Why the SIP database refuses a request: one variant for each reason of its contract.

use std::time::Duration;

use mcx_aka::digest::DigestAlgorithm;
use mcx_runtime::error::ErrorFacts;
use mcx_store::StoreError;
use mcx_types::{Impi, Impu, McSystemId, Violation, Violations};
use tonic::Code;
use uuid::Uuid;

use crate::domain::requester::RequesterNotAllowed;
use crate::domain::subscriber::VectorRefusal;

/// The protocol package of the reasons.
pub(crate) const DOMAIN: &str = "mcx.sipdatabase.v1";

/// Which identity another subscriber has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TakenIdentity {
    Private(Impi),
    Public(Impu),
}

impl std::fmt::Display for TakenIdentity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Private(impi) => impi.fmt(formatter),
            Self::Public(impu) => impu.fmt(formatter),
        }
    }
}

/// The errors of this service. The variants are the reasons of `mcx.sipdatabase.v1.ErrorReason`.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SipDatabaseError {
    #[error("the request is not as it must be")]
    InvalidRequest(Violations),
    #[error("no subscriber has the private user identity {0}")]
    SubscriberUnknown(Impi),
    #[error("{impu} is not a public user identity of {impi}")]
    IdentitiesDoNotMatch { impi: Impi, impu: Impu },
    #[error("{0} is barred")]
    SubscriberBarred(Impi),
    #[error("{impi} is not authenticated by {}", scheme.token())]
    SchemeNotSupported { impi: Impi, scheme: DigestAlgorithm },
    #[error("no challenge that {0} could resynchronise with was issued to this requester lately")]
    ChallengeUnknown(Impi),
    #[error("the resynchronisation token of {0} does not verify")]
    ResynchronisationRefused(Impi),
    #[error("the sequence numbers of {0} are used up")]
    SequenceExhausted(Impi),
    #[error("another subscriber has {0}")]
    IdentityTaken(TakenIdentity),
    #[error("{0} was changed since its etag was read")]
    EtagMismatch(Impi),
    #[error("request_id {0} was used for another request")]
    RequestIdReused(Uuid),
    #[error("key-encryption key {key_id} is not in the key file")]
    KeyEncryptionKeyMissing { key_id: String },
    #[error("the store is away")]
    StoreUnavailable { retry_after: Duration },
    #[error("the caller may not ask on behalf of {0}")]
    RequesterNotAllowed(McSystemId),
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl SipDatabaseError {
    /// The error of a failed statement. Every violated constraint that a request can cause is handled where the statement
    /// is, so what is left is the store's absence or a mistake of ours.
    pub(crate) fn of_store(error: StoreError, retry_after: Duration) -> Self {
        if error.is_retryable() {
            return Self::StoreUnavailable { retry_after };
        }
        match error {
            StoreError::SchemaBehind { .. } => Self::StoreUnavailable { retry_after },
            error => {
                tracing::error!(%error, "store failed");
                Self::Internal("the store failed")
            }
        }
    }

    /// The refusal of vectors to this subscriber.
    pub(crate) fn of_vector_refusal(impi: &Impi, refusal: VectorRefusal) -> Self {
        let impi = impi.clone();
        match refusal {
            VectorRefusal::IdentitiesDoNotMatch(impu) => Self::IdentitiesDoNotMatch { impi, impu },
            VectorRefusal::Barred => Self::SubscriberBarred(impi),
            VectorRefusal::SchemeNotSupported(scheme) => Self::SchemeNotSupported { impi, scheme },
        }
    }
}

impl From<Violations> for SipDatabaseError {
    fn from(violations: Violations) -> Self {
        Self::InvalidRequest(violations)
    }
}

impl From<RequesterNotAllowed> for SipDatabaseError {
    fn from(RequesterNotAllowed(system): RequesterNotAllowed) -> Self {
        Self::RequesterNotAllowed(system)
    }
}

impl ErrorFacts for SipDatabaseError {
    fn code(&self) -> Code {
        match self {
            Self::InvalidRequest(_) => Code::InvalidArgument,
            Self::SubscriberUnknown(_) => Code::NotFound,
            Self::IdentitiesDoNotMatch { .. }
            | Self::SubscriberBarred(_)
            | Self::SchemeNotSupported { .. }
            | Self::ChallengeUnknown(_)
            | Self::ResynchronisationRefused(_)
            | Self::SequenceExhausted(_)
            | Self::KeyEncryptionKeyMissing { .. } => Code::FailedPrecondition,
            Self::IdentityTaken(_) | Self::RequestIdReused(_) => Code::AlreadyExists,
            Self::EtagMismatch(_) => Code::Aborted,
            Self::StoreUnavailable { .. } => Code::Unavailable,
            Self::RequesterNotAllowed(_) => Code::PermissionDenied,
            Self::Internal(_) => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "INVALID_REQUEST",
            Self::SubscriberUnknown(_) => "SUBSCRIBER_UNKNOWN",
            Self::IdentitiesDoNotMatch { .. } => "IDENTITIES_DO_NOT_MATCH",
            Self::SubscriberBarred(_) => "SUBSCRIBER_BARRED",
            Self::SchemeNotSupported { .. } => "SCHEME_NOT_SUPPORTED",
            Self::ChallengeUnknown(_) => "CHALLENGE_UNKNOWN",
            Self::ResynchronisationRefused(_) => "RESYNCHRONISATION_REFUSED",
            Self::SequenceExhausted(_) => "SEQUENCE_EXHAUSTED",
            Self::IdentityTaken(_) => "IDENTITY_TAKEN",
            Self::EtagMismatch(_) => "ETAG_MISMATCH",
            Self::RequestIdReused(_) => "REQUEST_ID_REUSED",
            Self::KeyEncryptionKeyMissing { .. } => "KEY_ENCRYPTION_KEY_MISSING",
            Self::StoreUnavailable { .. } => "STORE_UNAVAILABLE",
            Self::RequesterNotAllowed(_) => "REQUESTER_NOT_ALLOWED",
            Self::Internal(_) => "INTERNAL",
        }
    }

    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn metadata(&self) -> Vec<(String, String)> {
        let pair = |key: &str, value: &dyn std::fmt::Display| (key.to_owned(), value.to_string());
        match self {
            Self::InvalidRequest(_) | Self::StoreUnavailable { .. } | Self::Internal(_) => Vec::new(),
            Self::SubscriberUnknown(impi)
            | Self::SubscriberBarred(impi)
            | Self::ChallengeUnknown(impi)
            | Self::ResynchronisationRefused(impi)
            | Self::SequenceExhausted(impi)
            | Self::EtagMismatch(impi)
            | Self::IdentityTaken(TakenIdentity::Private(impi)) => vec![pair("impi", impi)],
            Self::IdentityTaken(TakenIdentity::Public(impu)) => vec![pair("impu", impu)],
            Self::IdentitiesDoNotMatch { impi, impu } => vec![pair("impi", impi), pair("impu", impu)],
            Self::SchemeNotSupported { impi, scheme } => {
                vec![pair("impi", impi), pair("scheme", &scheme.token())]
            }
            Self::RequestIdReused(id) => vec![pair("request_id", id)],
            Self::KeyEncryptionKeyMissing { key_id } => vec![pair("key_id", key_id)],
            Self::RequesterNotAllowed(system) => vec![pair("requesting_mc_system_id", system)],
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::StoreUnavailable { retry_after } => Some(*retry_after),
            _ => None,
        }
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
    use mcx_proto::sipdatabase::v1::ErrorReason;

    use super::*;

    fn one_of_each() -> Vec<SipDatabaseError> {
        use SipDatabaseError as E;
        let impi: Impi = "alice@alpha.example".parse().unwrap();
        let impu: Impu = "sip:alice@alpha.example".parse().unwrap();
        vec![
            E::InvalidRequest(Violations::new()),
            E::SubscriberUnknown(impi.clone()),
            E::IdentitiesDoNotMatch { impi: impi.clone(), impu: impu.clone() },
            E::SubscriberBarred(impi.clone()),
            E::SchemeNotSupported { impi: impi.clone(), scheme: DigestAlgorithm::AkaV2Md5 },
            E::ChallengeUnknown(impi.clone()),
            E::ResynchronisationRefused(impi.clone()),
            E::SequenceExhausted(impi.clone()),
            E::IdentityTaken(TakenIdentity::Public(impu)),
            E::EtagMismatch(impi),
            E::RequestIdReused(Uuid::nil()),
            E::KeyEncryptionKeyMissing { key_id: "2026-01".to_owned() },
            E::StoreUnavailable { retry_after: Duration::from_secs(1) },
            E::RequesterNotAllowed("bravo.example".parse().unwrap()),
            E::Internal("test"),
        ]
    }

    #[test]
    fn every_reason_of_the_contract_has_an_error_and_the_other_way_round() {
        let reasons: Vec<String> =
            one_of_each().iter().map(|error| format!("ERROR_REASON_{}", error.reason())).collect();
        let of_contract: Vec<&str> =
            (1..).map_while(|number| ErrorReason::try_from(number).ok()).map(|it| it.as_str_name()).collect();
        assert_eq!(reasons, of_contract);
    }

    #[test]
    fn refusal_to_serve_for_now_says_when_to_try_again() {
        let retries: Vec<&str> = one_of_each()
            .iter()
            .filter(|error| error.retry_after().is_some())
            .map(ErrorFacts::reason)
            .collect();
        assert_eq!(retries, ["STORE_UNAVAILABLE"]);
    }
}
