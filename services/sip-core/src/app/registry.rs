//! What operators see of registrations, and how they end them.

use crate::domain::registration::{Applied, Registration, RegistrationChange};
use crate::store::{RegistrationEvent, Registrations, SharedStateError, WatchItem};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use mcx_sip::SipAddress;
use mcx_types::{Clock, Impu};
use std::sync::Arc;

/// How many registrations one look at the cache reads when a watch begins.
const PAGE: usize = 100;

/// Reads, watches and ends registrations.
#[derive(Clone)]
pub struct Registry {
    registrations: Registrations,
    clock: Arc<dyn Clock>,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// This registration was there when the watch began.
    Current(Box<Registration>),
    /// This happened.
    Changed(Box<RegistrationEvent>),
}

/// Why a watch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Changes may have been missed: watch again.
    #[error("changes may have been missed")]
    Lagged,
    /// The shared cache failed while the current registrations were read.
    #[error(transparent)]
    SharedState(#[from] SharedStateError),
}

impl Registry {
    /// A view on these registrations.
    #[must_use]
    pub fn new(registrations: Registrations, clock: Arc<dyn Clock>) -> Self {
        Self { registrations, clock }
    }

    /// The registration of an identity.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn get(&self, impu: &Impu) -> Result<Option<Registration>, SharedStateError> {
        self.registrations.get(impu, self.clock.now()).await
    }

    /// Up to `limit` registrations after the identity `after`, and where the next page begins.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn list(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Registration>, Option<String>), SharedStateError> {
        self.registrations.page(after, limit, self.clock.now()).await
    }

    /// Ends a registration, or one contact of it. Returns how many contacts were removed; `None`: there was none.
    ///
    /// # Errors
    /// [`SharedStateError`].
    pub async fn deregister(
        &self,
        impu: &Impu,
        contact: Option<&SipAddress>,
    ) -> Result<Option<usize>, SharedStateError> {
        let now = self.clock.now();
        let outcome = self.registrations.update(impu, now, |before| {
            let mut registration = before.ok_or(())?;
            registration.prune(now);
            let known = registration.contacts.len();
            registration.contacts.retain(|known| {
                contact.is_some_and(|contact| SipAddress::parse(&known.uri).as_ref() != Ok(contact))
            });
            let removed = known - registration.contacts.len();
            if removed == 0 {
                return Err(());
            }
            let registration = Some(registration).filter(|registration| !registration.contacts.is_empty());
            Ok(Applied { registration, changes: vec![RegistrationChange::Deregistered; removed] })
        });
        let removed = outcome.await?.ok().map(|applied| applied.changes.len());
        tracing::info!(%impu, ?removed, "deregistered by an operator");
        Ok(removed)
    }

    /// All changes from now on, of one identity or of all; first, if asked, what is there. Yields an error when changes may
    /// have been missed.
    #[must_use]
    pub fn watch(
        &self,
        impu: Option<Impu>,
        include_current: bool,
    ) -> BoxStream<'static, Result<WatchEvent, WatchError>> {
        let registry = self.clone();
        let steps = self.registrations.watch().enumerate();
        let events = steps.flat_map(move |(index, item)| match item {
            // The first item says that the subscription is in effect, so nothing falls between what is there and what
            // changes; a later one, that the subscription was interrupted.
            WatchItem::Resync if index == 0 && include_current => registry.clone().current(impu.clone()),
            WatchItem::Resync if index == 0 => stream::empty().boxed(),
            WatchItem::Resync => stream::iter([Err(WatchError::Lagged)]).boxed(),
            WatchItem::Event(event) => {
                let wanted = impu.as_ref().is_none_or(|impu| *impu == event.registration.impu);
                stream::iter(wanted.then_some(Ok(WatchEvent::Changed(event)))).boxed()
            }
        });
        events.boxed()
    }

    fn current(self, impu: Option<Impu>) -> BoxStream<'static, Result<WatchEvent, WatchError>> {
        if let Some(impu) = impu {
            return stream::once(async move { self.get(&impu).await })
                .map_err(WatchError::from)
                .try_filter_map(|known| async { Ok(known.map(|known| WatchEvent::Current(Box::new(known)))) })
                .boxed();
        }
        let pages = stream::try_unfold(Some(String::new()), move |after| {
            let registry = self.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let after = Some(after.as_str()).filter(|after| !after.is_empty());
                registry.list(after, PAGE).await.map(Some).map_err(WatchError::from)
            }
        });
        pages
            .map_ok(|page| {
                stream::iter(page.into_iter().map(|known| Ok(WatchEvent::Current(Box::new(known)))))
            })
            .try_flatten()
            .boxed()
    }
}
