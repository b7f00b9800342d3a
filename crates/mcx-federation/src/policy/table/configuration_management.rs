//! `mcx.configuration.v1`.

use mcx_types::Entity::{ConfigurationManagement, GroupManagement, McService, MigrationManagement};

use super::{client, internal, peer};
use crate::access_token::Scope::ConfigurationManagement as ConfigurationScope;
use crate::policy::Caller::{Anyone, OwnEntity, OwnOperator, PartnerEntity, User};
use crate::policy::MethodRule;

pub(super) const RULES: &[MethodRule] = &[
    // Migration management makes access information of the initial UE configuration.
    internal(
        "/mcx.configuration.v1.InitialUeConfigurationService/GetInitialUeConfiguration",
        &[OwnOperator, OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.configuration.v1.InitialUeConfigurationService/UpdateInitialUeConfiguration",
        &[OwnOperator],
    ),
    internal(
        "/mcx.configuration.v1.InitialUeConfigurationService/ListInitialUeConfigurationVersions",
        &[OwnOperator],
    ),
    internal("/mcx.configuration.v1.InitialUeConfigurationService/CreateUeEnrolment", &[OwnOperator]),
    internal("/mcx.configuration.v1.InitialUeConfigurationService/ListUeEnrolments", &[OwnOperator]),
    internal("/mcx.configuration.v1.InitialUeConfigurationService/DeleteUeEnrolment", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/CreateUeConfiguration", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/GetUeConfiguration", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/ListUeConfigurations", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/UpdateUeConfiguration", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/DeleteUeConfiguration", &[OwnOperator]),
    internal("/mcx.configuration.v1.UeConfigurationService/ListUeConfigurationVersions", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/CreateUserProfile", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/GetUserProfile", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/ListUserProfiles", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/UpdateUserProfile", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/DeleteUserProfile", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/ImportUserProfiles", &[OwnOperator]),
    internal("/mcx.configuration.v1.UserProfileService/ListUserProfileVersions", &[OwnOperator]),
    internal("/mcx.configuration.v1.ServiceConfigurationService/GetServiceConfiguration", &[OwnOperator]),
    internal("/mcx.configuration.v1.ServiceConfigurationService/UpdateServiceConfiguration", &[OwnOperator]),
    internal(
        "/mcx.configuration.v1.ServiceConfigurationService/ListServiceConfigurationVersions",
        &[OwnOperator],
    ),
    internal("/mcx.configuration.v1.VisitorPolicyService/GetVisitorPolicy", &[OwnOperator]),
    internal("/mcx.configuration.v1.VisitorPolicyService/UpdateVisitorPolicy", &[OwnOperator]),
    internal("/mcx.configuration.v1.VisitorPolicyService/ListVisitorPolicies", &[OwnOperator]),
    internal("/mcx.configuration.v1.VisitorPolicyService/ListVisitorPolicyVersions", &[OwnOperator]),
    // Only those who enforce user profiles read those of any user.
    internal(
        "/mcx.configuration.v1.EffectiveProfileService/GetEffectiveProfile",
        &[OwnEntity(McService), OwnEntity(GroupManagement)],
    ),
    internal("/mcx.configuration.v1.EffectiveProfileService/GetPermittedMigration", &[OwnEntity(McService)]),
    // TS 23.280 10.17.5: migration management puts in place what was agreed.
    internal(
        "/mcx.configuration.v1.MigrationConfigurationService/PutMigrationTargets",
        &[OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.configuration.v1.MigrationConfigurationService/DeleteMigrationTargets",
        &[OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.configuration.v1.MigrationConfigurationService/PutVisitors",
        &[OwnEntity(MigrationManagement)],
    ),
    internal(
        "/mcx.configuration.v1.MigrationConfigurationService/DeleteVisitors",
        &[OwnEntity(MigrationManagement)],
    ),
    // A factory-new UE has nothing but its enrolment code.
    client("/mcx.configuration.v1.BootstrapService/GetInitialUeConfiguration", &[Anyone]),
    // CSC-4: whose documents they are is in the token.
    client("/mcx.configuration.v1.ConfigurationService/GetUeConfiguration", &[User(ConfigurationScope)]),
    client("/mcx.configuration.v1.ConfigurationService/GetUserProfiles", &[User(ConfigurationScope)]),
    client("/mcx.configuration.v1.ConfigurationService/GetServiceConfiguration", &[User(ConfigurationScope)]),
    client("/mcx.configuration.v1.ConfigurationService/UpdateUserProfileData", &[User(ConfigurationScope)]),
    client(
        "/mcx.configuration.v1.ConfigurationService/SetPreSelectedUserProfile",
        &[User(ConfigurationScope)],
    ),
    client("/mcx.configuration.v1.ConfigurationService/WatchConfiguration", &[User(ConfigurationScope)]),
    // CSC-17: only a partner's configuration management.
    peer(
        "/mcx.configuration.v1.ProfileSharingService/GetMigrationProfiles",
        &[PartnerEntity(ConfigurationManagement)],
    ),
    peer(
        "/mcx.configuration.v1.ProfileSharingService/ShareMigrationProfiles",
        &[PartnerEntity(ConfigurationManagement)],
    ),
    peer(
        "/mcx.configuration.v1.ProfileSharingService/WithdrawMigrationProfiles",
        &[PartnerEntity(ConfigurationManagement)],
    ),
];
