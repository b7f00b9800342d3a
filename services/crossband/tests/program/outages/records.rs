//! What both systems have on record of alice: at most one entry per MC service on either side, and the same on both.

use std::collections::BTreeSet;

use crossband::dev::PRIMARY;
use mcx_types::McService;
use serde_json::Value;

use crate::federated::{Federated, Side, until};

/// Who is where, as the operators of both systems see it.
#[derive(Debug, PartialEq)]
pub(super) struct Records {
    /// The MC services for which alpha has her served by bravo, one entry per client.
    away: Vec<Entry>,
    /// The MC services for which bravo serves her.
    visiting: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    mc_service: String,
    client_instance: String,
    migration_id: String,
}

impl Records {
    async fn of(world: &Federated) -> Self {
        let listing = "MigratedUserService/ListMigratedUsers";
        let entries = |users: Vec<Value>, direction: &str| {
            let mut entries: Vec<Entry> = users
                .into_iter()
                .filter(|user| user["direction"] == direction)
                .map(|user| Entry {
                    mc_service: text(&user["identity"]["mc_service"]),
                    client_instance: text(&user["client_instance"]),
                    migration_id: text(&user["migration_id"]),
                })
                .collect();
            entries.sort();
            entries
        };
        let at_alpha = world.listed(Side::Alpha, listing, "migrated_users").await;
        let at_bravo = world.listed(Side::Bravo, listing, "migrated_users").await;
        Self {
            away: entries(at_alpha, "MIGRATION_DIRECTION_OUT"),
            visiting: entries(at_bravo, "MIGRATION_DIRECTION_IN"),
        }
    }

    /// Waits until both systems have her served by bravo for exactly these MC services, once each.
    pub(super) async fn until_served(world: &Federated, services: &[McService]) {
        let expected: BTreeSet<String> = services
            .iter()
            .map(|service| format!("MC_SERVICE_{}", service.as_str().to_uppercase()))
            .collect();
        until(&format!("served for {services:?} on record of both systems"), async || {
            let records = Self::of(world).await;
            let of_record: BTreeSet<String> =
                records.away.iter().map(|entry| entry.mc_service.clone()).collect();
            let is_so = records.away == records.visiting
                && records.away.len() == services.len()
                && of_record == expected;
            if is_so { Ok(()) } else { Err(format!("{records:?}")) }
        })
        .await;
    }

    /// Waits until nothing of alice is left at bravo: no registration, no affiliation, no functional alias.
    pub(super) async fn until_nothing_is_left(world: &Federated) {
        Self::until_served(world, &[]).await;
        let visitor = world.alice().partner.identities.impi.as_str();
        until("without registration", async || {
            let registrations =
                world.listed(Side::Bravo, "RegistrationService/ListRegistrations", "registrations").await;
            let of_alice =
                registrations.iter().any(|registration| registration.to_string().contains(visitor));
            if of_alice { Err(format!("{registrations:?}")) } else { Ok(()) }
        })
        .await;
        // What she was at home is not touched.
        let migrations =
            world.listed(Side::Alpha, "UserMigrationService/ListUserMigrations", "user_migrations").await;
        let mut states = migrations.iter().map(|migration| text(&migration["state"]));
        assert!(
            states.all(|state| state == "USER_MIGRATION_STATE_IN_FORCE"),
            "she may go to {PRIMARY} again"
        );
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
