//! Which MC system an operator's command is for.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use crossband::admin::{Connection, Target};
use crossband::config::{EndpointConfig, EndpointsConfig};
use mcx_federation::PeerEndpoint;
use mcx_types::{Entity, McSystemId};

#[derive(Debug, Args)]
pub(super) struct TargetArguments {
    /// The ready file that `crossband dev` wrote; needs --system.
    #[arg(long, value_name = "FILE", global = true, requires = "system", conflicts_with = "config")]
    ready_file: Option<PathBuf>,
    /// The MC system of the ready file.
    #[arg(long, value_name = "MC-SYSTEM-ID", global = true)]
    system: Option<McSystemId>,
    /// A configuration file, whose section [endpoints] says where the entities are.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder with operator.pem, operator-key.pem and trust-bundle.pem; without it that of the configuration.
    #[arg(long, value_name = "DIR", global = true)]
    certificates: Option<PathBuf>,
}

impl TargetArguments {
    /// A connection to the system; nothing is contacted yet.
    pub(super) fn connect(self) -> Result<Connection> {
        let target = match (self.ready_file, self.system, self.config) {
            (Some(file), Some(system), None) => Target::Ready { file, system },
            (None, _, Some(file)) => Target::Configured { file, certificates: self.certificates },
            _ => bail!("say which system: --ready-file FILE --system MC-SYSTEM-ID, or --config FILE"),
        };
        Connection::open(&target)
    }
}

/// As [`TargetArguments`], or one listener behind which everything is.
#[derive(Debug, Args)]
pub(super) struct TargetOrAddressArguments {
    #[command(flatten)]
    target: TargetArguments,
    /// The gRPC listener of a process that serves every entity; needs --certificates.
    #[arg(long, value_name = "HOST:PORT", requires = "certificates", conflicts_with_all = ["config", "ready_file"])]
    address: Option<PeerEndpoint>,
    /// Whose certificate that listener shows.
    #[arg(long, value_name = "ENTITY", default_value = "sip-database", requires = "address")]
    listening_as: Entity,
}

impl TargetOrAddressArguments {
    /// A connection to the system; nothing is contacted yet.
    pub(super) fn connect(self) -> Result<Connection> {
        match (self.address, &self.target.certificates) {
            (Some(address), Some(certificates)) => {
                let at = EndpointConfig { addresses: vec![address], identity: self.listening_as };
                Connection::new(certificates, EndpointsConfig::all_at(&at))
            }
            _ => self.target.connect(),
        }
    }
}
