//! The rows, one file per package. A method that is not here is denied; a test fails if a served method is not here.

mod configuration_management;
mod every_listener;
mod functional_alias_management;
mod group_management;
mod identity_management;
mod mc_service;
mod migration_management;
mod sip_core;
mod sip_database;

use std::sync::LazyLock;

use super::{Caller, MethodRule};
use crate::Listener;

/// Every method of every listener.
pub static RULES: LazyLock<Vec<MethodRule>> = LazyLock::new(|| {
    [
        every_listener::RULES,
        identity_management::RULES,
        functional_alias_management::RULES,
        group_management::RULES,
        configuration_management::RULES,
        mc_service::RULES,
        migration_management::RULES,
        sip_core::RULES,
        sip_database::RULES,
    ]
    .concat()
});

/// A row of the listener for the own system.
const fn internal(method: &'static str, callers: &'static [Caller]) -> MethodRule {
    MethodRule { method, listener: Listener::Internal, callers }
}

/// A row of the listener for partner systems.
const fn peer(method: &'static str, callers: &'static [Caller]) -> MethodRule {
    MethodRule { method, listener: Listener::Peer, callers }
}

/// A row of the listener for UEs.
const fn client(method: &'static str, callers: &'static [Caller]) -> MethodRule {
    MethodRule { method, listener: Listener::Client, callers }
}
