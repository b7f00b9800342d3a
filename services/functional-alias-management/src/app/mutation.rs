//! Mutating requests: each in one transaction, and carried out once however often it is repeated.

use mcx_store::idempotency::{Claim, MutatingRequest};
use mcx_store::{Database, Transaction};
use mcx_types::Timestamp;
use prost::Message;

use crate::error::Error;

/// What came of beginning a mutating request.
pub(crate) enum Begun<Response> {
    /// It was carried out before; this was the answer.
    Answered(Response),
    /// It is to be carried out now.
    Granted(Mutation),
}

/// A mutating request being carried out.
pub(crate) struct Mutation {
    pub(crate) transaction: Transaction,
    request: Option<MutatingRequest>,
}

/// Begins a mutating request; one without a `request_id` is always granted.
pub(crate) async fn begin<Response: Message + Default>(
    database: &Database,
    request: Option<MutatingRequest>,
    now: Timestamp,
) -> Result<Begun<Response>, Error> {
    let mut transaction = database.begin().await?;
    if let Some(request) = &request {
        match request.claim(&mut transaction, now.as_micros()).await? {
            Claim::Granted => {}
            Claim::Answered(response) => {
                let response = Response::decode(response.as_slice()).map_err(|error| {
                    Error::Internal(format!("a stored answer cannot be decoded: {error}"))
                })?;
                return Ok(Begun::Answered(response));
            }
            Claim::Reused => return Err(Error::RequestIdReused(request.id())),
        }
    }
    Ok(Begun::Granted(Mutation { transaction, request }))
}

impl Mutation {
    /// Makes the change and its answer durable, together.
    pub(crate) async fn commit(mut self, response: &impl Message) -> Result<(), Error> {
        if let Some(request) = &self.request {
            request.answer(&mut self.transaction, &response.encode_to_vec()).await?;
        }
        Ok(self.transaction.commit().await?)
    }
}
