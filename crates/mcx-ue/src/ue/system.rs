//! One MC system as a UE reaches it.

use std::net::SocketAddr;
use std::sync::Arc;

use mcx_aka::isim::Isim;
use mcx_federation::{ChannelSettings, UserDialer, spiffe_server_client_config};
use mcx_proto::types::v1::{InitialUeConfiguration, PdnConnectivity, ServerAddresses, SipTransport};
use mcx_types::{McSystemId, SipIdentities};
use rustls_pki_types::ServerName;
use uuid::Uuid;

use super::UeError;
use super::memory::IsimMemory;
use super::settings::{IsimCard, UeSettings};
use crate::identity::{IdentityManagementClient, IdentitySettings, TokenSource};
use crate::servers::{
    ConfigurationManagementClient, FunctionalAliasManagementClient, GroupManagementClient, McServiceClient,
    SystemAccess,
};
use crate::signalling::{
    SignallingError, SignallingRegistration, SignallingSettings, SignallingTransport, SignallingUserAgent,
};

/// One MC system: where its servers are, and the clients of them.
pub(super) struct System {
    pub(super) id: McSystemId,
    pub(super) servers: ServerAddresses,
    pub(super) networks: Vec<PdnConnectivity>,
    pub(super) identity: IdentityManagementClient,
    trust_bundle_pem: String,
    dialer: UserDialer,
    clients: Option<Clients>,
    pub(super) user_agent: Option<SignallingUserAgent>,
}

/// The clients that call for a user, with her tokens.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) tokens: TokenSource,
    pub(super) configuration_management: ConfigurationManagementClient,
    pub(super) group_management: GroupManagementClient,
    pub(super) functional_alias_management: FunctionalAliasManagementClient,
    pub(super) mc_service: McServiceClient,
}

impl System {
    pub(super) fn new(
        configuration: &InitialUeConfiguration,
        settings: &UeSettings,
    ) -> Result<Self, UeError> {
        let id: McSystemId = configuration.mc_system_id.parse().map_err(|_| UeError::NotBootstrapped)?;
        let unusable = |what: String| UeError::Unusable { mc_system_id: id.clone(), what };
        let servers =
            configuration.servers.clone().ok_or_else(|| unusable("no server is named".to_owned()))?;
        let bundle = configuration.trust_bundle_pem.as_bytes();
        let dialer =
            UserDialer::new(id.clone(), bundle, ChannelSettings::default(), Arc::clone(&settings.clock))
                .map_err(|error| unusable(error.to_string()))?;
        let tls = spiffe_server_client_config(bundle, &id).map_err(|error| unusable(error.to_string()))?;
        let identity_settings = IdentitySettings {
            issuer: servers.identity_management_issuer.clone(),
            token_endpoint: servers.identity_management_token_endpoint.clone(),
            client_id: servers.oauth_client_id.clone(),
            redirect_uri: settings.redirect_uri.clone(),
            deadline: settings.deadline,
        };
        let identity = IdentityManagementClient::new(tls, identity_settings, Arc::clone(&settings.clock))
            .map_err(|source| UeError::Identity { mc_system_id: id.clone(), source })?;
        Ok(Self {
            id,
            servers,
            networks: configuration.pdn_connectivity.clone(),
            identity,
            trust_bundle_pem: configuration.trust_bundle_pem.clone(),
            dialer,
            clients: None,
            user_agent: None,
        })
    }

    /// The clients; the user is authenticated here.
    pub(super) fn clients(&self) -> Result<&Clients, UeError> {
        self.clients.as_ref().ok_or(UeError::LoginRequired)
    }

    /// From now on the clients call with these tokens.
    pub(super) fn connect(
        &mut self,
        tokens: TokenSource,
        settings: &UeSettings,
        client_instance: Uuid,
    ) -> Result<(), UeError> {
        let access = SystemAccess::new(
            self.dialer.clone(),
            tokens.clone(),
            settings.deadline,
            settings.patience.clone(),
        );
        let servers = &self.servers;
        self.clients = Some(Clients {
            tokens,
            configuration_management: ConfigurationManagementClient::new(
                &access,
                &servers.configuration_management,
            )?,
            group_management: GroupManagementClient::new(&access, &servers.group_management)?,
            functional_alias_management: FunctionalAliasManagementClient::new(
                &access,
                &servers.functional_alias_management,
            )?,
            mc_service: McServiceClient::new(&access, &servers.mc_service, client_instance)?,
        });
        Ok(())
    }

    /// Makes a user agent for these identities, with what the ISIM remembers now.
    pub(super) async fn switch_on(
        &self,
        identities: &SipIdentities,
        settings: &UeSettings,
        isim_memory: &IsimMemory,
    ) -> Result<SignallingUserAgent, UeError> {
        let (registrar, transport) = self.sip_core().await?;
        let impu = identities.impus.first().ok_or_else(|| self.unusable("no public user identity"))?;
        // The realm is that of the identities: visitors have one of their own.
        let signalling = SignallingSettings::new(identities.impi.clone(), impu.clone(), registrar, transport);
        let IsimCard { key, opc, .. } = &settings.isim;
        let isim = Isim::new(key, opc).with_sequences(isim_memory.sequences());
        let mut user_agent = SignallingUserAgent::connect(signalling, isim, Arc::clone(&settings.randomness))
            .await
            .map_err(|source| self.signalling(source))?;
        let kept = isim_memory.clone();
        user_agent.keep_sequences_with(Box::new(move |sequences| kept.keep(sequences)));
        if let Some(observer) = &settings.signalling_observer {
            user_agent.observe(Arc::clone(observer));
        }
        Ok(user_agent)
    }

    /// Registers again, where a user agent is switched on. It is kept whatever comes of it.
    pub(super) async fn refresh_registration(&mut self) -> Result<Option<SignallingRegistration>, UeError> {
        let Some(user_agent) = &mut self.user_agent else { return Ok(None) };
        match user_agent.register().await {
            Ok(registration) => Ok(Some(registration)),
            Err(source) => Err(self.signalling(source)),
        }
    }

    pub(super) fn signalling(&self, source: SignallingError) -> UeError {
        UeError::Signalling { mc_system_id: self.id.clone(), source }
    }

    pub(super) fn unusable(&self, what: &str) -> UeError {
        UeError::Unusable { mc_system_id: self.id.clone(), what: what.to_owned() }
    }

    /// The first SIP core that we know how to reach.
    async fn sip_core(&self) -> Result<(SocketAddr, SignallingTransport), UeError> {
        for core in &self.servers.sip_core {
            let transport = match core.transport() {
                SipTransport::Udp => SignallingTransport::Udp,
                SipTransport::Tcp => SignallingTransport::Tcp,
                SipTransport::Tls => self.tls(&core.address)?,
                SipTransport::Unspecified => continue,
            };
            let mut addresses = tokio::net::lookup_host(&core.address)
                .await
                .map_err(|error| self.signalling(SignallingError::Connection(error)))?;
            if let Some(address) = addresses.next() {
                return Ok((address, transport));
            }
        }
        Err(self.unusable("no sip core is named"))
    }

    fn tls(&self, address: &str) -> Result<SignallingTransport, UeError> {
        let mut config = spiffe_server_client_config(self.trust_bundle_pem.as_bytes(), &self.id)
            .map_err(|error| self.unusable(&error.to_string()))?;
        config.alpn_protocols.clear();
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let server_name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| self.unusable("the sip core is no host"))?;
        Ok(SignallingTransport::Tls { config: Arc::new(config), server_name })
    }
}
