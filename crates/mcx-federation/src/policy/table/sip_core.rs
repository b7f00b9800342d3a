//! `mcx.sipcore.v1`.

use mcx_types::Entity::MigrationManagement;

use super::internal;
use crate::policy::Caller::{OwnEntity, OwnOperator};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Whoever ends a migration ends the registration too.
    internal(
        "/mcx.sipcore.v1.RegistrationService/GetRegistration",
        &[OwnOperator, OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.sipcore.v1.RegistrationService/Deregister",
        &[OwnOperator, OwnEntity(MigrationManagement)],
    ),
    internal("/mcx.sipcore.v1.RegistrationService/ListRegistrations", &[OwnOperator]),
    internal("/mcx.sipcore.v1.RegistrationService/WatchRegistrations", &[OwnOperator]),
];
