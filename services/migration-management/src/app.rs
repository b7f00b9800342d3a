//! The use cases of migration management: the only place where rules, store and peers meet.
//!
//! | room | does | TS 23.280 10.1.6.2 |
//! | --- | --- | --- |
//! | [`release`] | the primary's part | steps 4 to 7 |
//! | [`admission`] | the partner's part | steps 2 to 4, 7 to 9 |
//! | [`agreements`], [`bindings`], [`permits`] | what operators provision | pre-condition 4 |
//! | [`provisioning`] | the migration of users between two systems | 10.17.5 |
//! | [`peers`] | who the partners are and how they are reached | |
//! | [`limits`] | how often a partner may ask | |
//! | [`audit_trail`] | what is recorded | |
//! | [`upkeep`] | what is done beside the requests | |

pub(crate) mod admission;
pub(crate) mod agreements;
pub(crate) mod audit_trail;
pub(crate) mod bindings;
pub(crate) mod import;
pub(crate) mod limits;
pub(crate) mod mutation;
pub(crate) mod peers;
pub(crate) mod permits;
pub(crate) mod provisioning;
pub(crate) mod release;
pub(crate) mod upkeep;

use std::sync::Arc;

use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, Entity, McSystemId};
use sip_database::client::SipAuthenticationClient;
use tokio::sync::{Mutex, watch};

use crate::collaborators::Collaborators;
use crate::config::MigrationManagementConfig;
use crate::domain::agreement::Agreement;
use crate::domain::allotment::VisitorDomains;
use crate::error::Hop;
use audit_trail::AuditTrail;
use limits::RateLimiter;
use peers::Peers;

/// Everything that the use cases stand on. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

/// The parts of [`App`].
pub(crate) struct AppParts {
    /// This MC system.
    pub(crate) own: McSystemId,
    pub(crate) database: Database,
    pub(crate) sip_database: SipAuthenticationClient,
    pub(crate) cache: SharedCache,
    pub(crate) peers: Peers,
    pub(crate) audit: AuditTrail,
    pub(crate) limiter: RateLimiter,
    pub(crate) config: MigrationManagementConfig,
    pub(crate) clock: Arc<dyn Clock>,
    /// What was read of the agreements last; `None` until they were read once.
    pub(crate) agreements: watch::Sender<Option<Arc<Vec<Agreement>>>>,
    /// Held while agreements are read and put in force.
    pub(crate) agreements_turn: Mutex<()>,
    /// Counts the changes of user migrations that this replica knows of.
    pub(crate) user_migrations: watch::Sender<u64>,
    /// The other entities that users are provisioned with.
    pub(crate) collaborators: Collaborators,
    /// Where the identities of visitors live.
    pub(crate) domains: VisitorDomains,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// An entity of this MC system, as an error names it.
    fn own_hop(&self, entity: Entity) -> Hop {
        Hop { mc_system_id: self.own.clone(), entity }
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
