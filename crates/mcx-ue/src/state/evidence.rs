//! What a UE has in hand.

use std::collections::BTreeSet;

use mcx_types::{McService, McSystemId};
use serde::{Deserialize, Serialize};

/// The partner MC system chosen, and for which MC services. A user may migrate for some only (TS 23.280 10.1.6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// The partner.
    pub partner: McSystemId,
    /// The MC services to migrate; at least one.
    pub services: BTreeSet<McService>,
}

/// What was reached, and not refuted since.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The initial UE configuration is loaded.
    pub bootstrapped: bool,
    /// Tokens of the primary's identity management server are held.
    pub primary_user_authenticated: bool,
    /// The documents of the primary are held.
    pub configured: bool,
    /// The MC services for which the primary gave user profiles.
    pub services: BTreeSet<McService>,
    /// Registered at the primary's SIP core.
    pub primary_registered: bool,
    /// The MC services authorized in the primary.
    pub authorized: BTreeSet<McService>,
    /// The partner chosen.
    pub selected: Option<Selected>,
    /// The partner's packet data networks are up.
    pub partner_bearers: bool,
    /// Tokens of the partner's identity management server are held.
    pub partner_user_authenticated: bool,
    /// Registered at the partner's SIP core.
    pub partner_registered: bool,
    /// User profiles for use in the partner are held.
    pub partner_profiled: bool,
    /// The groups of those profiles are held.
    pub partner_grouped: bool,
    /// The MC services authorized in the partner.
    pub migrated: BTreeSet<McService>,
    /// The MC services for which the partner was asked to authorize the user, and what it said did not arrive: she may be served there.
    #[serde(default)]
    pub undecided: BTreeSet<McService>,
    /// Affiliated in the partner.
    pub operating: bool,
    /// On the way home.
    pub returning: bool,
    /// On the way home: functional aliases are laid down.
    pub aliases_deactivated: bool,
    /// On the way home: the groups are left.
    pub deaffiliated: bool,
}

impl Evidence {
    /// Whether the primary is done with: every MC service of the user that she uses there is authorized.
    pub(super) fn is_primary_complete(&self) -> bool {
        self.bootstrapped
            && self.primary_user_authenticated
            && self.primary_registered
            && self.configured
            && self.unauthorized().is_none()
    }

    /// The first MC service that is not authorized in the primary, though it is to be used there: those chosen for a partner are not,
    /// until the user goes home.
    pub(super) fn unauthorized(&self) -> Option<McService> {
        let is_chosen = |service: &McService| {
            !self.returning
                && self.selected.as_ref().is_some_and(|selected| selected.services.contains(service))
        };
        self.services
            .iter()
            .copied()
            .find(|service| !self.authorized.contains(service) && !is_chosen(service))
    }

    /// The first MC service that is to be migrated and is not.
    pub(super) fn unmigrated(&self) -> Option<McService> {
        let selected = self.selected.as_ref()?;
        selected.services.iter().copied().find(|service| !self.migrated.contains(service))
    }

    /// Whether everything before the migration service authorization is there.
    pub(super) fn is_ready_to_migrate(&self) -> bool {
        self.is_admitted_by_partner() && self.partner_profiled && self.partner_grouped
    }

    /// Whether the user is authenticated to the partner and registered there.
    pub(super) fn is_admitted_by_partner(&self) -> bool {
        self.selected.is_some()
            && self.partner_bearers
            && self.partner_user_authenticated
            && self.partner_registered
    }

    /// Forgets everything about the partner.
    pub(super) fn discard_partner(&mut self) {
        self.selected = None;
        self.partner_bearers = false;
        self.partner_user_authenticated = false;
        self.partner_registered = false;
        self.partner_profiled = false;
        self.partner_grouped = false;
        self.migrated.clear();
        self.undecided.clear();
        self.operating = false;
        self.aliases_deactivated = false;
        self.deaffiliated = false;
    }
}
