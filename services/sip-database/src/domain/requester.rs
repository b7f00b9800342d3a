//! On whose behalf vectors are asked, and with which IND they are made (TS 33.102 Annex C.3.4).

use mcx_aka::IndexValue;
use mcx_types::{Entity, McSystemId, Principal, SpiffeId};

/// On whose behalf vectors are asked. Each has an IND of its own, so that vectors that are used out of order between
/// systems do not desynchronise the ISIM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Requester {
    /// This MC system: its own SIP core.
    OwnSystem,
    /// A partner, which asks by way of the own migration management server.
    Partner(McSystemId),
}

impl Requester {
    /// The name in metrics, of which there are few.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::OwnSystem => "own_system",
            Self::Partner(_) => "partner",
        }
    }
}

/// The caller may not ask on behalf of that system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequesterNotAllowed(pub(crate) McSystemId);

/// Decides on whose behalf `caller` asks. The caller is whom the channel proves; `requesting` is what its request says,
/// `None` for the own system.
///
/// The own SIP core asks for the own system only, and the own migration management server for partners only: neither
/// can use up the sequence numbers under the IND of the other (TS 33.102 Annex C.3.4).
pub(crate) fn decide_requester(
    caller: &SpiffeId,
    own_system: &McSystemId,
    requesting: Option<McSystemId>,
) -> Result<Requester, RequesterNotAllowed> {
    let requesting = requesting.unwrap_or_else(|| own_system.clone());
    let is_for_own_system = requesting == *own_system;
    let is_own_caller = caller.mc_system_id() == own_system;
    match caller.principal() {
        Principal::Entity(Entity::SipCore) if is_own_caller && is_for_own_system => Ok(Requester::OwnSystem),
        Principal::Entity(Entity::MigrationManagement) if is_own_caller && !is_for_own_system => {
            Ok(Requester::Partner(requesting))
        }
        _ => Err(RequesterNotAllowed(requesting)),
    }
}

/// The durable number of a partner in the order of first requests: 1, 2, …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequesterNumber(pub(crate) u64);

/// How many IND values partners have: all but that of the own system.
const PARTNER_INDEX_VALUES: u64 = IndexValue::COUNT as u64 - 1;

/// IND 0 for the own system; 1 to 31 for partners, in turn: the 32nd partner shares the IND of the first rather than being
/// refused. Sharing costs at most a resynchronisation where both use vectors of the same user out of order.
pub(crate) fn index_of_partner(number: RequesterNumber) -> IndexValue {
    let index = 1 + (number.0.saturating_sub(1) % PARTNER_INDEX_VALUES);
    let index = u8::try_from(index).expect("an IND of a partner is below 32");
    IndexValue::new(index).expect("an IND of a partner is below 32")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(text: &str) -> McSystemId {
        text.parse().unwrap()
    }

    fn decide(caller: &str, requesting: Option<&str>) -> Result<Requester, RequesterNotAllowed> {
        decide_requester(&caller.parse().unwrap(), &system("alpha.example"), requesting.map(system))
    }

    #[test]
    fn own_sip_core_asks_for_the_own_system_and_migration_management_for_partners_only() {
        let core = "spiffe://alpha.example/sip-core";
        let management = "spiffe://alpha.example/migration-management";
        let refused = |text| Err(RequesterNotAllowed(system(text)));
        let cases = [
            (core, None, Ok(Requester::OwnSystem)),
            (core, Some("alpha.example"), Ok(Requester::OwnSystem)),
            (core, Some("bravo.example"), refused("bravo.example")),
            (management, Some("bravo.example"), Ok(Requester::Partner(system("bravo.example")))),
            (management, None, refused("alpha.example")),
            (management, Some("alpha.example"), refused("alpha.example")),
            ("spiffe://bravo.example/sip-core", None, refused("alpha.example")),
            ("spiffe://bravo.example/migration-management", Some("bravo.example"), refused("bravo.example")),
            ("spiffe://alpha.example/operator/duty", None, refused("alpha.example")),
            ("spiffe://alpha.example/sip-database", None, refused("alpha.example")),
        ];
        for (caller, requesting, expected) in cases {
            assert_eq!(decide(caller, requesting), expected, "{caller} asks for {requesting:?}");
        }
    }

    #[test]
    fn partners_get_the_index_values_1_to_31_in_turn_and_never_that_of_the_own_system() {
        let index_of = |number| index_of_partner(RequesterNumber(number)).get();
        assert_eq!([1, 2, 31, 32, 33, 62, 63].map(index_of), [1, 2, 31, 1, 2, 31, 1]);
        assert!((1..1000).all(|number| index_of(number) != 0));
    }
}
