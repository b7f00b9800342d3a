//! `mcx.migration.v1`.

use mcx_types::Entity::{
    ConfigurationManagement, FunctionalAliasManagement, GroupManagement, IdentityManagement, McService,
    MigrationManagement, SipCore, SipDatabase,
};

use super::{internal, peer};
use crate::policy::Caller::{OwnEntity, OwnOperator, PartnerEntity};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Operators provision who may migrate where; nobody else.
    internal("/mcx.migration.v1.BindingService/CreateBinding", &[OwnOperator]),
    internal("/mcx.migration.v1.BindingService/GetBinding", &[OwnOperator]),
    internal("/mcx.migration.v1.BindingService/ListBindings", &[OwnOperator]),
    internal("/mcx.migration.v1.BindingService/UpdateBinding", &[OwnOperator]),
    internal("/mcx.migration.v1.BindingService/DeleteBinding", &[OwnOperator]),
    internal("/mcx.migration.v1.BindingService/ImportBindings", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/CreatePermit", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/GetPermit", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/ListPermits", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/UpdatePermit", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/DeletePermit", &[OwnOperator]),
    internal("/mcx.migration.v1.PermitService/ImportPermits", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/CreateAgreement", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/GetAgreement", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/ListAgreements", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/UpdateAgreement", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/DeleteAgreement", &[OwnOperator]),
    internal("/mcx.migration.v1.AgreementService/ImportAgreements", &[OwnOperator]),
    internal("/mcx.migration.v1.AuditService/ListAuditRecords", &[OwnOperator]),
    // TS 23.280 10.17.5: operators of either system request, decide and revoke.
    internal("/mcx.migration.v1.UserMigrationService/RequestUserMigration", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/GetUserMigration", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/ListUserMigrations", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/WatchUserMigrationRequest", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/AcceptUserMigrations", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/RefuseUserMigrations", &[OwnOperator]),
    internal("/mcx.migration.v1.UserMigrationService/RevokeUserMigrations", &[OwnOperator]),
    internal("/mcx.migration.v1.AdmissionPolicyService/GetAdmissionPolicy", &[OwnOperator]),
    internal("/mcx.migration.v1.AdmissionPolicyService/ListAdmissionPolicies", &[OwnOperator]),
    internal("/mcx.migration.v1.AdmissionPolicyService/UpdateAdmissionPolicy", &[OwnOperator]),
    // Whoever talks to partners has to know them.
    internal(
        "/mcx.migration.v1.PartnerService/WatchPartners",
        &[
            OwnEntity(IdentityManagement),
            OwnEntity(ConfigurationManagement),
            OwnEntity(GroupManagement),
            OwnEntity(FunctionalAliasManagement),
            OwnEntity(McService),
            OwnEntity(SipCore),
            OwnEntity(SipDatabase),
            OwnEntity(MigrationManagement),
        ],
    ),
    // TS 23.280 10.1.6.2 steps 2 and 9: only the SIP core of the same system asks for visitors' vectors.
    internal(
        "/mcx.migration.v1.SipAuthenticationService/GetSipAuthenticationInformation",
        &[OwnEntity(SipCore)],
    ),
    internal("/mcx.migration.v1.SipAuthenticationService/Resynchronise", &[OwnEntity(SipCore)]),
    // Steps 4 and 7: only a partner's migration management asks for vectors of our users.
    peer(
        "/mcx.migration.v1.FederationService/GetSipAuthenticationInformation",
        &[PartnerEntity(MigrationManagement)],
    ),
    peer("/mcx.migration.v1.FederationService/Resynchronise", &[PartnerEntity(MigrationManagement)]),
    // TS 23.280 10.17.5 steps 2 to 5: only the migration managements of two systems tell each other about migrations.
    peer("/mcx.migration.v1.FederationService/OfferUserMigrations", &[PartnerEntity(MigrationManagement)]),
    peer("/mcx.migration.v1.FederationService/ReportUserMigrations", &[PartnerEntity(MigrationManagement)]),
];
