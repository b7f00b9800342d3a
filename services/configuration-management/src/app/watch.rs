//! On-line updates, TS 23.280 10.1.4.4: a user's UE is told her configuration and every change of it.

use std::collections::VecDeque;
use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use mcx_federation::access_token::AuthenticatedUser;
use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::WatchConfigurationResponse;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_store::changes::{ChangeEvent, ChangeStream, NewChange, ResumeToken, SubscribeError};
use mcx_types::{McService, Violations};
use prost::Message;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::App;
use super::effective::users_in;
use crate::domain::user_profile::ServiceUser;
use crate::error::Error;
use crate::store::documents::Kind;
use crate::wire::service_to_wire;

/// The topic of the configuration for all UEs.
const EVERY_UE: &str = "ue/*";

/// The topic of a user's profiles.
pub(crate) fn user_topic(user: &ServiceUser) -> String {
    format!("user/{user}")
}

/// The topic of the service configuration of an MC service, by the name that the protocol has for it.
pub(crate) fn service_configuration_topic(mc_service: &str) -> String {
    format!("service-configuration/{mc_service}")
}

/// The topic of the configuration of a UE; empty: for all UEs.
pub(crate) fn ue_topic(ue_id: &str) -> String {
    if ue_id.is_empty() { EVERY_UE.to_owned() } else { format!("ue/{ue_id}") }
}

/// What watchers of a topic are told of a document.
pub(crate) fn news(topic: String, kind: Kind, key: String, version: u64, event: Event) -> NewChange {
    let payload = WatchConfigurationResponse { resume_token: String::new(), event: Some(event) };
    NewChange {
        topic,
        document: format!("{}/{key}", kind.as_str()),
        version: i64::try_from(version).unwrap_or(i64::MAX),
        payload: payload.encode_to_vec().into(),
    }
}

/// One UE that is being told.
struct Watcher {
    app: App,
    users: Vec<ServiceUser>,
    ue_id: Option<String>,
    changes: ChangeStream,
    /// The whole configuration is still to be told.
    is_new: bool,
    /// Made, and not yet taken by the UE.
    waiting: VecDeque<WatchConfigurationResponse>,
    token_expires: Pin<Box<Sleep>>,
    shutdown: CancellationToken,
    has_ended: bool,
}

impl App {
    /// Tells the configuration of a user and her UE, from the resume token on or as a whole, until her access token expires or the
    /// server ends.
    pub(crate) async fn watch(
        &self,
        user: &AuthenticatedUser,
        ue_id: Option<String>,
        resume_token: Option<ResumeToken>,
        shutdown: CancellationToken,
    ) -> Result<impl Stream<Item = Result<WatchConfigurationResponse, Error>> + Send + 'static, Error> {
        let users = users_in(user, &[])?;
        // Before it subscribes, so that what is fetched for it is not told as a change.
        for user in &users {
            self.refresh_visitor(user).await?;
        }
        let of_services = users.iter().flat_map(|user| {
            let name = mcx_proto::types::v1::McService::from(user.mc_service).as_str_name();
            [user_topic(user), service_configuration_topic(name)]
        });
        let of_ue = ue_id.iter().flat_map(|ue_id| [ue_topic(ue_id), EVERY_UE.to_owned()]);
        let topics: Vec<String> = of_services.chain(of_ue).collect();
        let changes = self.changes.subscribe(topics, resume_token).await.map_err(not_told)?;
        let remaining = user.expires_at.saturating_since(self.clock.now());
        let watcher = Watcher {
            app: self.clone(),
            users,
            ue_id,
            changes,
            is_new: resume_token.is_none(),
            waiting: VecDeque::new(),
            token_expires: Box::pin(tokio::time::sleep(remaining)),
            shutdown,
            has_ended: false,
        };
        metrics::gauge!("mcx_configuration_management_watchers").increment(1);
        Ok(stream::unfold(watcher, |mut watcher| async move {
            let told = watcher.next().await?;
            Some((told, watcher))
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        metrics::gauge!("mcx_configuration_management_watchers").decrement(1);
    }
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<WatchConfigurationResponse, Error>> {
        if self.has_ended {
            return None;
        }
        let told = self.next_or_end().await;
        self.has_ended = told.is_err();
        Some(told)
    }

    async fn next_or_end(&mut self) -> Result<WatchConfigurationResponse, Error> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Ok(told);
            }
            let event = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Error::ShuttingDown),
                () = &mut self.token_expires => return Err(Error::AccessTokenExpired),
                event = self.changes.next() => event,
            };
            match event {
                None => return Err(Error::ShuttingDown),
                Some(Err(error)) => return Err(not_told(error)),
                Some(Ok(event)) => self.take(event).await?,
            }
        }
    }

    async fn take(&mut self, event: ChangeEvent) -> Result<(), Error> {
        let token = event.token().to_string();
        match event {
            ChangeEvent::Position(_) => {
                if std::mem::take(&mut self.is_new) {
                    self.tell_everything().await?;
                }
                let caught_up = Event::CaughtUp(proto::WatchConfigurationCaughtUp {});
                self.waiting
                    .push_back(WatchConfigurationResponse { resume_token: token, event: Some(caught_up) });
            }
            ChangeEvent::Change(change) => {
                let mut told = WatchConfigurationResponse::decode(change.payload.clone())?;
                told.resume_token = token;
                let mc_service = match &told.event {
                    Some(Event::UeConfiguration(configuration)) => Some(configuration.mc_service),
                    Some(Event::UeConfigurationRemoval(removal)) => Some(removal.mc_service),
                    _ => None,
                };
                if let Some(mc_service) = mc_service {
                    // What it means to this UE depends on the other document too: its own, or the one for all.
                    let Some(event) = self.ue_event(mc_service).await? else { return Ok(()) };
                    told.event = Some(event);
                }
                self.waiting.push_back(told);
            }
        }
        Ok(())
    }

    /// The configuration of the UE for an MC service as it is now; `None` where the user does not use that.
    async fn ue_event(&mut self, mc_service: i32) -> Result<Option<Event>, Error> {
        let user = self.users.iter().find(|user| service_to_wire(user.mc_service) == mc_service);
        let Some((user, ue_id)) = user.zip(self.ue_id.as_ref()) else { return Ok(None) };
        let configuration = self.app.effective_ue_configuration(user.mc_service, ue_id).await?;
        Ok(Some(configuration.map_or_else(
            || {
                Event::UeConfigurationRemoval(proto::UeConfigurationRemoval {
                    mc_service,
                    ue_id: ue_id.clone(),
                })
            },
            Event::UeConfiguration,
        )))
    }

    /// The whole configuration as it is now. Until all of it is told there is no place to go on from.
    async fn tell_everything(&mut self) -> Result<(), Error> {
        let mut events = Vec::new();
        for user in &self.users {
            let profiles = self.app.profiles_here(user).await?;
            events.extend(profiles.into_iter().map(Event::UserProfile));
            let service: McService = user.mc_service;
            events.extend(self.app.service_configuration(service).await?.map(Event::ServiceConfiguration));
            if let Some(ue_id) = &self.ue_id {
                let configuration = self.app.effective_ue_configuration(service, ue_id).await?;
                events.extend(configuration.map(Event::UeConfiguration));
            }
        }
        let told = events
            .into_iter()
            .map(|event| WatchConfigurationResponse { resume_token: String::new(), event: Some(event) });
        self.waiting.extend(told);
        Ok(())
    }
}

/// Why a watcher is not told any more.
fn not_told(error: SubscribeError) -> Error {
    match error {
        // The UE begins anew in each of these cases.
        SubscribeError::Compacted { .. } | SubscribeError::Foreign | SubscribeError::Future { .. } => {
            Error::ResumeTokenCompacted
        }
        SubscribeError::Malformed(_) => {
            let mut violations = Violations::new();
            violations.add("resume_token", "must be one that was told");
            violations.into()
        }
        SubscribeError::Unavailable => Error::StoreUnavailable,
    }
}
