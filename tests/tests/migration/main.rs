//! TS 23.280 10.1.1.1 and 10.1.1.2 between two whole MC systems: a UE from the factory to a partner and home again.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod ladder;
mod operation;
mod provisioning;
mod selection;
mod updates;

use crossband::admin::Catalogue;
use crossband::dev::{DevSystem, PARTNER, operator_client};
use crossband::terminal;
use crossband_tests::World;
use mcx_ue::ue::McServiceUe;
use serde_json::Value;

/// Alice with a factory-new UE, served at home.
async fn alice_at_home(world: &World) -> McServiceUe {
    let mut ue = terminal::logged_in(world.alpha(), world.user("alice")).await.unwrap();
    ue.start().await.unwrap();
    ue
}

/// Alice with a factory-new UE, served by the partner.
async fn alice_at_the_partner(world: &World) -> McServiceUe {
    let mut ue = alice_at_home(world).await;
    ue.migrate(&PARTNER.parse().unwrap(), None).await.unwrap();
    ue
}

/// What an operator of a system gets from an rpc.
async fn operator(system: &DevSystem, method: &str, request: Value) -> Value {
    let catalogue = Catalogue::load().unwrap();
    let (entity, method) = catalogue.method(method).unwrap();
    operator_client(system).unwrap().unary(entity, method, &request).await.unwrap()
}
