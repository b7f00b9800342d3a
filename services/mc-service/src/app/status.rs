//! Tells clients what changes in their service, at whatever replica it changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_proto::mcservice::v1::{ServedByChanged, WatchServiceStatusResponse};
use mcx_store::changes::{ChangeEvent, ResumeToken};
use mcx_types::{McService, Timestamp};
use prost::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use super::work::topic;
use crate::domain::user::User;
use crate::error::Error;
use crate::store::locks::{self, Lock};
use crate::store::{authorizations, served_by};
use crate::wire;

/// What a client watches.
pub(crate) struct Watch {
    /// Its user in each MC service of its access token.
    pub(crate) users: Vec<User>,
    pub(crate) client_instance: Uuid,
    /// Where to resume; `None`: begin with the status as it is.
    pub(crate) resume: Option<WatchToken>,
    /// When its access token expires.
    pub(crate) until: Timestamp,
    /// Cancelled when this replica is being stopped.
    pub(crate) shutdown: CancellationToken,
}

/// Where a watch resumes: a place in the change log, and how many changes of the user in each MC service were in the status with which the
/// watch began. The feed may come to some of those later; they are not told again.
///
/// As text `<resume token>.<ptt>.<video>.<data>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchToken {
    position: ResumeToken,
    seen: [i64; McService::ALL.len()],
}

impl std::fmt::Display for WatchToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.position.fmt(formatter)?;
        self.seen.iter().try_for_each(|seen| write!(formatter, ".{seen}"))
    }
}

/// The text is not a token of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the resume_token of a message")]
pub(crate) struct MalformedWatchToken;

impl std::str::FromStr for WatchToken {
    type Err = MalformedWatchToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let position = parts.next().and_then(|part| part.parse().ok()).ok_or(MalformedWatchToken)?;
        let mut seen = [0; McService::ALL.len()];
        for count in &mut seen {
            *count = parts.next().and_then(|part| part.parse().ok()).ok_or(MalformedWatchToken)?;
        }
        if parts.next().is_some() { Err(MalformedWatchToken) } else { Ok(Self { position, seen }) }
    }
}

impl App {
    /// The changes of a client's status, beginning with the status as it is unless they are resumed.
    ///
    /// # Errors
    /// [`Error::ResumeTokenUnusable`], [`Error::StoreUnavailable`]; in the stream also [`Error::AccessTokenExpired`] and
    /// [`Error::ShuttingDown`], which end it.
    pub(crate) async fn watch(
        &self,
        watch: Watch,
    ) -> Result<BoxStream<'static, Result<WatchServiceStatusResponse, Error>>, Error> {
        let Watch { users, client_instance, resume, until, shutdown } = watch;
        let after = resume.map(|token| token.position);
        let mut changes = self.feed.subscribe(users.iter().map(topic), after).await?;
        let mut first = Vec::new();
        let mut seen = resume.map_or_else(Default::default, |token| token.seen);
        if resume.is_none() {
            // Subscribed before it is read: whatever changes from here on is told after it.
            let position = changes.next().await.ok_or(Error::StoreUnavailable)??.token();
            seen = self.changes_seen(&users).await?;
            first = self.present_status(&users, client_instance).await?;
            first.push(WatchServiceStatusResponse::default());
            let token = WatchToken { position, seen }.to_string();
            for message in &mut first {
                message.resume_token.clone_from(&token);
            }
        }
        let teller = Teller::new(&users, client_instance, seen);
        let told = changes.filter_map(move |event| {
            let message = match event {
                Ok(event) => teller.message(&event).transpose(),
                Err(error) => Some(Err(error.into())),
            };
            std::future::ready(message)
        });
        let left = until.saturating_since(self.clock.now());
        let end = futures::stream::once(async move { Err(end_of_watch(left, &shutdown).await) });
        let events = futures::stream::iter(first.into_iter().map(Ok)).chain(told);
        Ok(until_error(futures::stream::select(events, end)).boxed())
    }

    /// How many changes of each user have been made. Asked for before the status is read, so that it has all of them in it.
    async fn changes_seen(&self, users: &[User]) -> Result<[i64; McService::ALL.len()], Error> {
        let mut seen = [0; McService::ALL.len()];
        for (count, mc_service) in seen.iter_mut().zip(McService::ALL) {
            if let Some(user) = users.iter().find(|user| user.mc_service == mc_service) {
                *count = locks::taken(&self.database, Lock::User(user)).await?;
            }
        }
        Ok(seen)
    }

    async fn present_status(
        &self,
        users: &[User],
        client_instance: Uuid,
    ) -> Result<Vec<WatchServiceStatusResponse>, Error> {
        let now = self.clock.now();
        let mut events = Vec::new();
        for user in users {
            let present = authorizations::of_user(&self.database, user, now).await?;
            let present = present.iter().filter(|present| present.client.instance == client_instance);
            events.extend(present.map(|present| Event::Authorized(wire::authorization(present))));
            let marks = served_by::of_user(&self.database, user, now).await?;
            let marks = marks.iter().filter(|mark| mark.client.instance == client_instance);
            events.extend(marks.map(|mark| {
                Event::ServedByChanged(ServedByChanged { served_by: Some(wire::served_by(mark)), ended: 0 })
            }));
        }
        let message = |event| WatchServiceStatusResponse { resume_token: String::new(), event: Some(event) };
        Ok(events.into_iter().map(message).collect())
    }
}

/// Makes messages of changes.
struct Teller {
    instance: String,
    seen: [i64; McService::ALL.len()],
    seen_by_topic: HashMap<Arc<str>, i64>,
}

impl Teller {
    fn new(users: &[User], client_instance: Uuid, seen: [i64; McService::ALL.len()]) -> Self {
        let of = |user: &User| {
            let place = McService::ALL.iter().position(|mc_service| *mc_service == user.mc_service);
            (topic(user).into(), place.map_or(0, |place| seen[place]))
        };
        let seen_by_topic = users.iter().map(of).collect();
        Self { instance: client_instance.to_string(), seen, seen_by_topic }
    }

    /// The message of a change, unless it concerns another client of the user, or was in the status that was told first.
    fn message(&self, event: &ChangeEvent) -> Result<Option<WatchServiceStatusResponse>, Error> {
        let resume_token = WatchToken { position: event.token(), seen: self.seen }.to_string();
        let change = match event {
            ChangeEvent::Change(change) => change,
            ChangeEvent::Position(_) => {
                return Ok(Some(WatchServiceStatusResponse { resume_token, event: None }));
            }
        };
        let seen = self.seen_by_topic.get(&change.topic).copied().unwrap_or_default();
        // What bears no version is not in a status: it is told whenever the feed comes to it.
        if (1..=seen).contains(&change.version) {
            return Ok(None);
        }
        let message = WatchServiceStatusResponse::decode(change.payload.clone())
            .map_err(|error| Error::Internal(format!("a stored change cannot be decoded: {error}")))?;
        let is_meant = match &message.event {
            Some(Event::Authorized(authorization)) => authorization.client_instance == self.instance,
            Some(Event::Ended(ended)) => ended.client_instance == self.instance,
            Some(Event::ServedByChanged(changed)) => {
                changed.served_by.as_ref().is_some_and(|mark| mark.client_instance == self.instance)
            }
            // A functional alias is the user's, whichever client she has.
            Some(Event::AliasDisplaced(_)) => true,
            None => false,
        };
        Ok(is_meant.then_some(WatchServiceStatusResponse { resume_token, event: message.event }))
    }
}

async fn end_of_watch(left: Duration, shutdown: &CancellationToken) -> Error {
    tokio::select! {
        () = tokio::time::sleep(left) => Error::AccessTokenExpired,
        () = shutdown.cancelled() => Error::ShuttingDown,
    }
}

/// Ends a stream with its first error.
fn until_error<T: Send + 'static>(
    stream: impl futures::Stream<Item = Result<T, Error>> + Send + 'static,
) -> impl futures::Stream<Item = Result<T, Error>> + Send + 'static {
    futures::stream::unfold(Some(Box::pin(stream)), |stream| async move {
        let mut stream = stream?;
        let item = stream.next().await?;
        let rest = if item.is_ok() { Some(stream) } else { None };
        Some((item, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_a_watch_comes_back_from_its_text() {
        let text = "1-fffffffffffffffe-000000000000001a.3.0.7";
        let token: WatchToken = text.parse().unwrap();
        assert_eq!((token.to_string().as_str(), token.seen), (text, [3, 0, 7]));
        for other in ["", "1-fffffffffffffffe-000000000000001a", "x.1.2.3", &format!("{text}.1")] {
            assert_eq!(other.parse::<WatchToken>(), Err(MalformedWatchToken), "{other}");
        }
    }
}
