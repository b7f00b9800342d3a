//! The demo users, and those of the load. Their keys protect nobody: they are the public test sets of TS 35.208, or numbers.

use anyhow::Result;
use mcx_aka::{Amf, Opc, OperatorKey, SubscriberKey};
use mcx_types::{Realm, SipIdentities};

use super::{PARTNER, PASSWORD, PRIMARY, mc_id};
use crate::ready_file::{ReadyPartner, ReadySubscriber};

/// One demo user of `alpha.example`.
#[derive(Debug, Clone)]
pub struct DemoSubscriber {
    /// Her name.
    pub name: String,
    /// Her identities at home.
    pub identities: SipIdentities,
    /// K.
    pub key: SubscriberKey,
    /// OP.
    pub operator_key: OperatorKey,
    /// OPc, derived.
    pub opc: Opc,
    /// AMF.
    pub amf: Amf,
    /// Her identities at the partner.
    pub partner: PartnerIdentities,
}

/// Who a demo user is at the partner.
#[derive(Debug, Clone)]
pub struct PartnerIdentities {
    /// The identities that the partner allotted.
    pub identities: SipIdentities,
    /// The visitor realm.
    pub realm: Realm,
}

impl DemoSubscriber {
    /// What the ready file says of her.
    pub fn to_ready(&self) -> ReadySubscriber {
        let impus = |identities: &SipIdentities| identities.impus.iter().map(ToString::to_string).collect();
        ReadySubscriber {
            name: self.name.clone(),
            primary_system: PRIMARY.to_owned(),
            mc_id: mc_id(&self.name, PRIMARY),
            password: PASSWORD.to_owned(),
            impi: self.identities.impi.to_string(),
            impus: impus(&self.identities),
            k: hex::encode(self.key.expose_octets()),
            op: hex::encode(self.operator_key.expose_octets()),
            opc: hex::encode(self.opc.expose_octets()),
            amf: hex::encode(self.amf.as_octets()),
            partner: ReadyPartner {
                system: PARTNER.to_owned(),
                impi: self.partner.identities.impi.to_string(),
                impus: impus(&self.partner.identities),
                realm: self.partner.realm.to_string(),
            },
        }
    }
}

/// Name, K, OP and AMF: TS 35.208 sets 3, 4 and 5. Set 3 is alice's because SIPp cannot carry every key.
const TEST_SETS: [(&str, &str, &str, &str); 3] = [
    ("alice", "fec86ba6eb707ed08905757b1bb44b8f", "dbc59adcb6f9a0ef735477b7fadf8374", "725c"),
    ("bob", "9e5944aea94b81165c82fbf9f32db751", "223014c5806694c007ca1eeef57f004f", "9e09"),
    ("chloe", "4ab1deb05ca6ceb051fc98e77d026a84", "2d16c5cd1fdf6b22383584e3bef2a8d8", "9f07"),
];

/// The demo users, in the order of their names.
///
/// # Errors
/// Never, unless a constant of this file is wrong.
pub fn demo_subscribers() -> Result<Vec<DemoSubscriber>> {
    TEST_SETS.iter().map(|(name, k, op, amf)| subscriber(name, k, op, amf)).collect()
}

/// The users `load-001`, `load-002` and so on, up to a count.
///
/// # Errors
/// Never, unless a constant of this file is wrong.
pub fn load_subscribers(count: usize) -> Result<Vec<DemoSubscriber>> {
    let [_, (_, _, op, amf), _] = TEST_SETS;
    (1..=count)
        .map(|number| subscriber(&format!("load-{number:03}"), &format!("{number:032x}"), op, amf))
        .collect()
}

fn subscriber(name: &str, k: &str, op: &str, amf: &str) -> Result<DemoSubscriber> {
    let key = SubscriberKey::from_hex(k)?;
    let operator_key = OperatorKey::from_hex(op)?;
    let realm: Realm = format!("visitors.{PARTNER}").parse()?;
    let identities = |user: &str, domain: &str| -> Result<SipIdentities> {
        Ok(SipIdentities {
            impi: format!("{user}@{domain}").parse()?,
            impus: vec![format!("sip:{user}@{domain}").parse()?],
        })
    };
    Ok(DemoSubscriber {
        name: name.to_owned(),
        identities: identities(name, PRIMARY)?,
        opc: Opc::derive(&key, &operator_key),
        key,
        operator_key,
        amf: Amf::from_hex(amf)?,
        partner: PartnerIdentities {
            identities: identities(&format!("{name}.alpha"), realm.as_str())?,
            realm,
        },
    })
}
