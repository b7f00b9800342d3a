//! The software ISIM: what the card in the UE decides on a challenge (TS 33.102 clause 6.3.3 and Annex C.2).

use thiserror::Error;

use crate::digest::{DigestAlgorithm, DigestKey};
use crate::milenage::Milenage;
use crate::parameter::{Amf, Autn, Auts, Rand};
use crate::response::Res;
use crate::secret::{CipherKey, IntegrityKey, Opc, SubscriberKey};
use crate::sequence_number::{IndexValue, MAXIMUM_SEQUENCE_JUMP, Sequence, Sqn};

/// The ISIM's answer to a challenge it accepted (TS 33.102 clause 6.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsimAnswer {
    /// The response.
    pub res: Res,
    /// The cipher key of the session.
    pub ck: CipherKey,
    /// The integrity key of the session.
    pub ik: IntegrityKey,
}

impl IsimAnswer {
    /// The digest password of this answer under `algorithm` (RFC 3310 clause 3.3, RFC 4169 clause 3).
    #[must_use]
    pub fn digest_key(&self, algorithm: DigestAlgorithm) -> DigestKey {
        DigestKey::derive(algorithm, &self.res, &self.ik, &self.ck)
    }
}

/// Why the ISIM refuses a challenge (TS 33.102 clause 6.3.3). Nothing of its state has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IsimFailure {
    /// MAC-A does not verify: the challenge is not from the home network, or not for this subscriber.
    #[error("mac-a of the authentication token does not verify")]
    MacFailure,
    /// The challenge is genuine but its SQN is not fresh.
    #[error("sequence number of the authentication token is not in the correct range")]
    SynchronisationFailure {
        /// The token with which the home network resynchronises; carries the highest SQN accepted so far.
        auts: Auts,
    },
}

/// The limits within which an ISIM calls an SQN fresh (TS 33.102 Annex C.2.1 and C.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FreshnessLimits {
    /// Δ: a SEQ may be at most this far above the highest accepted.
    pub maximum_jump: u64,
    /// L: if set, a SEQ must be less than this far below the highest accepted.
    pub age_limit: Option<u64>,
}

/// Δ = 2^28 and no age limit, as in the profile of TS 33.102 Annex C.3.1.
impl Default for FreshnessLimits {
    fn default() -> Self {
        Self { maximum_jump: MAXIMUM_SEQUENCE_JUMP, age_limit: None }
    }
}

/// Why numbers are not the state of an ISIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSequenceArray {
    /// An array has one value per IND.
    #[error("sequence array must have 32 values, got {actual}")]
    WrongLength {
        /// The number of values given.
        actual: usize,
    },
    /// A value has more than 43 bits.
    #[error("sequence array value {value} at index {index} needs more than 43 bits")]
    SequenceTooLarge {
        /// Its position in the array.
        index: usize,
        /// The refused value.
        value: u64,
    },
}

/// SEQ_MS(0) to SEQ_MS(31): for each IND the highest SEQ accepted (TS 33.102 Annex C.2.2).
///
/// This is all that an ISIM must remember between challenges; [`to_integers`](Self::to_integers) and
/// `TryFrom<&[u64]>` carry it to and from storage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SequenceArray([Sequence; IndexValue::COUNT]);

impl SequenceArray {
    /// The highest SQN accepted so far, SQN_MS; of equal SEQ values the one with the highest IND.
    #[must_use]
    pub fn highest(&self) -> Sqn {
        IndexValue::all()
            .map(|index| Sqn::new(self.at(index), index))
            .filter(|sqn| sqn.sequence() > Sequence::ZERO)
            .max()
            .unwrap_or_default()
    }

    /// SEQ_MS(IND); zero if nothing was accepted with this IND yet.
    #[must_use]
    pub fn at(&self, index: IndexValue) -> Sequence {
        self.0[usize::from(index.get())]
    }

    /// The 32 values as plain integers, in the order of IND.
    #[must_use]
    pub fn to_integers(&self) -> [u64; IndexValue::COUNT] {
        self.0.map(Sequence::get)
    }

    /// Whether the ISIM accepts this SQN (TS 33.102 Annex C.2.1 and C.2.2).
    #[must_use]
    pub fn accepts(&self, sqn: Sqn, limits: FreshnessLimits) -> bool {
        let received = sqn.sequence().get();
        let highest = self.highest().sequence().get();
        let jump_is_bounded = received.saturating_sub(highest) <= limits.maximum_jump;
        let is_new_at_its_index = sqn.sequence() > self.at(sqn.index());
        let is_young = limits.age_limit.is_none_or(|limit| highest.saturating_sub(received) < limit);
        jump_is_bounded && is_new_at_its_index && is_young
    }

    /// Remembers an accepted SQN.
    fn store(&mut self, sqn: Sqn) {
        self.0[usize::from(sqn.index().get())] = sqn.sequence();
    }
}

impl TryFrom<&[u64]> for SequenceArray {
    type Error = InvalidSequenceArray;

    fn try_from(values: &[u64]) -> Result<Self, Self::Error> {
        if values.len() != IndexValue::COUNT {
            return Err(InvalidSequenceArray::WrongLength { actual: values.len() });
        }
        let mut array = Self::default();
        for (index, (slot, &value)) in array.0.iter_mut().zip(values).enumerate() {
            *slot =
                Sequence::new(value).map_err(|_| InvalidSequenceArray::SequenceTooLarge { index, value })?;
        }
        Ok(array)
    }
}

/// A software ISIM with the Milenage algorithm set (TS 33.203 clause 8, TS 33.102 clause 6.3.3).
#[derive(Debug, Clone)]
pub struct Isim {
    milenage: Milenage,
    sequences: SequenceArray,
    limits: FreshnessLimits,
}

impl Isim {
    /// A fresh ISIM that has accepted nothing yet, with the default limits.
    #[must_use]
    pub fn new(key: &SubscriberKey, opc: &Opc) -> Self {
        Self {
            milenage: Milenage::new(key, opc),
            sequences: SequenceArray::default(),
            limits: FreshnessLimits::default(),
        }
    }

    /// The same ISIM with remembered sequence numbers.
    #[must_use]
    pub fn with_sequences(self, sequences: SequenceArray) -> Self {
        Self { sequences, ..self }
    }

    /// The same ISIM with other limits of freshness.
    #[must_use]
    pub fn with_limits(self, limits: FreshnessLimits) -> Self {
        Self { limits, ..self }
    }

    /// What must be remembered for the next challenge. Store it before the answer leaves the UE, otherwise a challenge
    /// could be answered twice.
    #[must_use]
    pub const fn sequences(&self) -> &SequenceArray {
        &self.sequences
    }

    /// Answers a challenge: verifies MAC-A, then the freshness of SQN, then remembers SQN
    /// (TS 33.102 clause 6.3.3).
    ///
    /// # Errors
    /// [`IsimFailure::MacFailure`] before anything is said about SQN, so that a forger learns nothing of it;
    /// [`IsimFailure::SynchronisationFailure`] with the AUTS to send.
    pub fn authenticate(&mut self, rand: &Rand, autn: &Autn) -> Result<IsimAnswer, IsimFailure> {
        let amf = autn.amf();
        let sqn = Sqn::from_octets(self.milenage.f5(rand).conceal(autn.concealed_sqn()));
        let output = self.milenage.all_functions(rand, sqn, amf);
        if !output.mac_a.matches(&autn.mac_a()) {
            return Err(IsimFailure::MacFailure);
        }
        if !self.sequences.accepts(sqn, self.limits) {
            return Err(IsimFailure::SynchronisationFailure { auts: self.resynchronisation_token(rand) });
        }
        self.sequences.store(sqn);
        Ok(IsimAnswer { res: output.res, ck: output.ck, ik: output.ik })
    }

    /// AUTS = (SQN_MS xor AK\*) ‖ f1\*(SQN_MS, RAND, AMF\*) (TS 33.102 clause 6.3.3).
    fn resynchronisation_token(&self, rand: &Rand) -> Auts {
        let sqn_ms = self.sequences.highest();
        let functions = self.milenage.all_functions(rand, sqn_ms, Amf::RESYNCHRONISATION);
        Auts::from_parts(functions.ak_star.conceal(sqn_ms.to_octets()), *functions.mac_s.expose_octets())
    }
}
