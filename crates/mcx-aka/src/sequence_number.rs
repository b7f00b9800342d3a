//! The sequence number SQN = SEQ ‖ IND of 48 bits, split as the profiles of TS 33.102 Annex C.3 do: 43 and 5 bits.

use std::fmt;

use thiserror::Error;

/// Δ of TS 33.102 Annex C.2.1 as the profiles of C.3 set it: an ISIM refuses a SEQ more than 2^28 ahead of the highest
/// it has accepted, so that nobody can drive the counter to its end.
pub const MAXIMUM_SEQUENCE_JUMP: u64 = 1 << 28;

/// Number of bits of IND.
const INDEX_BITS: u32 = 5;
/// Number of bits of SEQ.
const SEQUENCE_BITS: u32 = 43;

/// Why a number is not a part of a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSequenceNumber {
    /// SEQ has 43 bits.
    #[error("sequence {value} needs more than 43 bits")]
    SequenceTooLarge {
        /// The refused value.
        value: u64,
    },
    /// IND has 5 bits.
    #[error("index {value} is not below 32")]
    IndexTooLarge {
        /// The refused value.
        value: u64,
    },
    /// SQN has 48 bits.
    #[error("sequence number {value} needs more than 48 bits")]
    SqnTooLarge {
        /// The refused value.
        value: u64,
    },
}

/// The counter has reached its end. It never wraps (TS 33.102 Annex C.1.1): the subscriber needs a new K.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("sequence is exhausted: {last_issued} plus {wanted} needs more than 43 bits")]
pub struct SequenceExhausted {
    /// The last SEQ that was issued.
    pub last_issued: Sequence,
    /// How many more were wanted.
    pub wanted: u64,
}

/// SEQ, the counter part of SQN: 43 bits, one counter per subscriber (TS 33.102 Annex C.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(u64);

impl Sequence {
    /// The value before the first: no vector carries it, and a new ISIM holds it for every IND.
    pub const ZERO: Self = Self(0);
    /// 2^43 − 1.
    pub const MAXIMUM: Self = Self((1 << SEQUENCE_BITS) - 1);

    /// Takes a number below 2^43.
    ///
    /// # Errors
    /// [`InvalidSequenceNumber::SequenceTooLarge`].
    pub const fn new(value: u64) -> Result<Self, InvalidSequenceNumber> {
        if value > Self::MAXIMUM.0 {
            return Err(InvalidSequenceNumber::SequenceTooLarge { value });
        }
        Ok(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next SEQ to issue after this one.
    ///
    /// # Errors
    /// [`SequenceExhausted`] after 2^43 − 1.
    pub const fn successor(self) -> Result<Self, SequenceExhausted> {
        self.advanced_by(1)
    }

    /// The last SEQ of a block of `count` reserved after this one; the block is `self + 1 ..= result`.
    ///
    /// # Errors
    /// [`SequenceExhausted`] when the block would pass 2^43 − 1.
    pub const fn advanced_by(self, count: u64) -> Result<Self, SequenceExhausted> {
        // A difference instead of a sum, so that no count can overflow.
        if count > Self::MAXIMUM.0 - self.0 {
            return Err(SequenceExhausted { last_issued: self, wanted: count });
        }
        Ok(Self(self.0 + count))
    }
}

impl TryFrom<u64> for Sequence {
    type Error = InvalidSequenceNumber;

    fn try_from(value: u64) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// IND, the index part of SQN: 0 to 31 (TS 33.102 Annex C.1.1 and C.3.4).
///
/// Each requester of vectors has its own, so that vectors used out of order between requesters stay acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct IndexValue(u8);

impl IndexValue {
    /// The first index.
    pub const ZERO: Self = Self(0);
    /// The size of the ISIM's array of SEQ values.
    pub const COUNT: usize = 1 << INDEX_BITS;

    /// Takes a number below 32.
    ///
    /// # Errors
    /// [`InvalidSequenceNumber::IndexTooLarge`].
    pub const fn new(value: u8) -> Result<Self, InvalidSequenceNumber> {
        if value as usize >= Self::COUNT {
            return Err(InvalidSequenceNumber::IndexTooLarge { value: value as u64 });
        }
        Ok(Self(value))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// All 32 values in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..1 << INDEX_BITS).map(Self)
    }
}

impl TryFrom<u8> for IndexValue {
    type Error = InvalidSequenceNumber;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl fmt::Display for IndexValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The sequence number SQN = SEQ ‖ IND, 48 bits (TS 33.102 clause 6.3 and Annex C.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sqn {
    // Declared in this order so that the derived ordering is that of the 48-bit number.
    sequence: Sequence,
    index: IndexValue,
}

impl Sqn {
    /// Puts the two parts together.
    #[must_use]
    pub const fn new(sequence: Sequence, index: IndexValue) -> Self {
        Self { sequence, index }
    }

    /// The counter part.
    #[must_use]
    pub const fn sequence(self) -> Sequence {
        self.sequence
    }

    /// The index part.
    #[must_use]
    pub const fn index(self) -> IndexValue {
        self.index
    }

    /// The 48-bit number SEQ · 32 + IND.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.sequence.0 << INDEX_BITS | self.index.0 as u64
    }

    /// Six octets, most significant first, as in AUTN and AUTS.
    #[must_use]
    pub fn to_octets(self) -> [u8; 6] {
        let wide = self.get().to_be_bytes();
        std::array::from_fn(|position| wide[2 + position])
    }

    /// Reads six octets, most significant first. Every content is valid.
    #[must_use]
    pub fn from_octets(octets: [u8; 6]) -> Self {
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(&octets);
        Self::from_48_bits(u64::from_be_bytes(wide))
    }

    /// Splits a number already known to have 48 bits at most.
    const fn from_48_bits(value: u64) -> Self {
        let index = (value % IndexValue::COUNT as u64) as u8;
        Self { sequence: Sequence(value >> INDEX_BITS), index: IndexValue(index) }
    }
}

impl TryFrom<u64> for Sqn {
    type Error = InvalidSequenceNumber;

    fn try_from(value: u64) -> Result<Self, Self::Error> {
        if value >> (SEQUENCE_BITS + INDEX_BITS) != 0 {
            return Err(InvalidSequenceNumber::SqnTooLarge { value });
        }
        Ok(Self::from_48_bits(value))
    }
}

/// Twelve lower-case hexadecimal digits.
impl fmt::Display for Sqn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:012x}", self.get())
    }
}
