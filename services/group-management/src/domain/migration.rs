//! Users who migrate: visitors of this MC system as partner, own users as primary.

use std::collections::BTreeMap;

use mcx_types::wire::MigratedServiceIdentity;
use mcx_types::{McService, McServiceGroupId, McServiceId, McSystemId, Timestamp};
use uuid::Uuid;

/// A user of another MC system who has migrated here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Names the migration in both MC systems.
    pub migration_id: Uuid,
    /// Her primary MC system.
    pub primary: McSystemId,
    /// Who she is there and here.
    pub identities: Vec<MigratedServiceIdentity>,
    /// Groups of this MC system that she becomes a member of.
    pub granted_groups: Vec<McServiceGroupId>,
    /// When her migration ends by itself.
    pub valid_until: Option<Timestamp>,
}

/// A user of this MC system who may migrate to a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedUser {
    /// Names the migration in both MC systems.
    pub migration_id: Uuid,
    /// The partner MC system.
    pub partner: McSystemId,
    /// Who she is here in each MC service for which she migrates.
    pub identities: BTreeMap<McService, McServiceId>,
    /// When her migration ends by itself.
    pub valid_until: Option<Timestamp>,
}

/// A grant without effect: there is no such group, or it does not allow visitors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DormantGrant {
    /// Of which visitor.
    pub migration_id: Uuid,
    /// The group.
    pub group: McServiceGroupId,
}
