//! The SQL of the MC service server. Each statement is written once for both engines.
//!
//! | room | tables |
//! | --- | --- |
//! | [`authorizations`] | `service_authorization` |
//! | [`served_by`] | `served_by` |
//! | [`affiliations`] | `affiliation` |
//! | [`partner_affiliations`] | `partner_affiliation` |
//! | [`activations`] | `alias_activation` |
//! | [`ended_migrations`] | `ended_migration` |
//! | [`notices`] | `notice` |
//! | [`locks`] | `lock` |
//!
//! Whoever changes several rows of a user, of a functional alias or of a migration takes its lock first, so that what replicas do at the
//! same time happens one after the other. Locks are taken in the order migration, user, functional alias; changes are appended last.

pub(crate) mod activations;
pub(crate) mod affiliations;
pub(crate) mod authorizations;
mod columns;
pub(crate) mod ended_migrations;
pub(crate) mod locks;
pub(crate) mod notices;
pub(crate) mod partner_affiliations;
pub(crate) mod served_by;

use mcx_store::Schema;
use mcx_types::{McService, McServiceId, McSystemId};

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The schema `mc_service`.
pub static SCHEMA: Schema = Schema { name: "mc_service", postgres: &POSTGRES, sqlite: &SQLITE };

/// Which migrated users an operator means, on either side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Only this MC service.
    pub(crate) mc_service: Option<McService>,
    /// Only these users, by their MC service IDs here; empty: all.
    pub(crate) ids: Vec<McServiceId>,
    /// Only those of this other MC system.
    pub(crate) mc_system_id: Option<McSystemId>,
}

impl Selection {
    fn service_name(&self) -> Option<&'static str> {
        self.mc_service.map(McService::as_str)
    }

    fn id_texts(&self) -> Vec<String> {
        self.ids.iter().map(McServiceId::to_string).collect()
    }
}
