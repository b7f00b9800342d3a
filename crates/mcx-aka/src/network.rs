//! The home network's side of resynchronisation (TS 33.102 clause 6.3.5 and Annex C.3).

use thiserror::Error;

use crate::milenage::Milenage;
use crate::parameter::{Amf, Auts, Rand};
use crate::sequence_number::{IndexValue, Sequence, SequenceExhausted, Sqn};

/// Why an AUTS is not honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ResynchronisationError {
    /// MAC-S does not verify: not made by this subscriber's ISIM, not for this RAND, or damaged.
    #[error("mac-s of the resynchronisation token does not verify")]
    MacFailure,
}

/// Verifies an AUTS and recovers SQN_MS, the highest sequence number the ISIM has accepted
/// (TS 33.102 clauses 6.3.3 and 6.3.5).
///
/// MAC-S is computed under AMF\* = 0000 and compared in constant time. That `rand` was really issued to this subscriber
/// by this network is for the caller to check before: this function cannot know it.
///
/// # Errors
/// [`ResynchronisationError::MacFailure`].
pub fn verify_resynchronisation(
    milenage: &Milenage,
    rand: &Rand,
    auts: &Auts,
) -> Result<Sqn, ResynchronisationError> {
    let sqn_ms = Sqn::from_octets(milenage.f5_star(rand).conceal(auts.concealed_sqn()));
    let expected = milenage.f1_star(rand, sqn_ms, Amf::RESYNCHRONISATION);
    if !expected.matches(&auts.mac_s()) {
        return Err(ResynchronisationError::MacFailure);
    }
    Ok(sqn_ms)
}

/// Whether resynchronisation changed the network's counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CounterAdjustment {
    /// The next SQN would be accepted anyway, so the counter stays: an old or repeated AUTS cannot turn it back.
    Kept,
    /// The counter was out of the ISIM's range and now holds SEQ_MS.
    SetToSequenceOfIsim,
}

/// The network's counter after a verified AUTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResynchronisedCounter {
    /// SEQ_HE: the last SEQ that counts as issued. Store it, or what follows from issuing `next`.
    pub last_issued: Sequence,
    /// The SQN of the next vector, one above `last_issued`, with the requester's IND. The ISIM accepts it.
    pub next: Sqn,
    /// Whether `last_issued` differs from the counter before.
    pub adjustment: CounterAdjustment,
}

/// Decides what the counter becomes after an AUTS that [`verify_resynchronisation`] accepted
/// (TS 33.102 clause 6.3.5 and Annex C.3).
///
/// `last_issued` is SEQ_HE, the last SEQ issued to this subscriber; `sqn_ms` what the AUTS carried; `index` the IND of
/// the requester that gets the next vector; `maximum_jump` the ISIM's Δ, usually
/// [`MAXIMUM_SEQUENCE_JUMP`](crate::MAXIMUM_SEQUENCE_JUMP).
///
/// The counter is kept if the next SEQ is above SEQ_MS and at most Δ above it. Only the highest value of the ISIM's
/// array is known here, and whatever exceeds it exceeds the value at every IND. Otherwise the counter becomes SEQ_MS.
///
/// # Errors
/// [`SequenceExhausted`] when SEQ_MS is already 2^43 − 1: the counter never wraps, the subscriber needs a new K.
pub fn next_sequence_after_resynchronisation(
    last_issued: Sequence,
    sqn_ms: Sqn,
    index: IndexValue,
    maximum_jump: u64,
) -> Result<ResynchronisedCounter, SequenceExhausted> {
    let highest_of_isim = sqn_ms.sequence();
    if let Ok(next) = last_issued.successor() {
        let acceptable = next > highest_of_isim && next.get() - highest_of_isim.get() <= maximum_jump;
        if acceptable {
            return Ok(ResynchronisedCounter {
                last_issued,
                next: Sqn::new(next, index),
                adjustment: CounterAdjustment::Kept,
            });
        }
    }
    Ok(ResynchronisedCounter {
        last_issued: highest_of_isim,
        next: Sqn::new(highest_of_isim.successor()?, index),
        adjustment: CounterAdjustment::SetToSequenceOfIsim,
    })
}
