//! What the ISIM accepts and refuses (TS 33.102 clause 6.3.3 and Annex C.2).

use mcx_aka::isim::{FreshnessLimits, InvalidSequenceArray, Isim, IsimFailure, SequenceArray};
use mcx_aka::network::verify_resynchronisation;
use mcx_aka::{AuthenticationVector, Autn, IndexValue, MAXIMUM_SEQUENCE_JUMP, Rand, Sequence, Sqn};

use crate::test_sets::{TEST_SETS, TestSet};

const SET: &TestSet = &TEST_SETS[2];

fn sqn(sequence: u64, index: u8) -> Sqn {
    Sqn::new(
        Sequence::new(sequence).expect("a test's sequence fits"),
        IndexValue::new(index).expect("a test's index fits"),
    )
}

/// A challenge with this SQN; each SQN has its own RAND.
fn challenge(sqn: Sqn) -> AuthenticationVector {
    let mut rand = [0x5a; 16];
    rand[..6].copy_from_slice(&sqn.to_octets());
    SET.milenage().authentication_vector(Rand(rand), sqn, SET.amf())
}

fn answer(isim: &mut Isim, sqn: Sqn) -> Result<(), IsimFailure> {
    let vector = challenge(sqn);
    isim.authenticate(&vector.rand, &vector.autn).map(|answer| {
        assert!(vector.xres.matches(&answer.res));
        assert_eq!((vector.ck, vector.ik), (answer.ck, answer.ik));
    })
}

/// The SQN_MS that a refusal carries, as the network reads it.
fn sqn_ms_of_refusal(isim: &mut Isim, sqn: Sqn) -> Sqn {
    let vector = challenge(sqn);
    match isim.authenticate(&vector.rand, &vector.autn) {
        Err(IsimFailure::SynchronisationFailure { auts }) => {
            verify_resynchronisation(&SET.milenage(), &vector.rand, &auts).expect("the AUTS is genuine")
        }
        other => panic!("expected a synchronisation failure, got {other:?}"),
    }
}

/// An ISIM that has accepted exactly this SQN.
fn isim_at(set: &TestSet, accepted: Sqn) -> Isim {
    let mut values = [0; IndexValue::COUNT];
    values[usize::from(accepted.index().get())] = accepted.sequence().get();
    set.isim().with_sequences(SequenceArray::try_from(values.as_slice()).expect("values fit"))
}

#[test]
fn first_challenge_is_answered_with_res_and_both_keys() {
    let mut isim = SET.isim();
    assert_eq!(answer(&mut isim, sqn(1, 0)), Ok(()));
    assert_eq!(isim.sequences().highest(), sqn(1, 0));
}

#[test]
fn test_set_challenge_is_refused_with_the_auts_of_the_table_when_its_sqn_was_used() {
    for set in &TEST_SETS {
        let mut isim = isim_at(set, set.sqn());
        let refused = isim.authenticate(&set.rand(), &set.autn());
        assert_eq!(refused, Err(IsimFailure::SynchronisationFailure { auts: set.auts() }));
    }
}

#[test]
fn challenge_with_any_flipped_bit_is_a_mac_failure_and_changes_nothing() {
    let mut isim = SET.isim();
    let vector = challenge(sqn(1, 0));
    for bit in 0..128 {
        let mut octets = vector.autn.0;
        octets[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(isim.authenticate(&vector.rand, &Autn(octets)), Err(IsimFailure::MacFailure), "bit {bit}");
    }
    assert_eq!(isim.sequences(), &SequenceArray::default());
    assert_eq!(answer(&mut isim, sqn(1, 0)), Ok(()));
}

#[test]
fn challenge_of_another_subscriber_is_a_mac_failure() {
    let stranger = TEST_SETS[0].milenage().authentication_vector(SET.rand(), sqn(1, 0), SET.amf());
    assert_eq!(SET.isim().authenticate(&stranger.rand, &stranger.autn), Err(IsimFailure::MacFailure));
}

#[test]
fn mac_is_checked_before_freshness() {
    let mut isim = isim_at(SET, sqn(100, 0));
    let mut stale = challenge(sqn(1, 0));
    stale.autn.0[15] ^= 1;
    assert_eq!(isim.authenticate(&stale.rand, &stale.autn), Err(IsimFailure::MacFailure));
}

#[test]
fn replayed_challenge_is_refused_with_auts() {
    let mut isim = SET.isim();
    assert_eq!(answer(&mut isim, sqn(7, 4)), Ok(()));
    assert_eq!(sqn_ms_of_refusal(&mut isim, sqn(7, 4)), sqn(7, 4));
}

#[test]
fn stale_sequence_number_is_refused_with_auts() {
    let mut isim = isim_at(SET, sqn(100, 9));
    assert_eq!(sqn_ms_of_refusal(&mut isim, sqn(99, 9)), sqn(100, 9));
    assert_eq!(isim.sequences().at(IndexValue::new(9).unwrap()).get(), 100);
}

#[test]
fn vectors_used_out_of_order_between_requesters_are_accepted() {
    let mut isim = SET.isim();
    for (sequence, index) in [(12, 0), (10, 1), (11, 2), (13, 1), (9, 3)] {
        assert_eq!(answer(&mut isim, sqn(sequence, index)), Ok(()), "{sequence}/{index}");
    }
    assert_eq!(isim.sequences().highest(), sqn(13, 1));
}

#[test]
fn refusal_carries_the_highest_sqn_of_all_indexes() {
    let mut isim = SET.isim();
    assert_eq!(answer(&mut isim, sqn(50, 6)), Ok(()));
    assert_eq!(answer(&mut isim, sqn(20, 1)), Ok(()));
    assert_eq!(sqn_ms_of_refusal(&mut isim, sqn(20, 1)), sqn(50, 6));
}

#[test]
fn jump_of_delta_is_accepted_and_one_more_is_refused() {
    let edge = 1_000 + MAXIMUM_SEQUENCE_JUMP;
    assert_eq!(sqn_ms_of_refusal(&mut isim_at(SET, sqn(1_000, 2)), sqn(edge + 1, 5)), sqn(1_000, 2));
    assert_eq!(answer(&mut isim_at(SET, sqn(1_000, 2)), sqn(edge, 5)), Ok(()));
}

#[test]
fn zero_is_never_a_fresh_sequence() {
    assert_eq!(sqn_ms_of_refusal(&mut SET.isim(), sqn(0, 5)), Sqn::default());
}

#[test]
fn age_limit_refuses_what_lies_that_far_back_at_another_index() {
    let limits = FreshnessLimits { age_limit: Some(10), ..FreshnessLimits::default() };
    let mut isim = isim_at(SET, sqn(100, 0)).with_limits(limits);
    assert_eq!(sqn_ms_of_refusal(&mut isim, sqn(90, 1)), sqn(100, 0));
    assert_eq!(answer(&mut isim, sqn(91, 1)), Ok(()));
}

#[test]
fn remembered_sequences_survive_as_plain_integers() {
    let mut isim = SET.isim();
    assert_eq!(answer(&mut isim, sqn(8, 31)), Ok(()));
    let stored = isim.sequences().to_integers();
    assert_eq!(stored[31], 8);
    let restored = SequenceArray::try_from(stored.as_slice()).unwrap();
    let mut restarted = SET.isim().with_sequences(restored);
    assert_eq!(sqn_ms_of_refusal(&mut restarted, sqn(8, 31)), sqn(8, 31));
    assert_eq!(answer(&mut restarted, sqn(9, 31)), Ok(()));
}

#[test]
fn damaged_state_is_refused_with_what_is_wrong() {
    assert_eq!(
        SequenceArray::try_from([0; 31].as_slice()),
        Err(InvalidSequenceArray::WrongLength { actual: 31 })
    );
    let mut values = [0; IndexValue::COUNT];
    values[3] = 1 << 43;
    assert_eq!(
        SequenceArray::try_from(values.as_slice()),
        Err(InvalidSequenceArray::SequenceTooLarge { index: 3, value: 1 << 43 })
    );
}
