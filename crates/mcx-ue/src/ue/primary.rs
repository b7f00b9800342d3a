//! The steps in the primary MC system (TS 23.280 10.1.1.1).

use std::collections::BTreeSet;
use std::sync::Arc;

use mcx_federation::{ChannelSettings, UserDialer};
use mcx_types::McService;
use uuid::Uuid;

use super::memory::PrimaryMemory;
use super::settings::BootstrapSource;
use super::system::{Clients, System};
use super::{McServiceUe, Side, StepFailed, StepOutcome, UeError, keep_tokens};
use crate::documents::{Document, DocumentKey, Documents};
use crate::identity::Credentials;
use crate::servers::enrol;
use crate::state::{Event, Step};

impl McServiceUe {
    /// Loads the initial UE configuration. A UE that had one forgets everything that it had from there.
    ///
    /// # Errors
    /// [`StepFailed`]; a user who is away has to return first.
    pub async fn bootstrap(&mut self, source: BootstrapSource) -> Result<(), StepFailed> {
        self.tell(Step::Bootstrap, StepOutcome::Started);
        match self.load(source).await {
            Ok(()) => {
                self.tell(Step::Bootstrap, StepOutcome::Done);
                Ok(())
            }
            Err(cause) => Err(self.failed(Step::Bootstrap, cause)),
        }
    }

    async fn load(&mut self, source: BootstrapSource) -> Result<(), UeError> {
        if let Some(partner) = self.partner() {
            return Err(UeError::AlreadySelected(partner));
        }
        let configuration = match source {
            BootstrapSource::Configuration(configuration) => configuration,
            BootstrapSource::Enrolment {
                mc_system_id,
                configuration_management,
                trust_bundle_pem,
                enrolment_code,
            } => {
                let dialer = UserDialer::new(
                    mc_system_id.clone(),
                    trust_bundle_pem.as_bytes(),
                    ChannelSettings::default(),
                    Arc::clone(&self.settings.clock),
                )
                .map_err(|error| UeError::Unusable { mc_system_id, what: error.to_string() })?;
                // Kept before it is sent: should the answer be lost, even with this process, the same request is made again.
                let request_id = self
                    .keeper
                    .change(|memory| *memory.enrolment_request.get_or_insert_with(Uuid::new_v4))?;
                let (ue_id, deadline) = (&self.settings.ue_id, self.settings.deadline);
                let address = configuration_management.as_str();
                Box::new(enrol(&dialer, address, ue_id, &enrolment_code, request_id, deadline).await?)
            }
        };
        let system = System::new(&configuration, &self.settings)?;
        self.keeper.change(|memory| {
            memory.machine.apply(Event::Done(Step::Bootstrap))?;
            memory.enrolment_request = None;
            memory.primary =
                Some(PrimaryMemory { configuration, tokens: None, documents: Documents::default() });
            Ok::<(), UeError>(())
        })??;
        self.primary = Some(system);
        Ok(())
    }

    /// Logs the user in, now and whenever her tokens are no longer good while the process lives (TS 23.280 10.6.1).
    ///
    /// # Errors
    /// [`StepFailed`]
    pub async fn authenticate(&mut self, credentials: Credentials) -> Result<(), StepFailed> {
        self.remember_credentials(credentials);
        self.run(Step::AuthenticateUser).await
    }

    /// Fetches UE configuration, user profiles, service configuration and groups anew.
    ///
    /// # Errors
    /// [`StepFailed`]
    pub async fn configure(&mut self) -> Result<(), StepFailed> {
        self.run(Step::Configure).await
    }

    /// Registers at the primary's SIP core, or refreshes the registration.
    ///
    /// # Errors
    /// [`StepFailed`]
    pub async fn register_primary(&mut self) -> Result<(), StepFailed> {
        self.run(Step::RegisterAtPrimary).await
    }

    /// Is authorized for one MC service in the primary.
    ///
    /// # Errors
    /// [`StepFailed`]
    pub async fn authorize_service(&mut self, service: McService) -> Result<(), StepFailed> {
        self.run(Step::AuthorizeService(service)).await
    }

    pub(super) async fn authenticate_user(&mut self) -> Result<(), UeError> {
        let system = self.system(Side::Primary)?;
        let credentials = self.credentials.as_ref().ok_or(UeError::LoginRequired)?;
        let tokens = system
            .identity
            .authenticate(credentials, &self.settings.scopes)
            .await
            .map_err(|source| UeError::Identity { mc_system_id: system.id.clone(), source })?;
        keep_tokens(&self.keeper, Side::Primary, &tokens)?;
        self.use_tokens(Side::Primary, tokens)?;
        // Tokens of the partner are renewed through those of the primary.
        let partner_tokens = self.keeper.read().partner.as_ref().and_then(|partner| partner.tokens.clone());
        match partner_tokens {
            Some(tokens) => self.use_tokens(Side::Partner, tokens),
            None => Ok(()),
        }
    }

    /// The MC services that the user has user profiles for.
    pub(super) async fn fetch_configuration(&mut self) -> Result<BTreeSet<McService>, UeError> {
        let system = self.system(Side::Primary)?;
        let clients = system.clients()?;
        let ue_id = &self.settings.ue_id;
        let mut documents = Documents::default();
        let profiles = clients.configuration_management.user_profiles().await?;
        let profiles: Vec<Document> =
            profiles.into_iter().map(|profile| Document::UserProfile(Box::new(profile))).collect();
        documents.replace(|_| true, profiles);
        let services = documents.mc_services();
        if services.is_empty() {
            let mc_services = BTreeSet::new();
            return Err(UeError::NoUserProfile { mc_system_id: system.id.clone(), mc_services });
        }
        add_configurations(&mut documents, clients, &services, ue_id).await?;
        add_groups(&mut documents, clients).await?;
        self.keeper.change(|memory| {
            if let Some(primary) = &mut memory.primary {
                primary.documents = documents;
            }
        })?;
        Ok(services)
    }

    pub(super) async fn register_at_primary(&mut self) -> Result<(), UeError> {
        let identities = self.settings.isim.identities.clone();
        self.register(Side::Primary, &identities).await
    }

    /// Registers with the user agent there is, or with a new one.
    pub(super) async fn register(
        &mut self,
        side: Side,
        identities: &mcx_types::SipIdentities,
    ) -> Result<(), UeError> {
        let system = match side {
            Side::Primary => self.primary.as_mut().ok_or(UeError::NotBootstrapped)?,
            Side::Partner => self.partner.as_mut().ok_or(UeError::NoPartnerSelected)?,
        };
        if system.user_agent.is_none() {
            system.user_agent = Some(system.switch_on(identities, &self.settings, &self.isim).await?);
        }
        if let Some(user_agent) = system.user_agent.as_ref().filter(|_| side == Side::Partner) {
            // Before it is sent: another process may have to remove it, and nothing but it.
            let contact = user_agent.contact().to_owned();
            self.keeper.change(|memory| {
                if let Some(partner) = &mut memory.partner {
                    partner.contact = Some(contact);
                }
            })?;
        }
        let registration = system.refresh_registration().await?;
        let expires = registration.map(|registration| registration.expires.as_secs());
        tracing::info!(mc_system_id = %system.id, expires, "registered");
        Ok(())
    }

    pub(super) async fn authorize_at_primary(&mut self, service: McService) -> Result<(), UeError> {
        let index = self.settings.profile_indices.get(&service).copied();
        let clients = self.system(Side::Primary)?.clients()?;
        let answer = clients.mc_service.authorize_service(service, index).await?;
        tracing::info!(%service, profile_etag = answer.profile_etag, "authorized in the primary mc system");
        Ok(())
    }
}

/// UE configurations and service configurations, where there are such.
pub(super) async fn add_configurations(
    documents: &mut Documents,
    clients: &Clients,
    services: &BTreeSet<McService>,
    ue_id: &str,
) -> Result<(), UeError> {
    let mut found = Vec::new();
    for service in services {
        let client = &clients.configuration_management;
        if let Some(configuration) = client.ue_configuration(*service, ue_id).await? {
            found.push(Document::UeConfiguration(Box::new(configuration)));
        }
        if let Some(configuration) = client.service_configuration(*service).await? {
            found.push(Document::ServiceConfiguration(Box::new(configuration)));
        }
    }
    let is_configuration = |key: &DocumentKey| {
        matches!(key, DocumentKey::UeConfiguration(_) | DocumentKey::ServiceConfiguration(_))
    };
    documents.replace(is_configuration, found);
    Ok(())
}

/// The groups that the user profiles name, and the functional aliases that the user may activate.
pub(super) async fn add_groups(documents: &mut Documents, clients: &Clients) -> Result<(), UeError> {
    let group_ids: Vec<_> = documents.groups_of_profiles().into_iter().collect();
    // Without any the server would tell all that there are.
    let groups =
        if group_ids.is_empty() { Vec::new() } else { clients.group_management.groups(&group_ids).await? };
    let groups = groups.into_iter().map(|group| Document::Group(Box::new(group))).collect();
    documents.replace(|key| matches!(key, DocumentKey::Group(_)), groups);
    let aliases = clients.functional_alias_management.functional_aliases().await?;
    let aliases = aliases.into_iter().map(|alias| Document::FunctionalAlias(Box::new(alias))).collect();
    documents.replace(|key| matches!(key, DocumentKey::FunctionalAlias(_)), aliases);
    Ok(())
}
