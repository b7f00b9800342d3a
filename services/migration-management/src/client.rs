//! The typed clients: of migration management, for the own SIP core; of a partner's, for migration management itself.

use std::time::Duration;

use mcx_aka::digest::DigestAlgorithm;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::federation_service_client::FederationServiceClient;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::wire::{AuthenticationInformation, SynchronisationFailure, scheme_to_wire};
use mcx_types::{Impi, SipIdentities, Violations};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::app::release::Asked;
use crate::domain::admission::{AnswerFacts, Mismatch, OutstandingRequest};

/// Why migration management gives the SIP core no vector for a visitor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MigrationManagementError {
    /// Nobody has these partner SIP identities.
    #[error("no visitor has this private user identity")]
    VisitorUnknown,
    /// The public user identity is not of the private one.
    #[error("the public user identity is not of the private one")]
    IdentitiesDoNotMatch,
    /// The own SIP database authenticates this visitor.
    #[error("the visitor is authenticated with local credentials")]
    LocalCredentials,
    /// The primary MC system bars the user.
    #[error("the user is barred")]
    UserBarred,
    /// The user's scheme is another one, or not of AKA.
    #[error("the scheme is not supported")]
    SchemeNotSupported,
    /// The AUTS was not honoured.
    #[error("the resynchronisation was refused")]
    ResynchronisationRefused,
    /// A rule of binding, permit or agreement forbids it now.
    #[error("not allowed: {0}")]
    NotAllowed(Box<RemoteError>),
    /// Too many requests.
    #[error("a limit is reached")]
    RateLimited {
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// Migration management or a system behind it is away, or answers nonsense.
    #[error("unavailable: {0}")]
    Unavailable(Box<RemoteError>),
    /// No answer within the deadline.
    #[error("no answer in time")]
    TimedOut,
    /// A fault: of the request, or of migration management.
    #[error("failed: {0}")]
    Failed(Box<RemoteError>),
}

impl From<Status> for MigrationManagementError {
    fn from(status: Status) -> Self {
        let remote = decode_status(&status);
        match (remote.reason.as_str(), remote.code) {
            ("BINDING_UNKNOWN", _) => Self::VisitorUnknown,
            ("IDENTITIES_DO_NOT_MATCH", _) => Self::IdentitiesDoNotMatch,
            ("LOCAL_CREDENTIALS", _) => Self::LocalCredentials,
            ("SUBSCRIBER_BARRED", _) => Self::UserBarred,
            ("SCHEME_NOT_SUPPORTED", _) => Self::SchemeNotSupported,
            ("RESYNCHRONISATION_REFUSED", _) => Self::ResynchronisationRefused,
            (_, Code::ResourceExhausted) => Self::RateLimited { retry_after: remote.retry_after },
            (_, Code::DeadlineExceeded | Code::Cancelled) => Self::TimedOut,
            (_, Code::Unavailable | Code::Unknown) => Self::Unavailable(Box::new(remote)),
            (_, Code::FailedPrecondition | Code::PermissionDenied | Code::NotFound) => {
                Self::NotAllowed(Box::new(remote))
            }
            _ => Self::Failed(Box::new(remote)),
        }
    }
}

/// A visitor's vector, as the SIP core gets it (TS 23.280 10.1.6.2 step 9).
#[derive(Debug, PartialEq, Eq)]
pub struct VisitorAuthentication {
    /// The visitor's identities in this MC system: all of them.
    pub partner_identities: SipIdentities,
    /// Exactly one vector.
    pub authentication_information: AuthenticationInformation,
}

/// The client of migration management, for the SIP core of the same MC system.
#[derive(Debug, Clone)]
pub struct MigrationManagementClient {
    inner: SipAuthenticationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl MigrationManagementClient {
    /// A client on a channel; each call ends after `timeout`, or earlier where the call it serves does.
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self { inner: SipAuthenticationServiceClient::new(Outgoing::new(channel)), timeout }
    }

    /// TS 23.280 10.1.6.2 steps 2 and 9.
    ///
    /// # Errors
    /// [`MigrationManagementError`].
    pub async fn get_sip_authentication_information(
        &self,
        partner_identities: &SipIdentities,
        scheme: Option<DigestAlgorithm>,
    ) -> Result<VisitorAuthentication, MigrationManagementError> {
        let mut request = Request::new(proto::GetSipAuthenticationInformationRequest {
            partner_identities: Some(partner_identities.clone().into()),
            scheme: scheme_to_wire(scheme).into(),
        });
        request.set_timeout(self.timeout);
        let answer = self.inner.clone().get_sip_authentication_information(request).await?.into_inner();
        visitor(answer.partner_identities, answer.authentication_information)
    }

    /// Carries an AUTS to the visitor's primary MC system and brings back a fresh vector.
    ///
    /// # Errors
    /// [`MigrationManagementError`].
    pub async fn resynchronise(
        &self,
        partner_identities: &SipIdentities,
        failure: SynchronisationFailure,
    ) -> Result<VisitorAuthentication, MigrationManagementError> {
        let mut request = Request::new(proto::ResynchroniseRequest {
            partner_identities: Some(partner_identities.clone().into()),
            synchronisation_failure: Some(failure.into()),
        });
        request.set_timeout(self.timeout);
        let answer = self.inner.clone().resynchronise(request).await?.into_inner();
        visitor(answer.partner_identities, answer.authentication_information)
    }
}

fn visitor(
    identities: Option<mcx_proto::types::v1::SipIdentities>,
    information: Option<mcx_proto::types::v1::AuthenticationInformation>,
) -> Result<VisitorAuthentication, MigrationManagementError> {
    let mut violations = Violations::new();
    let identities = violations.sip_identities("partner_identities", identities);
    let information = violations.authentication_information("authentication_information", information);
    violations
        .finish(identities.zip(information))
        .map(|(partner_identities, authentication_information)| VisitorAuthentication {
            partner_identities,
            authentication_information,
        })
        .map_err(|violations| {
            MigrationManagementError::Failed(Box::new(RemoteError::malformed_answer(violations.as_slice())))
        })
}

/// What a primary answered, split into what is checked and what is secret.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) facts: AnswerFacts,
    pub(crate) authentication_information: AuthenticationInformation,
}

/// The client of a primary's federation service, on the channel to that partner.
pub(crate) struct FederationClient {
    inner: FederationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl FederationClient {
    pub(crate) fn new(channel: Channel, timeout: Duration) -> Self {
        Self { inner: FederationServiceClient::new(Outgoing::new(channel)), timeout }
    }

    /// TS 23.280 10.1.6.2 steps 4 and 7. The outer error is the call's, the inner one an answer that cannot be understood.
    pub(crate) async fn ask(
        mut self,
        outstanding: &OutstandingRequest,
        partner_impi: &Impi,
        asked: Asked,
    ) -> Result<Result<Answer, Mismatch>, Status> {
        let transaction_id = outstanding.transaction_id.to_string();
        let primary_identities = Some(outstanding.primary_identities.clone().into());
        let partner_impi = partner_impi.to_string();
        Ok(match asked {
            Asked::Vector(scheme) => {
                let mut request =
                    Request::new(proto::FederationServiceGetSipAuthenticationInformationRequest {
                        transaction_id,
                        primary_identities,
                        partner_impi,
                        scheme: scheme_to_wire(scheme).into(),
                        vector_count: 1,
                    });
                request.set_timeout(self.timeout);
                let answer = self.inner.get_sip_authentication_information(request).await?.into_inner();
                understand(
                    answer.transaction_id,
                    answer.primary_identities,
                    answer.authentication_information,
                )
            }
            Asked::Resynchronisation(failure) => {
                let mut request = Request::new(proto::FederationServiceResynchroniseRequest {
                    transaction_id,
                    primary_identities,
                    partner_impi,
                    synchronisation_failure: Some(failure.into()),
                });
                request.set_timeout(self.timeout);
                let answer = self.inner.resynchronise(request).await?.into_inner();
                understand(
                    answer.transaction_id,
                    answer.primary_identities,
                    answer.authentication_information,
                )
            }
        })
    }
}

fn understand(
    transaction_id: String,
    identities: Option<mcx_proto::types::v1::SipIdentities>,
    information: Option<mcx_proto::types::v1::AuthenticationInformation>,
) -> Result<Answer, Mismatch> {
    let mut violations = Violations::new();
    let information = violations.authentication_information("authentication_information", information);
    let authentication_information = violations.finish(information).map_err(|violations| {
        tracing::warn!(fields = ?violations, "the answer of the primary is malformed");
        Mismatch::Malformed
    })?;
    let facts = AnswerFacts {
        transaction_id,
        primary_impi: identities.and_then(|identities| identities.impi.parse().ok()),
        vector_count: authentication_information.vectors.len(),
        scheme: authentication_information.scheme,
    };
    Ok(Answer { facts, authentication_information })
}
