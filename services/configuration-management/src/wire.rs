//! Between the messages of `mcx.configuration.v1` and the domain. Decoding collects all violations; encoding cannot fail.
//!
//! Documents in which this server decides nothing (initial UE configuration, UE configuration, service configuration, rules of selection)
//! stay the messages as which they were checked here.

pub(crate) mod document;
pub(crate) mod initial_ue_configuration;
pub(crate) mod migration;
pub(crate) mod selection;
pub(crate) mod service_configuration;
pub(crate) mod ue_configuration;
pub(crate) mod user_profile;
pub(crate) mod visitor_policy;

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;

use mcx_proto::types::v1 as types;
use mcx_types::{McService, McSystemId, Timestamp, Violations};
use uuid::Uuid;

use crate::domain::user_profile::ServiceUser;

/// The most items of a page, and how many there are where the caller does not say.
const PAGE_SIZE_LIMIT: u32 = 1_000;
const PAGE_SIZE_DEFAULT: u32 = 100;

pub(crate) type WireTime = Option<prost_types::Timestamp>;

pub(crate) fn time(at: Timestamp) -> WireTime {
    Some(at.into())
}

/// What a document may refer to: the systems that there are.
pub(crate) trait KnownSystems {
    /// The MC system whose users the documents are of.
    fn home(&self) -> &McSystemId;

    /// Whether there is an agreement with this one, whatever its state.
    fn is_partner(&self, id: &McSystemId) -> bool;
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

/// Decodes an optional text field: empty is `Some(None)`.
pub(crate) fn optional<T>(
    violations: &mut Violations,
    field: impl Into<String>,
    text: &str,
) -> Option<Option<T>>
where
    T: FromStr,
    T::Err: Display,
{
    if text.is_empty() { Some(None) } else { violations.parse(field, text).map(Some) }
}

/// Decodes a required identifier that is a UUID.
pub(crate) fn uuid(violations: &mut Violations, field: impl Into<String>, text: &str) -> Option<Uuid> {
    violations.accept(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
}

/// Decodes an `etag`, which is the version of what it was read with.
pub(crate) fn version(violations: &mut Violations, field: impl Into<String>, etag: &str) -> Option<i64> {
    violations.accept(field, etag.parse().map_err(|_| "must be the etag of the resource as it was read"))
}

/// Decodes an `etag` that is empty where the document is written for the first time.
pub(crate) fn optional_version(
    violations: &mut Violations,
    field: impl Into<String>,
    etag: &str,
) -> Option<Option<i64>> {
    if etag.is_empty() { Some(None) } else { version(violations, field, etag).map(Some) }
}

/// Decodes a user in an MC service.
pub(crate) fn service_user(
    violations: &mut Violations,
    field: &str,
    identity: Option<&types::McServiceIdentity>,
) -> Option<ServiceUser> {
    let identity = violations.require(field, identity)?;
    let mc_service = violations.mc_service(format!("{field}.mc_service"), identity.mc_service);
    let id = violations.parse(format!("{field}.mc_service_id"), &identity.mc_service_id);
    Some(ServiceUser { mc_service: mc_service?, id: id? })
}

pub(crate) fn service_user_to_wire(user: &ServiceUser) -> types::McServiceIdentity {
    types::McServiceIdentity {
        mc_service: service_to_wire(user.mc_service),
        mc_service_id: user.id.to_string(),
    }
}

pub(crate) fn service_to_wire(service: McService) -> i32 {
    types::McService::from(service).into()
}

/// Decodes the identifier of a UE: a URN of at most 253 bytes of printable ASCII.
pub(crate) fn ue_id(violations: &mut Violations, field: &str, text: &str) -> Option<String> {
    let is_urn = text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
        && text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"))
        && text.len() > 4;
    if !is_urn {
        violations.add(field, "must be a urn such as urn:uuid:… of at most 253 bytes");
        return None;
    }
    Some(text.to_owned())
}

/// A text for people: within these bytes, without control characters.
pub(crate) fn text(
    violations: &mut Violations,
    field: impl Into<String>,
    text: &str,
    bytes: std::ops::RangeInclusive<usize>,
) -> Option<String> {
    if !bytes.contains(&text.len()) || text.chars().any(char::is_control) {
        let description =
            format!("must be {} to {} bytes without control characters", bytes.start(), bytes.end());
        violations.add(field, description);
        return None;
    }
    Some(text.to_owned())
}

/// A number within bounds.
pub(crate) fn number<T: TryFrom<u32>>(
    violations: &mut Violations,
    field: impl Into<String>,
    number: u32,
    bounds: std::ops::RangeInclusive<u32>,
) -> Option<T> {
    let fits = bounds.contains(&number).then(|| T::try_from(number).ok()).flatten();
    if fits.is_none() {
        violations.add(field, format_args!("must be {} to {}", bounds.start(), bounds.end()));
    }
    fits
}

/// A list of at most so many different items; each that cannot be decoded or is repeated is noted under its own path.
pub(crate) fn list<Wire, T: Clone + Eq + Hash>(
    violations: &mut Violations,
    field: &str,
    items: &[Wire],
    limit: usize,
    mut decode: impl FnMut(&mut Violations, &str, &Wire) -> Option<T>,
) -> Option<Vec<T>> {
    if items.len() > limit {
        violations.add(field, format_args!("must hold at most {limit}"));
        return None;
    }
    let mut seen = HashSet::with_capacity(items.len());
    let mut decoded = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let path = format!("{field}[{at}]");
        if let Some(item) = decode(violations, &path, item) {
            if seen.insert(item.clone()) {
                decoded.push(item);
            } else {
                violations.add(path, "must not be repeated");
            }
        }
    }
    (decoded.len() == items.len()).then_some(decoded)
}

/// A list of identities.
pub(crate) fn identities<T>(
    violations: &mut Violations,
    field: &str,
    texts: &[String],
    limit: usize,
) -> Option<Vec<T>>
where
    T: FromStr + Clone + Eq + Hash,
    T::Err: Display,
{
    list(violations, field, texts, limit, |violations, path, text| violations.parse(path, text))
}

/// A partner MC system: there must be an agreement with it.
pub(crate) fn partner(
    violations: &mut Violations,
    field: impl Into<String>,
    text: &str,
    systems: &dyn KnownSystems,
) -> Option<McSystemId> {
    let field = field.into();
    let id: McSystemId = violations.parse(field.as_str(), text)?;
    if id == *systems.home() {
        violations.add(field, "must be a partner, not the mc system itself");
        return None;
    }
    if !systems.is_partner(&id) {
        violations.add(field, "there is no agreement with this mc system");
        return None;
    }
    Some(id)
}
