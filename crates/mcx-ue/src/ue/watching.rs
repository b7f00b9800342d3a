//! On-line updates (TS 23.280 10.1.1.1): what changes reaches the UE, and its authorizations and registrations are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream, SelectAll};
use mcx_proto::mcservice::v1::EndReason;
use mcx_types::{McService, McSystemId, Violations};
use tokio::time::{Instant, sleep_until};

use super::{McServiceUe, Side, UeError};
use crate::documents::{DocumentChange, Documents, Feed};
use crate::servers::{
    ConfigurationEvent, FunctionalAliasEvent, GroupEvent, ServerError, ServiceStatusEvent, Told, Update,
};
use crate::state::Event;

/// When authorizations are looked at whose server did not say when to refresh them.
const UNSAID_REFRESH: Duration = Duration::from_secs(60);

/// How soon a refresh that failed is tried again.
const FAILED_REFRESH: Duration = Duration::from_secs(5);

/// Something that the user may want to know.
#[derive(Debug)]
pub enum News {
    /// A document of the MC system that serves her is not as it was.
    Document(DocumentChange),
    /// The status of this UE in an MC service has changed. A migration that has ended is no more in the evidence.
    Status(ServiceStatusEvent),
    /// A refresh has not worked yet; it is tried again.
    RefreshFailed(UeError),
}

enum Heard {
    Configuration(Update<ConfigurationEvent>),
    Groups(Update<GroupEvent>),
    FunctionalAliases(Update<FunctionalAliasEvent>),
    Status(Update<ServiceStatusEvent>),
}

type Hearing = BoxStream<'static, Result<Heard, ServerError>>;

/// A watch over everything that concerns the user in the MC system that serves her. Dropped, it ends.
pub struct UeWatch<'ue> {
    ue: &'ue mut McServiceUe,
    side: Side,
    streams: SelectAll<Hearing>,
    pending: Vec<News>,
    refresh_at: Instant,
}

impl McServiceUe {
    /// Watches the MC system that serves the user: the partner while she is there, else the primary. Documents are told from where
    /// the last watch ended; the watch also refreshes what would end otherwise.
    ///
    /// # Errors
    /// [`UeError`] where she is served nowhere.
    pub fn watch(&mut self) -> Result<UeWatch<'_>, UeError> {
        let side = if self.evidence().migrated.is_empty() { Side::Primary } else { Side::Partner };
        let clients = self.system(side)?.clients()?.clone();
        let documents = match side {
            Side::Primary => self.primary_documents(),
            Side::Partner => self.partner_documents(),
        };
        let configuration = clients
            .configuration_management
            .watch(&self.settings.ue_id, documents.resume_token(Feed::Configuration))
            .map(|update| update.map(Heard::Configuration));
        let groups = clients
            .group_management
            .watch(documents.resume_token(Feed::Groups))
            .map(|update| update.map(Heard::Groups));
        let aliases = clients
            .functional_alias_management
            .watch(documents.resume_token(Feed::FunctionalAliases))
            .map(|update| update.map(Heard::FunctionalAliases));
        let status = clients.mc_service.watch(None).map(|update| update.map(Heard::Status));
        let streams: [Hearing; 4] =
            [Box::pin(configuration), Box::pin(groups), Box::pin(aliases), Box::pin(status)];
        let streams = stream::select_all(streams);
        Ok(UeWatch { ue: self, side, streams, pending: Vec::new(), refresh_at: Instant::now() })
    }
}

impl UeWatch<'_> {
    /// The MC system that is watched.
    #[must_use]
    pub fn mc_system_id(&self) -> Option<&McSystemId> {
        self.ue.system(self.side).ok().map(|system| &system.id)
    }

    /// The UE, for what its user does meanwhile.
    #[must_use]
    pub fn ue(&self) -> &McServiceUe {
        self.ue
    }

    /// What comes next. It is kept before it is told. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`UeError`] where one of the watches has ended for good.
    pub async fn next(&mut self) -> Result<News, UeError> {
        loop {
            if let Some(news) = self.pending.pop() {
                return Ok(news);
            }
            tokio::select! {
                heard = self.streams.next() => {
                    let Some(heard) = heard else { return Err(UeError::LoginRequired) };
                    let mut news = self.take(heard?)?;
                    // They are told from the end.
                    news.reverse();
                    self.pending = news;
                }
                () = sleep_until(self.refresh_at) => {
                    // Pushed on first: a refresh that is dropped half-way is tried again soon.
                    self.refresh_at = Instant::now() + FAILED_REFRESH;
                    match self.refresh().await {
                        Ok(after) => self.refresh_at = Instant::now() + after,
                        Err(error) => return Ok(News::RefreshFailed(error)),
                    }
                }
            }
        }
    }

    fn take(&mut self, heard: Heard) -> Result<Vec<News>, UeError> {
        let changes = match heard {
            Heard::Configuration(update) => self.keep(|documents| documents.apply_configuration(update))?,
            Heard::Groups(update) => self.keep(|documents| documents.apply_groups(update))?,
            Heard::FunctionalAliases(update) => {
                self.keep(|documents| documents.apply_functional_aliases(update))?
            }
            Heard::Status(Update { told: Some(Told::Event(event)), .. }) => {
                self.note(&event)?;
                return Ok(vec![News::Status(event)]);
            }
            Heard::Status(_) => Vec::new(),
        };
        Ok(changes.into_iter().map(News::Document).collect())
    }

    fn keep(
        &self,
        change: impl FnOnce(&mut Documents) -> Vec<DocumentChange>,
    ) -> Result<Vec<DocumentChange>, UeError> {
        self.ue.keeper.change(|memory| {
            let documents = match self.side {
                Side::Primary => memory.primary.as_mut().map(|primary| &mut primary.documents),
                Side::Partner => memory.partner.as_mut().map(|partner| &mut partner.documents),
            };
            documents.map(change).unwrap_or_default()
        })
    }

    /// A migration that has ended is taken note of.
    fn note(&self, event: &ServiceStatusEvent) -> Result<(), UeError> {
        let ServiceStatusEvent::Ended(ended) = event else { return Ok(()) };
        if ended.client_instance != self.ue.client_instance().to_string() || ended.reason() == EndReason::Left
        {
            return Ok(());
        }
        let service = Violations::new().mc_service("mc_service", ended.mc_service);
        match service.filter(|service| self.ue.evidence().migrated.contains(service)) {
            Some(service) => self.ue.apply(Event::MigrationEnded(service)),
            None => Ok(()),
        }
    }

    /// Refreshes the authorizations and the registration; when to do so again.
    async fn refresh(&mut self) -> Result<Duration, UeError> {
        let evidence = self.ue.evidence();
        let services: BTreeSet<McService> = match self.side {
            Side::Primary => evidence.authorized,
            Side::Partner => evidence.migrated,
        };
        let mc_service = self.ue.system(self.side)?.clients()?.mc_service.clone();
        let mut soonest: Option<Duration> = None;
        for service in services {
            let refreshed = mc_service.refresh(service).await;
            let answer = match refreshed {
                // The end is told by the watch of the status, with its reason.
                Err(error) if error.reason() == "NOT_AUTHORIZED" => continue,
                answer => answer?,
            };
            let after = answer.refresh_after.and_then(|after| Duration::try_from(after).ok());
            let after = after.filter(|after| !after.is_zero()).unwrap_or(UNSAID_REFRESH);
            soonest = Some(soonest.map_or(after, |soonest| soonest.min(after)));
        }
        let registered = self.refresh_registration().await?;
        Ok([soonest, registered].into_iter().flatten().min().unwrap_or(UNSAID_REFRESH))
    }

    /// Only a user agent that is switched on has a registration to refresh.
    async fn refresh_registration(&mut self) -> Result<Option<Duration>, UeError> {
        let system = match self.side {
            Side::Primary => self.ue.primary.as_mut(),
            Side::Partner => self.ue.partner.as_mut(),
        };
        let Some(system) = system else { return Ok(None) };
        let Some(registered) = system.refresh_registration().await? else { return Ok(None) };
        // Half of its time, as TS 24.229 5.1.1.4.1 has it for short registrations.
        Ok(Some((registered.expires / 2).max(Duration::from_secs(1))))
    }
}
