//! Mutating requests: each in one transaction with the changes that watchers are told, and carried out once however often it is
//! repeated.

use mcx_store::Transaction;
use mcx_store::changes::{self, NewChange};
use mcx_store::idempotency::{Claim, MutatingRequest};
use mcx_types::Timestamp;
use prost::Message;

use super::App;
use crate::error::Error;
use crate::store::documents::Change;

/// Who asks for a change: the SPIFFE ID of an operator or entity, or of a user.
pub(crate) type ChangedBy = String;

/// What came of beginning a mutating request.
pub(crate) enum Begun<Response> {
    /// It was carried out before; this was the answer.
    Answered(Response),
    /// It is to be carried out now.
    Granted(Box<Mutation>),
}

/// A mutating request being carried out.
pub(crate) struct Mutation {
    pub(crate) transaction: Transaction,
    /// Who changes documents, and when.
    pub(crate) change: Change,
    /// What watchers are told, in this order.
    pub(crate) news: Vec<NewChange>,
    /// Partners are to have something else from now on.
    pub(crate) has_shares_due: bool,
    request: Option<MutatingRequest>,
}

impl Mutation {
    /// When it is carried out.
    pub(crate) fn now(&self) -> Timestamp {
        self.change.at
    }
}

impl App {
    /// Begins a mutating request; one without a `request_id` is always granted.
    pub(crate) async fn begin<Response: Message + Default>(
        &self,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<Begun<Response>, Error> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
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
        let change = Change { by, at: now };
        Ok(Begun::Granted(Box::new(Mutation {
            transaction,
            change,
            news: Vec::new(),
            has_shares_due: false,
            request,
        })))
    }

    /// Begins work that repeats harmlessly, so that it needs no `request_id`.
    pub(crate) async fn begin_work(&self, by: ChangedBy) -> Result<Mutation, Error> {
        let transaction = self.database.begin().await?;
        let change = Change { by, at: self.clock.now() };
        Ok(Mutation { transaction, change, news: Vec::new(), has_shares_due: false, request: None })
    }

    /// Makes the change, its answer and its news durable, together.
    pub(crate) async fn commit(
        &self,
        mut mutation: Box<Mutation>,
        response: &impl Message,
    ) -> Result<(), Error> {
        if let Some(request) = &mutation.request {
            request.answer(&mut mutation.transaction, &response.encode_to_vec()).await?;
        }
        self.commit_work(*mutation).await
    }

    /// Makes the change and its news durable, together.
    pub(crate) async fn commit_work(&self, mutation: Mutation) -> Result<(), Error> {
        let Mutation { mut transaction, change, news, has_shares_due, .. } = mutation;
        let last = match news.is_empty() {
            true => None,
            false => Some(changes::append(&mut transaction, &news, change.at.as_micros()).await?),
        };
        transaction.commit().await?;
        if let Some(last) = last {
            self.changes.announce(last);
        }
        if has_shares_due {
            self.shares_due.notify_one();
        }
        Ok(())
    }
}
