//! The entities that know users, over gRPC: the own SIP database, and the own migration management server for visitors.

use std::time::Duration;

use async_trait::async_trait;
use mcx_aka::{Auts, Rand};
use mcx_proto::migration::v1 as migration;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient as MigrationClient;
use mcx_proto::sipdatabase::v1 as database;
use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient as DatabaseClient;
use mcx_proto::types::v1 as types;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::wire::SynchronisationFailure;
use mcx_types::{SipIdentities, Violations};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::app::{AuthenticationInformation, AuthenticationInformationSource, SourceError};

/// Vectors of own users, from the SIP database.
#[derive(Debug, Clone)]
pub struct SipDatabaseSource {
    client: DatabaseClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl SipDatabaseSource {
    /// Asks over this channel; a call ends after `timeout`.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self { client: DatabaseClient::new(Outgoing::new(channel)), timeout }
    }
}

#[async_trait]
impl AuthenticationInformationSource for SipDatabaseSource {
    async fn get(&self, identities: &SipIdentities) -> Result<AuthenticationInformation, SourceError> {
        let message = database::GetSipAuthenticationInformationRequest {
            identities: Some(identities.clone().into()),
            vector_count: 1,
            ..Default::default()
        };
        let request = with_timeout(message, self.timeout);
        let answer = self.client.clone().get_sip_authentication_information(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        decode(answer.identities, answer.authentication_information)
    }

    async fn resynchronise(
        &self,
        identities: &SipIdentities,
        rand: &Rand,
        auts: &Auts,
    ) -> Result<AuthenticationInformation, SourceError> {
        let message = database::ResynchroniseRequest {
            identities: Some(identities.clone().into()),
            synchronisation_failure: Some(SynchronisationFailure { rand: *rand, auts: *auts }.into()),
            ..Default::default()
        };
        let answer = self.client.clone().resynchronise(with_timeout(message, self.timeout)).await;
        let answer = answer.map_err(refusal)?.into_inner();
        decode(answer.identities, answer.authentication_information)
    }
}

/// Vectors of visitors, from the migration management server (TS 23.280 10.1.6.2 steps 2 and 9).
#[derive(Debug, Clone)]
pub struct MigrationManagementSource {
    client: MigrationClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl MigrationManagementSource {
    /// Asks over this channel; a call ends after `timeout`.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self { client: MigrationClient::new(Outgoing::new(channel)), timeout }
    }
}

#[async_trait]
impl AuthenticationInformationSource for MigrationManagementSource {
    async fn get(&self, identities: &SipIdentities) -> Result<AuthenticationInformation, SourceError> {
        let message = migration::GetSipAuthenticationInformationRequest {
            partner_identities: Some(identities.clone().into()),
            ..Default::default()
        };
        let request = with_timeout(message, self.timeout);
        let answer = self.client.clone().get_sip_authentication_information(request).await;
        let answer = answer.map_err(refusal)?.into_inner();
        decode(answer.partner_identities, answer.authentication_information)
    }

    async fn resynchronise(
        &self,
        identities: &SipIdentities,
        rand: &Rand,
        auts: &Auts,
    ) -> Result<AuthenticationInformation, SourceError> {
        let message = migration::ResynchroniseRequest {
            partner_identities: Some(identities.clone().into()),
            synchronisation_failure: Some(SynchronisationFailure { rand: *rand, auts: *auts }.into()),
        };
        let answer = self.client.clone().resynchronise(with_timeout(message, self.timeout)).await;
        let answer = answer.map_err(refusal)?.into_inner();
        decode(answer.partner_identities, answer.authentication_information)
    }
}

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// An answer as it must be: identities, and exactly one vector.
fn decode(
    identities: Option<types::SipIdentities>,
    information: Option<types::AuthenticationInformation>,
) -> Result<AuthenticationInformation, SourceError> {
    let mut violations = Violations::new();
    let identities = violations.sip_identities("identities", identities);
    let information = violations.authentication_information("authentication_information", information);
    let decoded = violations.finish(identities.zip(information));
    let unusable = |reason: String| SourceError::Unavailable { reason, retry_after: None };
    let (identities, information) = decoded.map_err(|violations| {
        let fields: Vec<&str> =
            violations.as_slice().iter().map(|violation| violation.field.as_str()).collect();
        unusable(format!("malformed answer: {}", fields.join(", ")))
    })?;
    let algorithm = information.scheme;
    match <[_; 1]>::try_from(information.vectors) {
        Ok([vector]) => Ok(AuthenticationInformation { identities, algorithm, vector }),
        Err(vectors) => Err(unusable(format!("{} vectors instead of one", vectors.len()))),
    }
}

/// What a refusal of either entity means to the registrar, by its reason.
fn refusal(status: Status) -> SourceError {
    let RemoteError { code, reason, retry_after, .. } = decode_status(&status);
    match reason.as_str() {
        "SUBSCRIBER_UNKNOWN" | "BINDING_UNKNOWN" | "USER_UNKNOWN_AT_PRIMARY" => SourceError::UserUnknown,
        "IDENTITIES_DO_NOT_MATCH" => SourceError::IdentitiesDoNotMatch,
        "SUBSCRIBER_BARRED" => SourceError::UserBarred,
        "LOCAL_CREDENTIALS" => SourceError::LocalCredentials,
        "SCHEME_NOT_SUPPORTED" => SourceError::SchemeNotSupported,
        "CHALLENGE_UNKNOWN" | "RESYNCHRONISATION_REFUSED" => SourceError::ResynchronisationRefused,
        "RATE_LIMITED" => SourceError::RateLimited { retry_after },
        "BINDING_SUSPENDED"
        | "BINDING_NOT_YET_VALID"
        | "BINDING_EXPIRED"
        | "AGREEMENT_UNKNOWN"
        | "AGREEMENT_SUSPENDED"
        | "AGREEMENT_NOT_YET_VALID"
        | "AGREEMENT_EXPIRED"
        | "NOT_AGREED"
        | "MIGRATION_NOT_PERMITTED" => SourceError::NotAllowed { reason },
        _ if code == Code::DeadlineExceeded => SourceError::TimedOut,
        // What an operator has to mend is, to the user, a service that is away.
        _ if reason.is_empty() => {
            SourceError::Unavailable { reason: mcx_runtime::error::code_name(code).to_owned(), retry_after }
        }
        _ => SourceError::Unavailable { reason, retry_after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcx_runtime::Refusal;
    use mcx_runtime::error::status;

    #[test]
    fn a_deadline_that_is_over_is_a_time_out_and_no_reason_is_an_absence() {
        assert_eq!(refusal(status(&Refusal::DeadlineExceeded)), SourceError::TimedOut);
        let overloaded = Refusal::Overloaded { retry_after: Duration::from_secs(3) };
        assert_eq!(
            refusal(status(&overloaded)),
            SourceError::Unavailable {
                reason: "OVERLOADED".to_owned(),
                retry_after: Some(Duration::from_secs(3))
            }
        );
        let broken = Status::from(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        assert!(matches!(refusal(broken), SourceError::Unavailable { .. }));
    }

    /// A refusal of another entity with this reason.
    #[derive(Debug, thiserror::Error)]
    #[error("refused")]
    struct Refused(&'static str);

    impl mcx_runtime::error::ErrorFacts for Refused {
        fn code(&self) -> Code {
            Code::FailedPrecondition
        }

        fn reason(&self) -> &'static str {
            self.0
        }

        fn domain(&self) -> &'static str {
            "mcx.migration.v1"
        }
    }

    #[test]
    fn reasons_of_both_entities_mean_what_the_registrar_must_answer() {
        let not_allowed = |reason: &str| SourceError::NotAllowed { reason: reason.to_owned() };
        let unavailable =
            |reason: &str| SourceError::Unavailable { reason: reason.to_owned(), retry_after: None };
        for (reason, expected) in [
            ("SUBSCRIBER_UNKNOWN", SourceError::UserUnknown),
            ("BINDING_UNKNOWN", SourceError::UserUnknown),
            ("USER_UNKNOWN_AT_PRIMARY", SourceError::UserUnknown),
            ("IDENTITIES_DO_NOT_MATCH", SourceError::IdentitiesDoNotMatch),
            ("SUBSCRIBER_BARRED", SourceError::UserBarred),
            ("BINDING_SUSPENDED", not_allowed("BINDING_SUSPENDED")),
            ("AGREEMENT_EXPIRED", not_allowed("AGREEMENT_EXPIRED")),
            ("LOCAL_CREDENTIALS", SourceError::LocalCredentials),
            ("SCHEME_NOT_SUPPORTED", SourceError::SchemeNotSupported),
            ("CHALLENGE_UNKNOWN", SourceError::ResynchronisationRefused),
            ("RESYNCHRONISATION_REFUSED", SourceError::ResynchronisationRefused),
            ("RATE_LIMITED", SourceError::RateLimited { retry_after: None }),
            ("PRIMARY_SYSTEM_UNREACHABLE", unavailable("PRIMARY_SYSTEM_UNREACHABLE")),
            ("PARTNER_REFUSED_US", unavailable("PARTNER_REFUSED_US")),
            ("STORE_UNAVAILABLE", unavailable("STORE_UNAVAILABLE")),
        ] {
            assert_eq!(refusal(status(&Refused(reason))), expected, "{reason}");
        }
    }

    #[test]
    fn an_answer_without_a_vector_is_unusable() {
        assert!(matches!(decode(None, None), Err(SourceError::Unavailable { .. })));
    }
}
