//! What becomes of each subscriber of an import.

use std::collections::{HashMap, HashSet};

use mcx_types::{Impi, Impu, Violations};

use crate::domain::subscriber::{SubscriberContent, SubscriberKeys};

/// A subscriber as it is brought.
pub(crate) type Brought = (SubscriberContent, SubscriberKeys);

/// One item of an import: a subscriber, or all that is wrong with it.
pub(crate) type ImportItem = Result<Brought, Violations>;

/// Why an item is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportRefusal {
    /// Fields are missing or malformed.
    Invalid(Violations),
    /// Another subscriber has an identity, or the same one has other content.
    IdentityTaken(String),
}

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImportDecision {
    /// It is new.
    Create,
    /// It is there with the same content.
    Unchanged,
    /// It is refused.
    Refuse(ImportRefusal),
}

/// What is there of the identities that a batch brings.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    /// Subscribers by private identity.
    pub(crate) subscribers: HashMap<Impi, Brought>,
    /// Public identities and who has them.
    pub(crate) owners: HashMap<Impu, Impi>,
}

/// Decides about the items of a batch, in their order: an item also sees those before it.
pub(crate) fn plan_import(items: &[ImportItem], existing: &Existing) -> Vec<ImportDecision> {
    let mut created: HashMap<&Impi, &Brought> = HashMap::new();
    let mut created_impus: HashSet<&Impu> = HashSet::new();
    let mut decisions = Vec::with_capacity(items.len());
    for item in items {
        let brought = match item {
            Ok(brought) => brought,
            Err(violations) => {
                let refusal = ImportRefusal::Invalid(violations.clone());
                decisions.push(ImportDecision::Refuse(refusal));
                continue;
            }
        };
        let identities = &brought.0.identities;
        let present =
            existing.subscribers.get(&identities.impi).or_else(|| created.get(&identities.impi).copied());
        if let Some(present) = present {
            decisions.push(match present == brought {
                true => ImportDecision::Unchanged,
                false => taken(&identities.impi),
            });
            continue;
        }
        let is_taken = |impu: &&Impu| existing.owners.contains_key(*impu) || created_impus.contains(*impu);
        if let Some(impu) = identities.impus.iter().find(is_taken) {
            decisions.push(taken(impu));
            continue;
        }
        created.insert(&identities.impi, brought);
        created_impus.extend(&identities.impus);
        decisions.push(ImportDecision::Create);
    }
    decisions
}

fn taken(identity: &impl ToString) -> ImportDecision {
    ImportDecision::Refuse(ImportRefusal::IdentityTaken(identity.to_string()))
}

#[cfg(test)]
mod tests {
    use mcx_aka::digest::DigestAlgorithm;
    use mcx_aka::{Amf, Opc, SubscriberKey};
    use mcx_types::SipIdentities;

    use super::*;

    fn brought(name: &str, impu: &str, octet: u8) -> Brought {
        let identities = SipIdentities {
            impi: format!("{name}@alpha.example").parse().unwrap(),
            impus: vec![format!("sip:{impu}@alpha.example").parse().unwrap()],
        };
        let content = SubscriberContent {
            identities,
            scheme: DigestAlgorithm::AkaV1Md5,
            amf: Amf([0, 0]),
            barred: false,
        };
        let keys = SubscriberKeys {
            key: SubscriberKey::from_octets([octet; 16]),
            opc: Opc::from_octets([octet; 16]),
        };
        (content, keys)
    }

    fn existing(present: &[Brought]) -> Existing {
        let mut existing = Existing::default();
        for subscriber in present {
            let SipIdentities { impi, impus } = &subscriber.0.identities;
            existing.subscribers.insert(impi.clone(), subscriber.clone());
            existing.owners.extend(impus.iter().map(|impu| (impu.clone(), impi.clone())));
        }
        existing
    }

    #[test]
    fn item_that_is_there_with_the_same_content_is_unchanged_and_with_other_keys_refused() {
        let present = existing(&[brought("alice", "alice", 1)]);
        let same = [Ok(brought("alice", "alice", 1))];
        assert_eq!(plan_import(&same, &present), [ImportDecision::Unchanged]);
        let other_keys = [Ok(brought("alice", "alice", 2))];
        assert_eq!(plan_import(&other_keys, &present), [taken(&"alice@alpha.example")]);
    }

    #[test]
    fn items_of_one_batch_see_those_before_them() {
        let items = [
            Ok(brought("alice", "alice", 1)),
            Ok(brought("alice", "alice", 1)),
            Ok(brought("bob", "alice", 2)),
            Ok(brought("bob", "bob", 2)),
        ];
        assert_eq!(
            plan_import(&items, &Existing::default()),
            [
                ImportDecision::Create,
                ImportDecision::Unchanged,
                taken(&"sip:alice@alpha.example"),
                ImportDecision::Create
            ]
        );
    }

    #[test]
    fn refused_item_does_not_keep_others_from_being_created() {
        let mut violations = Violations::new();
        violations.add("subscriber.identities", "is required");
        let items =
            [Err(violations.clone()), Ok(brought("bob", "alice", 2)), Ok(brought("carol", "carol", 3))];
        assert_eq!(
            plan_import(&items, &existing(&[brought("alice", "alice", 1)])),
            [
                ImportDecision::Refuse(ImportRefusal::Invalid(violations)),
                taken(&"sip:alice@alpha.example"),
                ImportDecision::Create
            ]
        );
    }
}
