//! The primary's part of TS 23.280 10.1.6.2, steps 4 to 7: releases one vector to a partner that may have it.

use mcx_aka::digest::DigestAlgorithm;
use mcx_federation::Sha256Fingerprint;
use mcx_runtime::procedure_step;
use mcx_runtime::telemetry::current_trace_id;
use mcx_types::wire::{AuthenticationInformation, SynchronisationFailure};
use mcx_types::{Entity, Timestamp};
use sip_database::client::{ClientError, Reason};
use tracing::Instrument;
use uuid::Uuid;

use super::App;
use crate::domain::agreement::{Agreement, AgreementLimits};
use crate::domain::audit::{AuditDecision, AuditRecord, AuditRole, AuditedAction};
use crate::domain::permit::NotPermitted;
use crate::domain::refusal::Refusal;
use crate::domain::release::{ReleaseRequest, check_release};
use crate::error::Error;
use crate::store::{agreements, permits};

/// What is asked for a user: a vector, or a resynchronisation and the vector after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A vector, by the scheme named; `None`: by that of the user.
    Vector(Option<DigestAlgorithm>),
    /// A resynchronisation.
    Resynchronisation(SynchronisationFailure),
}

impl Asked {
    pub(crate) fn action(self) -> AuditedAction {
        match self {
            Self::Vector(_) => AuditedAction::GetSipAuthenticationInformation,
            Self::Resynchronisation(_) => AuditedAction::Resynchronise,
        }
    }

    pub(crate) fn scheme(self) -> Option<DigestAlgorithm> {
        match self {
            Self::Vector(scheme) => scheme,
            Self::Resynchronisation(_) => None,
        }
    }
}

/// A request of a partner, with what the channel proves of it.
#[derive(Debug, Clone)]
pub(crate) struct PartnerRequest {
    /// The name of the request in both systems' records.
    pub(crate) transaction_id: Uuid,
    /// What the rules look at.
    pub(crate) release: ReleaseRequest,
    /// What is asked.
    pub(crate) asked: Asked,
    /// Which certificate the partner showed.
    pub(crate) certificate_sha256: Sha256Fingerprint,
}

impl App {
    /// Releases a vector, or says why not; either is recorded before the answer leaves.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::SipDatabaseUnreachable`] and [`Error::StoreUnavailable`], on which nothing leaves.
    pub(crate) async fn release(&self, request: PartnerRequest) -> Result<AuthenticationInformation, Error> {
        let now = self.clock.now();
        if let Err(error) = self.check_release(&request, now).await {
            self.record(&request, now, Some(&error)).await?;
            return Err(error);
        }
        // The record of the release becomes durable while the SIP database works; neither result leaves without the other.
        let (recorded, answer) =
            tokio::join!(self.record(&request, now, None), self.ask_sip_database(&request));
        recorded?;
        match answer {
            Ok(information) => {
                let step = procedure_step!(
                    "10.1.6.2", 7, self.own, Entity::MigrationManagement => request.release.partner, Entity::MigrationManagement,
                    "get SIP authentication information response", request.release.primary_identities.impi
                );
                step.in_scope(
                    || tracing::debug!(transaction_id = %request.transaction_id, "vector released"),
                );
                Ok(information)
            }
            Err(error) => {
                self.record(&request, self.clock.now(), Some(&error)).await?;
                Err(error)
            }
        }
    }

    async fn check_release(&self, request: &PartnerRequest, now: Timestamp) -> Result<(), Error> {
        let release = &request.release;
        let user = &release.primary_identities.impi;
        let (agreement, permit) = tokio::try_join!(
            agreements::find(&self.database, &release.partner),
            permits::find_for(&self.database, user, &release.partner)
        )?;
        let agreement: Option<Agreement> = agreement.map(|stored| stored.value);
        let limits = agreement.as_ref().map_or_else(AgreementLimits::default, |agreement| agreement.limits);
        // Counted before anything is looked at, so that guessing users is limited as well.
        self.limiter.count_request(&release.partner, limits).await?;
        let checked =
            check_release(release, agreement.as_ref(), permit.as_ref().map(|stored| &stored.value), now);
        if let Err(Refusal::MigrationNotPermitted { cause, .. }) = &checked {
            tracing::info!(partner = %release.partner, %user, ?cause, "migration is not permitted");
        }
        checked?;
        self.limiter.count_user_request(&release.partner, user, limits).await?;
        if let Asked::Resynchronisation(_) = request.asked {
            self.limiter.count_resynchronisation(&release.partner, user, limits).await?;
        }
        Ok(())
    }

    /// Steps 5 and 6 of TS 23.280 10.1.6.2.
    async fn ask_sip_database(&self, request: &PartnerRequest) -> Result<AuthenticationInformation, Error> {
        let release = &request.release;
        let identities = &release.primary_identities;
        let step = procedure_step!(
            "10.1.6.2", 5, self.own, Entity::MigrationManagement => self.own, Entity::SipDatabase,
            "get SIP authentication information request", identities.impi
        );
        let database = &self.sip_database;
        let answer = async {
            match request.asked {
                Asked::Vector(scheme) => {
                    database.authentication_information(identities, scheme, 1, Some(&release.partner)).await
                }
                Asked::Resynchronisation(failure) => {
                    database.resynchronise(identities, failure, Some(&release.partner)).await
                }
            }
        };
        answer.instrument(step).await.map_err(|error| self.of_sip_database(error, request))
    }

    /// What an error of the SIP database means for a partner. Whether a user is unknown here or only not permitted is not its business.
    fn of_sip_database(&self, error: ClientError, request: &PartnerRequest) -> Error {
        let partner = &request.release.partner;
        let user = &request.release.primary_identities.impi;
        tracing::info!(%partner, %user, %error, "the sip database gives no vector");
        let not_permitted = |cause| Refusal::MigrationNotPermitted { mc_system_id: partner.clone(), cause };
        match error.reason() {
            Some(Reason::SubscriberUnknown) => not_permitted(NotPermitted::SubscriberUnknown).into(),
            Some(Reason::IdentitiesDoNotMatch) => not_permitted(NotPermitted::IdentitiesDoNotMatch).into(),
            Some(Reason::SubscriberBarred) => {
                Refusal::SubscriberBarred { mc_system_id: self.own.clone() }.into()
            }
            Some(Reason::SchemeNotSupported) => {
                Refusal::SchemeNotSupported { scheme: request.asked.scheme() }.into()
            }
            Some(Reason::ResynchronisationRefused | Reason::ChallengeUnknown) => {
                Refusal::ResynchronisationRefused.into()
            }
            _ if error.is_retryable() => {
                Error::SipDatabaseUnreachable { hop: self.own_hop(Entity::SipDatabase) }
            }
            _ => Error::Internal(error.to_string()),
        }
    }

    async fn record(
        &self,
        request: &PartnerRequest,
        now: Timestamp,
        error: Option<&Error>,
    ) -> Result<(), Error> {
        let decision = match error {
            None => AuditDecision::Released,
            Some(error) if error.is_refusal() => AuditDecision::Refused,
            Some(_) => AuditDecision::Failed,
        };
        self.audit
            .record(AuditRecord {
                id: Uuid::now_v7(),
                decided_at: now,
                action: request.asked.action(),
                decision,
                reason: error.map(Error::reason_name),
                role: AuditRole::Primary,
                peer: Some(request.release.partner.clone()),
                peer_certificate_sha256: request.certificate_sha256.to_string(),
                primary_impi: Some(request.release.primary_identities.impi.to_string()),
                partner_impi: request.release.partner_impi.to_string(),
                scheme: request.asked.scheme(),
                vector_count: u32::from(error.is_none()),
                transaction_id: Some(request.transaction_id),
                trace_id: current_trace_id(),
                user_migration: None,
            })
            .await
    }
}
