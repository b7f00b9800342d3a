//! Between the messages of `mcx.group.v1` and the domain. Decoding collects all violations; encoding cannot fail.

pub(crate) mod group;
pub(crate) mod member;
pub(crate) mod migration;
pub(crate) mod sharing;

use std::collections::HashSet;
use std::hash::Hash;

use mcx_types::{Timestamp, Violations};
use uuid::Uuid;

/// How large the pages of a listing are where the caller does not say, and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageSizes {
    pub(crate) default: u32,
    pub(crate) limit: u32,
}

impl PageSizes {
    /// What operators list.
    pub(crate) const LISTING: Self = Self { default: 100, limit: 1_000 };
    /// What users ask for.
    pub(crate) const OF_USER: Self = Self { default: 100, limit: 100 };
    /// What partners ask for.
    pub(crate) const OF_PARTNER: Self = Self { default: 20, limit: 100 };
}

pub(crate) fn time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(at.into())
}

/// Decodes the size of a page.
pub(crate) fn page_size(violations: &mut Violations, sizes: PageSizes, page_size: u32) -> Option<u32> {
    if page_size == 0 {
        return Some(sizes.default);
    }
    if page_size > sizes.limit {
        violations.add("page_size", format_args!("must be at most {}", sizes.limit));
        return None;
    }
    Some(page_size)
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
pub(crate) fn uuid(violations: &mut Violations, field: impl Into<String>, text: &str) -> Option<Uuid> {
    violations.accept(field, Uuid::parse_str(text).map_err(|_| "must be a UUID"))
}

/// Decodes an `etag`, which is the version of what it was read with.
pub(crate) fn version(violations: &mut Violations, field: &str, etag: &str) -> Option<i64> {
    violations.accept(field, etag.parse().map_err(|_| "must be the etag of the resource as it was read"))
}

/// Decodes an optional moment: absent is `Some(None)`.
pub(crate) fn optional_time(
    violations: &mut Violations,
    field: String,
    at: Option<prost_types::Timestamp>,
) -> Option<Option<Timestamp>> {
    match at {
        None => Some(None),
        Some(at) => violations.accept(field, Timestamp::try_from(at)).map(Some),
    }
}

/// Decodes a priority.
pub(crate) fn priority(violations: &mut Violations, field: String, priority: u32) -> Option<u8> {
    violations.accept(field, u8::try_from(priority).map_err(|_| "must be from 0 to 255"))
}

/// Checks how many items a list holds.
pub(crate) fn count(violations: &mut Violations, field: &str, found: usize, min: usize, max: usize) -> bool {
    let is_good = (min..=max).contains(&found);
    if !is_good {
        violations.add(field, format_args!("must hold {min} to {max} items"));
    }
    is_good
}

/// Decodes a list of texts, each once; paths are `field[2]`.
pub(crate) fn distinct<T>(violations: &mut Violations, field: &str, texts: &[String]) -> Option<Vec<T>>
where
    T: std::str::FromStr + Eq + Hash + Clone,
    T::Err: std::fmt::Display,
{
    let mut seen = HashSet::with_capacity(texts.len());
    let mut decoded = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let path = format!("{field}[{index}]");
        if let Some(item) = violations.parse::<T>(path.as_str(), text) {
            if seen.insert(item.clone()) {
                decoded.push(item);
            } else {
                violations.add(path, "must not repeat an item");
            }
        }
    }
    (decoded.len() == texts.len()).then_some(decoded)
}
