//! Tells clients what changes in their service, at whatever replica it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::mcservice::v1::WatchServiceStatusResponse;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_store::changes::{ChangeEvent, ResumeToken};
use mcx_types::Timestamp;
use prost::Message;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::App;
use super::work::topic;
use crate::domain::user::User;
use crate::error::Error;
use crate::store::{authorizations, served_by};
use crate::wire;

/// What a client watches.
pub(crate) struct Watch {
    /// Its user in each MC service of its access token.
    pub(crate) users: Vec<User>,
    pub(crate) client_instance: Uuid,
    /// Where to resume; `None`: begin with the status as it is.
    pub(crate) resume: Option<ResumeToken>,
    /// When its access token expires.
    pub(crate) until: Timestamp,
    /// Cancelled when this replica is being stopped.
    pub(crate) shutdown: CancellationToken,
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
        let mut changes = self.feed.subscribe(users.iter().map(topic), resume).await?;
        let mut first = Vec::new();
        if resume.is_none() {
            // Subscribed before it is read: whatever changes from here on is told after it.
            let position = changes.next().await.ok_or(Error::StoreUnavailable)??;
            first = self.present_status(&users, client_instance).await?;
            let told = WatchServiceStatusResponse::default();
            first.push(told);
            let token = position.token().to_string();
            for message in &mut first {
                message.resume_token.clone_from(&token);
            }
        }
        let instance = client_instance.to_string();
        let told = changes.filter_map(move |event| {
            let message = match event {
                Ok(event) => told(&event, &instance),
                Err(error) => Some(Err(error.into())),
            };
            std::future::ready(message)
        });
        let left = until.saturating_since(self.clock.now());
        let end = async move { end_of_watch(left, &shutdown).await };
        let end = futures::stream::once(async move { Err(end.await) });
        let events = futures::stream::iter(first.into_iter().map(Ok)).chain(told);
        Ok(until_error(futures::stream::select(events, end)).boxed())
    }

    async fn present_status(
        &self,
        users: &[User],
        client_instance: Uuid,
    ) -> Result<Vec<WatchServiceStatusResponse>, Error> {
        let now = self.clock.now();
        let mut events = BTreeMap::new();
        for user in users {
            for authorization in authorizations::of_user(&self.database, user, now).await? {
                if authorization.client.instance == client_instance {
                    events.insert((user, 0), Event::Authorized(wire::authorization(&authorization)));
                }
            }
            for mark in served_by::of_user(&self.database, user, now).await? {
                if mark.client.instance == client_instance {
                    let changed = mcx_proto::mcservice::v1::ServedByChanged {
                        served_by: Some(wire::served_by(&mark)),
                        ended: 0,
                    };
                    events.insert((user, 1), Event::ServedByChanged(changed));
                }
            }
        }
        let message = |event| WatchServiceStatusResponse { resume_token: String::new(), event: Some(event) };
        Ok(events.into_values().map(message).collect())
    }
}

/// The message of a change, unless it concerns another client of the user.
fn told(event: &ChangeEvent, instance: &str) -> Option<Result<WatchServiceStatusResponse, Error>> {
    let resume_token = event.token().to_string();
    let change = match event {
        ChangeEvent::Change(change) => change,
        ChangeEvent::Position(_) => {
            return Some(Ok(WatchServiceStatusResponse { resume_token, event: None }));
        }
    };
    let Ok(message) = WatchServiceStatusResponse::decode(change.payload.clone()) else {
        return Some(Err(Error::Internal("a stored change cannot be decoded".to_owned())));
    };
    let is_meant = match &message.event {
        Some(Event::Authorized(authorization)) => authorization.client_instance == instance,
        Some(Event::Ended(ended)) => ended.client_instance == instance,
        Some(Event::ServedByChanged(changed)) => {
            changed.served_by.as_ref().is_some_and(|mark| mark.client_instance == instance)
        }
        // A functional alias is the user's, whichever client she has.
        Some(Event::AliasDisplaced(_)) => true,
        None => false,
    };
    is_meant.then_some(Ok(WatchServiceStatusResponse { resume_token, event: message.event }))
}

async fn end_of_watch(left: Duration, shutdown: &CancellationToken) -> Error {
    tokio::select! {
        () = tokio::time::sleep(left) => Error::AccessTokenExpired,
        () = shutdown.cancelled() => Error::ShuttingDown,
    }
}

/// Ends a stream with its first error.
fn until_error<T>(
    stream: impl futures::Stream<Item = Result<T, Error>> + Send + 'static,
) -> impl futures::Stream<Item = Result<T, Error>> + Send + 'static
where
    T: Send + 'static,
{
    futures::stream::unfold(Some(Box::pin(stream)), |stream| async move {
        let mut stream = stream?;
        let item = stream.next().await?;
        let rest = if item.is_ok() { Some(stream) } else { None };
        Some((item, rest))
    })
}
