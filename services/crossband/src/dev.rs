//! `crossband dev`: two federated MC systems in one process, with demo users provisioned through the public rpcs.

mod layout;
mod operator;
mod provisioning;
mod ready_file;
mod subscribers;
mod table;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::LogLevel;
use mcx_types::{Clock, Entity, McSystemId, SystemClock};

use crate::certificates::{self, Certificates};
use crate::system::{self, System};
pub use layout::{DEFAULT_PORT_BASE, PortPlan, Ports, StoreUrls};
pub use operator::Operator;
pub use provisioning::provision as reprovision;
pub use ready_file::ready_document;
pub use subscribers::{DemoSubscriber, PartnerIdentities, demo_subscribers};
pub use table::endpoint_table;

/// The primary and the partner of the demonstration.
pub const PRIMARY: &str = "alpha.example";
/// See [`PRIMARY`].
pub const PARTNER: &str = "bravo.example";

/// How the two systems are run.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Where everything is kept.
    pub data_directory: PathBuf,
    /// Which ports are listened on.
    pub ports: PortPlan,
    /// Where state is kept; by default SQLite files in the data folder, and an in-process cache.
    pub stores: StoreUrls,
}

/// One of the two systems, with what its operator needs.
pub struct DevSystem {
    /// The running system.
    pub system: System,
    /// Its certificates.
    pub certificates: Certificates,
    /// Its operator, who has called it already.
    pub operator: Operator,
}

impl DevSystem {
    /// Starts [`PRIMARY`] or [`PARTNER`] alone; again, where it ran in the same folder before. It need not serve yet.
    ///
    /// # Errors
    /// Where it is neither, the data folder cannot be used, or an address is taken.
    pub async fn start(name: &str, options: &DevOptions, log_level: Option<LogLevel>) -> Result<Self> {
        let index = [PRIMARY, PARTNER].iter().position(|known| *known == name);
        let index = u16::try_from(index.with_context(|| format!("{name} is none of the two systems"))?)?;
        let id: McSystemId = name.parse()?;
        let directory = options.data_directory.join(name);
        let hosts = ["localhost", "127.0.0.1", "::1", name];
        let certificates =
            certificates::ensure(&directory.join("certificates"), &id, &hosts, SystemClock.now())?;
        let config = layout::config(&id, index, &directory, &certificates, options)?;
        let entities: BTreeSet<Entity> = Entity::ALL.iter().copied().collect();
        system::migrate(&config, &entities).await?;
        let system = System::start(config, &entities, log_level, Shutdown::new()).await?;
        let operator = Operator::connect(&id, &certificates, system.addresses.grpc)?;
        Ok(Self { system, certificates, operator })
    }
}

/// Two federated MC systems.
pub struct Federation {
    /// `alpha.example`.
    pub primary: DevSystem,
    /// `bravo.example`.
    pub partner: DevSystem,
    /// The demo users.
    pub subscribers: Vec<DemoSubscriber>,
}

impl Federation {
    /// Starts both systems, waits until they serve, and provisions what is not there yet.
    ///
    /// # Errors
    /// Where the data folder cannot be used, an address is taken, or provisioning is refused.
    pub async fn start(options: &DevOptions, log_level: Option<&LogLevel>) -> Result<Self> {
        let subscribers = demo_subscribers()?;
        let primary = DevSystem::start(PRIMARY, options, log_level.cloned()).await?;
        let partner = DevSystem::start(PARTNER, options, log_level.cloned()).await?;
        let federation = Self { primary, partner, subscribers };
        federation.primary.system.wait_until_serving().await;
        federation.partner.system.wait_until_serving().await;
        provisioning::provision(&federation).await.context("cannot provision the demo users")?;
        Ok(federation)
    }

    /// Ends both systems in good order; says whether everything ended by itself within the bound.
    pub async fn stop(self) -> bool {
        let (primary, partner) = tokio::join!(self.primary.system.stop(), self.partner.system.stop());
        primary && partner
    }

    /// The demo user of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn subscriber(&self, name: &str) -> Result<&DemoSubscriber> {
        self.subscribers
            .iter()
            .find(|subscriber| subscriber.name == name)
            .with_context(|| format!("no demo user is called {name}"))
    }
}
