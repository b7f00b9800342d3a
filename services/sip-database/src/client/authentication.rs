//! Asking for authentication vectors.

use std::time::Duration;

use mcx_aka::digest::DigestAlgorithm;
use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_proto::sipdatabase::v1::{GetSipAuthenticationInformationRequest, ResynchroniseRequest};
use mcx_proto::types::v1 as wire;
use mcx_runtime::client::Outgoing;
use mcx_types::wire::{AuthenticationInformation, SynchronisationFailure, scheme_to_wire};
use mcx_types::{McSystemId, SipIdentities, Violations};
use tonic::transport::Channel;

use super::{ClientError, DEFAULT_TIMEOUT, with_timeout};

/// Asks for vectors, TS 23.280 10.1.6.2 steps 5 and 6. Clones share the channel.
///
/// Nothing is repeated by itself: a repetition yields other vectors and uses up sequence numbers, so it is for the caller
/// to decide.
#[derive(Debug, Clone)]
pub struct SipAuthenticationClient {
    inner: SipAuthenticationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl SipAuthenticationClient {
    /// A client over this channel, with a deadline of 2 seconds for each call.
    pub fn new(channel: Channel) -> Self {
        Self { inner: SipAuthenticationServiceClient::new(Outgoing::new(channel)), timeout: DEFAULT_TIMEOUT }
    }

    /// The same client with another deadline.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Fresh vectors of a subscriber: as many as asked for, 1 to 5, in the order of use. Without a scheme, that of the
    /// subscriber. `on_behalf_of` names a partner system, which gets one vector at a time; `None` is the own system.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn authentication_information(
        &self,
        identities: &SipIdentities,
        scheme: Option<DigestAlgorithm>,
        vector_count: u32,
        on_behalf_of: Option<&McSystemId>,
    ) -> Result<AuthenticationInformation, ClientError> {
        let message = GetSipAuthenticationInformationRequest {
            identities: Some(identities.clone().into()),
            scheme: scheme_to_wire(scheme).into(),
            vector_count,
            requesting_mc_system_id: requesting(on_behalf_of),
        };
        let request = with_timeout(message, self.timeout);
        let answer = self.inner.clone().get_sip_authentication_information(request).await?.into_inner();
        decode(answer.identities, answer.authentication_information, identities, vector_count.max(1))
    }

    /// Hands in the AUTS of an ISIM, and gets one fresh vector that it will accept.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resynchronise(
        &self,
        identities: &SipIdentities,
        failure: SynchronisationFailure,
        on_behalf_of: Option<&McSystemId>,
    ) -> Result<AuthenticationInformation, ClientError> {
        let message = ResynchroniseRequest {
            identities: Some(identities.clone().into()),
            requesting_mc_system_id: requesting(on_behalf_of),
            synchronisation_failure: Some(failure.into()),
        };
        let request = with_timeout(message, self.timeout);
        let answer = self.inner.clone().resynchronise(request).await?.into_inner();
        decode(answer.identities, answer.authentication_information, identities, 1)
    }
}

fn requesting(on_behalf_of: Option<&McSystemId>) -> String {
    on_behalf_of.map(|system| system.as_str().to_owned()).unwrap_or_default()
}

/// Decodes an answer, which is for the identities asked for and holds as many vectors as asked for.
fn decode(
    identities: Option<wire::SipIdentities>,
    information: Option<wire::AuthenticationInformation>,
    asked_for: &SipIdentities,
    vector_count: u32,
) -> Result<AuthenticationInformation, ClientError> {
    let mut violations = Violations::new();
    let identities = violations.sip_identities("identities", identities);
    let information = violations.authentication_information("authentication_information", information);
    if identities.as_ref().is_some_and(|identities| identities != asked_for) {
        violations.add("identities", "must be those that were asked for");
    }
    if information.as_ref().is_some_and(|information| information.vectors.len() != vector_count as usize) {
        violations.add("authentication_information.vectors", "must be as many as were asked for");
    }
    violations.finish(information).map_err(|violations| ClientError::MalformedAnswer {
        detail: violations
            .as_slice()
            .iter()
            .map(|violation| format!("{} {}", violation.field, violation.description))
            .collect::<Vec<_>>()
            .join("; "),
    })
}
