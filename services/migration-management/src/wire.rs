//! Between the messages of `mcx.migration.v1` and the domain. Decoding collects all violations; encoding cannot fail.

pub(crate) mod admission_policy;
pub(crate) mod agreement;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod partner;
pub(crate) mod permit;
pub(crate) mod user_migration;
pub(crate) mod user_migration_exchange;

use mcx_types::{Timestamp, Validity, Violations};
use uuid::Uuid;

/// The most items of a page, and how many there are where the caller does not say.
const PAGE_SIZE_LIMIT: u32 = 1_000;
const PAGE_SIZE_DEFAULT: u32 = 100;

type WireTime = Option<prost_types::Timestamp>;

pub(crate) fn time(at: Timestamp) -> WireTime {
    Some(at.into())
}

/// Decodes the two ends of a validity.
pub(crate) fn validity(
    violations: &mut Violations,
    field: &str,
    from: WireTime,
    until: WireTime,
) -> Option<Validity> {
    let mut end = |name: &str, at: WireTime| match at {
        None => Some(None),
        Some(at) => violations.accept(format!("{field}.{name}"), Timestamp::try_from(at)).map(Some),
    };
    let from = end("valid_from", from);
    let until = end("valid_until", until);
    let validity = Validity { from: from?, until: until? };
    if let (Some(from), Some(until)) = (validity.from, validity.until)
        && until <= from
    {
        violations.add(format!("{field}.valid_until"), "must be later than valid_from");
        return None;
    }
    Some(validity)
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
pub(crate) fn optional<T>(violations: &mut Violations, field: &str, text: &str) -> Option<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() { Some(None) } else { violations.parse(field, text).map(Some) }
}

/// Decodes a required identifier that is a UUID.
pub(crate) fn uuid(violations: &mut Violations, field: &str, text: &str) -> Option<Uuid> {
    violations.accept(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
}

/// Decodes an `etag`, which is the version of what it was read with.
pub(crate) fn version(violations: &mut Violations, field: &str, etag: &str) -> Option<i64> {
    violations.accept(field, etag.parse().map_err(|_| "must be the etag of the resource as it was read"))
}
