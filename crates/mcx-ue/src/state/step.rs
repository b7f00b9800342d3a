//! The names of the states and of the steps between them.

use std::fmt;

use mcx_types::McService;
use serde::{Deserialize, Serialize};

/// Where a UE is. The evidence that a state needs is its own and that of every state above it in this list.
///
/// Key management (TS 33.180 5.3) is no part of this UE, so that the state KEYED between 1 and 3 does not occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UeState {
    /// As the factory made it: it knows no MC system.
    FactoryNew,
    /// 0: the initial UE configuration is loaded.
    Bootstrapped,
    /// 1: the user's tokens from the identity management server of the primary MC system are in hand.
    PrimaryUserAuthenticated,
    /// 3: UE configuration, user profiles, service configuration and groups of the primary MC system are in hand.
    PrimaryConfigured,
    /// 4: registered at the primary's SIP core, and every MC service of the user is authorized there.
    PrimaryAuthorized,
    /// 5: a partner MC system and the MC services to migrate are chosen.
    PartnerSelected,
    /// 6: the packet data networks of the partner are up.
    PartnerBearers,
    /// 7 without 8: the partner's tokens are in hand.
    PartnerUserAuthenticated,
    /// 8 without 7: registered at the partner's SIP core.
    PartnerRegistered,
    /// 7 and 8, whichever came first.
    PartnerUserAuthenticatedAndRegistered,
    /// 9: the user profiles for use in the partner are in hand.
    PartnerProfiled,
    /// 10: the groups of those profiles are in hand.
    PartnerGrouped,
    /// 11: every chosen MC service is authorized in the partner.
    Migrated,
    /// 12: affiliated, and at work.
    Serving,
    /// 13: on the way home, until state 4 is reached again.
    Returning,
}

impl UeState {
    /// Every state, from the factory on.
    pub const ALL: [Self; 15] = [
        Self::FactoryNew,
        Self::Bootstrapped,
        Self::PrimaryUserAuthenticated,
        Self::PrimaryConfigured,
        Self::PrimaryAuthorized,
        Self::PartnerSelected,
        Self::PartnerBearers,
        Self::PartnerUserAuthenticated,
        Self::PartnerRegistered,
        Self::PartnerUserAuthenticatedAndRegistered,
        Self::PartnerProfiled,
        Self::PartnerGrouped,
        Self::Migrated,
        Self::Serving,
        Self::Returning,
    ];

    /// The number of the state; none before the bootstrap.
    #[must_use]
    pub fn number(self) -> Option<u8> {
        Some(match self {
            Self::FactoryNew => return None,
            Self::Bootstrapped => 0,
            Self::PrimaryUserAuthenticated => 1,
            Self::PrimaryConfigured => 3,
            Self::PrimaryAuthorized => 4,
            Self::PartnerSelected => 5,
            Self::PartnerBearers => 6,
            Self::PartnerUserAuthenticated => 7,
            Self::PartnerRegistered | Self::PartnerUserAuthenticatedAndRegistered => 8,
            Self::PartnerProfiled => 9,
            Self::PartnerGrouped => 10,
            Self::Migrated => 11,
            Self::Serving => 12,
            Self::Returning => 13,
        })
    }

    /// The name as people read it, such as `PARTNER_PROFILED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FactoryNew => "FACTORY_NEW",
            Self::Bootstrapped => "BOOTSTRAPPED",
            Self::PrimaryUserAuthenticated => "PRIMARY_USER_AUTHENTICATED",
            Self::PrimaryConfigured => "PRIMARY_CONFIGURED",
            Self::PrimaryAuthorized => "PRIMARY_AUTHORIZED",
            Self::PartnerSelected => "PARTNER_SELECTED",
            Self::PartnerBearers => "PARTNER_BEARERS",
            Self::PartnerUserAuthenticated => "PARTNER_USER_AUTHENTICATED",
            Self::PartnerRegistered => "PARTNER_REGISTERED",
            Self::PartnerUserAuthenticatedAndRegistered => "PARTNER_USER_AUTHENTICATED_AND_REGISTERED",
            Self::PartnerProfiled => "PARTNER_PROFILED",
            Self::PartnerGrouped => "PARTNER_GROUPED",
            Self::Migrated => "MIGRATED",
            Self::Serving => "SERVING",
            Self::Returning => "RETURNING",
        }
    }
}

impl fmt::Display for UeState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A step of the sequences of TS 23.280 10.1.1.1 and 10.1.1.2, or of the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Loads the initial UE configuration.
    Bootstrap,
    /// The user logs in at the primary's identity management server.
    AuthenticateUser,
    /// UE configuration, user profiles, service configuration and groups from the primary.
    Configure,
    /// Registers at the primary's SIP core.
    RegisterAtPrimary,
    /// Is authorized for one MC service in the primary.
    AuthorizeService(McService),
    /// Chooses the partner, by the user or automatically.
    SelectPartner,
    /// Brings up the partner's packet data networks.
    BringUpBearers,
    /// Trades the primary's access token for a security token, and that for the partner's tokens.
    AuthenticateAtPartner,
    /// Registers at the partner's SIP core.
    RegisterAtPartner,
    /// Downloads the user profiles for use in the partner.
    DownloadProfiles,
    /// Obtains the groups of those profiles.
    ObtainGroups,
    /// Is authorized for one MC service in the partner.
    AuthorizeMigration(McService),
    /// Affiliates with the groups that the profile in force says.
    BeginOperation,
    /// Lays down the functional aliases in the partner.
    DeactivateAliases,
    /// Leaves the groups in the partner.
    Deaffiliate,
    /// Ends the authorization of one MC service in the partner.
    DeauthorizeMigration(McService),
    /// De-registers at the partner's SIP core.
    DeregisterAtPartner,
    /// Revokes the partner's tokens and discards them with the partner's documents.
    DiscardPartner,
}

impl Step {
    /// The clause that tells what happens; of TS 23.280 where no other specification is named.
    #[must_use]
    pub fn clause(self) -> &'static str {
        match self {
            Self::Bootstrap => "10.1.1.1, A.6",
            Self::AuthenticateUser | Self::AuthorizeService(_) => "10.6.1",
            Self::Configure => "10.1.3, 10.1.4.3.1, 10.1.5",
            Self::RegisterAtPrimary => "10.6.1",
            Self::SelectPartner => "10.1.1.2",
            Self::BringUpBearers => "10.1.6.2",
            Self::AuthenticateAtPartner => "TS 33.180 5.1.4",
            Self::RegisterAtPartner => "10.1.6.2",
            Self::DownloadProfiles => "10.1.4.3.2",
            Self::ObtainGroups => "10.1.1.2, 10.1.5",
            Self::AuthorizeMigration(_) => "10.6.3",
            Self::BeginOperation => "10.8.3",
            Self::DeactivateAliases => "10.13",
            Self::Deaffiliate => "10.8.4",
            Self::DeauthorizeMigration(_) => "10.6.3",
            Self::DeregisterAtPartner => "TS 24.229 5.1.1.6",
            Self::DiscardPartner => "TS 33.180 B.12",
        }
    }

    /// What happens, in a few words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "initial UE configuration",
            Self::AuthenticateUser => "user authentication",
            Self::Configure => "UE, user profile, service and group configuration",
            Self::RegisterAtPrimary => "SIP registration",
            Self::AuthorizeService(_) => "MC service authorization",
            Self::SelectPartner => "selection of the partner MC system",
            Self::BringUpBearers => "bearers of the partner MC system",
            Self::AuthenticateAtPartner => "user authentication to the partner MC system",
            Self::RegisterAtPartner => "signalling plane migration",
            Self::DownloadProfiles => "download of the user profiles from the partner MC system",
            Self::ObtainGroups => "group configuration from the partner MC system",
            Self::AuthorizeMigration(_) => "migration service authorization",
            Self::BeginOperation => "affiliation in the partner MC system",
            Self::DeactivateAliases => "functional alias deactivation",
            Self::Deaffiliate => "de-affiliation",
            Self::DeauthorizeMigration(_) => "migration service deauthorization",
            Self::DeregisterAtPartner => "SIP de-registration",
            Self::DiscardPartner => "token revocation",
        }
    }

    /// The MC service that the step is about, where it is about one.
    #[must_use]
    pub fn mc_service(self) -> Option<McService> {
        match self {
            Self::AuthorizeService(service)
            | Self::AuthorizeMigration(service)
            | Self::DeauthorizeMigration(service) => Some(service),
            _ => None,
        }
    }

    /// Whether the step deals with the partner MC system rather than with the primary or the UE itself.
    #[must_use]
    pub fn is_at_partner(self) -> bool {
        !matches!(
            self,
            Self::Bootstrap
                | Self::AuthenticateUser
                | Self::Configure
                | Self::RegisterAtPrimary
                | Self::AuthorizeService(_)
                | Self::SelectPartner
        )
    }

    /// Whether the step undoes something in the partner. Such a step may be given up when the partner is away: what it would undo
    /// expires there.
    #[must_use]
    pub fn is_undoing(self) -> bool {
        matches!(
            self,
            Self::DeactivateAliases
                | Self::Deaffiliate
                | Self::DeauthorizeMigration(_)
                | Self::DeregisterAtPartner
                | Self::DiscardPartner
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self.mc_service() {
            Some(service) => write!(formatter, " ({service})"),
            None => Ok(()),
        }
    }
}
