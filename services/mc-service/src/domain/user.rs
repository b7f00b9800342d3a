//! Who uses an MC service, and on which client.

use mcx_types::{McService, McServiceId, McSystemId, ProfileIndex, Timestamp};
use uuid::Uuid;

use super::Rule;

/// A user of this MC system or a visitor in one MC service, as this MC system knows her (TS 23.280 8.1.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    /// The MC service.
    pub mc_service: McService,
    /// The MC service ID here.
    pub id: McServiceId,
}

/// One client of a user: an MC client on one UE.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// The user.
    pub user: User,
    /// The client instance (MC client ID).
    pub instance: Uuid,
}

/// Where a visitor comes from (TS 23.280 10.6.3.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Her primary MC system.
    pub primary: McSystemId,
    /// Her MC service ID there.
    pub primary_id: McServiceId,
    /// The migration that both MC systems agreed on.
    pub migration_id: Uuid,
}

/// The authorization of a client for an MC service here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Whose.
    pub client: Client,
    /// Its name across systems; a new one each time the client begins.
    pub id: Uuid,
    /// The active user profile.
    pub profile_index: ProfileIndex,
    /// The rule by which it was authorized.
    pub rule: Rule,
    /// Where a visitor comes from; `None`: the user is at home here.
    pub visitor: Option<Visitor>,
    /// When it began.
    pub authorized_at: Timestamp,
    /// When it was refreshed last.
    pub refreshed_at: Timestamp,
    /// When it ends unless refreshed.
    pub expires_at: Timestamp,
}

/// The mark that a client of an own user is served by a partner (TS 23.280 10.6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy {
    /// The user's client, by her MC service ID here.
    pub client: Client,
    /// The authorization at the partner.
    pub authorization_id: Uuid,
    /// The partner.
    pub partner: McSystemId,
    /// Her MC service ID there.
    pub partner_id: McServiceId,
    /// The user profile with which she migrated.
    pub profile_index: ProfileIndex,
    /// The migration, as the partner names it.
    pub migration_id: Uuid,
    /// Since when.
    pub authorized_at: Timestamp,
    /// When the mark ends unless renewed.
    pub expires_at: Timestamp,
}

/// An affiliation of a client that is authorized here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affiliation {
    /// Whose.
    pub client: Client,
    /// The group.
    pub group: mcx_types::McServiceGroupId,
    /// The MC system that owns the group.
    pub home: McSystemId,
    /// Whether the user profile made it, and not the user.
    pub implicit: bool,
    /// Since when.
    pub affiliated_at: Timestamp,
}

/// A functional alias that a user has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The functional alias.
    pub alias: mcx_types::FunctionalAlias,
    /// Who has it.
    pub user: User,
    /// Since when.
    pub activated_at: Timestamp,
}
