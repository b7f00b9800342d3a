//! `mcx.mcservice.v1`.

use mcx_types::Entity::{McService, MigrationManagement, SipCore};

use super::{internal, peer};
use crate::policy::Caller::{OwnEntity, OwnOperator, PartnerEntity};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Call control asks for anybody; so may an operator who wants to know why.
    internal(
        "/mcx.mcservice.v1.CommunicationService/AuthorizeCommunication",
        &[OwnEntity(SipCore), OwnOperator],
    ),
    internal("/mcx.mcservice.v1.MigratedUserService/ListMigratedUsers", &[OwnOperator]),
    internal("/mcx.mcservice.v1.MigratedUserService/GetServingSystem", &[OwnOperator]),
    internal("/mcx.mcservice.v1.MigratedUserService/EjectVisitors", &[OwnOperator]),
    internal("/mcx.mcservice.v1.MigratedUserService/RecallUsers", &[OwnOperator]),
    // Whoever ends a migration ends its service too.
    internal("/mcx.mcservice.v1.MigratedUserService/EndMigrations", &[OwnEntity(MigrationManagement)]),
    // TS 23.280 10.6.3, 10.8.3.2: only MC service servers talk of served users.
    peer("/mcx.mcservice.v1.FederationService/AuthorizeMigrationService", &[PartnerEntity(McService)]),
    peer("/mcx.mcservice.v1.FederationService/DeauthorizeMigrationService", &[PartnerEntity(McService)]),
    peer("/mcx.mcservice.v1.FederationService/EndMigrationService", &[PartnerEntity(McService)]),
    peer("/mcx.mcservice.v1.FederationService/Affiliate", &[PartnerEntity(McService)]),
    peer("/mcx.mcservice.v1.FederationService/Deaffiliate", &[PartnerEntity(McService)]),
];
