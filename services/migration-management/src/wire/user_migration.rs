//! User migrations on the wire, as operators see them.

use std::collections::{BTreeSet, HashMap};

use mcx_proto::migration::v1 as proto;
use mcx_proto::types::v1::{AccessInformation, InitialUeConfiguration};
use mcx_types::wire::mc_service_identities_to_wire;
use mcx_types::{McId, McService, SipIdentities, Timestamp, Violations};
use uuid::Uuid;

use crate::domain::user_migration::{
    Grant, MigrationRole, RefusedBecause, UserMigration, UserMigrationState,
};
use crate::store::user_migrations::MigrationFilter;

/// The most users of a request, and the most identifiers of a selection.
const USERS_LIMIT: usize = 10_000;
const CAUSE_LIMIT: usize = 1_024;

/// A user of a request, as the operator names her.
#[derive(Debug, Clone)]
pub(crate) struct UserToMigrate {
    /// Her position in the request.
    pub(crate) index: usize,
    pub(crate) mc_id: McId,
    pub(crate) primary_identities: SipIdentities,
    /// Empty: all that she has.
    pub(crate) mc_services: BTreeSet<McService>,
    pub(crate) valid_until: Option<Timestamp>,
}

/// Decodes the users of a request, but for those with whom something is wrong: what can be said of them without asking anybody is said of
/// all of them.
pub(crate) fn users(
    violations: &mut Violations,
    users: Vec<proto::UserToMigrate>,
    now: Timestamp,
) -> Vec<UserToMigrate> {
    if users.is_empty() || users.len() > USERS_LIMIT {
        violations.add("users", format_args!("must hold 1 to {USERS_LIMIT} users"));
        return Vec::new();
    }
    let mut first_with: HashMap<String, usize> = HashMap::with_capacity(users.len() * 3);
    let mut decoded = Vec::with_capacity(users.len());
    for (index, user) in users.into_iter().enumerate() {
        let path = format!("users[{index}]");
        let mc_id = violations.parse(format!("{path}.mc_id"), &user.mc_id);
        let identities =
            violations.sip_identities(&format!("{path}.primary_identities"), user.primary_identities);
        let services: BTreeSet<McService> = user
            .mc_services
            .iter()
            .enumerate()
            .filter_map(|(at, service)| violations.mc_service(format!("{path}.mc_services[{at}]"), *service))
            .collect();
        let valid_until = match user.valid_until {
            None => Some(None),
            Some(at) => violations.accept(format!("{path}.valid_until"), Timestamp::try_from(at)).map(Some),
        };
        if let Some(Some(until)) = valid_until
            && until <= now
        {
            violations.add(format!("{path}.valid_until"), "must be in the future");
        }
        let (Some(mc_id), Some(primary_identities), Some(valid_until)) = (mc_id, identities, valid_until)
        else {
            continue;
        };
        let impus = primary_identities.impus.iter();
        let names = impus.enumerate().map(|(at, impu)| (format!("impus[{at}]"), impu.to_string()));
        let names = names.chain([("impi".to_owned(), primary_identities.impi.to_string())]);
        let mut repeat = |field: String, name: String| {
            if let Some(first) = first_with.insert(name, index).filter(|first| *first != index) {
                violations.add(field, format_args!("is the same as that of users[{first}]"));
            }
        };
        repeat(format!("{path}.mc_id"), format!("mc_id {mc_id}"));
        for (field, name) in names {
            repeat(format!("{path}.primary_identities.{field}"), name);
        }
        decoded.push(UserToMigrate { index, mc_id, primary_identities, mc_services: services, valid_until });
    }
    decoded
}

/// Which user migrations an operator means.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Ids(Vec<Uuid>),
    All(MigrationFilter),
}

/// Decodes a selection: identifiers, or the rest.
pub(crate) fn selection(
    violations: &mut Violations,
    selection: Option<proto::UserMigrationSelection>,
) -> Option<Selection> {
    let selection = violations.require("selection", selection)?;
    let request_id = optional_uuid(
        violations,
        "selection.user_migration_request_id",
        &selection.user_migration_request_id,
    );
    let peer = super::optional(violations, "selection.peer_mc_system_id", &selection.peer_mc_system_id);
    let (request_id, peer) = request_id.zip(peer)?;
    let is_filter = request_id.is_some() || peer.is_some();
    match (selection.migration_ids.is_empty(), is_filter) {
        (true, true) => {
            Some(Selection::All(MigrationFilter { request_id, peer, ..MigrationFilter::default() }))
        }
        (true, false) => {
            violations.add("selection", "must name migrations, a request or an mc system");
            None
        }
        (false, true) => {
            violations.add("selection.migration_ids", "must stand alone");
            None
        }
        (false, false) if selection.migration_ids.len() > USERS_LIMIT => {
            violations
                .add("selection.migration_ids", format_args!("must hold at most {USERS_LIMIT} identifiers"));
            None
        }
        (false, false) => {
            let ids = selection.migration_ids.iter().enumerate();
            let decoded: Vec<Uuid> = ids
                .filter_map(|(index, id)| {
                    super::uuid(violations, &format!("selection.migration_ids[{index}]"), id)
                })
                .collect();
            (decoded.len() == selection.migration_ids.len()).then_some(Selection::Ids(decoded))
        }
    }
}

/// Decodes an identifier that may be empty: that is `Some(None)`.
pub(crate) fn optional_uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Option<Uuid>> {
    if text.is_empty() { Some(None) } else { super::uuid(violations, field, text).map(Some) }
}

/// Decodes a cause.
pub(crate) fn cause(violations: &mut Violations, field: impl Into<String>, cause: String) -> Option<String> {
    if cause.len() > CAUSE_LIMIT {
        violations.add(field, format_args!("must not be longer than {CAUSE_LIMIT} bytes"));
        return None;
    }
    Some(cause)
}

/// Decodes the filter of a listing.
pub(crate) fn filter(
    violations: &mut Violations,
    request: &proto::ListUserMigrationsRequest,
) -> Option<MigrationFilter> {
    let role = match proto::MigrationRole::try_from(request.role) {
        Ok(proto::MigrationRole::Unspecified) => Some(None),
        Ok(proto::MigrationRole::Primary) => Some(Some(MigrationRole::Primary)),
        Ok(proto::MigrationRole::Partner) => Some(Some(MigrationRole::Partner)),
        Err(_) => {
            violations.add("role", "must be a known role");
            None
        }
    };
    let state = match proto::UserMigrationState::try_from(request.state) {
        Ok(proto::UserMigrationState::Unspecified) => Some(None),
        Ok(known) => Some(state(known)),
        Err(_) => {
            violations.add("state", "must be a known state");
            None
        }
    };
    let peer = super::optional(violations, "peer_mc_system_id", &request.peer_mc_system_id);
    let request_id =
        optional_uuid(violations, "user_migration_request_id", &request.user_migration_request_id);
    let mc_id = super::optional(violations, "mc_id", &request.mc_id);
    Some(MigrationFilter { role: role?, peer: peer?, state: state?, request_id: request_id?, mc_id: mc_id? })
}

/// The state that a known one of the protocol is.
pub(crate) fn state(state: proto::UserMigrationState) -> Option<UserMigrationState> {
    match state {
        proto::UserMigrationState::Unspecified => None,
        proto::UserMigrationState::Requested => Some(UserMigrationState::Requested),
        proto::UserMigrationState::PendingAtPartner => Some(UserMigrationState::PendingAtPartner),
        proto::UserMigrationState::Pending => Some(UserMigrationState::Pending),
        proto::UserMigrationState::Accepted => Some(UserMigrationState::Accepted),
        proto::UserMigrationState::InForce => Some(UserMigrationState::InForce),
        proto::UserMigrationState::Refused => Some(UserMigrationState::Refused),
        proto::UserMigrationState::Revoking => Some(UserMigrationState::Revoking),
        proto::UserMigrationState::Revoked => Some(UserMigrationState::Revoked),
    }
}

pub(crate) fn state_to_wire(state: UserMigrationState) -> proto::UserMigrationState {
    match state {
        UserMigrationState::Requested => proto::UserMigrationState::Requested,
        UserMigrationState::PendingAtPartner => proto::UserMigrationState::PendingAtPartner,
        UserMigrationState::Pending => proto::UserMigrationState::Pending,
        UserMigrationState::Accepted => proto::UserMigrationState::Accepted,
        UserMigrationState::InForce => proto::UserMigrationState::InForce,
        UserMigrationState::Refused => proto::UserMigrationState::Refused,
        UserMigrationState::Revoking => proto::UserMigrationState::Revoking,
        UserMigrationState::Revoked => proto::UserMigrationState::Revoked,
    }
}

pub(crate) fn reason_to_wire(reason: Option<RefusedBecause>) -> proto::ErrorReason {
    match reason {
        None => proto::ErrorReason::Unspecified,
        Some(RefusedBecause::NotAdmitted) => proto::ErrorReason::NotAdmitted,
        Some(RefusedBecause::RefusedByOperator) => proto::ErrorReason::RefusedByOperator,
        Some(RefusedBecause::IdentityTaken) => proto::ErrorReason::IdentityTaken,
    }
}

/// Why a partner refused; a reason of which this program does not know is no other refusal.
pub(crate) fn reason(reason: proto::ErrorReason) -> Option<RefusedBecause> {
    match reason {
        proto::ErrorReason::Unspecified => None,
        proto::ErrorReason::RefusedByOperator => Some(RefusedBecause::RefusedByOperator),
        proto::ErrorReason::IdentityTaken => Some(RefusedBecause::IdentityTaken),
        _ => Some(RefusedBecause::NotAdmitted),
    }
}

/// What an own user needs to reach her partner.
pub(crate) fn access_information(grant: &Grant, configuration: InitialUeConfiguration) -> AccessInformation {
    AccessInformation {
        initial_ue_configuration: Some(configuration),
        visitor_identities: Some(grant.visitor_identities.clone().into()),
        mc_service_identities: mc_service_identities_to_wire(&grant.mc_service_ids),
        scopes: grant.scopes.clone(),
    }
}

pub(crate) fn encode(migration: &UserMigration) -> proto::UserMigration {
    let progress = &migration.progress;
    proto::UserMigration {
        migration_id: migration.id.to_string(),
        user_migration_request_id: migration.request_id.to_string(),
        role: match migration.role {
            MigrationRole::Primary => proto::MigrationRole::Primary,
            MigrationRole::Partner => proto::MigrationRole::Partner,
        }
        .into(),
        peer_mc_system_id: migration.peer.to_string(),
        state: state_to_wire(progress.state).into(),
        mc_id: migration.mc_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        primary_identities: Some(migration.primary_identities.clone().into()),
        primary_mc_service_identities: mc_service_identities_to_wire(&migration.primary_mc_service_ids),
        grant: migration.grant.as_ref().map(|grant| proto::UserMigrationGrant {
            visitor_identities: Some(grant.visitor_identities.clone().into()),
            mc_service_identities: mc_service_identities_to_wire(&grant.mc_service_ids),
            scopes: grant.scopes.clone(),
        }),
        valid_until: migration.valid_until.map(Into::into),
        reason: reason_to_wire(progress.reason).into(),
        cause: progress.cause.clone(),
        next_step: progress.next_step.map(|step| step.as_str().to_owned()).unwrap_or_default(),
        failed_attempt_count: progress.failed_attempts,
        next_attempt_time: progress.next_step.and_then(|_| super::time(progress.next_attempt_at)),
        last_error: progress.last_error.clone(),
        access_information: None,
        create_time: super::time(migration.created_at),
        update_time: super::time(migration.updated_at),
    }
}
