//! `crossband dev`: two federated MC systems in one process, with demo users provisioned through the public rpcs.

mod application_plane;
mod layout;
mod operator;
mod provisioning;
mod reach;
mod ready_file;
mod scenario;
mod subscribers;
mod table;
mod user_migration;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::LogLevel;
use mcx_types::{Clock, Entity, McSystemId, SystemClock};

use crate::certificates::{self, Certificates};
use crate::config::CrossbandConfig;
use crate::system::{self, System};
pub use application_plane::{
    CREW, CREW_GROUP, DISPATCHER, HOME_GROUP, HOME_PROFILE, INCIDENT_GROUP, INCIDENT_PLMN, MIGRATION_PROFILE,
    OAUTH_CLIENT, PASSWORD, REDIRECT_URI, SECTION_LEADER, mc_id, mc_service_id, operator_client,
};
pub use layout::{DEFAULT_PORT_BASE, PortPlan, Ports, StoreUrls};
pub use operator::Operator;
pub use reach::{PeerListener, Reach, SipListener};
pub use ready_file::ready_document;
pub use scenario::Scenario;
pub use subscribers::{DemoSubscriber, PartnerIdentities, demo_subscribers, load_subscribers};
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
    /// The demo users for whom the operators write permit and binding themselves. The others are requested, accepted and put in place as
    /// TS 23.280 10.17.5 has it.
    pub provisioned_by_hand: &'static [&'static str],
    /// What is changed in the configuration of each system before it starts; [`as_it_is`]: nothing.
    pub adjust: fn(&mut CrossbandConfig),
}

/// Leaves the configuration of the systems as it is.
pub fn as_it_is(_: &mut CrossbandConfig) {}

/// One of the two systems, with what its operator needs.
pub struct DevSystem {
    /// The running system.
    pub system: System,
    /// Its certificates.
    pub certificates: Certificates,
    /// Its operator, who has called it already.
    pub operator: Operator,
    reach: Reach,
}

impl AsRef<Reach> for DevSystem {
    fn as_ref(&self) -> &Reach {
        &self.reach
    }
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
        let mut config = layout::config(&id, index, &directory, &certificates, options)?;
        (options.adjust)(&mut config);
        let entities: BTreeSet<Entity> = Entity::ALL.iter().copied().collect();
        system::migrate(&config, &entities).await?;
        let system = System::start(config, &entities, log_level, Shutdown::new()).await?;
        let reach = Reach::of(&system, &certificates)?;
        let operator = reach.operator()?;
        Ok(Self { system, certificates, operator, reach })
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
    /// See [`DevOptions::provisioned_by_hand`].
    by_hand: &'static [&'static str],
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
        let by_hand = options.provisioned_by_hand;
        let mut federation = Self { primary, partner, subscribers, by_hand };
        federation.primary.system.wait_until_serving().await;
        federation.partner.system.wait_until_serving().await;
        let mut scenario = federation.scenario();
        scenario.provision().await?;
        federation.subscribers = scenario.subscribers;
        Ok(federation)
    }

    /// The demonstration as operators see it.
    fn scenario(&self) -> Scenario {
        Scenario {
            primary: self.primary.reach.clone(),
            partner: self.partner.reach.clone(),
            subscribers: self.subscribers.clone(),
            provisioned_by_hand: self.by_hand,
        }
    }

    /// Lets every user migrate who is not provisioned by hand, and learns who they are at the partner.
    ///
    /// # Errors
    /// Where a system refuses or does not answer.
    pub async fn let_all_migrate(&mut self) -> Result<()> {
        let mut scenario = self.scenario();
        scenario.let_all_migrate().await?;
        self.subscribers = scenario.subscribers;
        Ok(())
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
