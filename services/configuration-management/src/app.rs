//! The use cases of configuration management: the only place where rules, store and partners meet.
//!
//! | room | does | TS 23.280 |
//! | --- | --- | --- |
//! | [`documents`] | configurations and policies: one document each | 10.1.1.1, 10.1.3, annex A.5, A.6 |
//! | [`user_profiles`], [`import`] | user profiles, all those of a user together | 10.1.4 |
//! | [`bootstrap`] | enrolments of UEs, and the bootstrap | 10.1.1.1 |
//! | [`effective`] | what is in force for a user, her own or a visitor's | 10.1.4.3 |
//! | [`migration`] | what migration management puts in place | 10.17.5 |
//! | [`sharing`] | the primary's part of CSC-17 | 10.1.4.3.2 |
//! | [`visiting`] | the partner's part of CSC-17 | 10.1.4.3.2 |
//! | [`watch`] | on-line updates | 10.1.4.4 |
//! | [`limits`] | how often others may ask | |
//! | [`upkeep`] | what is done beside the requests | |

pub(crate) mod bootstrap;
pub(crate) mod documents;
pub(crate) mod effective;
pub(crate) mod import;
pub(crate) mod limits;
pub(crate) mod migration;
pub(crate) mod mutation;
pub(crate) mod sharing;
pub(crate) mod upkeep;
pub(crate) mod user_profiles;
pub(crate) mod visiting;
pub(crate) mod watch;

use std::sync::Arc;

use mcx_federation::{Partner, PartnerDirectory, PartnerRefusal};
use mcx_store::changes::ChangeFeed;
use mcx_store::{Database, SharedCache};
use mcx_types::{Clock, McSystemId};
use tokio::sync::Notify;

use crate::config::ConfigurationManagementConfig;
use crate::error::Error;
use crate::wire::KnownSystems;
use limits::RateLimiter;

/// Everything that the use cases stand on. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<AppParts>);

/// The parts of [`App`].
pub(crate) struct AppParts {
    /// This MC system.
    pub(crate) own: McSystemId,
    pub(crate) database: Database,
    pub(crate) cache: SharedCache,
    pub(crate) changes: ChangeFeed,
    pub(crate) partners: PartnerDirectory,
    pub(crate) limiter: RateLimiter,
    pub(crate) config: ConfigurationManagementConfig,
    pub(crate) clock: Arc<dyn Clock>,
    /// Woken when there is something to be given to a partner.
    pub(crate) shares_due: Notify,
    /// Woken when watchers are to be told of another policy.
    pub(crate) policy_news: Notify,
}

impl App {
    pub(crate) fn new(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }

    /// The partner, if something may be exchanged with it now.
    pub(crate) fn usable_partner(&self, id: &McSystemId) -> Result<Partner, Error> {
        self.partners
            .partner(id)
            .map_err(|refusal| Error::PartnerNotUsable { mc_system_id: id.clone(), refusal })
    }
}

impl KnownSystems for App {
    fn home(&self) -> &McSystemId {
        &self.own
    }

    fn is_partner(&self, id: &McSystemId) -> bool {
        !matches!(self.partners.partner(id), Err(PartnerRefusal::Unknown(_) | PartnerRefusal::NotYetKnown))
    }
}

impl std::ops::Deref for App {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}
