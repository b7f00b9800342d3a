//! What the home network does with an AUTS (TS 33.102 clause 6.3.5 and Annex C.3).

use mcx_aka::network::{
    CounterAdjustment, ResynchronisationError, next_sequence_after_resynchronisation,
    verify_resynchronisation,
};
use mcx_aka::{Auts, IndexValue, MAXIMUM_SEQUENCE_JUMP, Sequence, SequenceExhausted, Sqn};

use crate::test_sets::TEST_SETS;

const INDEX: IndexValue = IndexValue::ZERO;

fn sequence(value: u64) -> Sequence {
    Sequence::new(value).expect("a test's sequence fits")
}

/// (last issued, next, adjustment) after an ISIM at `sqn_ms` asked a network at `last_issued`.
fn resynchronised(last_issued: u64, sqn_ms: u64) -> (u64, u64, CounterAdjustment) {
    let sqn_ms = Sqn::new(sequence(sqn_ms), IndexValue::new(17).expect("17 is an index"));
    let counter =
        next_sequence_after_resynchronisation(sequence(last_issued), sqn_ms, INDEX, MAXIMUM_SEQUENCE_JUMP)
            .expect("the sequence is not exhausted");
    assert_eq!(counter.next.index(), INDEX);
    (counter.last_issued.get(), counter.next.sequence().get(), counter.adjustment)
}

#[test]
fn auts_of_the_table_reveals_the_sqn_of_its_set() {
    for set in &TEST_SETS {
        let sqn_ms = verify_resynchronisation(&set.milenage(), &set.rand(), &set.auts());
        assert_eq!(sqn_ms, Ok(set.sqn()));
    }
}

#[test]
fn auts_with_any_flipped_bit_is_refused() {
    let [set, ..] = &TEST_SETS;
    for bit in 0..8 * Auts::LENGTH {
        let mut auts = set.auts();
        auts.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            verify_resynchronisation(&set.milenage(), &set.rand(), &auts),
            Err(ResynchronisationError::MacFailure),
            "bit {bit}"
        );
    }
}

#[test]
fn auts_for_another_rand_or_another_subscriber_is_refused() {
    let [first, second, ..] = &TEST_SETS;
    for (milenage, rand) in [(first.milenage(), second.rand()), (second.milenage(), first.rand())] {
        assert_eq!(
            verify_resynchronisation(&milenage, &rand, &first.auts()),
            Err(ResynchronisationError::MacFailure)
        );
    }
}

#[test]
fn mac_s_under_the_amf_of_the_challenge_is_refused() {
    for set in &TEST_SETS {
        let mac_s = set.milenage().f1_star(&set.rand(), set.sqn(), set.amf());
        let auts = Auts::from_parts(set.auts().concealed_sqn(), *mac_s.expose_octets());
        assert_eq!(
            verify_resynchronisation(&set.milenage(), &set.rand(), &auts),
            Err(ResynchronisationError::MacFailure)
        );
    }
}

#[test]
fn counter_behind_the_isim_is_set_to_its_sequence() {
    assert_eq!(resynchronised(5, 900), (900, 901, CounterAdjustment::SetToSequenceOfIsim));
}

#[test]
fn counter_ahead_within_delta_is_kept() {
    assert_eq!(resynchronised(900, 5), (900, 901, CounterAdjustment::Kept));
    let edge = 5 + MAXIMUM_SEQUENCE_JUMP;
    assert_eq!(resynchronised(edge - 1, 5), (edge - 1, edge, CounterAdjustment::Kept));
}

#[test]
fn counter_equal_to_the_isim_is_kept_because_its_next_is_higher() {
    assert_eq!(resynchronised(900, 900), (900, 901, CounterAdjustment::Kept));
    assert_eq!(resynchronised(899, 900), (900, 901, CounterAdjustment::SetToSequenceOfIsim));
}

#[test]
fn counter_ahead_beyond_delta_is_set_back_to_the_isim() {
    let beyond = 5 + MAXIMUM_SEQUENCE_JUMP;
    assert_eq!(resynchronised(beyond, 5), (5, 6, CounterAdjustment::SetToSequenceOfIsim));
}

#[test]
fn exhausted_counter_is_healed_by_an_isim_that_is_behind() {
    let maximum = Sequence::MAXIMUM.get();
    assert_eq!(resynchronised(maximum, 5), (5, 6, CounterAdjustment::SetToSequenceOfIsim));
}

#[test]
fn exhausted_isim_is_an_error_and_the_counter_does_not_wrap() {
    let sqn_ms = Sqn::new(Sequence::MAXIMUM, INDEX);
    for last_issued in [Sequence::ZERO, Sequence::MAXIMUM] {
        assert_eq!(
            next_sequence_after_resynchronisation(last_issued, sqn_ms, INDEX, MAXIMUM_SEQUENCE_JUMP),
            Err(SequenceExhausted { last_issued: Sequence::MAXIMUM, wanted: 1 })
        );
    }
}
