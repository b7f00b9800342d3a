//! The rows. A method that is not here is denied; a test fails if a served method is not here.

use mcx_types::Entity::{MigrationManagement, SipCore};

use super::Caller::{Anyone, OwnEntity, OwnOperator, PartnerEntity};
use super::MethodRule;
use crate::Listener::{Internal, Peer};

/// Every method of every listener.
pub const RULES: &[MethodRule] = &[
    // Liveness and the shape of the API tell nothing about users; a listener lets in only authenticated peers.
    MethodRule { method: "/grpc.health.v1.Health/Check", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/List", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Watch", listener: Internal, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Check", listener: Peer, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/List", listener: Peer, callers: &[Anyone] },
    MethodRule { method: "/grpc.health.v1.Health/Watch", listener: Peer, callers: &[Anyone] },
    MethodRule {
        method: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        listener: Internal,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        listener: Peer,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        listener: Internal,
        callers: &[Anyone],
    },
    MethodRule {
        method: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        listener: Peer,
        callers: &[Anyone],
    },
    // Operators provision who may migrate where; nobody else.
    MethodRule {
        method: "/mcx.migration.v1.BindingService/CreateBinding",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.BindingService/GetBinding",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.BindingService/ListBindings",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.BindingService/UpdateBinding",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.BindingService/DeleteBinding",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.BindingService/ImportBindings",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/CreatePermit",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/GetPermit",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/ListPermits",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/UpdatePermit",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/DeletePermit",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.PermitService/ImportPermits",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/CreateAgreement",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/GetAgreement",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/ListAgreements",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/UpdateAgreement",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/DeleteAgreement",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AgreementService/ImportAgreements",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.migration.v1.AuditService/ListAuditRecords",
        listener: Internal,
        callers: &[OwnOperator],
    },
    // TS 23.280 10.1.6.2 steps 2 and 9: only the SIP core of the same system asks for visitors' vectors.
    MethodRule {
        method: "/mcx.migration.v1.SipAuthenticationService/GetSipAuthenticationInformation",
        listener: Internal,
        callers: &[OwnEntity(SipCore)],
    },
    MethodRule {
        method: "/mcx.migration.v1.SipAuthenticationService/Resynchronise",
        listener: Internal,
        callers: &[OwnEntity(SipCore)],
    },
    // Steps 4 and 7: only a partner's migration management asks for vectors of our users.
    MethodRule {
        method: "/mcx.migration.v1.FederationService/GetSipAuthenticationInformation",
        listener: Peer,
        callers: &[PartnerEntity(MigrationManagement)],
    },
    MethodRule {
        method: "/mcx.migration.v1.FederationService/Resynchronise",
        listener: Peer,
        callers: &[PartnerEntity(MigrationManagement)],
    },
    // Steps 5 and 6, and the authentication of own users.
    MethodRule {
        method: "/mcx.sipdatabase.v1.SipAuthenticationService/GetSipAuthenticationInformation",
        listener: Internal,
        callers: &[OwnEntity(SipCore), OwnEntity(MigrationManagement)],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SipAuthenticationService/Resynchronise",
        listener: Internal,
        callers: &[OwnEntity(SipCore), OwnEntity(MigrationManagement)],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/CreateSubscriber",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/GetSubscriber",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/ListSubscribers",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/UpdateSubscriber",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/DeleteSubscriber",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.SubscriberService/ImportSubscribers",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipdatabase.v1.KeyEncryptionKeyService/RotateKeyEncryptionKey",
        listener: Internal,
        callers: &[OwnOperator],
    },
    // Whoever ends a migration ends the registration too.
    MethodRule {
        method: "/mcx.sipcore.v1.RegistrationService/GetRegistration",
        listener: Internal,
        callers: &[OwnOperator, OwnEntity(MigrationManagement)],
    },
    MethodRule {
        method: "/mcx.sipcore.v1.RegistrationService/Deregister",
        listener: Internal,
        callers: &[OwnOperator, OwnEntity(MigrationManagement)],
    },
    MethodRule {
        method: "/mcx.sipcore.v1.RegistrationService/ListRegistrations",
        listener: Internal,
        callers: &[OwnOperator],
    },
    MethodRule {
        method: "/mcx.sipcore.v1.RegistrationService/WatchRegistrations",
        listener: Internal,
        callers: &[OwnOperator],
    },
];
