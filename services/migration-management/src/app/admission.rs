//! The partner's part of TS 23.280 10.1.6.2, steps 2 to 4 and 7 to 9: gets a visitor's vector from her primary MC system.

use mcx_federation::{ConnectFailure, PeerCallError, PeerChannel, Sha256Fingerprint, connect_failure};
use mcx_runtime::error::decode_status;
use mcx_runtime::procedure_step;
use mcx_runtime::telemetry::current_trace_id;
use mcx_types::wire::AuthenticationInformation;
use mcx_types::{Entity, SipIdentities, Timestamp};
use tonic::Code;
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use super::peers::Peers;
use super::release::Asked;
use crate::client::{Answer, FederationClient};
use crate::domain::admission::{Mismatch, OutstandingRequest, check_admission, check_answer};
use crate::domain::agreement::Agreement;
use crate::domain::audit::{AuditDecision, AuditRecord, AuditRole};
use crate::domain::binding::Binding;
use crate::domain::refusal::{Limit, Refusal};
use crate::error::{Error, Hop};
use crate::store::{agreements, bindings};

/// A visitor's vector, under the identities that this MC system allotted to her.
#[derive(Debug)]
pub(crate) struct VisitorInformation {
    /// The visitor's identities here: all of them, whichever she registers.
    pub(crate) partner_identities: SipIdentities,
    /// Exactly one vector.
    pub(crate) authentication_information: AuthenticationInformation,
}

impl App {
    /// Asks a visitor's primary MC system for a vector, or carries a resynchronisation there.
    ///
    /// # Errors
    /// [`Error::Refused`] where the binding or the agreement forbids it, or the primary does; the errors of a hop where the primary
    /// cannot be asked or answers something else.
    pub(crate) async fn authenticate_visitor(
        &self,
        asked_for: SipIdentities,
        asked: Asked,
        certificate_sha256: Sha256Fingerprint,
    ) -> Result<VisitorInformation, Error> {
        let now = self.clock.now();
        let step = procedure_step!(
            "10.1.6.2", 3, self.own, Entity::MigrationManagement => self.own, Entity::MigrationManagement,
            "recognise the partner identities by the binding", asked_for.impi
        );
        let (binding, agreement) = self.find_visitor(&asked_for).instrument(step).await?;
        let Some(binding) = binding else {
            // Nobody's vector is at stake: there is no user to record this of.
            metrics::counter!("mcx_migration_management_unknown_visitors_total").increment(1);
            return Err(Refusal::BindingUnknown { partner_impi: asked_for.impi }.into());
        };
        let transaction_id = Uuid::new_v4();
        let outcome = match check_admission(&asked_for, Some(&binding), agreement.as_ref(), now) {
            Ok(agreement) => self.ask_primary(&binding, agreement, asked, transaction_id).await,
            Err(refusal) => Err(refusal.into()),
        };
        match outcome {
            Ok(authentication_information) => {
                let partner_identities = binding.terms.partner_identities;
                let step = procedure_step!(
                    "10.1.6.2", 9, self.own, Entity::MigrationManagement => self.own, Entity::SipCore,
                    "get SIP authentication information response", partner_identities.impi
                );
                step.in_scope(|| tracing::debug!(%transaction_id, "vector handed on"));
                Ok(VisitorInformation { partner_identities, authentication_information })
            }
            Err(error) => {
                self.record_visitor(&binding, asked, transaction_id, certificate_sha256, now, &error).await?;
                Err(error)
            }
        }
    }

    async fn find_visitor(
        &self,
        asked_for: &SipIdentities,
    ) -> Result<(Option<Binding>, Option<Agreement>), Error> {
        let Some(binding) = bindings::find_by_partner_impi(&self.database, &asked_for.impi).await? else {
            return Ok((None, None));
        };
        let binding = binding.value;
        let agreement = agreements::find(&self.database, &binding.terms.primary_mc_system_id).await?;
        Ok((Some(binding), agreement.map(|stored| stored.value)))
    }

    /// Steps 4 and 7 of TS 23.280 10.1.6.2, and the check of step 8.
    async fn ask_primary(
        &self,
        binding: &Binding,
        agreement: &Agreement,
        asked: Asked,
        transaction_id: Uuid,
    ) -> Result<AuthenticationInformation, Error> {
        let primary = &binding.terms.primary_mc_system_id;
        let hop = Peers::hop(primary);
        let outstanding = OutstandingRequest {
            transaction_id,
            primary_identities: binding.terms.primary_identities.clone(),
            scheme: asked.scheme(),
        };
        let channel = self.peers.channel(agreement)?;
        let step = procedure_step!(
            "10.1.6.2", 4, self.own, Entity::MigrationManagement => *primary, Entity::MigrationManagement,
            "get SIP authentication information request", outstanding.primary_identities.impi
        );
        let answer = self
            .call_primary(&channel, binding, &outstanding, asked)
            .instrument(step)
            .await
            .map_err(|error| of_primary(error, hop.clone(), asked, self.config.breaker_pause))?;

        let step = procedure_step!(
            "10.1.6.2", 8, self.own, Entity::MigrationManagement => self.own, Entity::MigrationManagement,
            "map back to the partner identities by the binding", binding.terms.partner_identities.impi
        );
        let checked = step.in_scope(|| check_answer(&outstanding, &answer.facts));
        checked.map_err(|mismatch| {
            tracing::error!(%hop, %transaction_id, mismatch = mismatch.as_str(), "the answer of the primary was thrown away");
            Error::PrimarySystemAnswerInvalid { hop, mismatch }
        })?;
        Ok(answer.authentication_information)
    }

    async fn call_primary(
        &self,
        channel: &PeerChannel,
        binding: &Binding,
        outstanding: &OutstandingRequest,
        asked: Asked,
    ) -> Result<Answer, PrimaryCallError> {
        let partner_impi = &binding.terms.partner_identities.impi;
        let timeout = self.config.primary_timeout;
        let answer = channel
            .call(timeout, |channel| async move {
                FederationClient::new(channel, timeout).ask(outstanding, partner_impi, asked).await
            })
            .await?;
        answer.map_err(PrimaryCallError::Malformed)
    }

    async fn record_visitor(
        &self,
        binding: &Binding,
        asked: Asked,
        transaction_id: Uuid,
        certificate_sha256: Sha256Fingerprint,
        now: Timestamp,
        error: &Error,
    ) -> Result<(), Error> {
        let terms = &binding.terms;
        self.audit
            .record(AuditRecord {
                id: Uuid::now_v7(),
                decided_at: now,
                action: asked.action(),
                decision: if error.is_refusal() { AuditDecision::Refused } else { AuditDecision::Failed },
                reason: Some(error.reason_name()),
                role: AuditRole::Partner,
                peer: Some(terms.primary_mc_system_id.clone()),
                peer_certificate_sha256: certificate_sha256.to_string(),
                primary_impi: Some(terms.primary_identities.impi.to_string()),
                partner_impi: terms.partner_identities.impi.to_string(),
                scheme: asked.scheme(),
                vector_count: 0,
                transaction_id: Some(transaction_id),
                trace_id: current_trace_id(),
                user_migration: None,
            })
            .await
    }
}

/// Why the primary gave no answer that can be looked at.
enum PrimaryCallError {
    Call(PeerCallError),
    Malformed(Mismatch),
}

impl From<PeerCallError> for PrimaryCallError {
    fn from(error: PeerCallError) -> Self {
        Self::Call(error)
    }
}

/// What the primary's error means here. Its status is never passed on: it becomes ours, with the hop that failed.
fn of_primary(error: PrimaryCallError, hop: Hop, asked: Asked, pause: std::time::Duration) -> Error {
    let status = match error {
        PrimaryCallError::Malformed(mismatch) => return Error::PrimarySystemAnswerInvalid { hop, mismatch },
        PrimaryCallError::Call(PeerCallError::BreakerOpen(open)) => {
            return Error::PrimarySystemUnreachable { hop, retry_after: open.retry_after };
        }
        PrimaryCallError::Call(PeerCallError::TimedOut) => {
            return Error::PrimarySystemUnreachable { hop, retry_after: pause };
        }
        PrimaryCallError::Call(PeerCallError::Status(status)) => status,
    };
    if connect_failure(&status).is_some_and(|failure| failure > ConnectFailure::Unreachable) {
        tracing::error!(%hop, error = %status.message(), "the primary and this mc system do not accept each other's certificates");
        return Error::PartnerRefusedUs { hop, peer_reason: "CERTIFICATE_REFUSED".to_owned() };
    }
    let remote = decode_status(&status);
    tracing::warn!(%hop, error = %remote, "the primary mc system gives no vector");
    match (remote.reason.as_str(), remote.code) {
        ("MIGRATION_NOT_PERMITTED", _) => Error::UserUnknownAtPrimary { hop },
        ("SCHEME_NOT_SUPPORTED", _) => Refusal::SchemeNotSupported { scheme: asked.scheme() }.into(),
        ("SUBSCRIBER_BARRED", _) => Refusal::SubscriberBarred { mc_system_id: hop.mc_system_id }.into(),
        ("RATE_LIMITED", _) => {
            let limit = remote.metadata.get("limit").and_then(|name| Limit::from_name(name));
            let limit = limit.unwrap_or(Limit::RequestsPerMinute);
            Refusal::RateLimited { mc_system_id: hop.mc_system_id, limit }.into()
        }
        ("RESYNCHRONISATION_REFUSED", _) => Refusal::ResynchronisationRefused.into(),
        (_, Code::NotFound) => Error::UserUnknownAtPrimary { hop },
        (
            _,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::Internal
            | Code::Unknown,
        ) => Error::PrimarySystemUnreachable { hop, retry_after: remote.retry_after.unwrap_or(pause) },
        (reason, _) => Error::PartnerRefusedUs { hop, peer_reason: reason.to_owned() },
    }
}
