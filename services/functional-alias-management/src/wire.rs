//! Between the messages of `mcx.functionalalias.v1` and the domain. Decoding collects all violations; encoding cannot fail.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;

use mcx_proto::functionalalias::v1 as proto;
use mcx_types::{FunctionalAlias, McServiceId, McSystemId, Timestamp, Violations};
use uuid::Uuid;

use crate::domain::{AliasConfiguration, AliasTerms, is_of};
use crate::store::aliases::StoredAlias;

const DISPLAY_NAME_LIMIT: usize = 100;
const ALLOWED_USER_LIMIT: usize = 1_000;
const PAGE_SIZE_LIMIT: u32 = 100;
/// How many functional aliases one request may name.
const NAMED_LIMIT: usize = 100;

/// Decodes the size of a page.
pub(crate) fn page_size(violations: &mut Violations, page_size: u32) -> Option<u32> {
    match page_size {
        0 => Some(PAGE_SIZE_LIMIT),
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

/// Decodes the functional aliases that a request names.
pub(crate) fn named(violations: &mut Violations, texts: &[String]) -> Option<Vec<FunctionalAlias>> {
    distinct(violations, "functional_aliases", texts, NAMED_LIMIT)
}

/// Decodes a list of up to `limit` texts, each once; paths are `field[2]`.
fn distinct<T>(violations: &mut Violations, field: &str, texts: &[String], limit: usize) -> Option<Vec<T>>
where
    T: std::str::FromStr + Eq + Hash + Clone,
    T::Err: std::fmt::Display,
{
    if texts.len() > limit {
        violations.add(field, format_args!("must hold at most {limit} items"));
        return None;
    }
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

/// Decodes a functional alias of `own`.
pub(crate) fn decode(
    violations: &mut Violations,
    own: &McSystemId,
    alias: Option<&proto::FunctionalAlias>,
) -> Option<AliasConfiguration> {
    const FIELD: &str = "functional_alias";
    let wire = violations.require(FIELD, alias)?;
    let alias: Option<FunctionalAlias> =
        violations.parse(format!("{FIELD}.functional_alias"), &wire.functional_alias);
    if alias.as_ref().is_some_and(|alias| !is_of(own, alias)) {
        violations.add(format!("{FIELD}.functional_alias"), format_args!("must be of {own}"));
    }
    let terms = terms(violations, wire);
    let allowed_users: Option<Vec<McServiceId>> =
        distinct(violations, "functional_alias.allowed_users", &wire.allowed_users, ALLOWED_USER_LIMIT);
    let allowed_users: BTreeSet<McServiceId> = allowed_users?.into_iter().collect();
    Some(AliasConfiguration { alias: alias?, terms: terms?, allowed_users })
}

/// Decodes what is said of a functional alias.
pub(crate) fn terms(violations: &mut Violations, wire: &proto::FunctionalAlias) -> Option<AliasTerms> {
    let characters = wire.display_name.chars().count();
    let is_named =
        (1..=DISPLAY_NAME_LIMIT).contains(&characters) && !wire.display_name.chars().any(char::is_control);
    if !is_named {
        violations.add(
            "functional_alias.display_name",
            format_args!("must be 1 to {DISPLAY_NAME_LIMIT} printable characters"),
        );
    }
    let take_over_allowed = match proto::TakeOver::try_from(wire.take_over) {
        Ok(proto::TakeOver::Allowed) => Some(true),
        Ok(proto::TakeOver::Unspecified | proto::TakeOver::NotAllowed) => Some(false),
        Err(_) => {
            violations.add("functional_alias.take_over", "must be known");
            None
        }
    };
    let priority = violations.accept(
        "functional_alias.priority",
        u8::try_from(wire.priority).map_err(|_| "must be from 0 to 255"),
    );
    Some(AliasTerms {
        display_name: is_named.then(|| wire.display_name.clone())?,
        max_simultaneous_activations: wire.max_simultaneous_activations.max(1),
        take_over_allowed: take_over_allowed?,
        priority: priority?,
        allow_visitors: wire.allow_visitors,
    })
}

/// The functional alias for operators: with who may activate it.
pub(crate) fn encode_with(
    stored: &StoredAlias,
    allowed_users: &BTreeSet<McServiceId>,
) -> proto::FunctionalAlias {
    proto::FunctionalAlias {
        allowed_users: allowed_users.iter().map(ToString::to_string).collect(),
        ..encode(stored)
    }
}

/// The functional alias without who may activate it.
pub(crate) fn encode(stored: &StoredAlias) -> proto::FunctionalAlias {
    let terms = &stored.terms;
    let time = |at: Timestamp| Some(at.into());
    proto::FunctionalAlias {
        functional_alias: stored.alias.to_string(),
        display_name: terms.display_name.clone(),
        allowed_users: Vec::new(),
        max_simultaneous_activations: terms.max_simultaneous_activations,
        take_over: match terms.take_over_allowed {
            true => proto::TakeOver::Allowed,
            false => proto::TakeOver::NotAllowed,
        }
        .into(),
        priority: terms.priority.into(),
        allow_visitors: terms.allow_visitors,
        version: stored.version,
        etag: stored.version.to_string(),
        create_time: time(stored.created_at),
        update_time: time(stored.updated_at),
    }
}
