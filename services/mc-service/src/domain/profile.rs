//! User profiles and service configuration in force, as configuration management tells them.

use std::collections::{BTreeMap, BTreeSet};

use mcx_types::{FunctionalAlias, McServiceGroupId, McServiceId, McSystemId, ProfileIndex};
use uuid::Uuid;

use super::user::Visitor;

/// What a user may do in an MC service (TS 23.379 A.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserProfile {
    /// Which of her user profiles it is.
    pub index: ProfileIndex,
    /// Its version.
    pub etag: String,
    /// Whom she may call in private.
    pub private_call: PrivateCalls,
    /// The groups that she may use.
    pub groups: BTreeMap<McServiceGroupId, ProfileGroup>,
    /// To how many groups she may be affiliated at one time (N2).
    pub max_affiliations: u32,
    /// The functional aliases that she may activate.
    pub functional_aliases: BTreeSet<FunctionalAlias>,
    /// Whether she may make emergency calls.
    pub emergency_calls: bool,
    /// The partners in which it is to be used, and there only; empty: here, and where there is no other.
    pub valid_in: BTreeSet<McSystemId>,
    /// Where a visitor comes from; `None`: the user is at home here.
    pub visitor: Option<Visitor>,
}

/// Whom a user may call in private.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateCalls {
    /// Any user.
    Anybody,
    /// These.
    Listed(BTreeSet<McServiceId>),
    /// Nobody.
    Nobody,
}

/// What a user profile says of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileGroup {
    /// Whether the user is affiliated at service authorization without asking.
    pub implicit_affiliation: bool,
}

/// By which migration (TS 23.280 10.17.5) a user may be served by a partner that has accepted her, in one MC service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermittedMigration {
    /// The migration.
    pub migration_id: Uuid,
    /// Who she is there.
    pub partner_id: McServiceId,
}

/// A migration that both systems agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedMigration {
    /// By which, and as whom.
    pub permitted: PermittedMigration,
    /// The user profiles that the partner may apply.
    pub profiles: BTreeSet<ProfileIndex>,
}

/// What holds for all users of an MC service (TS 23.280 A.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceTerms {
    /// Whether there are private calls.
    pub private_calls: bool,
    /// Whether there are emergency calls in private.
    pub emergency_private_calls: bool,
    /// Whether there are emergency calls of groups.
    pub emergency_group_calls: bool,
}

impl ServiceTerms {
    /// What holds where nobody has written a service configuration: only user profiles and groups decide.
    pub const UNRESTRICTED: Self =
        Self { private_calls: true, emergency_private_calls: true, emergency_group_calls: true };
}

/// What is in force for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveProfile {
    /// The user profile, enabled.
    pub profile: UserProfile,
    /// The service configuration.
    pub terms: ServiceTerms,
}

/// What configuration management knows of the user profile that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileAnswer {
    /// It is in force.
    InForce(Box<EffectiveProfile>),
    /// It is disabled.
    Disabled,
    /// There is none: there never was, it was removed, or the visitor is one no more.
    Unknown,
}
