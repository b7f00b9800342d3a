//! Between the messages of `mcx.identity.v1` and the domain. Decoding collects all violations; encoding cannot fail.

pub(crate) mod account;
pub(crate) mod client;
pub(crate) mod migration;
pub(crate) mod partner_trust;
pub(crate) mod signing_key;

use mcx_federation::access_token::Scope;
use mcx_types::{Timestamp, Violations};
use uuid::Uuid;

use crate::domain::scopes::Scopes;

/// The most items of a page, and how many there are where the caller does not say.
const PAGE_SIZE_LIMIT: u32 = 1_000;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// The most scopes of a list.
const SCOPE_LIMIT: usize = 32;

/// Longest name for people in bytes.
const NAME_LIMIT: usize = 253;

type WireTime = Option<prost_types::Timestamp>;

pub(crate) fn time(at: Timestamp) -> WireTime {
    Some(at.into())
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

/// Decodes a required identifier that is a UUID.
pub(crate) fn uuid(violations: &mut Violations, field: impl Into<String>, text: &str) -> Option<Uuid> {
    violations.accept(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
}

/// Decodes an `etag`, which is the version of what it was read with.
pub(crate) fn version(violations: &mut Violations, field: &str, etag: &str) -> Option<i64> {
    violations.accept(field, etag.parse().map_err(|_| "must be the etag of the resource as it was read"))
}

/// Decodes the `etag` that a request may name.
pub(crate) fn optional_version(violations: &mut Violations, field: &str, etag: &str) -> Option<Option<i64>> {
    if etag.is_empty() { Some(None) } else { version(violations, field, etag).map(Some) }
}

/// Decodes required scopes.
pub(crate) fn scopes(violations: &mut Violations, field: &str, names: &[String]) -> Option<Scopes> {
    if names.is_empty() || names.len() > SCOPE_LIMIT {
        violations.add(field, format_args!("must hold 1 to {SCOPE_LIMIT} scopes"));
        return None;
    }
    let mut scopes = Scopes::default();
    let mut are_good = true;
    for (index, name) in names.iter().enumerate() {
        match violations.parse::<Scope>(format!("{field}[{index}]"), name) {
            Some(scope) => {
                scopes.0.insert(scope);
            }
            None => are_good = false,
        }
    }
    are_good.then_some(scopes)
}

/// Decodes an optional name for people.
pub(crate) fn display_name(violations: &mut Violations, field: &str, name: &str) -> Option<String> {
    if name.len() > NAME_LIMIT || name.chars().any(char::is_control) {
        violations.add(field, format_args!("must be at most {NAME_LIMIT} bytes without control characters"));
        return None;
    }
    Some(name.to_owned())
}

/// Decodes an optional moment.
pub(crate) fn optional_time(
    violations: &mut Violations,
    field: impl Into<String>,
    at: WireTime,
) -> Option<Option<Timestamp>> {
    match at {
        None => Some(None),
        Some(at) => violations.accept(field, Timestamp::try_from(at)).map(Some),
    }
}
