//! The MC service UE as a whole: from the factory to service in the primary MC system, to a partner, and home again
//! (TS 23.280 10.1.1.1, 10.1.1.2).
//!
//! [`McServiceUe`] does the steps that its [`StateMachine`](crate::state::StateMachine) says come next. Each step is told to an observer; a step that fails
//! leaves the UE where the same call tries that step again. With a state file, another process can go on where one ended.

mod error;
mod memory;
mod operation;
mod partner;
mod partners;
mod primary;
mod progress;
mod settings;
mod system;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;

use mcx_types::{McService, McSystemId};
use tracing::Instrument;
use uuid::Uuid;

use self::memory::{IsimMemory, Keeper};
use self::system::System;
use crate::documents::Documents;
use crate::identity::{Credentials, PartnerLogin, TokenSet, TokenSource};
use crate::state::{Event, Evidence, Goal, Selected, Step, UeState};

pub use error::{MigrationError, StepFailed, UeError};
pub use partners::PartnerOption;
pub use progress::{StepEvent, StepObserver, StepOutcome};
pub use settings::{AlwaysConnected, BearerFailure, Bearers, BootstrapSource, IsimCard, UeSettings};
pub use watching::{News, UeWatch};

/// An MC service UE with its user.
pub struct McServiceUe {
    settings: UeSettings,
    keeper: Keeper,
    isim: IsimMemory,
    observer: Option<StepObserver>,
    credentials: Option<Credentials>,
    primary: Option<System>,
    partner: Option<System>,
}

/// Which of the two MC systems that a UE may deal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Primary,
    Partner,
}

impl McServiceUe {
    /// Switches a UE on: as its state file remembers it, or factory-new. Nothing is sent yet.
    ///
    /// # Errors
    /// [`UeError::Storage`] where a file cannot be read; [`UeError::Unusable`] where what it remembers cannot be used any more.
    pub fn switch_on(settings: UeSettings) -> Result<Self, UeError> {
        let keeper = Keeper::open(settings.state_file.clone(), &settings.ue_id)?;
        let isim = IsimMemory::open(settings.isim.state_file.clone())?;
        let mut ue =
            Self { settings, keeper, isim, observer: None, credentials: None, primary: None, partner: None };
        let (primary, partner) = {
            let memory = ue.keeper.read();
            (memory.primary.clone(), memory.partner.clone())
        };
        if let Some(memory) = primary {
            ue.primary = Some(System::new(&memory.configuration, &ue.settings)?);
            if let Some(tokens) = memory.tokens {
                ue.use_tokens(Side::Primary, tokens)?;
            }
        }
        if let Some(memory) = partner {
            ue.partner = Some(partner::system(&memory.access_information, &ue.settings)?);
            if let Some(tokens) = memory.tokens {
                ue.use_tokens(Side::Partner, tokens)?;
            }
        }
        Ok(ue)
    }

    /// Tells `observer` of every step from now on.
    pub fn observe(&mut self, observer: StepObserver) {
        self.observer = Some(observer);
    }

    /// Where the UE is.
    #[must_use]
    pub fn state(&self) -> UeState {
        self.keeper.read().machine.state()
    }

    /// What the UE has in hand.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        self.keeper.read().machine.evidence().clone()
    }

    /// The MC client of this UE: stays the same as long as its state file does.
    #[must_use]
    pub fn client_instance(&self) -> Uuid {
        self.keeper.read().client_instance
    }

    /// The primary MC system.
    #[must_use]
    pub fn primary(&self) -> Option<&McSystemId> {
        self.primary.as_ref().map(|system| &system.id)
    }

    /// The partner MC system that the user is in, or on her way to or from.
    #[must_use]
    pub fn partner(&self) -> Option<McSystemId> {
        self.keeper.read().machine.partner().cloned()
    }

    /// The MC system that serves the user in an MC service.
    #[must_use]
    pub fn serving_system(&self, service: McService) -> Option<McSystemId> {
        let (side, _) = self.side_of(service).ok()?;
        Some(self.system(side).ok()?.id.clone())
    }

    /// The documents of the primary MC system. While the user is in a partner, they only tell where she may go (10.1.1.2 NOTE 2).
    #[must_use]
    pub fn primary_documents(&self) -> Documents {
        let memory = self.keeper.read();
        memory.primary.as_ref().map(|primary| primary.documents.clone()).unwrap_or_default()
    }

    /// The documents of the partner MC system: those in force while the user is there.
    #[must_use]
    pub fn partner_documents(&self) -> Documents {
        let memory = self.keeper.read();
        memory.partner.as_ref().map(|partner| partner.documents.clone()).unwrap_or_default()
    }

    /// Remembers what the user logs in with, for as long as the process lives: it is used whenever her tokens are no longer good.
    pub fn remember_credentials(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
    }

    /// Does every step up to service in the primary MC system: configuration, registration, service authorization (10.1.1.1).
    ///
    /// # Errors
    /// [`MigrationError`]; a user who is away has to [`McServiceUe::return_home`].
    pub async fn start(&mut self) -> Result<(), MigrationError> {
        if let Some(partner) = self.partner().filter(|_| self.state() != UeState::Returning) {
            return Err(UeError::AlreadySelected(partner).into());
        }
        Ok(self.advance(Goal::Home).await?)
    }

    /// Takes the user to a partner for these MC services, or for all that it is offered for: everything up to service there
    /// (10.1.1.2). After a failure the same call goes on with the step that failed.
    ///
    /// # Errors
    /// [`MigrationError`]
    pub async fn migrate(
        &mut self,
        partner: &McSystemId,
        services: Option<&BTreeSet<McService>>,
    ) -> Result<(), MigrationError> {
        match self.partner() {
            Some(selected) if self.state() != UeState::Returning => {
                let is_same = selected == *partner
                    && services.is_none_or(|services| {
                        self.evidence().selected.is_some_and(|selected| selected.services == *services)
                    });
                if !is_same {
                    return Err(UeError::AlreadySelected(selected).into());
                }
            }
            _ => {
                // Whatever is missing at home, or is left of a return, comes first.
                self.advance(Goal::Home).await?;
                self.select(partner, services)?;
            }
        }
        Ok(self.advance(Goal::ServedByPartner).await?)
    }

    /// Goes on with what was begun: the way to the partner, or home.
    ///
    /// # Errors
    /// [`MigrationError`]; [`UeError::NoPartnerSelected`] where nothing was.
    pub async fn resume(&mut self) -> Result<(), MigrationError> {
        if self.state() == UeState::Returning {
            return Ok(self.advance(Goal::Home).await?);
        }
        if self.partner().is_none() {
            return Err(UeError::NoPartnerSelected.into());
        }
        Ok(self.advance(Goal::ServedByPartner).await?)
    }

    /// Takes the user home from wherever she is: undoes what was done in the partner, as far as that lets it be undone, and is
    /// authorized in the primary again.
    ///
    /// # Errors
    /// [`MigrationError`]; the partner cannot hold her: only the primary can fail.
    pub async fn return_home(&mut self) -> Result<(), MigrationError> {
        if self.state() != UeState::Returning {
            if self.partner().is_none() {
                return Err(UeError::NoPartnerSelected.into());
            }
            self.apply(Event::ReturnBegun)?;
        }
        Ok(self.advance(Goal::Home).await?)
    }

    async fn advance(&mut self, goal: Goal) -> Result<(), StepFailed> {
        loop {
            let next = self.keeper.read().machine.next(goal, self.settings.order);
            match next {
                None => return Ok(()),
                Some(step) => self.run(step).await?,
            }
        }
    }

    /// Does one step, and tells of it.
    async fn run(&mut self, step: Step) -> Result<(), StepFailed> {
        let of = self.system_of(step);
        let tell = |ue: &Self, outcome: StepOutcome<'_>| ue.tell_of(step, of.as_ref(), outcome);
        tell(self, StepOutcome::Started);
        let span = tracing::info_span!(
            "ue step",
            otel.name = step.name(),
            ue.clause = step.clause(),
            ue.step = %step,
            error = tracing::field::Empty,
        );
        let outcome = self.attempt(step).instrument(span.clone()).await;
        let Err(cause) = outcome else {
            tell(self, StepOutcome::Done);
            return Ok(());
        };
        span.record("error", tracing::field::display(&cause));
        if step.is_undoing() && !matches!(cause, UeError::Storage { .. }) {
            let given_up = self.give_up(step).await;
            if let Err(cause) = given_up {
                return Err(self.failed(step, cause));
            }
            tell(self, StepOutcome::GivenUp(&cause));
            return Ok(());
        }
        // What the failure refutes is no longer held; where that cannot be kept, the failure is still the news.
        if let Err(error) = self.apply(Event::Failed(step, cause.kind())) {
            tracing::warn!(%error, "failure of a step is not kept");
        }
        Err(self.failed(step, cause))
    }

    fn failed(&self, step: Step, cause: UeError) -> StepFailed {
        self.tell(step, StepOutcome::Failed(&cause));
        StepFailed { step, state: self.state(), cause: Box::new(cause) }
    }

    async fn attempt(&mut self, step: Step) -> Result<(), UeError> {
        match step {
            // Bootstrap and selection need something from outside.
            Step::Bootstrap => return Err(UeError::NotBootstrapped),
            Step::SelectPartner => return Err(UeError::NoPartnerSelected),
            Step::AuthenticateUser => self.authenticate_user().await?,
            Step::Configure => {
                let services = self.fetch_configuration().await?;
                return self.apply(Event::Configured(services));
            }
            Step::RegisterAtPrimary => self.register_at_primary().await?,
            Step::AuthorizeService(service) => self.authorize_at_primary(service).await?,
            Step::BringUpBearers => self.bring_up_bearers().await?,
            Step::AuthenticateAtPartner => self.authenticate_at_partner().await?,
            Step::RegisterAtPartner => self.register_at_partner().await?,
            Step::DownloadProfiles => self.download_profiles().await?,
            Step::ObtainGroups => self.obtain_groups().await?,
            Step::AuthorizeMigration(service) => self.authorize_migration(service).await?,
            Step::BeginOperation => self.begin_operation().await?,
            Step::DeactivateAliases => self.deactivate_all_aliases().await?,
            Step::Deaffiliate => self.leave_all_groups().await?,
            Step::DeauthorizeMigration(service) => self.deauthorize_migration(service).await?,
            Step::DeregisterAtPartner => self.deregister_at_partner().await?,
            Step::DiscardPartner => return self.discard_partner().await,
        }
        self.apply(Event::Done(step))
    }

    /// A partner that does not let a step be undone does not keep the user from going home.
    async fn give_up(&mut self, step: Step) -> Result<(), UeError> {
        if step == Step::DiscardPartner {
            return self.forget_partner(Event::GivenUp(step)).await;
        }
        self.apply(Event::GivenUp(step))
    }

    fn apply(&self, event: Event) -> Result<(), UeError> {
        self.keeper.change(|memory| memory.machine.apply(event))??;
        Ok(())
    }

    fn select(
        &mut self,
        partner: &McSystemId,
        services: Option<&BTreeSet<McService>>,
    ) -> Result<(), UeError> {
        self.tell(Step::SelectPartner, StepOutcome::Started);
        let selected = self.selected(partner, services);
        let outcome = selected.and_then(|(selected, memory)| {
            let system = partner::system(&memory.access_information, &self.settings)?;
            self.keeper.change(|kept| {
                kept.machine.apply(Event::Selected(selected))?;
                kept.partner = Some(memory);
                Ok::<(), UeError>(())
            })??;
            self.partner = Some(system);
            Ok(())
        });
        match &outcome {
            Ok(()) => self.tell(Step::SelectPartner, StepOutcome::Done),
            Err(error) => self.tell(Step::SelectPartner, StepOutcome::Failed(error)),
        }
        outcome
    }

    fn selected(
        &self,
        partner: &McSystemId,
        services: Option<&BTreeSet<McService>>,
    ) -> Result<(Selected, memory::PartnerMemory), UeError> {
        let option = self.partners().into_iter().find(|option| option.partner == *partner);
        let not_offered = || UeError::PartnerNotOffered(partner.clone());
        let option = option.ok_or_else(not_offered)?;
        let access_information = option.access_information.ok_or_else(not_offered)?;
        let services = services.unwrap_or(&option.services).clone();
        let beyond: BTreeSet<McService> = services.difference(&option.services).copied().collect();
        if !beyond.is_empty() || services.is_empty() {
            return Err(UeError::ServicesNotOffered { partner: partner.clone(), mc_services: beyond });
        }
        let selected = Selected { partner: partner.clone(), services };
        let documents = Documents::default();
        Ok((selected, memory::PartnerMemory { access_information, tokens: None, documents, contact: None }))
    }

    /// From now on the clients of one MC system call with these tokens, which are kept whenever they are renewed.
    fn use_tokens(&mut self, side: Side, tokens: TokenSet) -> Result<(), UeError> {
        let keeper = self.keeper.clone();
        let keep = Box::new(move |tokens: &TokenSet| {
            if let Err(error) = keep_tokens(&keeper, side, tokens) {
                tracing::error!(%error, "renewed tokens are not kept");
            }
        });
        let login = match side {
            Side::Primary => None,
            Side::Partner => Some(self.partner_login()?),
        };
        let client_instance = self.client_instance();
        let clock = Arc::clone(&self.settings.clock);
        let system = match side {
            Side::Primary => self.primary.as_mut(),
            Side::Partner => self.partner.as_mut(),
        };
        let system = system.ok_or(UeError::NotBootstrapped)?;
        let source = TokenSource::keeping(system.identity.clone(), tokens, login, clock, Some(keep));
        system.connect(source, &self.settings, client_instance)
    }

    fn partner_login(&self) -> Result<PartnerLogin, UeError> {
        let memory = self.keeper.read();
        let partner = memory.partner.as_ref().ok_or(UeError::NoPartnerSelected)?;
        let system = self.system(Side::Partner)?;
        Ok(PartnerLogin {
            primary: self.system(Side::Primary)?.clients()?.tokens.clone(),
            resource: system.servers.identity_management_token_endpoint.clone(),
            scopes: partner.access_information.scopes.clone(),
        })
    }

    fn system(&self, side: Side) -> Result<&System, UeError> {
        match side {
            Side::Primary => self.primary.as_ref().ok_or(UeError::NotBootstrapped),
            Side::Partner => self.partner.as_ref().ok_or(UeError::NoPartnerSelected),
        }
    }

    fn system_of(&self, step: Step) -> Option<McSystemId> {
        let side = if step.is_at_partner() { Side::Partner } else { Side::Primary };
        self.system(side).ok().map(|system| system.id.clone())
    }

    fn tell(&self, step: Step, outcome: StepOutcome<'_>) {
        self.tell_of(step, self.system_of(step).as_ref(), outcome);
    }

    fn tell_of(&self, step: Step, mc_system_id: Option<&McSystemId>, outcome: StepOutcome<'_>) {
        if let Some(observer) = &self.observer {
            observer(&StepEvent { step, mc_system_id, state: self.state(), outcome });
        }
    }
}

fn keep_tokens(keeper: &Keeper, side: Side, tokens: &TokenSet) -> Result<(), UeError> {
    let tokens = Some(tokens.clone());
    keeper.change(|memory| match side {
        Side::Primary => memory.primary.as_mut().map(|primary| primary.tokens = tokens),
        Side::Partner => memory.partner.as_mut().map(|partner| partner.tokens = tokens),
    })?;
    Ok(())
}
