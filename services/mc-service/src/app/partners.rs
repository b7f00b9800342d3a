//! Calls to the MC service servers of other MC systems, and what their errors mean here.

use std::time::Duration;

use mcx_federation::{ConnectFailure, PeerCallError, PeerChannel, connect_failure};
use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::federation_service_client::FederationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::decode_status;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, McSystemId};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tracing::Instrument;

use super::App;
use super::migration::PrimaryQuestion;
use crate::error::{Error, Hop};
use crate::wire;

pub(crate) type FederationClient = FederationServiceClient<Outgoing<Channel>>;

/// How long a caller waits before it asks again, where another MC system does not say.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl App {
    /// The channel to the MC service server of another MC system, if something may be exchanged with it now.
    pub(crate) fn partner_channel(&self, system: &McSystemId) -> Result<PeerChannel, Error> {
        Ok(self.partners.partner(system)?.channel(Entity::McService)?)
    }

    /// Calls the MC service server of another MC system.
    pub(crate) async fn call_partner<M, T, F>(
        &self,
        channel: &PeerChannel,
        message: M,
        call: impl FnOnce(FederationClient, Request<M>) -> F,
    ) -> Result<T, PeerCallError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let timeout = self.config.partner_timeout;
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        channel
            .call(timeout, |channel| async move {
                let client = FederationServiceClient::new(Outgoing::new(channel));
                Ok(call(client, request).await?.into_inner())
            })
            .await
    }

    /// Asks the primary MC system of a visitor to let her be served here (TS 23.280 10.6.3 steps 3 and 5); returns for how long it does.
    pub(crate) async fn ask_primary(&self, question: &PrimaryQuestion<'_>) -> Result<Duration, NotAgreed> {
        let PrimaryQuestion { client, visitor, index, authorization_id, renewal } = question;
        let primary = &visitor.primary;
        let identity = wire::migrated(&client.user, &visitor.primary_id, &client.user.id);
        let request = proto::FederationServiceAuthorizeMigrationServiceRequest {
            identity: Some(identity.clone()),
            profile_index: index.0.into(),
            client_instance: client.instance.to_string(),
            migration_id: visitor.migration_id.to_string(),
            authorization_id: authorization_id.to_string(),
            renewal: *renewal,
        };
        let channel = self.partner_channel(primary)?;
        let step = procedure_step!(
            "10.6.3", 3, self.own, Entity::McService => *primary, Entity::McService,
            "migration service authorization request", visitor.primary_id
        );
        let hop = hop(primary);
        let answer = self
            .call_partner(&channel, request, |mut client, request| async move {
                client.authorize_migration_service(request).await
            })
            .instrument(step)
            .await
            .map_err(|error| {
                let was_asked = was_asked(&error);
                let error = of_primary(error, hop.clone());
                let is_away = matches!(error, Error::PrimarySystemUnreachable { .. });
                NotAgreed { error, may_have_agreed: was_asked && is_away }
            })?;
        let invalid = |mismatch| NotAgreed {
            error: Error::PartnerAnswerInvalid { hop: hop.clone(), mismatch },
            may_have_agreed: true,
        };
        if answer.identity.as_ref() != Some(&identity) {
            return Err(invalid("IDENTITY"));
        }
        let lease = answer.lease.and_then(|lease| Duration::try_from(lease).ok());
        let lease = lease.filter(|lease| !lease.is_zero());
        lease.ok_or_else(|| invalid("LEASE"))
    }
}

/// A primary MC system has not agreed to serve its user here, as far as is known here.
#[derive(Debug)]
pub(crate) struct NotAgreed {
    pub(crate) error: Error,
    /// It was asked, and what it said did not arrive, or not as it was said.
    pub(crate) may_have_agreed: bool,
}

impl From<Error> for NotAgreed {
    fn from(error: Error) -> Self {
        Self { error, may_have_agreed: false }
    }
}

impl From<NotAgreed> for Error {
    fn from(not_agreed: NotAgreed) -> Self {
        not_agreed.error
    }
}

/// Whether a request that failed may have reached the other MC system.
fn was_asked(error: &PeerCallError) -> bool {
    match error {
        PeerCallError::BreakerOpen(_) => false,
        PeerCallError::TimedOut => true,
        PeerCallError::Status(status) => connect_failure(status).is_none(),
    }
}

/// The MC service server of another MC system.
pub(crate) fn hop(system: &McSystemId) -> Hop {
    Hop { mc_system_id: system.clone(), entity: Entity::McService }
}

/// What the primary's error means here. Its status is never passed on: it becomes ours, with the hop that failed.
fn of_primary(error: PeerCallError, hop: Hop) -> Error {
    let status = match error {
        PeerCallError::BreakerOpen(open) => {
            return Error::PrimarySystemUnreachable { hop, retry_after: open.retry_after };
        }
        PeerCallError::TimedOut => {
            return Error::PrimarySystemUnreachable { hop, retry_after: RETRY_AFTER };
        }
        PeerCallError::Status(status) => status,
    };
    if is_certificate_refusal(&status) {
        tracing::error!(%hop, error = %status.message(), "the mc systems do not accept each other's certificates");
        return Error::PartnerRefusedUs { hop, peer_reason: "CERTIFICATE_REFUSED".to_owned() };
    }
    let remote = decode_status(&status);
    tracing::warn!(%hop, error = %remote, "the primary mc system does not authorize the visitor");
    match (remote.reason.as_str(), remote.code) {
        ("MIGRATION_NOT_PERMITTED", _) | (_, Code::NotFound) => Error::MigrationRefusedByPrimary(hop),
        (_, code) if is_away(code) => {
            Error::PrimarySystemUnreachable { hop, retry_after: remote.retry_after.unwrap_or(RETRY_AFTER) }
        }
        (reason, _) => Error::PartnerRefusedUs { hop, peer_reason: reason.to_owned() },
    }
}

/// Whether the peers do not believe each other's certificates, rather than that nobody answers.
pub(crate) fn is_certificate_refusal(status: &Status) -> bool {
    connect_failure(status).is_some_and(|failure| failure > ConnectFailure::Unreachable)
}

/// Whether a code means that the other MC system cannot answer now.
pub(crate) fn is_away(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown
    )
}
