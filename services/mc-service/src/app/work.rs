//! One transaction, with the changes that clients are told and the notices that other MC systems are told once it is committed.

use std::collections::BTreeMap;
use std::time::Duration;

use mcx_proto::mcservice::v1::WatchServiceStatusResponse;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_store::Transaction;
use mcx_store::changes::{self, NewChange};
use mcx_store::idempotency::{Claim, MutatingRequest};
use mcx_types::{McSystemId, Timestamp};
use prost::Message;
use uuid::Uuid;

use super::App;
use crate::domain::user::User;
use crate::error::Error;
use crate::store::locks::{self, Lock};
use crate::store::notices::{self, NoticeKind};

/// The topic of what clients of a user are told.
pub(crate) fn topic(user: &User) -> String {
    format!("user/{}/{}", user.mc_service, user.id)
}

/// A transaction under way.
pub(crate) struct Work {
    pub(crate) transaction: Transaction,
    /// When it began; everything that it writes bears this time.
    pub(crate) now: Timestamp,
    /// How often the lock of each user had been taken, this time included: it counts what happens to her, in the order of commits.
    taken: BTreeMap<User, i64>,
    changes: Vec<NewChange>,
    left_notices: bool,
    request: Option<MutatingRequest>,
}

impl Work {
    /// Takes a lock, as soon as no other work has it.
    pub(crate) async fn lock(&mut self, lock: Lock<'_>) -> Result<(), Error> {
        let taken = locks::take(&mut self.transaction, lock).await?;
        if let Lock::User(user) = lock {
            self.taken.insert(user.clone(), taken);
        }
        Ok(())
    }

    /// Tells the clients of a user once this is committed. The version of the change is how often her lock had been taken, by which a
    /// watch knows what the status that it began with has in it already; 0 where the lock is not held.
    pub(crate) fn tell(&mut self, user: &User, event: Event) {
        let message = WatchServiceStatusResponse { resume_token: String::new(), event: Some(event) };
        self.changes.push(NewChange {
            topic: topic(user),
            document: topic(user),
            version: self.taken.get(user).copied().unwrap_or_default(),
            payload: message.encode_to_vec().into(),
        });
    }

    /// Tells another MC system once this is committed, now or as soon as it is there.
    pub(crate) async fn notify(
        &mut self,
        to: &McSystemId,
        kind: NoticeKind,
        request: &impl Message,
    ) -> Result<(), Error> {
        self.notify_after(to, kind, request, Duration::ZERO).await?;
        self.left_notices = true;
        Ok(())
    }

    /// The same once `wait` is over, unless it is withdrawn before; returns the notice.
    pub(crate) async fn notify_after(
        &mut self,
        to: &McSystemId,
        kind: NoticeKind,
        request: &impl Message,
        wait: Duration,
    ) -> Result<Uuid, Error> {
        let due = self.now.saturating_add(wait);
        let content = request.encode_to_vec();
        Ok(notices::insert(&mut self.transaction, to, kind, content, self.now, due).await?)
    }
}

/// What came of beginning the work on a mutating request.
pub(crate) enum Begun<Response> {
    /// It was carried out before; this was the answer.
    Answered(Response),
    /// It is to be carried out now.
    Granted(Box<Work>),
}

impl App {
    pub(crate) async fn begin(&self) -> Result<Work, Error> {
        let now = self.clock.now();
        let transaction = self.database.begin().await?;
        Ok(Work {
            transaction,
            now,
            taken: BTreeMap::new(),
            changes: Vec::new(),
            left_notices: false,
            request: None,
        })
    }

    /// Begins the work on a mutating request; one without a `request_id` is always granted.
    pub(crate) async fn begin_request<Response: Message + Default>(
        &self,
        request: Option<MutatingRequest>,
    ) -> Result<Begun<Response>, Error> {
        let mut work = self.begin().await?;
        if let Some(request) = &request {
            match request.claim(&mut work.transaction, work.now.as_micros()).await? {
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
        work.request = request;
        Ok(Begun::Granted(Box::new(work)))
    }

    /// Makes the work durable with its answer; see [`App::commit`].
    pub(crate) async fn commit_request(&self, mut work: Work, response: &impl Message) -> Result<(), Error> {
        if let Some(request) = work.request.take() {
            request.answer(&mut work.transaction, &response.encode_to_vec()).await?;
        }
        self.commit(work).await
    }

    /// Makes the work durable, and has told what it leaves to tell.
    pub(crate) async fn commit(&self, mut work: Work) -> Result<(), Error> {
        let mut last = None;
        if !work.changes.is_empty() {
            let at = work.now.as_micros();
            last = Some(changes::append(&mut work.transaction, &work.changes, at).await?);
        }
        work.transaction.commit().await?;
        if let Some(last) = last {
            self.feed.announce(last);
        }
        if work.left_notices {
            self.notices_left.notify_one();
        }
        Ok(())
    }
}
