//! The gRPC services of identity management: decode, call, encode, and nothing else.

pub(crate) mod account;
pub(crate) mod client_registration;
pub(crate) mod key_encryption_key;
pub(crate) mod migration_identity;
pub(crate) mod partner_trust;
pub(crate) mod signing_key;
pub(crate) mod token;
pub(crate) mod token_trust;

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

/// How a streamed request ends early: by an error of ours, or by the stream's own.
pub(crate) enum StreamError {
    Ours(Error),
    Stream(Status),
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<StreamError> for Status {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Ours(error) => status(&error),
            StreamError::Stream(status) => status,
        }
    }
}

/// Decodes the `request_id` of a mutating request: empty is `Some(None)`. `content` is the request without secrets: a hash of it is kept,
/// and must not help to guess them.
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
