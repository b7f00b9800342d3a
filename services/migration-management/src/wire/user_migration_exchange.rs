//! User migrations on the wire between two MC systems: offers, reports and their answers.

use std::collections::BTreeMap;

use mcx_proto::migration::v1 as proto;
use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_types::wire::mc_service_identities_to_wire;
use mcx_types::{McService, McServiceId, SipIdentities, Subject, Timestamp, Violations};
use uuid::Uuid;

use super::user_migration::{cause, reason, reason_to_wire, state, state_to_wire};
use crate::domain::user_migration::{PeerAnswer, RefusedBecause, UserMigration, UserMigrationState};

/// The most users of a call between systems.
pub(crate) const BATCH_LIMIT: usize = 500;
const ISSUER_LIMIT: usize = 2_048;
const SCOPES_LIMIT: usize = 32;

/// A user whom a primary MC system offers.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) migration_id: Uuid,
    pub(crate) request_id: Uuid,
    pub(crate) primary_identities: SipIdentities,
    pub(crate) primary_mc_service_ids: BTreeMap<McService, McServiceId>,
    pub(crate) primary_issuer: String,
    pub(crate) primary_subject: Subject,
    pub(crate) valid_until: Option<Timestamp>,
}

/// What became of a migration in the other MC system.
#[derive(Debug, Clone)]
pub(crate) enum Report {
    InForce(Box<Allotment>),
    Refused(RefusedBecause, String),
    Revoked(String),
}

/// Reports, each with the migration that it is of.
pub(crate) type Reports = Vec<(Uuid, Report)>;

/// What a partner allotted.
#[derive(Debug, Clone)]
pub(crate) struct Allotment {
    pub(crate) visitor_identities: SipIdentities,
    pub(crate) mc_service_ids: BTreeMap<McService, McServiceId>,
    pub(crate) scopes: Vec<String>,
    pub(crate) valid_until: Option<Timestamp>,
}

fn bounded<T>(violations: &mut Violations, field: &str, items: &[T]) {
    if items.is_empty() || items.len() > BATCH_LIMIT {
        violations.add(field, format_args!("must hold 1 to {BATCH_LIMIT} users"));
    }
}

fn valid_until(
    violations: &mut Violations,
    field: String,
    at: Option<prost_types::Timestamp>,
) -> Option<Option<Timestamp>> {
    match at {
        None => Some(None),
        Some(at) => violations.accept(field, Timestamp::try_from(at)).map(Some),
    }
}

pub(crate) fn offers(
    violations: &mut Violations,
    offers: Vec<proto::UserMigrationOffer>,
) -> Option<Vec<Offer>> {
    bounded(violations, "offers", &offers);
    let count = offers.len();
    let decoded: Vec<Offer> = offers
        .into_iter()
        .enumerate()
        .filter_map(|(index, message)| offer(violations, &format!("offers[{index}]"), message))
        .collect();
    (decoded.len() == count).then_some(decoded)
}

fn offer(violations: &mut Violations, path: &str, offer: proto::UserMigrationOffer) -> Option<Offer> {
    let migration_id = super::uuid(violations, &format!("{path}.migration_id"), &offer.migration_id);
    let request_id = super::uuid(
        violations,
        &format!("{path}.user_migration_request_id"),
        &offer.user_migration_request_id,
    );
    let identities =
        violations.sip_identities(&format!("{path}.primary_identities"), offer.primary_identities);
    let ids = violations
        .mc_service_identities(&format!("{path}.mc_service_identities"), &offer.mc_service_identities);
    let is_issuer =
        offer.primary_issuer.starts_with("https://") && offer.primary_issuer.len() <= ISSUER_LIMIT;
    if !is_issuer {
        violations.add(format!("{path}.primary_issuer"), "must be an https url");
    }
    let subject = violations.parse(format!("{path}.primary_subject"), &offer.primary_subject);
    let until = valid_until(violations, format!("{path}.valid_until"), offer.valid_until);
    Some(Offer {
        migration_id: migration_id?,
        request_id: request_id?,
        primary_identities: identities?,
        primary_mc_service_ids: ids?,
        primary_issuer: is_issuer.then_some(offer.primary_issuer)?,
        primary_subject: subject?,
        valid_until: until?,
    })
}

pub(crate) fn offer_to_wire(migration: &UserMigration, issuer: &str) -> proto::UserMigrationOffer {
    proto::UserMigrationOffer {
        migration_id: migration.id.to_string(),
        user_migration_request_id: migration.request_id.to_string(),
        primary_identities: Some(migration.primary_identities.clone().into()),
        mc_service_identities: mc_service_identities_to_wire(&migration.primary_mc_service_ids),
        primary_issuer: issuer.to_owned(),
        primary_subject: migration.primary_subject.to_string(),
        valid_until: migration.valid_until.map(Into::into),
    }
}

/// Decodes reports, and the configuration that those of accepted users need.
pub(crate) fn reports(
    violations: &mut Violations,
    request: proto::ReportUserMigrationsRequest,
) -> Option<(Reports, Option<InitialUeConfiguration>)> {
    bounded(violations, "reports", &request.reports);
    let count = request.reports.len();
    let decoded: Vec<(Uuid, Report)> = request
        .reports
        .into_iter()
        .enumerate()
        .filter_map(|(index, message)| report(violations, &format!("reports[{index}]"), message))
        .collect();
    let needs_configuration = decoded.iter().any(|(_, report)| matches!(report, Report::InForce(_)));
    let configuration = request.initial_ue_configuration;
    if needs_configuration {
        let configuration = violations.require("initial_ue_configuration", configuration.as_ref())?;
        violations.require("initial_ue_configuration.servers", configuration.servers.as_ref())?;
    }
    (decoded.len() == count).then_some((decoded, configuration))
}

fn report(
    violations: &mut Violations,
    path: &str,
    report: proto::UserMigrationReport,
) -> Option<(Uuid, Report)> {
    let id = super::uuid(violations, &format!("{path}.migration_id"), &report.migration_id);
    let why = report.reason();
    let state = report.state();
    let cause = cause(violations, format!("{path}.cause"), report.cause);
    let decoded = match state {
        proto::UserMigrationState::InForce => {
            let path = format!("{path}.allotment");
            let allotment = violations.require(path.clone(), report.allotment);
            allotment
                .and_then(|message| allotment_of(violations, &path, message))
                .map(|allotment| Report::InForce(Box::new(allotment)))
        }
        proto::UserMigrationState::Refused => {
            let why = violations.require(format!("{path}.reason"), reason(why));
            why.zip(cause).map(|(why, cause)| Report::Refused(why, cause))
        }
        proto::UserMigrationState::Revoked => cause.map(Report::Revoked),
        _ => {
            violations.add(format!("{path}.state"), "must be IN_FORCE, REFUSED or REVOKED");
            None
        }
    };
    id.zip(decoded)
}

fn allotment_of(
    violations: &mut Violations,
    path: &str,
    allotment: proto::UserMigrationAllotment,
) -> Option<Allotment> {
    let identities =
        violations.sip_identities(&format!("{path}.visitor_identities"), allotment.visitor_identities);
    let ids = violations
        .mc_service_identities(&format!("{path}.mc_service_identities"), &allotment.mc_service_identities);
    let scopes = &allotment.scopes;
    let is_good = |scope: &String| {
        !scope.is_empty() && scope.len() <= 128 && scope.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if scopes.is_empty() || scopes.len() > SCOPES_LIMIT || !scopes.iter().all(is_good) {
        violations.add(format!("{path}.scopes"), format_args!("must hold 1 to {SCOPES_LIMIT} scopes"));
        return None;
    }
    let until = valid_until(violations, format!("{path}.valid_until"), allotment.valid_until);
    Some(Allotment {
        visitor_identities: identities?,
        mc_service_ids: ids?,
        scopes: allotment.scopes,
        valid_until: until?,
    })
}

/// What the other MC system is told of a migration. One that is being put in place is told as being in force: everything is, but for the
/// other one's knowing.
pub(crate) fn report_to_wire(migration: &UserMigration) -> proto::UserMigrationReport {
    let progress = &migration.progress;
    let state = match progress.state {
        UserMigrationState::Refused => proto::UserMigrationState::Refused,
        UserMigrationState::Revoking | UserMigrationState::Revoked => proto::UserMigrationState::Revoked,
        _ => proto::UserMigrationState::InForce,
    };
    let is_in_force = state == proto::UserMigrationState::InForce;
    proto::UserMigrationReport {
        migration_id: migration.id.to_string(),
        state: state.into(),
        allotment: migration.grant.as_ref().filter(|_| is_in_force).map(|grant| {
            proto::UserMigrationAllotment {
                visitor_identities: Some(grant.visitor_identities.clone().into()),
                mc_service_identities: mc_service_identities_to_wire(&grant.mc_service_ids),
                scopes: grant.scopes.clone(),
                valid_until: migration.valid_until.map(Into::into),
            }
        }),
        reason: reason_to_wire(progress.reason).into(),
        cause: progress.cause.clone(),
    }
}

/// How this MC system answers for a migration; `None`: it does not know it.
pub(crate) fn result_to_wire(
    id: Uuid,
    migration: Option<&UserMigration>,
) -> proto::UserMigrationReportResult {
    let progress = migration.map(|migration| &migration.progress);
    proto::UserMigrationReportResult {
        migration_id: id.to_string(),
        state: progress
            .map_or(proto::UserMigrationState::Revoked, |progress| state_to_wire(progress.state))
            .into(),
        reason: reason_to_wire(progress.and_then(|progress| progress.reason)).into(),
        cause: progress.map(|progress| progress.cause.clone()).unwrap_or_default(),
    }
}

/// Decodes the answers for `count` migrations.
pub(crate) fn answers(
    results: Vec<proto::UserMigrationReportResult>,
) -> Result<BTreeMap<Uuid, PeerAnswer>, Violations> {
    let mut violations = Violations::new();
    let mut answers = BTreeMap::new();
    for (index, result) in results.into_iter().enumerate() {
        let path = format!("results[{index}]");
        let id = super::uuid(&mut violations, &format!("{path}.migration_id"), &result.migration_id);
        let state = violations.require(format!("{path}.state"), state(result.state()));
        let reason = reason(result.reason());
        let cause = cause(&mut violations, format!("{path}.cause"), result.cause);
        if let Some(((id, state), cause)) = id.zip(state).zip(cause) {
            answers.insert(id, PeerAnswer { state, reason, cause });
        }
    }
    violations.finish(Some(answers))
}
