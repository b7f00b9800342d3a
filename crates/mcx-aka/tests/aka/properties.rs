//! Properties over random keys, challenges and counters.

use mcx_aka::digest::{DigestAlgorithm, parse_nonce};
use mcx_aka::isim::{Isim, IsimFailure, SequenceArray};
use mcx_aka::network::{next_sequence_after_resynchronisation, verify_resynchronisation};
use mcx_aka::{
    Amf, Auts, IndexValue, MAXIMUM_SEQUENCE_JUMP, Milenage, Opc, OperatorKey, Rand, Sequence, Sqn,
    SubscriberKey,
};
use proptest::prelude::*;

const HIGHEST: u64 = (1 << 43) - 1;

/// A subscriber as both sides know her.
fn subscriber() -> impl Strategy<Value = (Milenage, Isim)> {
    any::<([u8; 16], [u8; 16])>().prop_map(|(key, opc)| {
        let (key, opc) = (SubscriberKey::from_octets(key), Opc::from_octets(opc));
        (Milenage::new(&key, &opc), Isim::new(&key, &opc))
    })
}

/// Counters from the whole range, more often near its ends, where the rules change.
fn sequence_up_to(maximum: u64) -> impl Strategy<Value = Sequence> {
    prop_oneof![0..=maximum, 0..=40_u64, maximum - 40..=maximum]
        .prop_map(|value| Sequence::new(value).expect("the range has 43 bits"))
}

fn index() -> impl Strategy<Value = IndexValue> {
    (0..32_u8).prop_map(|value| IndexValue::new(value).expect("the range has 5 bits"))
}

fn sqn() -> impl Strategy<Value = Sqn> {
    (sequence_up_to(HIGHEST), index()).prop_map(|(sequence, index)| Sqn::new(sequence, index))
}

/// An ISIM's memory: most values near one another, some far apart.
fn sequence_array(maximum: u64) -> impl Strategy<Value = SequenceArray> {
    let near = (0..=maximum - 1_000)
        .prop_flat_map(|base| prop::collection::vec(base..=base + 1_000, IndexValue::COUNT));
    let far = prop::collection::vec(0..=maximum, IndexValue::COUNT);
    prop_oneof![near, far]
        .prop_map(|values| SequenceArray::try_from(values.as_slice()).expect("the range has 43 bits"))
}

proptest! {
    #[test]
    fn outputs_agree_with_the_milenage_crate(
        key: [u8; 16], op: [u8; 16], rand: [u8; 16], sqn: [u8; 6], amf: [u8; 2],
    ) {
        let mut reference = milenage::Milenage::new_with_op(key, op);
        let key = SubscriberKey::from_octets(key);
        let opc = Opc::derive(&key, &OperatorKey::from_octets(op));
        prop_assert_eq!(opc.expose_octets(), reference.opc());
        let ours = Milenage::new(&key, &opc);
        let output = ours.all_functions(&Rand(rand), Sqn::from_octets(sqn), Amf(amf));
        let (res, ck, ik, ak) = reference.f2345(&rand);
        prop_assert_eq!(output.mac_a.expose_octets(), &reference.f1(&rand, &sqn, &amf));
        prop_assert_eq!(output.mac_s.expose_octets(), &reference.f1star(&rand, &sqn, &amf));
        prop_assert_eq!(output.res.expose_octets(), &res);
        prop_assert_eq!(output.ck.expose_octets(), &ck);
        prop_assert_eq!(output.ik.expose_octets(), &ik);
        prop_assert_eq!(output.ak.expose_octets(), &ak);
        prop_assert_eq!(output.ak_star.expose_octets(), &reference.f5star(&rand));
    }

    #[test]
    fn sequence_number_survives_its_octets_and_orders_as_a_number(octets: [u8; 6], other: [u8; 6]) {
        let sqn = Sqn::from_octets(octets);
        prop_assert_eq!(sqn.to_octets(), octets);
        prop_assert_eq!(Sqn::new(sqn.sequence(), sqn.index()), sqn);
        prop_assert_eq!(Sqn::try_from(sqn.get()), Ok(sqn));
        prop_assert_eq!(sqn.cmp(&Sqn::from_octets(other)), octets.cmp(&other));
    }

    #[test]
    fn network_and_isim_agree_within_range(
        (milenage, isim) in subscriber(),
        rand: [u8; 16],
        amf: [u8; 2],
        array in sequence_array(HIGHEST - MAXIMUM_SEQUENCE_JUMP),
        jump in 1..=MAXIMUM_SEQUENCE_JUMP,
        index in index(),
    ) {
        let highest = array.highest().sequence();
        let sqn = Sqn::new(highest.advanced_by(jump).expect("the range leaves room"), index);
        let vector = milenage.authentication_vector(Rand(rand), sqn, Amf(amf));
        let mut isim = isim.with_sequences(array);
        let answer = isim.authenticate(&vector.rand, &vector.autn).expect("in range");
        prop_assert!(vector.xres.matches(&answer.res));
        prop_assert_eq!((&vector.ck, &vector.ik), (&answer.ck, &answer.ik));
        for algorithm in DigestAlgorithm::ALL {
            prop_assert!(vector.digest_key(algorithm) == answer.digest_key(algorithm));
        }
        prop_assert_eq!(isim.sequences().highest(), sqn);
    }

    #[test]
    fn whatever_was_accepted_once_is_refused_from_then_on(
        (milenage, isim) in subscriber(),
        rand: [u8; 16],
        array in sequence_array(HIGHEST),
        sqns in prop::collection::vec(sqn(), 1..20),
    ) {
        let mut isim = isim.with_sequences(array);
        for sqn in sqns {
            let vector = milenage.authentication_vector(Rand(rand), sqn, Amf([0, 0]));
            let before = isim.sequences().clone();
            let accepted = isim.authenticate(&vector.rand, &vector.autn).is_ok();
            if accepted {
                prop_assert!(sqn.sequence() > before.at(sqn.index()));
            } else {
                prop_assert_eq!(isim.sequences(), &before);
            }
            let second = isim.authenticate(&vector.rand, &vector.autn);
            let Err(IsimFailure::SynchronisationFailure { auts }) = second else {
                return Err(TestCaseError::fail("a used or refused challenge was answered"));
            };
            let sqn_ms = verify_resynchronisation(&milenage, &vector.rand, &auts);
            prop_assert_eq!(sqn_ms, Ok(isim.sequences().highest()));
        }
    }

    #[test]
    fn resynchronisation_always_heals(
        (milenage, isim) in subscriber(),
        rand: [u8; 16],
        next_rand: [u8; 16],
        array in sequence_array(HIGHEST - 1),
        last_issued in sequence_up_to(HIGHEST - 1),
        index in index(),
        next_index in index(),
    ) {
        let mut isim = isim.with_sequences(array);
        let first = Sqn::new(last_issued.successor().expect("the range leaves room"), index);
        let vector = milenage.authentication_vector(Rand(rand), first, Amf([0, 0]));
        let auts = match isim.authenticate(&vector.rand, &vector.autn) {
            Ok(_) => return Ok(()),
            Err(IsimFailure::SynchronisationFailure { auts }) => auts,
            Err(IsimFailure::MacFailure) => return Err(TestCaseError::fail("a genuine challenge")),
        };
        let sqn_ms = verify_resynchronisation(&milenage, &vector.rand, &auts).expect("a genuine AUTS");
        let counter = next_sequence_after_resynchronisation(
            first.sequence(), sqn_ms, next_index, MAXIMUM_SEQUENCE_JUMP,
        ).expect("the ISIM is not exhausted");
        prop_assert_eq!(counter.last_issued.successor(), Ok(counter.next.sequence()));
        let vector = milenage.authentication_vector(Rand(next_rand), counter.next, Amf([0, 0]));
        prop_assert!(isim.authenticate(&vector.rand, &vector.autn).is_ok());
    }

    #[test]
    fn distinct_indexes_take_vectors_in_any_order(
        (milenage, isim) in subscriber(),
        rand: [u8; 16],
        array in sequence_array(HIGHEST - 32),
        order in Just(IndexValue::all().collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut last_issued = array.highest().sequence();
        let mut isim = isim.with_sequences(array);
        let issued: Vec<Sqn> = IndexValue::all().map(|index| {
            last_issued = last_issued.successor().expect("the range leaves room");
            Sqn::new(last_issued, index)
        }).collect();
        for index in order {
            let sqn = issued[usize::from(index.get())];
            let vector = milenage.authentication_vector(Rand(rand), sqn, Amf([0, 0]));
            prop_assert!(isim.authenticate(&vector.rand, &vector.autn).is_ok());
        }
    }

    #[test]
    fn auts_with_a_flipped_bit_is_refused(
        (milenage, isim) in subscriber(), rand: [u8; 16], array in sequence_array(HIGHEST), bit in 0..112_usize,
    ) {
        let stale = milenage.authentication_vector(Rand(rand), Sqn::default(), Amf([0, 0]));
        let mut isim = isim.with_sequences(array);
        let Err(IsimFailure::SynchronisationFailure { auts }) = isim.authenticate(&stale.rand, &stale.autn) else {
            return Err(TestCaseError::fail("zero is never fresh"));
        };
        let mut octets = auts.0;
        octets[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(verify_resynchronisation(&milenage, &stale.rand, &Auts(octets)).is_err());
    }

    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in ".{0,600}") {
        let _ = parse_nonce(&text);
        let _ = Auts::from_base64(&text);
        let _ = SubscriberKey::from_hex(&text);
        let _ = text.parse::<DigestAlgorithm>();
    }
}
