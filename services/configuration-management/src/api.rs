//! The gRPC services of configuration management: decode, call, encode, and nothing else.

pub(crate) mod configuration;
pub(crate) mod effective;
pub(crate) mod initial;
pub(crate) mod migration;
pub(crate) mod service_configuration;
pub(crate) mod sharing;
pub(crate) mod ue_configuration;
pub(crate) mod user_profile;
pub(crate) mod visitor_policy;

use mcx_runtime::CallContext;
use mcx_runtime::error::status;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::Violations;
use prost::Message;
use tonic::{Request, Status};

use crate::app::mutation::ChangedBy;
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

/// Who asks for a change, for the history.
fn changed_by<T>(request: &Request<T>) -> Result<ChangedBy, Status> {
    Ok(CallContext::of(request)?.caller.to_string())
}

/// Decodes the `request_id` of a mutating request: empty is `Some(None)`. The id is only good for who chose it.
fn mutating_request(
    violations: &mut Violations,
    method: &'static str,
    request_id: &str,
    by: &ChangedBy,
    content: &impl Message,
) -> Option<Option<MutatingRequest>> {
    if request_id.is_empty() {
        return Some(None);
    }
    let id = wire::uuid(violations, "request_id", request_id)?;
    let mut bound = content.encode_to_vec();
    bound.extend_from_slice(by.as_bytes());
    Some(Some(MutatingRequest::new(id, method, &bound)))
}
