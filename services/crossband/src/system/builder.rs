//! Builds the entities of one process, each with what it stands on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mcx_federation::access_token::AccessTokenVerifier;
use mcx_federation::{
    BreakerSettings, ChannelSettings, Dialer, OwnIdentity, PartnerDirectory, TrustBundles,
    unauthenticated_server_config,
};
use mcx_runtime::readiness::Readiness;
use mcx_runtime::server::Server;
use mcx_runtime::shutdown::Shutdown;
use mcx_store::{Database, Schema, SharedCache};
use mcx_types::{Clock, Entity, McSystemId, SpiffeId};
use migration_management::collaborators::{Channels, Collaborators};
use sip_database::SystemRandom;
use sip_database::client::SipAuthenticationClient;
use tonic::transport::Channel;

use crate::config::CrossbandConfig;

/// How often the certificate files are looked at.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// The certificate of an entity, which must be of this MC system; its files are read again when they change.
pub(super) fn identity(
    config: &CrossbandConfig,
    id: &McSystemId,
    shutdown: &Shutdown,
    entity: Entity,
) -> Result<OwnIdentity> {
    let files = config.certificates.files(entity.as_str());
    let identity = OwnIdentity::load(&files).with_context(|| {
        format!("cannot use the certificate of {entity} in {}", files.certificate_file.display())
    })?;
    let expected = SpiffeId::entity(id.clone(), entity);
    anyhow::ensure!(
        *identity.spiffe_id() == expected,
        "{} is the certificate of {}, not of {expected}",
        files.certificate_file.display(),
        identity.spiffe_id()
    );
    until_shutdown(shutdown, identity.clone().watch(CERTIFICATE_CHECK_INTERVAL));
    Ok(identity)
}

/// Runs work that never ends by itself until the process ends.
pub(super) fn until_shutdown(shutdown: &Shutdown, work: impl Future<Output = ()> + Send + 'static) {
    let ended = shutdown.token().clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            () = work => {}
        }
    });
}

/// Where identity management is reached by UEs.
#[derive(Debug, Clone)]
pub(super) struct HttpsAddress {
    pub(super) address: SocketAddr,
    pub(super) issuer: String,
}

/// What the entities of one process are built from.
pub(super) struct Builder<'a> {
    pub(super) config: &'a CrossbandConfig,
    pub(super) id: &'a McSystemId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shutdown: &'a Shutdown,
    pub(super) bundles: TrustBundles,
}

impl Builder<'_> {
    fn identity(&self, entity: Entity) -> Result<OwnIdentity> {
        identity(self.config, self.id, self.shutdown, entity)
    }

    /// Completes when listeners beside those of gRPC shall end: after it was announced, for load balancers to notice, as those do.
    fn no_more_accepting(&self) -> impl Future<Output = ()> + Send + 'static {
        let (token, announced) = (self.shutdown.token().clone(), self.config.server.announce_duration);
        async move {
            token.cancelled().await;
            tokio::time::sleep(announced).await;
        }
    }

    fn until_shutdown(&self, work: impl Future<Output = ()> + Send + 'static) {
        until_shutdown(self.shutdown, work);
    }

    fn dialer(&self, entity: Entity) -> Result<Dialer> {
        let identity = self.identity(entity)?;
        let bundles = self.bundles.clone();
        Ok(Dialer::new(identity, bundles, ChannelSettings::default(), Arc::clone(&self.clock)))
    }

    /// The channel of an entity to another one of the same MC system.
    fn channel(&self, dialer: &Dialer, to: Entity) -> Result<Channel> {
        let endpoint = self.config.endpoints.of(to);
        let expected = SpiffeId::entity(self.id.clone(), endpoint.identity);
        Ok(dialer.channel(expected, endpoint.addresses.clone())?)
    }

    fn cache(&self, entity: Entity) -> Result<SharedCache> {
        Ok(SharedCache::open(&self.config.cache, &format!("{}/{entity}", self.id))?)
    }

    fn database(&self, schema: &Schema) -> Result<Database> {
        Ok(Database::open(&self.config.database, schema)?)
    }

    /// The partners as an entity sees them, kept in step with the agreements of migration management.
    fn partners(&self, dialer: &Dialer) -> Result<PartnerDirectory> {
        let config = &self.config.migration_management;
        let breaker =
            BreakerSettings { failures_to_open: config.breaker_failures, open_for: config.breaker_pause };
        let partners =
            PartnerDirectory::new(dialer.clone(), self.bundles.clone(), breaker, Arc::clone(&self.clock));
        let channel = self.channel(dialer, Entity::MigrationManagement)?;
        self.until_shutdown(migration_management::client::follow_partners(channel, partners.clone()));
        Ok(partners)
    }

    /// Keeps what is believed of access tokens in step with the own identity management, as the entity asks it.
    pub(super) fn follow_token_trust(&self, entity: Entity, users: &AccessTokenVerifier) -> Result<()> {
        let dialer = self.dialer(entity)?;
        let channel = self.channel(&dialer, Entity::IdentityManagement)?;
        self.until_shutdown(identity_management::client::follow_token_trust(channel, users.clone()));
        Ok(())
    }

    pub(super) async fn identity_management(
        &self,
        server: Server,
        readiness: &mut Vec<Readiness>,
    ) -> Result<(Server, HttpsAddress)> {
        let identity = self.identity(Entity::IdentityManagement)?;
        let dependencies = identity_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&identity_management::SCHEMA)?,
            cache: self.cache(Entity::IdentityManagement)?,
            tls: unauthenticated_server_config(&identity),
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(rand::random::<[u8; 32]>),
        };
        let mut config = self.config.identity_management.clone();
        if config.key_file.as_os_str().is_empty() {
            config.key_file.clone_from(&self.config.sip_database.key_file);
        }
        let service = identity_management::Service::build(config, dependencies).await?;
        let bound = HttpsAddress { address: service.https_address(), issuer: service.issuer().to_owned() };
        readiness.push(service.readiness().clone());
        let server = service.add_to(server, &self.config.server);
        let no_more_accepting = self.no_more_accepting();
        self.shutdown.spawn(async move { service.run(no_more_accepting).await });
        Ok((server, bound))
    }

    pub(super) fn configuration_management(
        &self,
        server: Server,
        readiness: &mut Vec<Readiness>,
    ) -> Result<Server> {
        let dialer = self.dialer(Entity::ConfigurationManagement)?;
        let dependencies = configuration_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&configuration_management::SCHEMA)?,
            cache: self.cache(Entity::ConfigurationManagement)?,
            partners: self.partners(&dialer)?,
            clock: Arc::clone(&self.clock),
        };
        let config = self.config.configuration_management.clone();
        let service = configuration_management::Service::build(config, dependencies)?;
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) fn mc_service(&self, server: Server, readiness: &mut Vec<Readiness>) -> Result<Server> {
        use mc_service::sources::{ConfigurationManagement, FunctionalAliasManagement, GroupManagement};
        let dialer = self.dialer(Entity::McService)?;
        let profiles = self.channel(&dialer, Entity::ConfigurationManagement)?;
        let groups = self.channel(&dialer, Entity::GroupManagement)?;
        let aliases = self.channel(&dialer, Entity::FunctionalAliasManagement)?;
        let dependencies = mc_service::Dependencies {
            own: self.id.clone(),
            database: self.database(&mc_service::SCHEMA)?,
            cache: self.cache(Entity::McService)?,
            profiles: Arc::new(ConfigurationManagement::new(profiles)),
            groups: Arc::new(GroupManagement::new(groups)),
            aliases: Arc::new(FunctionalAliasManagement::new(aliases)),
            partners: self.partners(&dialer)?,
            clock: Arc::clone(&self.clock),
        };
        let service = mc_service::Service::build(self.config.mc_service.clone(), dependencies);
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) fn group_management(&self, server: Server, readiness: &mut Vec<Readiness>) -> Result<Server> {
        let dialer = self.dialer(Entity::GroupManagement)?;
        let dependencies = group_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&group_management::SCHEMA)?,
            cache: self.cache(Entity::GroupManagement)?,
            partners: self.partners(&dialer)?,
            clock: Arc::clone(&self.clock),
        };
        let service = group_management::Service::build(self.config.group_management.clone(), dependencies);
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) fn functional_alias_management(
        &self,
        server: Server,
        readiness: &mut Vec<Readiness>,
    ) -> Result<Server> {
        let dependencies = functional_alias_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&functional_alias_management::SCHEMA)?,
            cache: self.cache(Entity::FunctionalAliasManagement)?,
            clock: Arc::clone(&self.clock),
        };
        let config = self.config.functional_alias_management.clone();
        let service = functional_alias_management::Service::build(config, dependencies);
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) fn sip_database(&self, server: Server, readiness: &mut Vec<Readiness>) -> Result<Server> {
        let dependencies = sip_database::Dependencies {
            own_system: self.id.clone(),
            database: self.database(&sip_database::SCHEMA)?,
            cache: self.cache(Entity::SipDatabase)?,
            clock: Arc::clone(&self.clock),
            random: Arc::new(SystemRandom),
        };
        let service = sip_database::Service::build(self.config.sip_database.clone(), dependencies)?;
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) async fn migration_management(
        &self,
        server: Server,
        readiness: &mut Vec<Readiness>,
    ) -> Result<Server> {
        let dialer = self.dialer(Entity::MigrationManagement)?;
        let sip_database = self.channel(&dialer, Entity::SipDatabase)?;
        let config = self.config.migration_management.clone();
        let channels = Channels {
            identity_management: self.channel(&dialer, Entity::IdentityManagement)?,
            configuration_management: self.channel(&dialer, Entity::ConfigurationManagement)?,
            group_management: self.channel(&dialer, Entity::GroupManagement)?,
            mc_service: self.channel(&dialer, Entity::McService)?,
            sip_core: self.channel(&dialer, Entity::SipCore)?,
        };
        let dependencies = migration_management::Dependencies {
            own: self.id.clone(),
            database: self.database(&migration_management::SCHEMA)?,
            cache: self.cache(Entity::MigrationManagement)?,
            sip_database: SipAuthenticationClient::new(sip_database),
            collaborators: Collaborators::over(self.id, channels, config.provisioning.entity_timeout),
            dialer,
            bundles: self.bundles.clone(),
            clock: Arc::clone(&self.clock),
        };
        let service = migration_management::Service::build(config, dependencies).await?;
        self.until_shutdown(service.upkeep());
        readiness.push(service.readiness().clone());
        Ok(service.add_to(server, &self.config.server))
    }

    pub(super) async fn sip_core(
        &self,
        server: Server,
        listening_identity: &OwnIdentity,
        readiness: &mut Vec<Readiness>,
    ) -> Result<(Server, sip_core::sip::BoundAddresses)> {
        let dialer = self.dialer(Entity::SipCore)?;
        let timeout = self.config.sip_core.request_deadline;
        let sip_database = self.channel(&dialer, Entity::SipDatabase)?;
        let migration_management = self.channel(&dialer, Entity::MigrationManagement)?;
        let dependencies = sip_core::Dependencies {
            cache: self.cache(Entity::SipCore)?,
            own_users: Arc::new(sip_core::SipDatabaseSource::new(sip_database, timeout)),
            visitors: Arc::new(sip_core::MigrationManagementSource::new(migration_management, timeout)),
            tls: self.config.sip_core.tls_address.map(|_| unauthenticated_server_config(listening_identity)),
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(rand::random::<u128>),
        };
        let service = sip_core::Service::build(self.config.sip_core.clone(), dependencies).await?;
        let bound = service.bound();
        readiness.push(service.readiness().clone());
        let server = service.add_to(server, &self.config.server);
        let no_more_accepting = self.no_more_accepting();
        self.shutdown.spawn(async move { service.run(no_more_accepting).await });
        Ok((server, bound))
    }
}
