//! Parsing of octet strings and sequence numbers.

use mcx_aka::{
    Amf, Autn, Auts, IndexValue, InvalidSequenceNumber, OctetsError, Opc, Rand, Res, Sequence,
    SequenceExhausted, Sqn, SubscriberKey, Xres,
};

#[test]
fn key_of_the_wrong_length_is_refused_with_its_length() {
    let refused = SubscriberKey::from_hex("465b5c").unwrap_err();
    assert_eq!(refused, OctetsError::WrongLength { parameter: "K", minimum: 16, maximum: 16, actual: 3 });
    assert_eq!(refused.to_string(), "K must have 16 octets, got 3");
    assert!(matches!(
        Opc::try_from([0; 17].as_slice()),
        Err(OctetsError::WrongLength { parameter: "OPc", actual: 17, .. })
    ));
}

#[test]
fn key_with_an_odd_or_foreign_digit_is_refused_without_repeating_it() {
    for text in [
        "465b5ce8b199b49faa5f0a2ee238a6b",
        "465b5ce8b199b49faa5f0a2ee238a6bz",
        "465b5ce8b199b49faa5f0a2ee238a6é",
    ] {
        let refused = SubscriberKey::from_hex(text).unwrap_err();
        assert_eq!(refused, OctetsError::NotHexadecimal { parameter: "K" });
        assert!(!refused.to_string().contains("465b"));
    }
}

#[test]
fn hexadecimal_digits_of_either_case_are_read() {
    assert_eq!(Amf::from_hex("B9b9"), Ok(Amf([0xb9, 0xb9])));
    assert_eq!(Amf([0xb9, 0x0a]).to_string(), "b90a");
    assert_eq!(format!("{:?}", Amf([0xb9, 0x0a])), "Amf(b90a)");
}

#[test]
fn every_wire_parameter_refuses_another_length() {
    assert!(Rand::try_from([0; 15].as_slice()).is_err());
    assert!(Autn::try_from([0; 17].as_slice()).is_err());
    assert!(Auts::try_from([0; 16].as_slice()).is_err());
    assert!(Amf::try_from([0; 3].as_slice()).is_err());
    assert_eq!(Rand::try_from([7; 16].as_slice()), Ok(Rand([7; 16])));
}

#[test]
fn res_has_four_to_sixteen_octets() {
    for length in 4..=16 {
        assert_eq!(Res::try_from(vec![1; length].as_slice()).unwrap().expose_octets(), vec![1; length]);
        assert_eq!(Xres::try_from(vec![1; length].as_slice()).unwrap().expose_octets(), vec![1; length]);
    }
    for length in [0, 3, 17] {
        let refused = Res::try_from(vec![1; length].as_slice()).unwrap_err();
        assert_eq!(refused.to_string(), format!("RES must have 4 to 16 octets, got {length}"));
    }
}

#[test]
fn auts_travels_as_base64() {
    let auts = Auts(std::array::from_fn(|position| position as u8));
    assert_eq!(auts.to_base64(), "AAECAwQFBgcICQoLDA0=");
    assert_eq!(Auts::from_base64(&auts.to_base64()), Ok(auts));
}

#[test]
fn auts_that_is_not_base64_or_of_another_length_is_refused() {
    assert_eq!(Auts::from_base64("%%%%"), Err(OctetsError::NotBase64 { parameter: "AUTS" }));
    for text in ["", "AAEC", "AAECAwQFBgcICQoLDA0O", &"A".repeat(100_000)] {
        assert!(matches!(Auts::from_base64(text), Err(OctetsError::WrongLength { .. })), "{}", text.len());
    }
}

#[test]
fn sequence_number_is_sequence_then_five_bits_of_index() {
    let sqn = Sqn::new(Sequence::new(1).unwrap(), IndexValue::new(3).unwrap());
    assert_eq!(sqn.to_octets(), [0, 0, 0, 0, 0, 0b10_0011]);
    assert_eq!(sqn.to_string(), "000000000023");
    let highest = Sqn::from_octets([0xff; 6]);
    assert_eq!(highest.sequence(), Sequence::MAXIMUM);
    assert_eq!(highest.index().get(), 31);
    assert_eq!(highest.get(), (1 << 48) - 1);
}

#[test]
fn parts_with_too_many_bits_are_refused() {
    assert_eq!(Sequence::new(1 << 43), Err(InvalidSequenceNumber::SequenceTooLarge { value: 1 << 43 }));
    assert_eq!(IndexValue::new(32), Err(InvalidSequenceNumber::IndexTooLarge { value: 32 }));
    assert_eq!(Sqn::try_from(1 << 48), Err(InvalidSequenceNumber::SqnTooLarge { value: 1 << 48 }));
    assert_eq!(IndexValue::all().count(), IndexValue::COUNT);
}

#[test]
fn sequence_ends_with_an_error_and_never_wraps() {
    let last = Sequence::MAXIMUM;
    assert_eq!(last.successor(), Err(SequenceExhausted { last_issued: last, wanted: 1 }));
    let before_last = Sequence::new(last.get() - 1).unwrap();
    assert_eq!(before_last.successor(), Ok(last));
    assert_eq!(before_last.advanced_by(2), Err(SequenceExhausted { last_issued: before_last, wanted: 2 }));
    assert_eq!(
        Sequence::ZERO.advanced_by(u64::MAX),
        Err(SequenceExhausted { last_issued: Sequence::ZERO, wanted: u64::MAX })
    );
    assert_eq!(last.advanced_by(0), Ok(last));
}
