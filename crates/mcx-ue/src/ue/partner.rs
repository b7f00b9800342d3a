//! The steps in a partner MC system (TS 23.280 10.1.1.2), and those that undo them.

use std::collections::BTreeSet;

use mcx_proto::mcservice::v1::{DeaffiliationScope, DecisionRule};
use mcx_proto::types::v1::AccessInformation;
use mcx_types::{McService, McServiceGroupId, McServiceId, SipIdentities, Violations};

use super::partners::{PartnerOption, identity_in, identity_of, partners};
use super::primary::{add_configurations, add_groups};
use super::settings::UeSettings;
use super::system::System;
use super::{McServiceUe, Side, UeError, keep_tokens};
use crate::documents::{Document, Documents};
use crate::identity::{IdentityError, PartnerLoginFailure};
use crate::selection::{Selection, Surroundings, select};
use crate::state::{Event, Step};

/// The partner, as the access information describes it.
pub(super) fn system(information: &AccessInformation, settings: &UeSettings) -> Result<System, UeError> {
    let configuration = information.initial_ue_configuration.as_ref().ok_or(UeError::NoPartnerSelected)?;
    System::new(configuration, settings)
}

impl McServiceUe {
    /// The partners that the user profiles name.
    #[must_use]
    pub fn partners(&self) -> Vec<PartnerOption> {
        partners(&self.primary_documents())
    }

    /// The partner that the rules of the user profiles choose (NOTE 1 of 10.1.1.2), of those that have accepted the user. Nothing is
    /// done about it.
    #[must_use]
    pub fn choose(&self, surroundings: &Surroundings) -> Selection {
        let is_ready = |option: &PartnerOption| !option.services.is_empty();
        let rules: Vec<_> =
            self.partners().into_iter().filter(is_ready).filter_map(|option| option.rule).collect();
        select(&rules, surroundings)
    }

    pub(super) async fn bring_up_bearers(&mut self) -> Result<(), UeError> {
        let system = self.system(Side::Partner)?;
        Ok(self.settings.bearers.bring_up(&system.id, &system.networks).await?)
    }

    pub(super) async fn authenticate_at_partner(&mut self) -> Result<(), UeError> {
        let login = self.partner_login()?;
        let system = self.system(Side::Partner)?;
        let tokens = match login.log_in(&system.identity).await {
            Ok(tokens) => tokens,
            Err(PartnerLoginFailure::AtPartner(source)) => {
                return Err(UeError::Identity { mc_system_id: system.id.clone(), source });
            }
            // Only logging in again helps.
            Err(PartnerLoginFailure::AtPrimary(
                IdentityError::LoginRequired | IdentityError::InvalidGrant { .. },
            )) => return Err(UeError::LoginRequired),
            Err(PartnerLoginFailure::AtPrimary(source)) => {
                let mc_system_id = self.system(Side::Primary)?.id.clone();
                return Err(UeError::Identity { mc_system_id, source });
            }
        };
        keep_tokens(&self.keeper, Side::Partner, &tokens)?;
        self.use_tokens(Side::Partner, tokens)
    }

    pub(super) async fn register_at_partner(&mut self) -> Result<(), UeError> {
        let identities = self.visitor_identities()?;
        self.register(Side::Partner, &identities).await
    }

    pub(super) fn visitor_identities(&self) -> Result<SipIdentities, UeError> {
        let identities = {
            let memory = self.keeper.read();
            memory.partner.as_ref().and_then(|partner| partner.access_information.visitor_identities.clone())
        };
        let identities = Violations::new().sip_identities("visitor_identities", identities);
        identities.ok_or(match self.system(Side::Partner) {
            Ok(system) => system.unusable("the visitor identities are not as they must be"),
            Err(error) => error,
        })
    }

    pub(super) async fn download_profiles(&mut self) -> Result<(), UeError> {
        let system = self.system(Side::Partner)?;
        let clients = system.clients()?;
        let profiles = clients.configuration_management.user_profiles().await?;
        let profiles: Vec<Document> =
            profiles.into_iter().map(|profile| Document::UserProfile(Box::new(profile))).collect();
        let mut documents = Documents::default();
        documents.replace(|_| true, profiles);
        let offered = documents.mc_services();
        let missing: BTreeSet<McService> = self.selected_services().difference(&offered).copied().collect();
        if !missing.is_empty() {
            let mc_system_id = system.id.clone();
            return Err(UeError::NoUserProfile { mc_system_id, mc_services: missing });
        }
        add_configurations(&mut documents, clients, &offered, &self.settings.ue_id).await?;
        self.keep_partner_documents(documents)
    }

    pub(super) async fn obtain_groups(&mut self) -> Result<(), UeError> {
        let mut documents = self.partner_documents();
        add_groups(&mut documents, self.system(Side::Partner)?.clients()?).await?;
        self.keep_partner_documents(documents)
    }

    pub(super) async fn authorize_migration(&mut self, service: McService) -> Result<(), UeError> {
        let primary_id = self.primary_identity(service)?;
        let system = self.system(Side::Partner)?;
        let mc_service = &system.clients()?.mc_service;
        let index = self.settings.profile_indices.get(&service).copied();
        // An index of the primary may be of a profile that the partner was not given.
        let index = index.filter(|index| self.has_partner_profile(service, *index));
        let answer = mc_service.authorize_migration(service, &primary_id, index).await?;
        let authorized = answer.authorization.unwrap_or_default();
        let allotted = {
            let memory = self.keeper.read();
            let partner = memory.partner.as_ref();
            partner.and_then(|partner| identity_in(&partner.access_information, service))
        };
        if allotted.is_some_and(|allotted| allotted.as_str() != authorized.mc_service_id) {
            return Err(system.unusable("it authorizes another mc service id than it allotted"));
        }
        tracing::info!(%service, migration_id = authorized.migration_id, "authorized in the partner mc system");
        Ok(())
    }

    /// Who the user is at home, by the user profile that names the partner, or else by any.
    fn primary_identity(&self, service: McService) -> Result<McServiceId, UeError> {
        let partner = self.partner().ok_or(UeError::NoPartnerSelected)?;
        let documents = self.primary_documents();
        let mut profiles: Vec<_> = documents
            .user_profiles()
            .filter(|(of, ..)| *of == service)
            .map(|(.., profile)| profile)
            .collect();
        profiles.sort_by_key(|profile| {
            !profile.migration_targets.iter().any(|target| target.mc_system_id == partner.as_str())
        });
        let identity = profiles.first().and_then(|profile| identity_of(profile));
        identity
            .ok_or(UeError::NoUserProfile { mc_system_id: partner, mc_services: BTreeSet::from([service]) })
    }

    fn has_partner_profile(&self, service: McService, index: mcx_types::ProfileIndex) -> bool {
        let documents = self.partner_documents();
        documents.user_profiles().any(|(of, at, _)| of == service && at == index)
    }

    /// The server makes the implicit affiliations when it authorizes; those that it could not make then are asked for again. A group to
    /// which the user is refused is no obstacle, one of which nobody could be asked is: she would be at work without it.
    pub(super) async fn begin_operation(&mut self) -> Result<(), UeError> {
        let system = self.system(Side::Partner)?;
        let mc_service = &system.clients()?.mc_service;
        let mut undecided = Vec::new();
        for service in self.selected_services() {
            let Some(authorization) = mc_service.own_authorization(service).await? else {
                // Ended meanwhile: the step before has to be done again.
                self.apply(Event::MigrationEnded(service))?;
                return Err(UeError::NotAuthorized(service));
            };
            let affiliated: BTreeSet<String> =
                mc_service.affiliations(service).await?.into_iter().map(|found| found.group_id).collect();
            let missing: Vec<McServiceGroupId> = self
                .implicit_groups(service, authorization.profile_index)
                .into_iter()
                .filter(|group| !affiliated.contains(group.as_str()))
                .collect();
            if missing.is_empty() {
                continue;
            }
            for outcome in mc_service.affiliate(service, &missing).await? {
                let rule = outcome.rule();
                let (group, affiliated) = (outcome.group_id, outcome.affiliated);
                tracing::info!(%service, group, affiliated, rule = rule.as_str_name(), "implicit affiliation");
                if !affiliated && is_undecided(rule) {
                    undecided.push((group, rule));
                }
            }
        }
        if undecided.is_empty() {
            return Ok(());
        }
        Err(UeError::AffiliationUndecided { mc_system_id: system.id.clone(), groups: undecided })
    }

    fn implicit_groups(&self, service: McService, index: u32) -> Vec<McServiceGroupId> {
        let documents = self.partner_documents();
        let groups = documents
            .user_profiles()
            .filter(|(of, at, _)| *of == service && u32::from(at.0) == index)
            .flat_map(|(.., profile)| profile.groups.clone());
        groups
            .filter(|group| group.implicit_affiliation)
            .filter_map(|group| group.mc_service_group_id.parse().ok())
            .collect()
    }

    /// Functional aliases are the user's, not the UE's: they stay while another UE of hers is served there.
    pub(super) async fn deactivate_all_aliases(&mut self) -> Result<(), UeError> {
        let mc_service = &self.system(Side::Partner)?.clients()?.mc_service;
        let own = self.client_instance().to_string();
        for service in self.evidence().migrated {
            let authorizations = mc_service.status(service).await?.authorizations;
            if authorizations.iter().any(|authorization| authorization.client_instance != own) {
                continue;
            }
            for activation in mc_service.active_aliases(service).await? {
                if let Ok(alias) = activation.functional_alias.parse() {
                    mc_service.deactivate_alias(service, &alias).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn leave_all_groups(&mut self) -> Result<(), UeError> {
        let mc_service = &self.system(Side::Partner)?.clients()?.mc_service;
        for service in self.evidence().migrated {
            let affiliations = mc_service.affiliations(service).await?;
            let groups: Vec<McServiceGroupId> =
                affiliations.iter().filter_map(|affiliation| affiliation.group_id.parse().ok()).collect();
            // So many may be named at once.
            for groups in groups.chunks(100) {
                mc_service.deaffiliate(service, groups, DeaffiliationScope::ThisClient).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn deauthorize_migration(&mut self, service: McService) -> Result<(), UeError> {
        self.system(Side::Partner)?.clients()?.mc_service.deauthorize_migration(service).await?;
        Ok(())
    }

    /// A UE that was switched off meanwhile removes the contact that it had, so that other UEs of its user stay registered.
    pub(super) async fn deregister_at_partner(&mut self) -> Result<(), UeError> {
        let identities = self.visitor_identities()?;
        let contact = self.keeper.read().partner.as_ref().and_then(|partner| partner.contact.clone());
        let system = self.partner.as_mut().ok_or(UeError::NoPartnerSelected)?;
        let deregistered = match system.user_agent.take() {
            Some(mut user_agent) => user_agent.deregister().await,
            None => {
                let mut user_agent = system.switch_on(&identities, &self.settings, &self.isim).await?;
                match contact {
                    Some(contact) => user_agent.deregister_contact(&contact).await,
                    None => user_agent.deregister_all().await,
                }
            }
        };
        deregistered.map_err(|source| system.signalling(source))?;
        Ok(())
    }

    /// Gives the partner's tokens up, and forgets them with its documents.
    pub(super) async fn discard_partner(&mut self) -> Result<(), UeError> {
        let system = self.system(Side::Partner)?;
        let tokens = self.keeper.read().partner.as_ref().and_then(|partner| partner.tokens.clone());
        if let Some(tokens) = tokens {
            system
                .identity
                .revoke(&tokens)
                .await
                .map_err(|source| UeError::Identity { mc_system_id: system.id.clone(), source })?;
        }
        self.forget_partner(Event::Done(Step::DiscardPartner)).await
    }

    pub(super) async fn forget_partner(&mut self, event: Event) -> Result<(), UeError> {
        self.keeper.change(|memory| {
            memory.machine.apply(event)?;
            memory.partner = None;
            Ok::<(), UeError>(())
        })??;
        if let Some(system) = self.partner.take() {
            self.settings.bearers.take_down(&system.id).await;
        }
        Ok(())
    }

    pub(super) fn selected_services(&self) -> BTreeSet<McService> {
        self.evidence().selected.map(|selected| selected.services).unwrap_or_default()
    }

    fn keep_partner_documents(&self, documents: Documents) -> Result<(), UeError> {
        self.keeper.change(|memory| {
            if let Some(partner) = &mut memory.partner {
                partner.documents = documents;
            }
        })
    }
}

/// Whether a rule says that somebody could not be asked, rather than what was decided.
fn is_undecided(rule: DecisionRule) -> bool {
    matches!(rule, DecisionRule::GroupManagementUnreachable | DecisionRule::HomeOfGroupUnreachable)
}
