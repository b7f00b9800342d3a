//! A user migration as a row.

use std::collections::BTreeMap;

use mcx_store::StoreError;
use mcx_types::{McService, McServiceId, Timestamp};
use serde::Serialize;

use crate::domain::user_migration::{
    Grant, MigrationRole, Progress, RefusedBecause, Step, UserMigration, UserMigrationState,
};
use crate::store::columns::{corrupt, identities, list_json, micros, parse, parse_list};

/// The columns, without those of the claim.
#[derive(sqlx::FromRow, Serialize)]
pub(super) struct Row {
    migration_id: String,
    request_id: String,
    role: String,
    peer_mc_system_id: String,
    mc_id: Option<String>,
    primary_issuer: Option<String>,
    primary_subject: String,
    primary_impi: String,
    primary_impus: String,
    primary_mc_service_ids: String,
    visitor_impi: Option<String>,
    visitor_impus: Option<String>,
    visitor_mc_service_ids: Option<String>,
    scopes: Option<String>,
    granted_group_ids: Option<String>,
    ue_configuration_digest: Option<String>,
    valid_until: Option<i64>,
    state: String,
    next_step: Option<String>,
    is_peer_told: bool,
    reason: Option<String>,
    cause: String,
    failed_attempts: i64,
    next_attempt_at: i64,
    last_error: String,
    created_at: i64,
    updated_at: i64,
}

type ServiceIds = BTreeMap<McService, McServiceId>;

fn service_ids_json(ids: &ServiceIds) -> String {
    serde_json::to_string(ids).unwrap_or_default()
}

fn service_ids(column: &'static str, json: &str) -> Result<ServiceIds, StoreError> {
    serde_json::from_str(json).map_err(|_| corrupt(column))
}

impl From<&UserMigration> for Row {
    fn from(migration: &UserMigration) -> Self {
        let grant = migration.grant.as_ref();
        let progress = &migration.progress;
        Self {
            migration_id: migration.id.to_string(),
            request_id: migration.request_id.to_string(),
            role: migration.role.as_str().to_owned(),
            peer_mc_system_id: migration.peer.to_string(),
            mc_id: migration.mc_id.as_ref().map(ToString::to_string),
            primary_issuer: migration.primary_issuer.clone(),
            primary_subject: migration.primary_subject.to_string(),
            primary_impi: migration.primary_identities.impi.to_string(),
            primary_impus: list_json(&migration.primary_identities.impus),
            primary_mc_service_ids: service_ids_json(&migration.primary_mc_service_ids),
            visitor_impi: grant.map(|grant| grant.visitor_identities.impi.to_string()),
            visitor_impus: grant.map(|grant| list_json(&grant.visitor_identities.impus)),
            visitor_mc_service_ids: grant.map(|grant| service_ids_json(&grant.mc_service_ids)),
            scopes: grant.map(|grant| list_json(&grant.scopes)),
            granted_group_ids: grant.map(|grant| list_json(&grant.granted_group_ids)),
            ue_configuration_digest: grant.and_then(|grant| grant.ue_configuration.clone()),
            valid_until: micros(migration.valid_until),
            state: progress.state.as_str().to_owned(),
            next_step: progress.next_step.map(|step| step.as_str().to_owned()),
            is_peer_told: progress.is_peer_told,
            reason: progress.reason.map(|reason| reason.as_str().to_owned()),
            cause: progress.cause.clone(),
            failed_attempts: i64::from(progress.failed_attempts),
            next_attempt_at: progress.next_attempt_at.as_micros(),
            last_error: progress.last_error.clone(),
            created_at: migration.created_at.as_micros(),
            updated_at: migration.updated_at.as_micros(),
        }
    }
}

impl TryFrom<Row> for UserMigration {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, Self::Error> {
        let grant = match (&row.visitor_impi, &row.visitor_impus) {
            (Some(impi), Some(impus)) => Some(Grant {
                visitor_identities: identities(impi, impus)?,
                mc_service_ids: service_ids(
                    "visitor_mc_service_ids",
                    row.visitor_mc_service_ids.as_deref().unwrap_or("{}"),
                )?,
                scopes: parse_list("scopes", row.scopes.as_deref().unwrap_or("[]"))?,
                granted_group_ids: parse_list(
                    "granted_group_ids",
                    row.granted_group_ids.as_deref().unwrap_or("[]"),
                )?,
                ue_configuration: row.ue_configuration_digest,
            }),
            _ => None,
        };
        let step = |name: String| Step::from_name(&name).ok_or_else(|| corrupt("next_step"));
        let reason = |name: String| RefusedBecause::from_name(&name).ok_or_else(|| corrupt("reason"));
        Ok(Self {
            id: parse("migration_id", &row.migration_id)?,
            request_id: parse("request_id", &row.request_id)?,
            role: MigrationRole::from_name(&row.role).ok_or_else(|| corrupt("role"))?,
            peer: parse("peer_mc_system_id", &row.peer_mc_system_id)?,
            mc_id: row.mc_id.map(|id| parse("mc_id", &id)).transpose()?,
            primary_issuer: row.primary_issuer,
            primary_subject: parse("primary_subject", &row.primary_subject)?,
            primary_identities: identities(&row.primary_impi, &row.primary_impus)?,
            primary_mc_service_ids: service_ids("primary_mc_service_ids", &row.primary_mc_service_ids)?,
            grant,
            valid_until: row.valid_until.map(Timestamp::from_micros),
            progress: Progress {
                state: UserMigrationState::from_name(&row.state).ok_or_else(|| corrupt("state"))?,
                next_step: row.next_step.map(step).transpose()?,
                is_peer_told: row.is_peer_told,
                reason: row.reason.map(reason).transpose()?,
                cause: row.cause,
                failed_attempts: u32::try_from(row.failed_attempts)
                    .map_err(|_| corrupt("failed_attempts"))?,
                next_attempt_at: Timestamp::from_micros(row.next_attempt_at),
                last_error: row.last_error,
            },
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

pub(super) fn read_all(rows: Vec<Row>) -> Result<Vec<UserMigration>, StoreError> {
    rows.into_iter().map(TryInto::try_into).collect()
}
