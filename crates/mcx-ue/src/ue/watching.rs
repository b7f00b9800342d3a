//! On-line updates (TS 23.280 10.1.1.1): what changes reaches the UE, and its authorizations and registrations are kept.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll};
use mcx_proto::mcservice::v1::EndReason;
use mcx_types::{McService, McSystemId, Violations};
use tokio::time::{Instant, sleep_until};

use super::{McServiceUe, Side, UeError};
use crate::documents::{DocumentChange, Documents, Feed};
use crate::servers::{
    ConfigurationEvent, FunctionalAliasEvent, GroupEvent, ServerError, ServiceStatusEvent, Told, Update,
};

/// When authorizations are looked at whose server did not say when to refresh them.
const UNSAID_REFRESH: Duration = Duration::from_secs(60);

/// How soon a refresh that failed is tried again.
const FAILED_REFRESH: Duration = Duration::from_secs(5);

/// Something that the user may want to know.
#[derive(Debug)]
pub enum News {
    /// A document of an MC system that serves her is not as it was.
    Document {
        /// The MC system that told it.
        told_by: McSystemId,
        /// What it is now.
        change: DocumentChange,
    },
    /// The status of this UE in an MC service has changed. An authorization that has ended is no more in the evidence.
    Status(ServiceStatusEvent),
    /// A refresh has not worked yet; it is tried again.
    RefreshFailed(UeError),
    /// The user is not authorized for an MC service any more: that ended while nobody watched. It is no more in the evidence.
    FoundEnded(McService),
}

enum Heard {
    Configuration(Update<ConfigurationEvent>),
    Groups(Update<GroupEvent>),
    FunctionalAliases(Update<FunctionalAliasEvent>),
    Status(Update<ServiceStatusEvent>),
}

type Hearing = BoxStream<'static, Result<(Side, Heard), ServerError>>;

/// A watch over everything that concerns the user in the MC systems that serve her. Dropped, it ends.
pub struct UeWatch<'ue> {
    ue: &'ue mut McServiceUe,
    /// Both where only some MC services are migrated.
    sides: Vec<Side>,
    streams: SelectAll<Hearing>,
    /// The MC services in which she is authorized, as far as they have been told, where everything is being told.
    present: HashMap<Side, BTreeSet<McService>>,
    pending: Vec<News>,
    refresh_at: Instant,
}

impl McServiceUe {
    /// Watches the MC systems that serve the user: the partner for what she has migrated, the primary for the rest. Documents are told
    /// from where the last watch ended; the watch also refreshes what would end otherwise.
    ///
    /// # Errors
    /// [`UeError`] where she is served nowhere.
    pub fn watch(&mut self) -> Result<UeWatch<'_>, UeError> {
        let evidence = self.evidence();
        let mut sides = Vec::new();
        if !evidence.migrated.is_empty() {
            sides.push(Side::Partner);
        }
        if sides.is_empty() || !evidence.authorized.is_empty() {
            sides.push(Side::Primary);
        }
        let mut streams = SelectAll::new();
        for side in &sides {
            streams.extend(self.streams_of(*side)?);
        }
        Ok(UeWatch {
            ue: self,
            sides,
            streams,
            present: HashMap::new(),
            pending: Vec::new(),
            refresh_at: Instant::now(),
        })
    }

    fn streams_of(&self, side: Side) -> Result<[Hearing; 4], UeError> {
        let clients = self.system(side)?.clients()?.clone();
        let documents = match side {
            Side::Primary => self.primary_documents(),
            Side::Partner => self.partner_documents(),
        };
        let configuration = clients
            .configuration_management
            .watch(&self.settings.ue_id, documents.resume_token(Feed::Configuration))
            .map(move |update| update.map(|update| (side, Heard::Configuration(update))));
        let groups = clients
            .group_management
            .watch(documents.resume_token(Feed::Groups))
            .map(move |update| update.map(|update| (side, Heard::Groups(update))));
        let aliases = clients
            .functional_alias_management
            .watch(documents.resume_token(Feed::FunctionalAliases))
            .map(move |update| update.map(|update| (side, Heard::FunctionalAliases(update))));
        let status = clients.mc_service.watch(None);
        let status = status.map(move |update| update.map(|update| (side, Heard::Status(update))));
        Ok([Box::pin(configuration), Box::pin(groups), Box::pin(aliases), Box::pin(status)])
    }
}

impl UeWatch<'_> {
    /// The MC systems that are watched.
    #[must_use]
    pub fn mc_system_ids(&self) -> Vec<&McSystemId> {
        self.sides.iter().filter_map(|side| self.ue.system(*side).ok()).map(|system| &system.id).collect()
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
                    let (side, heard) = heard?;
                    let mut news = self.take(side, heard)?;
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

    fn take(&mut self, side: Side, heard: Heard) -> Result<Vec<News>, UeError> {
        let changes = match heard {
            Heard::Configuration(update) => {
                self.keep(side, |documents| documents.apply_configuration(update))?
            }
            Heard::Groups(update) => self.keep(side, |documents| documents.apply_groups(update))?,
            Heard::FunctionalAliases(update) => {
                self.keep(side, |documents| documents.apply_functional_aliases(update))?
            }
            Heard::Status(Update { told, .. }) => return self.take_status(side, told),
        };
        let told_by = self.ue.system(side)?.id.clone();
        let news = |change| News::Document { told_by: told_by.clone(), change };
        Ok(changes.into_iter().map(news).collect())
    }

    fn take_status(
        &mut self,
        side: Side,
        told: Option<Told<ServiceStatusEvent>>,
    ) -> Result<Vec<News>, UeError> {
        match told {
            None => Ok(Vec::new()),
            Some(Told::SnapshotBegins) => {
                self.present.insert(side, BTreeSet::new());
                Ok(Vec::new())
            }
            Some(Told::CaughtUp) => {
                let Some(present) = self.present.remove(&side) else { return Ok(Vec::new()) };
                let ended = self.served_by(side).into_iter().filter(|service| !present.contains(service));
                ended.map(|service| self.ue.note_end(service).map(|_| News::FoundEnded(service))).collect()
            }
            Some(Told::Event(event)) => {
                if let ServiceStatusEvent::Authorized(authorized) = &event
                    && let Some(present) = self.present.get_mut(&side)
                    && let Some(service) = Violations::new().mc_service("mc_service", authorized.mc_service)
                {
                    present.insert(service);
                    if self.served_by(side).contains(&service) {
                        // That she is still authorized is no news.
                        return Ok(Vec::new());
                    }
                }
                self.note(side, &event)?;
                Ok(vec![News::Status(event)])
            }
        }
    }

    fn keep(
        &self,
        side: Side,
        change: impl FnOnce(&mut Documents) -> Vec<DocumentChange>,
    ) -> Result<Vec<DocumentChange>, UeError> {
        self.ue.keeper.change(|memory| {
            let documents = match side {
                Side::Primary => memory.primary.as_mut().map(|primary| &mut primary.documents),
                Side::Partner => memory.partner.as_mut().map(|partner| &mut partner.documents),
            };
            documents.map(change).unwrap_or_default()
        })
    }

    /// An authorization that has ended is taken note of: at the primary not that which ended because the partner serves her now.
    fn note(&self, side: Side, event: &ServiceStatusEvent) -> Result<(), UeError> {
        let ServiceStatusEvent::Ended(ended) = event else { return Ok(()) };
        if ended.client_instance != self.ue.client_instance().to_string() || ended.reason() == EndReason::Left
        {
            return Ok(());
        }
        let Some(service) = Violations::new().mc_service("mc_service", ended.mc_service) else {
            return Ok(());
        };
        if self.served_by(side).contains(&service) {
            self.ue.note_end(service)?;
        }
        Ok(())
    }

    /// The MC services in which an MC system serves her.
    fn served_by(&self, side: Side) -> BTreeSet<McService> {
        let evidence = self.ue.evidence();
        match side {
            Side::Primary => evidence.authorized,
            Side::Partner => evidence.migrated,
        }
    }

    /// Refreshes authorizations and registrations; what of one MC system fails leaves the other alone.
    async fn refresh(&mut self) -> Result<Duration, UeError> {
        let (mut soonest, mut failed) = (None::<Duration>, None);
        for side in self.sides.clone() {
            match self.refresh_at_one(side).await {
                Ok(after) => soonest = Some(soonest.map_or(after, |soonest| soonest.min(after))),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(soonest.unwrap_or(UNSAID_REFRESH)),
        }
    }

    async fn refresh_at_one(&mut self, side: Side) -> Result<Duration, UeError> {
        let mc_service = self.ue.system(side)?.clients()?.mc_service.clone();
        let mut soonest: Option<Duration> = None;
        for service in self.served_by(side) {
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
        let registered = self.refresh_registration(side).await?;
        Ok([soonest, registered].into_iter().flatten().min().unwrap_or(UNSAID_REFRESH))
    }

    /// Only a user agent that is switched on has a registration to refresh.
    async fn refresh_registration(&mut self, side: Side) -> Result<Option<Duration>, UeError> {
        let system = match side {
            Side::Primary => self.ue.primary.as_mut(),
            Side::Partner => self.ue.partner.as_mut(),
        };
        let Some(system) = system else { return Ok(None) };
        let Some(registered) = system.refresh_registration().await? else { return Ok(None) };
        // Half of its time, as TS 24.229 5.1.1.4.1 has it for short registrations.
        Ok(Some((registered.expires / 2).max(Duration::from_secs(1))))
    }
}
