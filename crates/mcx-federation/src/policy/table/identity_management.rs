//! `mcx.identity.v1`.

use mcx_types::Entity::{
    ConfigurationManagement, FunctionalAliasManagement, GroupManagement, IdentityManagement, McService,
    MigrationManagement, SipCore, SipDatabase,
};

use super::internal;
use crate::policy::Caller::{self, OwnEntity, OwnOperator};
use crate::policy::MethodRule;

/// Whoever may have to tell from an access token who calls.
const WHO_VERIFIES: &[Caller] = &[
    OwnOperator,
    OwnEntity(MigrationManagement),
    OwnEntity(SipDatabase),
    OwnEntity(SipCore),
    OwnEntity(IdentityManagement),
    OwnEntity(ConfigurationManagement),
    OwnEntity(GroupManagement),
    OwnEntity(FunctionalAliasManagement),
    OwnEntity(McService),
];

pub(super) const RULES: &[MethodRule] = &[
    // Operators say who may log in, with what, and whose word counts.
    internal("/mcx.identity.v1.AccountService/CreateAccount", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/GetAccount", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/ListAccounts", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/UpdateAccount", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/DeleteAccount", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/ImportAccounts", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/SetPassword", &[OwnOperator]),
    internal("/mcx.identity.v1.AccountService/UnlockAccount", &[OwnOperator]),
    // TS 23.280 10.17.5: who is provisioned is named by her MC ID.
    internal(
        "/mcx.identity.v1.AccountService/ResolveAccounts",
        &[OwnOperator, OwnEntity(MigrationManagement), OwnEntity(ConfigurationManagement)],
    ),
    internal("/mcx.identity.v1.ClientRegistrationService/CreateClient", &[OwnOperator]),
    internal("/mcx.identity.v1.ClientRegistrationService/GetClient", &[OwnOperator]),
    internal("/mcx.identity.v1.ClientRegistrationService/ListClients", &[OwnOperator]),
    internal("/mcx.identity.v1.ClientRegistrationService/UpdateClient", &[OwnOperator]),
    internal("/mcx.identity.v1.ClientRegistrationService/DeleteClient", &[OwnOperator]),
    internal("/mcx.identity.v1.PartnerTrustService/PutPartnerTrust", &[OwnOperator]),
    internal("/mcx.identity.v1.PartnerTrustService/GetPartnerTrust", &[OwnOperator]),
    internal("/mcx.identity.v1.PartnerTrustService/ListPartnerTrusts", &[OwnOperator]),
    internal("/mcx.identity.v1.PartnerTrustService/DeletePartnerTrust", &[OwnOperator]),
    internal("/mcx.identity.v1.KeyEncryptionKeyService/RotateKeyEncryptionKey", &[OwnOperator]),
    internal("/mcx.identity.v1.SigningKeyService/ListSigningKeys", &[OwnOperator]),
    internal("/mcx.identity.v1.SigningKeyService/RotateSigningKey", &[OwnOperator]),
    internal("/mcx.identity.v1.SigningKeyService/RetireSigningKey", &[OwnOperator]),
    internal(
        "/mcx.identity.v1.SigningKeyService/GetJsonWebKeySet",
        &[OwnOperator, OwnEntity(MigrationManagement)],
    ),
    internal("/mcx.identity.v1.TokenService/IntrospectToken", WHO_VERIFIES),
    internal("/mcx.identity.v1.TokenService/RevokeSubjects", &[OwnOperator, OwnEntity(MigrationManagement)]),
    internal("/mcx.identity.v1.TokenTrustService/WatchTokenTrust", WHO_VERIFIES),
    // Only who orchestrates migrations says who is a visitor, and who may go where.
    internal("/mcx.identity.v1.MigrationIdentityService/PutVisitors", &[OwnEntity(MigrationManagement)]),
    internal("/mcx.identity.v1.MigrationIdentityService/DeleteVisitors", &[OwnEntity(MigrationManagement)]),
    internal(
        "/mcx.identity.v1.MigrationIdentityService/PutExchangeTargets",
        &[OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.identity.v1.MigrationIdentityService/DeleteExchangeTargets",
        &[OwnEntity(MigrationManagement)],
    ),
];
