//! The use cases of functional alias management: the only place where rules and store meet.
//!
//! | room | does |
//! | --- | --- |
//! | [`aliases`] | what operators provision, and what is asked |
//! | [`watch`] | tells connected clients what changes |
//! | [`changes`] | what a use case leaves to be told |
//! | [`upkeep`] | what is done beside the requests |

pub(crate) mod aliases;
pub(crate) mod changes;
pub(crate) mod mutation;
pub(crate) mod upkeep;
pub(crate) mod watch;

use std::sync::Arc;

use mcx_store::changes::ChangeFeed;
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};

use crate::config::FunctionalAliasManagementConfig;

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
    pub(crate) config: FunctionalAliasManagementConfig,
    pub(crate) clock: Arc<dyn Clock>,
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
