//! Parts that several requests share.

use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McSystemId, Violations};
use prost::Message;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The `request_id` of a mutating request; empty: `Some(None)`.
pub(crate) fn request_id(violations: &mut Violations, text: &str) -> Option<Option<Uuid>> {
    if text.is_empty() {
        return Some(None);
    }
    let parsed = Uuid::try_parse(text).map_err(|_| "must be a UUID");
    violations.accept("request_id", parsed).map(Some)
}

/// The request as it is kept for repetitions. Taken of the message before its secrets are taken out of it.
pub(crate) struct Content(Zeroizing<Vec<u8>>);

impl Content {
    pub(crate) fn of(message: &impl Message) -> Self {
        Self(Zeroizing::new(message.encode_to_vec()))
    }

    pub(crate) fn identified(&self, id: Option<Uuid>, method: &'static str) -> Option<MutatingRequest> {
        id.map(|id| MutatingRequest::new(id, method, &self.0))
    }
}

/// The MC system on whose behalf is asked; empty: `Some(None)`, the own one.
pub(crate) fn requesting_mc_system_id(violations: &mut Violations, text: &str) -> Option<Option<McSystemId>> {
    match text {
        "" => Some(None),
        text => violations.parse("requesting_mc_system_id", text).map(Some),
    }
}
