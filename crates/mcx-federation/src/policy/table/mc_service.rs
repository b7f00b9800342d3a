//! `mcx.mcservice.v1`.

use mcx_types::Entity::{McService, MigrationManagement, SipCore};

use super::{client, internal, peer};
use crate::access_token::Scope::{DataService, PttService, VideoService};
use crate::policy::Caller::{self, OwnEntity, OwnOperator, PartnerEntity, User};
use crate::policy::MethodRule;

/// A user of any MC service. Which one a call is about stands in the request: the handler asks for exactly that scope.
const ANY_MC_SERVICE: &[Caller] = &[User(PttService), User(VideoService), User(DataService)];

pub(super) const RULES: &[MethodRule] = &[
    // TS 23.280 10.1.1.1, 10.6.1, 10.6.3: users begin and end their own service.
    client("/mcx.mcservice.v1.ServiceAuthorizationService/AuthorizeService", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/DeauthorizeService", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/ChangeActiveUserProfile", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/AuthorizeMigrationService", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/DeauthorizeMigrationService", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/GetServiceStatus", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/RefreshServiceAuthorization", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.ServiceAuthorizationService/WatchServiceStatus", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.AffiliationService/Affiliate", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.AffiliationService/Deaffiliate", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.AffiliationService/ListAffiliations", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.FunctionalAliasActivationService/ActivateFunctionalAlias", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.FunctionalAliasActivationService/DeactivateFunctionalAlias", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.FunctionalAliasActivationService/ListActiveFunctionalAliases", ANY_MC_SERVICE),
    client("/mcx.mcservice.v1.CommunicationService/AuthorizeCommunication", ANY_MC_SERVICE),
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
