//! Between the messages of `mcx.mcservice.v1` and the domain. Decoding collects all violations; encoding cannot fail.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::types::v1 as types;
use mcx_types::wire::MigratedServiceIdentity;
use mcx_types::{
    FunctionalAlias, McService, McServiceGroupId, McServiceId, McSystemId, ProfileIndex, Timestamp,
    Violations,
};
use uuid::Uuid;

use crate::domain::EndReason;
use crate::domain::user::{Activation, Affiliation, Authorization, Client, ServedBy, User};

/// The most groups that one request may name.
const GROUP_LIMIT: usize = 100;
/// The most items of a page, and how many there are where the caller does not say.
const PAGE_SIZE_LIMIT: u32 = 1_000;
const PAGE_SIZE_DEFAULT: u32 = 100;
/// The longest lease that a partner may ask for.
const LEASE_LIMIT: Duration = Duration::from_hours(7 * 24);

pub(crate) fn time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(at.into())
}

pub(crate) fn duration(duration: Duration) -> Option<prost_types::Duration> {
    // Ours are settings, far below what does not fit.
    duration.try_into().ok()
}

pub(crate) fn service(service: McService) -> i32 {
    types::McService::from(service).into()
}

/// Decodes a required identifier that is a UUID.
pub(crate) fn uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Uuid> {
    violations.accept(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
}

/// Decodes an optional text field: empty is `Some(None)`.
pub(crate) fn optional<T>(violations: &mut Violations, field: &str, text: &str) -> Option<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Some(None) } else { violations.parse(field, text).map(Some) }
}

/// Decodes an optional UUID: empty is `Some(None)`.
pub(crate) fn optional_uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Option<Uuid>> {
    if text.is_empty() { Some(None) } else { uuid(violations, field, text).map(Some) }
}

pub(crate) fn profile_index(violations: &mut Violations, index: u32) -> Option<ProfileIndex> {
    violations.accept("profile_index", ProfileIndex::try_from(index))
}

/// Decodes an optional index: absent is `Some(None)`.
pub(crate) fn optional_profile_index(
    violations: &mut Violations,
    index: Option<u32>,
) -> Option<Option<ProfileIndex>> {
    match index {
        None => Some(None),
        Some(index) => profile_index(violations, index).map(Some),
    }
}

/// Decodes the size of a page.
pub(crate) fn page_size(violations: &mut Violations, page_size: u32) -> Option<u32> {
    match page_size {
        0 => Some(PAGE_SIZE_DEFAULT),
        1..=PAGE_SIZE_LIMIT => Some(page_size),
        _ => {
            violations.add("page_size", format_args!("must be at most {PAGE_SIZE_LIMIT}"));
            None
        }
    }
}

/// Decodes the groups of a request: as many as `at_least`, at most 100, none twice.
pub(crate) fn groups(
    violations: &mut Violations,
    texts: &[String],
    at_least: usize,
) -> Option<Vec<McServiceGroupId>> {
    if texts.len() < at_least || texts.len() > GROUP_LIMIT {
        violations.add("group_ids", format_args!("must hold {at_least} to {GROUP_LIMIT} groups"));
        return None;
    }
    let mut groups: Vec<McServiceGroupId> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("group_ids[{index}]");
        if let Some(group) = violations.parse::<McServiceGroupId>(field.as_str(), text) {
            if groups.contains(&group) {
                violations.add(field, "must not repeat a group");
            } else {
                groups.push(group);
            }
        }
    }
    (groups.len() == texts.len()).then_some(groups)
}

/// Decodes a required time.
pub(crate) fn required_time(
    violations: &mut Violations,
    field: &str,
    at: Option<prost_types::Timestamp>,
) -> Option<Timestamp> {
    let at = violations.require(field, at)?;
    violations.accept(field, Timestamp::try_from(at))
}

/// Decodes a required lease of a partner.
pub(crate) fn lease(violations: &mut Violations, lease: Option<prost_types::Duration>) -> Option<Duration> {
    let lease = violations.require("lease", lease)?;
    match Duration::try_from(lease) {
        Ok(lease) if !lease.is_zero() && lease <= LEASE_LIMIT => Some(lease),
        _ => {
            violations.add("lease", "must be longer than zero and at most 7 days");
            None
        }
    }
}

/// Decodes who a user is in both MC systems.
pub(crate) fn migrated_identity(
    violations: &mut Violations,
    identity: Option<types::MigratedServiceIdentity>,
) -> Option<MigratedServiceIdentity> {
    let identity = violations.require("identity", identity)?;
    let service = violations.mc_service("identity.mc_service", identity.mc_service);
    let primary = violations.parse("identity.primary_mc_service_id", &identity.primary_mc_service_id);
    let partner = violations.parse("identity.partner_mc_service_id", &identity.partner_mc_service_id);
    Some(MigratedServiceIdentity { mc_service: service?, primary: primary?, partner: partner? })
}

/// Decodes a user.
pub(crate) fn user(violations: &mut Violations, identity: Option<types::McServiceIdentity>) -> Option<User> {
    let identity = violations.require("identity", identity)?;
    let mc_service = violations.mc_service("identity.mc_service", identity.mc_service);
    let id = violations.parse("identity.mc_service_id", &identity.mc_service_id);
    Some(User { mc_service: mc_service?, id: id? })
}

/// Decodes a required reason of an end.
pub(crate) fn end_reason(violations: &mut Violations, reason: i32) -> Option<EndReason> {
    match EndReason::try_from(reason) {
        Ok(EndReason::Unspecified) | Err(_) => {
            violations.add("reason", "must be a known reason");
            None
        }
        Ok(reason) => Some(reason),
    }
}

pub(crate) fn user_identity(user: &User) -> types::McServiceIdentity {
    types::McServiceIdentity { mc_service: service(user.mc_service), mc_service_id: user.id.to_string() }
}

pub(crate) fn migrated(
    user: &User,
    primary: &McServiceId,
    partner: &McServiceId,
) -> types::MigratedServiceIdentity {
    types::MigratedServiceIdentity {
        mc_service: service(user.mc_service),
        primary_mc_service_id: primary.to_string(),
        partner_mc_service_id: partner.to_string(),
    }
}

pub(crate) fn authorization(authorization: &Authorization) -> proto::ServiceAuthorization {
    let visitor = authorization.visitor.as_ref();
    proto::ServiceAuthorization {
        mc_service: service(authorization.client.user.mc_service),
        mc_service_id: authorization.client.user.id.to_string(),
        client_instance: authorization.client.instance.to_string(),
        profile_index: authorization.profile_index.0.into(),
        rule: authorization.rule.into(),
        primary_mc_system_id: visitor.map(|visitor| visitor.primary.to_string()).unwrap_or_default(),
        primary_mc_service_id: visitor.map(|visitor| visitor.primary_id.to_string()).unwrap_or_default(),
        migration_id: visitor.map(|visitor| visitor.migration_id.to_string()).unwrap_or_default(),
        authorize_time: time(authorization.authorized_at),
        expire_time: time(authorization.expires_at),
    }
}

pub(crate) fn served_by(mark: &ServedBy) -> proto::ServedBy {
    proto::ServedBy {
        mc_service: service(mark.client.user.mc_service),
        primary_mc_service_id: mark.client.user.id.to_string(),
        client_instance: mark.client.instance.to_string(),
        partner_mc_system_id: mark.partner.to_string(),
        partner_mc_service_id: mark.partner_id.to_string(),
        profile_index: mark.profile_index.0.into(),
        migration_id: mark.migration_id.to_string(),
        authorize_time: time(mark.authorized_at),
        expire_time: time(mark.expires_at),
    }
}

/// A visitor, as operators see her.
pub(crate) fn visitor(authorization: &Authorization) -> Option<proto::MigratedUser> {
    let visitor = authorization.visitor.as_ref()?;
    let user = &authorization.client.user;
    Some(proto::MigratedUser {
        direction: proto::MigrationDirection::In.into(),
        identity: Some(migrated(user, &visitor.primary_id, &user.id)),
        mc_system_id: visitor.primary.to_string(),
        client_instance: authorization.client.instance.to_string(),
        profile_index: authorization.profile_index.0.into(),
        migration_id: visitor.migration_id.to_string(),
        authorize_time: time(authorization.authorized_at),
        expire_time: time(authorization.expires_at),
    })
}

/// An own user away, as operators see her.
pub(crate) fn user_away(mark: &ServedBy) -> proto::MigratedUser {
    let user = &mark.client.user;
    proto::MigratedUser {
        direction: proto::MigrationDirection::Out.into(),
        identity: Some(migrated(user, &user.id, &mark.partner_id)),
        mc_system_id: mark.partner.to_string(),
        client_instance: mark.client.instance.to_string(),
        profile_index: mark.profile_index.0.into(),
        migration_id: mark.migration_id.to_string(),
        authorize_time: time(mark.authorized_at),
        expire_time: time(mark.expires_at),
    }
}

pub(crate) fn affiliation(affiliation: &Affiliation) -> proto::Affiliation {
    proto::Affiliation {
        mc_service: service(affiliation.client.user.mc_service),
        mc_service_id: affiliation.client.user.id.to_string(),
        client_instance: affiliation.client.instance.to_string(),
        group_id: affiliation.group.to_string(),
        home_mc_system_id: affiliation.home.to_string(),
        implicit: affiliation.implicit,
        affiliate_time: time(affiliation.affiliated_at),
    }
}

pub(crate) fn activation(activation: &Activation) -> proto::FunctionalAliasActivation {
    proto::FunctionalAliasActivation {
        functional_alias: activation.alias.to_string(),
        mc_service: service(activation.user.mc_service),
        mc_service_id: activation.user.id.to_string(),
        activate_time: time(activation.activated_at),
    }
}

pub(crate) fn ended(client: &Client, reason: EndReason, at: Timestamp) -> proto::ServiceEnded {
    proto::ServiceEnded {
        mc_service: service(client.user.mc_service),
        mc_service_id: client.user.id.to_string(),
        client_instance: client.instance.to_string(),
        reason: reason.into(),
        end_time: time(at),
    }
}

pub(crate) fn displaced(user: &User, alias: &FunctionalAlias, by: Option<&User>) -> proto::AliasDisplaced {
    proto::AliasDisplaced {
        mc_service: service(user.mc_service),
        mc_service_id: user.id.to_string(),
        functional_alias: alias.to_string(),
        taken_over_by: by.map(|by| by.id.to_string()).unwrap_or_default(),
    }
}

/// Decodes which migrated users an operator means.
pub(crate) fn selection(
    violations: &mut Violations,
    selection: Option<proto::MigratedUserSelection>,
) -> Option<crate::store::Selection> {
    const USER_LIMIT: usize = 1_000;
    let selection = violations.require("selection", selection)?;
    let mc_service = match selection.mc_service {
        0 => Some(None),
        named => violations.mc_service("selection.mc_service", named).map(Some),
    };
    let system: Option<Option<McSystemId>> =
        optional(violations, "selection.mc_system_id", &selection.mc_system_id);
    if selection.mc_service_ids.len() > USER_LIMIT {
        violations.add("selection.mc_service_ids", format_args!("must hold at most {USER_LIMIT} users"));
        return None;
    }
    if selection.mc_service_ids.is_empty() && selection.mc_system_id.is_empty() {
        violations.add("selection", "must name users or an mc system");
        return None;
    }
    let texts = selection.mc_service_ids.iter().enumerate();
    let ids: Vec<Option<McServiceId>> = texts
        .map(|(index, text)| violations.parse(format!("selection.mc_service_ids[{index}]"), text))
        .collect();
    let ids: Option<Vec<McServiceId>> = ids.into_iter().collect();
    Some(crate::store::Selection { mc_service: mc_service?, ids: ids?, mc_system_id: system? })
}
