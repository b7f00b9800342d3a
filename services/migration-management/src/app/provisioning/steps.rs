//! Each single thing that is done for user migrations, for many at once. Every one may be repeated.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use mcx_federation::{ConnectFailure, PeerCallError, connect_failure};
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::ErrorReason;
use mcx_runtime::error::decode_status;
use mcx_runtime::procedure_step;
use mcx_types::{Entity, Impu, McSystemId, Timestamp, Violations};
use tonic::{Code, Status};
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::app::peers::Peers;
use crate::client::FederationClient;
use crate::collaborators::{EndReason, MigrationTarget};
use crate::domain::refusal::Refusal;
use crate::domain::user_migration::{PeerAnswer, Step, UserMigration, UserMigrationState};
use crate::error::{Error, Hop, reason_name};
use crate::store::user_migrations::StepKey;
use crate::store::{agreements, ue_configurations};
use crate::wire;
use crate::wire::user_migration_exchange::{answers, offer_to_wire, report_to_wire};

/// How often a batch is split where one of its users may be what is refused: enough to find a few of 500.
const SPLIT_LIMIT: u32 = 32;

/// What came of a step for one user.
#[derive(Debug, Clone)]
pub(super) enum StepOutcome {
    /// It is done.
    Done,
    /// The other MC system answered.
    Answered {
        /// What it said.
        answer: PeerAnswer,
        /// What UEs need to reach this MC system, as it was told, by its digest; absent where it was not told.
        ue_configuration: Option<String>,
    },
    /// It failed.
    Failed(String),
}

/// What came of a step, by user.
pub(super) type Outcomes = HashMap<Uuid, StepOutcome>;

impl App {
    /// Does the step of `key` for these users.
    pub(super) async fn perform(&self, key: &StepKey, migrations: &[UserMigration]) -> Outcomes {
        match key.step {
            Step::Offer => self.offer(&key.peer, migrations).await,
            Step::Report => self.report(&key.peer, migrations).await,
            step => self.at_own_entity(step, migrations).await,
        }
    }

    /// Does a step at an entity of this MC system. What it refuses is taken apart until the users who are refused stand alone, so that
    /// they hold up nobody else.
    async fn at_own_entity(&self, step: Step, migrations: &[UserMigration]) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(migrations.len());
        let mut parts = vec![migrations];
        let mut splits = 0;
        while let Some(part) = parts.pop() {
            match self.carry_out(step, part).await {
                Ok(()) => outcomes.extend(part.iter().map(|migration| (migration.id, StepOutcome::Done))),
                Err(Error::EntityRefused { .. }) if part.len() > 1 && splits < SPLIT_LIMIT => {
                    splits += 1;
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => outcomes.extend(failed(part, &error)),
            }
        }
        outcomes
    }

    async fn carry_out(&self, step: Step, migrations: &[UserMigration]) -> Result<(), Error> {
        let all = &self.collaborators;
        let ids: Vec<Uuid> = migrations.iter().map(|migration| migration.id).collect();
        match step {
            Step::PutExchangeTargets => {
                all.identity.put_exchange_targets(&self.targets(migrations).await?).await
            }
            Step::PutMigrationTargets => {
                all.configuration.put_migration_targets(&self.targets(migrations).await?).await
            }
            Step::PutSharedUsers => all.groups.put_shared_users(migrations).await,
            Step::PutVisitorIdentities => all.identity.put_visitors(migrations).await,
            Step::PutVisitorConfiguration => all.configuration.put_visitors(migrations).await,
            Step::PutVisitorGroups => all.groups.put_visitors(migrations).await,
            Step::DeleteExchangeTargets => all.identity.delete_exchange_targets(&ids).await,
            Step::DeleteMigrationTargets => all.configuration.delete_migration_targets(&ids).await,
            Step::DeleteSharedUsers => all.groups.delete_shared_users(&ids).await,
            Step::DeleteVisitorIdentities => all.identity.delete_visitors(&ids).await,
            Step::DeleteVisitorConfiguration => all.configuration.delete_visitors(&ids).await,
            Step::DeleteVisitorGroups => all.groups.delete_visitors(&ids).await,
            Step::EndMigrations => self.end_migrations(migrations).await,
            Step::Deregister => {
                let grants = migrations.iter().filter_map(|migration| migration.grant.as_ref());
                let impus: Vec<Impu> =
                    grants.flat_map(|grant| grant.visitor_identities.impus.clone()).collect();
                all.sip_core.deregister(&impus).await
            }
            // Those go to the other MC system.
            Step::Offer | Step::Report => Ok(()),
        }
    }

    async fn end_migrations(&self, migrations: &[UserMigration]) -> Result<(), Error> {
        let now = self.clock.now();
        for reason in [EndReason::Expired, EndReason::Revoked] {
            let of_reason = migrations.iter().filter(|migration| end_reason(migration, now) == reason);
            let ids: Vec<Uuid> = of_reason.map(|migration| migration.id).collect();
            if !ids.is_empty() {
                self.collaborators.mc_services.end_migrations(&ids, reason).await?;
            }
        }
        Ok(())
    }

    /// Own users with what they need to reach their partners.
    async fn targets(&self, migrations: &[UserMigration]) -> Result<Vec<MigrationTarget>, Error> {
        let granted =
            || migrations.iter().filter_map(|migration| Some((migration, migration.grant.as_ref()?)));
        let mut digests: Vec<String> =
            granted().filter_map(|(_, grant)| grant.ue_configuration.clone()).collect();
        digests.sort_unstable();
        digests.dedup();
        let configurations = ue_configurations::find(&self.database, digests).await?;
        let target = |(migration, grant): (&UserMigration, _)| {
            let grant: &crate::domain::user_migration::Grant = grant;
            let digest = grant.ue_configuration.as_ref();
            let configuration = digest.and_then(|digest| configurations.get(digest)).cloned();
            let configuration = configuration.ok_or_else(|| {
                Error::Internal(format!("{} has no configuration of its partner", migration.id))
            })?;
            let access_information = wire::user_migration::access_information(grant, configuration);
            Ok(MigrationTarget { migration: migration.clone(), access_information })
        };
        granted().map(target).collect()
    }

    /// TS 23.280 10.17.5 step 2: asks the partner.
    async fn offer(&self, partner: &McSystemId, migrations: &[UserMigration]) -> Outcomes {
        let step = procedure_step!(
            "10.17.5", 2, self.own, Entity::MigrationManagement => partner, Entity::MigrationManagement,
            "user configuration request", format_args!("{} users", migrations.len())
        );
        let offered = async {
            let configuration = self.collaborators.configuration.initial_ue_configuration().await?;
            let issuer =
                configuration.servers.map(|servers| servers.identity_management_issuer).unwrap_or_default();
            let offers: Vec<_> =
                migrations.iter().map(|migration| offer_to_wire(migration, &issuer)).collect();
            let call = |client: FederationClient| async move { client.offer_user_migrations(offers).await };
            self.ask(partner, call).await
        };
        of_answers(migrations, offered.instrument(step).await, None)
    }

    /// TS 23.280 10.17.5 step 4: tells the other MC system what became of it.
    async fn report(&self, peer: &McSystemId, migrations: &[UserMigration]) -> Outcomes {
        // Without an agreement there is nobody left who would have to know the end of it.
        let is_alone = match agreements::find(&self.database, peer).await {
            Ok(agreement) => agreement.is_none(),
            Err(error) => return failed(migrations, &error.into()).collect(),
        };
        let is_known = |migration: &&UserMigration| {
            let is_over = migration.progress.state != UserMigrationState::Accepted;
            migration.progress.is_peer_told || (is_alone && is_over)
        };
        let mut outcomes: Outcomes =
            migrations.iter().filter(is_known).map(|known| (known.id, StepOutcome::Done)).collect();
        let untold: Vec<UserMigration> =
            migrations.iter().filter(|migration| !is_known(migration)).cloned().collect();
        if untold.is_empty() {
            return outcomes;
        }
        let step = procedure_step!(
            "10.17.5", 4, self.own, Entity::MigrationManagement => peer, Entity::MigrationManagement,
            "user configuration response", format_args!("{} users", untold.len())
        );
        let mut digest = None;
        let told = async {
            let is_in_force =
                |migration: &UserMigration| migration.progress.state == UserMigrationState::Accepted;
            // What UEs need is asked for when it is told, so that it is the latest.
            let initial_ue_configuration = if untold.iter().any(is_in_force) {
                Some(self.collaborators.configuration.initial_ue_configuration().await?)
            } else {
                None
            };
            digest = initial_ue_configuration.as_ref().map(ue_configurations::digest);
            let reports = untold.iter().map(report_to_wire).collect();
            let request = proto::ReportUserMigrationsRequest { reports, initial_ue_configuration };
            self.ask(
                peer,
                |client: FederationClient| async move { client.report_user_migrations(request).await },
            )
            .await
        };
        let told = told.instrument(step).await;
        outcomes.extend(of_answers(&untold, told, digest.as_deref()));
        outcomes
    }

    /// Calls the migration management of another MC system, if the agreement lets anything cross now.
    async fn ask<F>(
        &self,
        peer: &McSystemId,
        call: impl FnOnce(FederationClient) -> F,
    ) -> Result<BTreeMap<Uuid, PeerAnswer>, Error>
    where
        F: Future<Output = Result<Vec<proto::UserMigrationReportResult>, Status>>,
    {
        let agreement = agreements::find(&self.database, peer).await?.map(|stored| stored.value);
        let agreement = agreement.ok_or_else(|| Refusal::AgreementUnknown { mc_system_id: peer.clone() })?;
        agreement.check_in_force(self.clock.now())?;
        let timeout = self.config.provisioning.partner_timeout;
        let channel = self.peers.channel(&agreement)?;
        let hop = Peers::hop(peer);
        let results = channel
            .call(timeout, |channel| call(FederationClient::new(channel, timeout)))
            .await
            .map_err(|error| of_peer(error, &hop, self.config.breaker_pause))?;
        answers(results).map_err(|violations| misunderstood(&hop, &violations))
    }
}

fn end_reason(migration: &UserMigration, now: Timestamp) -> EndReason {
    if migration.valid_until.is_some_and(|until| until <= now) {
        EndReason::Expired
    } else {
        EndReason::Revoked
    }
}

fn failed<'a>(
    migrations: &'a [UserMigration],
    error: &Error,
) -> impl Iterator<Item = (Uuid, StepOutcome)> + 'a {
    let text = describe(error);
    migrations.iter().map(move |migration| (migration.id, StepOutcome::Failed(text.clone())))
}

/// An error as operators read it: its reason, and what it says.
pub(super) fn describe(error: &Error) -> String {
    format!("{}: {error}", error.reason_name())
}

fn of_answers(
    migrations: &[UserMigration],
    answers: Result<BTreeMap<Uuid, PeerAnswer>, Error>,
    ue_configuration: Option<&str>,
) -> Outcomes {
    match answers {
        Err(error) => failed(migrations, &error).collect(),
        Ok(answers) => migrations
            .iter()
            .map(|migration| {
                let outcome = match answers.get(&migration.id) {
                    // The partner has not taken her down, so she is offered again.
                    Some(answer) if answer.state == UserMigrationState::Requested => {
                        StepOutcome::Failed(format!(
                            "{}: the partner lets no more users wait for a decision",
                            reason_name(ErrorReason::PendingOffersExceeded)
                        ))
                    }
                    Some(answer) => StepOutcome::Answered {
                        answer: answer.clone(),
                        ue_configuration: ue_configuration.map(ToOwned::to_owned),
                    },
                    None => StepOutcome::Failed("the answer leaves the user out".to_owned()),
                };
                (migration.id, outcome)
            })
            .collect(),
    }
}

fn misunderstood(hop: &Hop, violations: &Violations) -> Error {
    tracing::error!(%hop, fields = ?violations, "an answer is malformed");
    Error::PartnerRefusedUs { hop: hop.clone(), peer_reason: "ANSWER_INVALID".to_owned() }
}

/// What the other MC system's error means here. Its status is never passed on: it becomes ours, with the hop that failed.
fn of_peer(error: PeerCallError, hop: &Hop, pause: Duration) -> Error {
    let away = |retry_after| Error::PartnerUnreachable { hop: hop.clone(), retry_after };
    let status = match error {
        PeerCallError::BreakerOpen(open) => return away(open.retry_after),
        PeerCallError::TimedOut => return away(pause),
        PeerCallError::Status(status) => status,
    };
    if connect_failure(&status).is_some_and(|failure| failure > ConnectFailure::Unreachable) {
        tracing::error!(%hop, error = %status.message(), "the partner and this mc system do not accept each other's certificates");
        return Error::PartnerRefusedUs { hop: hop.clone(), peer_reason: "CERTIFICATE_REFUSED".to_owned() };
    }
    let remote = decode_status(&status);
    match remote.code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::Internal
        | Code::Unknown => away(remote.retry_after.unwrap_or(pause)),
        _ => {
            tracing::warn!(%hop, error = %remote, "the other mc system refuses what it is told of user migrations");
            Error::PartnerRefusedUs { hop: hop.clone(), peer_reason: remote.reason }
        }
    }
}
