//! Where an operator's calls go, and with whose certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use mcx_federation::{ChannelSettings, Dialer, OwnIdentity, TrustBundles};
use mcx_runtime::client::Outgoing;
use mcx_runtime::config::Loader;
use mcx_types::{Entity, McSystemId, SpiffeId, SystemClock};
use tonic::transport::Channel;

use crate::certificates::OPERATOR;
use crate::config::{CrossbandConfig, EndpointsConfig, identity_files};
use crate::ready_file::{ReadyFile, ReadySystem};

/// How the MC system is found.
#[derive(Debug, Clone)]
pub enum Target {
    /// One of the two systems of `crossband dev`, by the ready file that it wrote.
    Ready {
        /// The ready file.
        file: PathBuf,
        /// The MC system.
        system: McSystemId,
    },
    /// That of a configuration: its section `[endpoints]` says where each entity is.
    Configured {
        /// The configuration file.
        file: PathBuf,
        /// The folder with `operator.pem`, `operator-key.pem` and `trust-bundle.pem`; `None`: that of the configuration.
        certificates: Option<PathBuf>,
    },
}

/// An operator's connection to the entities of one MC system; nothing is contacted before the first call.
pub struct Connection {
    system: McSystemId,
    dialer: Dialer,
    endpoints: EndpointsConfig,
}

impl Connection {
    /// Prepares the connection.
    ///
    /// # Errors
    /// Where a file cannot be read, or the certificate cannot be used.
    pub fn open(target: &Target) -> Result<Self> {
        match target {
            Target::Ready { file, system } => Self::to(ReadyFile::read(file)?.system(system.as_str())?),
            Target::Configured { file, certificates } => {
                let config: CrossbandConfig = Loader::new().file(file).environment().load()?;
                let folder = certificates.clone().unwrap_or(config.certificates.directory);
                Self::new(&folder, config.endpoints)
            }
        }
    }

    /// A connection to a system of a ready file.
    ///
    /// # Errors
    /// Where the file does not say where operators call, or the certificate cannot be used.
    pub fn to(system: &ReadySystem) -> Result<Self> {
        Self::new(&system.operator_directory()?, system.operator_endpoints()?)
    }

    /// A connection to entities at known places, with the operator certificate of a folder.
    ///
    /// # Errors
    /// Where the certificate cannot be used.
    pub fn new(certificates: &Path, endpoints: EndpointsConfig) -> Result<Self> {
        let operator = OwnIdentity::load(&identity_files(certificates, OPERATOR)).with_context(|| {
            format!("cannot use the operator's certificate in {}", certificates.display())
        })?;
        let system = operator.mc_system_id().clone();
        let bundles = TrustBundles::new(operator.clone());
        let dialer = Dialer::new(operator, bundles, ChannelSettings::default(), Arc::new(SystemClock));
        Ok(Self { system, dialer, endpoints })
    }

    /// The MC system whose operator calls.
    pub fn system(&self) -> &McSystemId {
        &self.system
    }

    /// The channel to an entity.
    ///
    /// # Errors
    /// Where the configuration names no address of it.
    pub(crate) fn channel(&self, entity: Entity) -> Result<Outgoing<Channel>> {
        let endpoint = self.endpoints.of(entity);
        let expected = SpiffeId::entity(self.system.clone(), endpoint.identity);
        Ok(Outgoing::new(self.dialer.channel(expected, endpoint.addresses.clone())?))
    }
}
