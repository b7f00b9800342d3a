//! The use cases of group management: the only place where rules, store and partners meet.
//!
//! | room | does | TS 23.280 |
//! | --- | --- | --- |
//! | [`groups`], [`members`] | what operators provision | 10.2 |
//! | [`lookup`] | what users and the enforcement point ask | 10.1.5 |
//! | [`watch`] | tells connected clients what changes | 10.1.5 |
//! | [`visitors`], [`shared_users`] | users who migrate, in both roles | 10.17.5 |
//! | [`tell_partners`] | the primary's side of CSC-16 | 10.15.3.3.1 |
//! | [`hear_partners`], [`ask_primaries`] | the partner's side of CSC-16 | 10.15.3.3.1 |
//! | [`changes`] | what a use case leaves to be told | |
//! | [`upkeep`] | what is done beside the requests | |

pub(crate) mod ask_primaries;
pub(crate) mod changes;
pub(crate) mod groups;
pub(crate) mod hear_partners;
pub(crate) mod lookup;
pub(crate) mod members;
pub(crate) mod mutation;
pub(crate) mod pauses;
pub(crate) mod shared_users;
pub(crate) mod tell_partners;
pub(crate) mod upkeep;
pub(crate) mod visitors;
pub(crate) mod watch;

use std::sync::Arc;

use mcx_federation::PartnerDirectory;
use mcx_store::changes::ChangeFeed;
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio::sync::Notify;

use crate::config::GroupManagementConfig;

/// Everything that the use cases stand on. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

/// The parts of [`App`].
pub(crate) struct AppParts {
    /// This MC system.
    pub(crate) own: McSystemId,
    pub(crate) database: Database,
    pub(crate) cache: SharedCache,
    pub(crate) feed: ChangeFeed,
    pub(crate) partners: PartnerDirectory,
    pub(crate) config: GroupManagementConfig,
    pub(crate) clock: Arc<dyn Clock>,
    /// There is something to tell partners.
    pub(crate) to_tell: Notify,
    /// There is something to ask primary MC systems.
    pub(crate) to_ask: Notify,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
