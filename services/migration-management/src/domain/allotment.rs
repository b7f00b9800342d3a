//! Which identities a visitor is allotted: readable, and never those of anybody else.

use std::collections::{BTreeMap, BTreeSet};

use mcx_types::{Impi, Impu, McService, McServiceId, McSystemId, Realm, SipIdentities};
use uuid::Uuid;

/// The most bytes of the user part, which leaves room for any realm of up to 150 bytes.
const USER_PART_LIMIT: usize = 80;

/// Where visitors' identities live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorDomains {
    /// The realm of their SIP identities.
    pub realm: Realm,
    /// The domain of their MC service IDs.
    pub mc_service_id_domain: Realm,
}

/// The name by which a visitor is known here, before it is known whether somebody has it: her own one and her system's.
pub fn visitor_name(primary_impi: &Impi, primary: &McSystemId) -> String {
    let user = primary_impi.as_str().rsplit_once('@').map_or("", |(user, _)| user);
    let system = primary.as_str().replace('.', "-");
    let readable = |character: char| match character {
        'a'..='z' | '0'..='9' | '-' | '_' | '.' => character,
        'A'..='Z' => character.to_ascii_lowercase(),
        _ => '-',
    };
    let user: String = user.chars().map(readable).collect();
    let mut name = format!("{user}.{system}");
    name.truncate(USER_PART_LIMIT);
    name
}

/// The same name for another user who would have it too: told apart by her migration.
pub fn distinct_name(name: &str, migration: Uuid) -> String {
    let id = migration.simple().to_string();
    // The end of a UUID of version 7 is random.
    let tail = id.get(id.len() - 8..).unwrap_or(&id);
    format!("{name}-{tail}")
}

impl VisitorDomains {
    /// The private user identity of a name; `None` where they make none together.
    pub fn impi(&self, name: &str) -> Option<Impi> {
        format!("{name}@{}", self.realm).parse().ok()
    }

    /// The SIP identities of a name.
    pub fn sip_identities(&self, name: &str) -> Option<SipIdentities> {
        let impu: Impu = format!("sip:{name}@{}", self.realm).parse().ok()?;
        Some(SipIdentities { impi: self.impi(name)?, impus: vec![impu] })
    }

    /// The MC service IDs of a name.
    pub fn mc_service_ids(
        &self,
        name: &str,
        services: &BTreeSet<McService>,
    ) -> Option<BTreeMap<McService, McServiceId>> {
        let id: McServiceId = format!("sip:{name}@{}", self.mc_service_id_domain).parse().ok()?;
        Some(services.iter().map(|service| (*service, id.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitor_is_recognised_by_her_name_and_her_system() {
        let name = |impi: &str| visitor_name(&impi.parse().unwrap(), &"alpha.example".parse().unwrap());
        assert_eq!(name("alice@alpha.example"), "alice.alpha-example");
        assert_eq!(name("Alice!Fire@alpha.example"), "alice-fire.alpha-example");
        assert_eq!(name(&format!("{}@alpha.example", "x".repeat(150))).len(), USER_PART_LIMIT);
    }

    #[test]
    fn allotted_identities_are_of_the_visitor_realm() {
        let domains = VisitorDomains {
            realm: "visitors.bravo.example".parse().unwrap(),
            mc_service_id_domain: "mc.bravo.example".parse().unwrap(),
        };
        let name = distinct_name("alice.alpha-example", Uuid::from_u128(0xabcd_ef01));
        assert_eq!(name, "alice.alpha-example-abcdef01");
        let identities = domains.sip_identities(&name).unwrap();
        assert_eq!(identities.impi.realm(), domains.realm);
        assert_eq!(identities.impus[0].as_str(), format!("sip:{name}@visitors.bravo.example"));
        let ids = domains.mc_service_ids(&name, &BTreeSet::from([McService::Ptt, McService::Data])).unwrap();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[&McService::Ptt].as_str(), format!("sip:{name}@mc.bravo.example"));
    }
}
