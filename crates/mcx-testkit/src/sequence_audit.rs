//! Watches that no sequence number is issued twice.

use std::collections::{HashMap, HashSet};

use mcx_aka::{AuthenticationVector, Milenage, Rand, Sequence, Sqn};

/// All vectors that a test got, by subscriber; fails the test as soon as a SEQ or a RAND comes twice.
///
/// SEQ is one counter per subscriber for all requesters (TS 33.102 Annex C.1.1), so no SEQ comes twice under another IND
/// either.
#[derive(Debug, Default)]
pub struct SequenceAudit {
    sequences: HashMap<String, HashSet<Sequence>>,
    rands: HashSet<Rand>,
}

impl SequenceAudit {
    /// An audit that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a vector, and tells the SQN that it conceals. `milenage` has the keys of the subscriber.
    ///
    /// # Panics
    /// When its SEQ or its RAND was seen before.
    pub fn record(&mut self, subscriber: &str, milenage: &Milenage, vector: &AuthenticationVector) -> Sqn {
        let sqn = Sqn::from_octets(milenage.f5(&vector.rand).conceal(vector.autn.concealed_sqn()));
        let is_new = self.sequences.entry(subscriber.to_owned()).or_default().insert(sqn.sequence());
        assert!(is_new, "sequence {} was issued twice to {subscriber}", sqn.sequence());
        assert!(self.rands.insert(vector.rand), "a rand was issued twice");
        sqn
    }

    /// How many vectors a subscriber got.
    pub fn count_of(&self, subscriber: &str) -> usize {
        self.sequences.get(subscriber).map_or(0, HashSet::len)
    }

    /// How many vectors there were in all.
    pub fn count(&self) -> usize {
        self.rands.len()
    }
}

#[cfg(test)]
mod tests {
    use mcx_aka::{Amf, IndexValue, Opc, SubscriberKey};

    use super::*;

    fn vector(milenage: &Milenage, sequence: u64, index: u8, rand: u8) -> AuthenticationVector {
        let sequence = Sequence::new(sequence).expect("a test's sequence is small");
        let index = IndexValue::new(index).expect("a test's index is small");
        milenage.authentication_vector(Rand([rand; 16]), Sqn::new(sequence, index), Amf([0, 0]))
    }

    #[test]
    #[should_panic(expected = "sequence 2 was issued twice to alice")]
    fn sequence_that_comes_twice_fails_the_test_under_another_ind_too() {
        let milenage = Milenage::new(&SubscriberKey::from_octets([1; 16]), &Opc::from_octets([2; 16]));
        let mut audit = SequenceAudit::new();
        audit.record("alice", &milenage, &vector(&milenage, 1, 0, 1));
        audit.record("alice", &milenage, &vector(&milenage, 2, 0, 2));
        audit.record("bob", &milenage, &vector(&milenage, 2, 0, 3));
        assert_eq!((audit.count_of("alice"), audit.count()), (2, 3));
        audit.record("alice", &milenage, &vector(&milenage, 2, 1, 4));
    }
}
