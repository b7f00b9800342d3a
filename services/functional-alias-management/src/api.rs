//! The gRPC services of functional alias management: decode, call, encode, and nothing else.

pub(crate) mod alias;
pub(crate) mod configuration;
pub(crate) mod lookup;

use mcx_runtime::error::status;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::Violations;
use prost::Message;
use tonic::Status;

use crate::error::Error;
use crate::wire;

/// The status that an error becomes.
fn refuse(error: impl Into<Error>) -> Status {
    status(&error.into())
}

/// Decodes the `request_id` of a mutating request: empty is `Some(None)`.
fn mutating_request(
    violations: &mut Violations,
    method: &'static str,
    request_id: &str,
    content: &impl Message,
) -> Option<Option<MutatingRequest>> {
    if request_id.is_empty() {
        return Some(None);
    }
    let id = wire::uuid(violations, "request_id", request_id)?;
    Some(Some(MutatingRequest::new(id, method, &content.encode_to_vec())))
}

/// Decodes the `etag` that a removal may name.
fn optional_version(violations: &mut Violations, etag: &str) -> Option<Option<i64>> {
    if etag.is_empty() { Some(None) } else { wire::version(violations, "etag", etag).map(Some) }
}
