//! Digest-AKA responses, nonces and their limits.

use mcx_aka::digest::{
    DigestAlgorithm, DigestError, DigestInput, DigestKey, MAXIMUM_BODY_LENGTH, MAXIMUM_FIELD_LENGTH,
    MAXIMUM_NONCE_LENGTH, MAXIMUM_SERVER_DATA_LENGTH, NonceError, QopParameters, QualityOfProtection,
    UnknownDigestAlgorithm, nonce_from, parse_nonce, response, verify,
};
use mcx_aka::{CipherKey, IntegrityKey, Res};

use crate::test_sets::{TEST_SETS, TestSet, register};

fn key_of(set: &TestSet, algorithm: DigestAlgorithm) -> DigestKey {
    set.milenage().authentication_vector(set.rand(), set.sqn(), set.amf()).digest_key(algorithm)
}

fn key_from_res(res: &[u8]) -> DigestKey {
    let res = Res::try_from(res).expect("a test's RES has an allowed length");
    let (ik, ck) = (IntegrityKey::from_octets([1; 16]), CipherKey::from_octets([2; 16]));
    DigestKey::derive(DigestAlgorithm::AkaV1Md5, &res, &ik, &ck)
}

#[test]
fn version_one_response_is_that_of_the_table() {
    for set in &TEST_SETS {
        let key = key_of(set, DigestAlgorithm::AkaV1Md5);
        let computed = response(&register(set.nonce), DigestAlgorithm::AkaV1Md5, &key);
        assert_eq!(computed.as_deref(), Ok(set.aka_v1_response));
    }
}

#[test]
fn version_one_response_without_qop_is_that_of_the_table() {
    for set in &TEST_SETS {
        let key = key_of(set, DigestAlgorithm::AkaV1Md5);
        let input = DigestInput { qop: None, ..register(set.nonce) };
        let computed = response(&input, DigestAlgorithm::AkaV1Md5, &key);
        assert_eq!(computed.as_deref(), Ok(set.aka_v1_response_without_qop));
    }
}

#[test]
fn version_two_password_and_response_are_those_of_the_table() {
    for set in &TEST_SETS {
        let key = key_of(set, DigestAlgorithm::AkaV2Md5);
        assert_eq!(key.expose_octets(), set.aka_v2_password.as_bytes());
        let computed = response(&register(set.nonce), DigestAlgorithm::AkaV2Md5, &key);
        assert_eq!(computed.as_deref(), Ok(set.aka_v2_response));
    }
}

#[test]
fn version_two_with_sha_256_is_that_of_the_table() {
    for set in &TEST_SETS {
        let key = key_of(set, DigestAlgorithm::AkaV2Sha256);
        assert_eq!(key.expose_octets(), set.aka_v2_sha256_password.as_bytes());
        let computed = response(&register(set.nonce), DigestAlgorithm::AkaV2Sha256, &key);
        assert_eq!(computed.as_deref(), Ok(set.aka_v2_sha256_response));
    }
}

#[test]
fn response_that_carries_auts_uses_the_empty_password() {
    let key = DigestKey::empty_for_resynchronisation();
    for set in &TEST_SETS {
        for algorithm in [DigestAlgorithm::AkaV1Md5, DigestAlgorithm::AkaV2Md5] {
            let computed = response(&register(set.nonce), algorithm, &key);
            assert_eq!(computed.as_deref(), Ok(set.response_with_auts));
        }
    }
}

#[test]
fn isim_and_network_derive_the_same_password_in_every_algorithm() {
    let [set, ..] = &TEST_SETS;
    let vector = set.milenage().authentication_vector(set.rand(), sqn_of(32), set.amf());
    let answer = set.isim().authenticate(&vector.rand, &vector.autn).unwrap();
    for algorithm in DigestAlgorithm::ALL {
        assert_eq!(answer.digest_key(algorithm), vector.digest_key(algorithm));
    }
}

fn sqn_of(value: u64) -> mcx_aka::Sqn {
    mcx_aka::Sqn::try_from(value).expect("a test's SQN fits")
}

#[test]
fn right_response_verifies_in_either_case_of_digits() {
    let [set, ..] = &TEST_SETS;
    let key = key_of(set, DigestAlgorithm::AkaV1Md5);
    for received in [set.aka_v1_response.to_owned(), set.aka_v1_response.to_uppercase()] {
        assert_eq!(verify(&register(set.nonce), DigestAlgorithm::AkaV1Md5, &key, &received), Ok(()));
    }
}

#[test]
fn wrong_truncated_empty_and_foreign_responses_are_refused() {
    let [set, other, ..] = &TEST_SETS;
    let key = key_of(set, DigestAlgorithm::AkaV1Md5);
    let longer = format!("{}0", set.aka_v1_response);
    let received = [
        "",
        &set.aka_v1_response[..31],
        &longer,
        other.aka_v1_response,
        set.response_with_auts,
        set.aka_v1_response_without_qop,
        set.aka_v2_sha256_response,
    ];
    for received in received {
        assert_eq!(
            verify(&register(set.nonce), DigestAlgorithm::AkaV1Md5, &key, received),
            Err(DigestError::WrongResponse),
            "{received}"
        );
    }
}

#[test]
fn every_part_of_the_input_enters_the_response() {
    let [set, ..] = &TEST_SETS;
    let key = key_of(set, DigestAlgorithm::AkaV1Md5);
    let base = register(set.nonce);
    let parameters = base.qop.unwrap();
    let with = |qop| DigestInput { qop: Some(qop), ..base };
    let changed = [
        DigestInput { username: "user2@home1.example", ..base },
        DigestInput { realm: "home2.example", ..base },
        DigestInput { method: "INVITE", ..base },
        DigestInput { uri: "sip:home2.example", ..base },
        DigestInput { nonce: "other", ..base },
        with(QopParameters { nonce_count: "00000002", ..parameters }),
        with(QopParameters { cnonce: "0a4f113c", ..parameters }),
        with(QopParameters {
            quality: QualityOfProtection::AuthenticationWithIntegrity { body: b"" },
            ..parameters
        }),
    ];
    for input in changed {
        assert_eq!(
            verify(&input, DigestAlgorithm::AkaV1Md5, &key, set.aka_v1_response),
            Err(DigestError::WrongResponse),
            "{input:?}"
        );
    }
}

#[test]
fn integrity_protection_covers_the_body() {
    let base = register("nonce");
    let with_body = |body| DigestInput {
        qop: base.qop.map(|qop| QopParameters {
            quality: QualityOfProtection::AuthenticationWithIntegrity { body },
            ..qop
        }),
        ..base
    };
    let key = key_from_res(b"12345678");
    let computed = response(&with_body(b"body"), DigestAlgorithm::AkaV1Md5, &key).unwrap();
    // MD5 by another implementation, over the A2 of RFC 2617 clause 3.2.2.3.
    assert_eq!(computed, "78bad46e54e03f393c2f25e6bedd110e");
    assert_eq!(
        verify(&with_body(b"other"), DigestAlgorithm::AkaV1Md5, &key, &computed),
        Err(DigestError::WrongResponse)
    );
}

#[test]
fn res_with_a_zero_octet_or_a_colon_is_hashed_as_octets() {
    // MD5 by another implementation over the same octets.
    for (res, expected) in [
        (b"\x00abcdefg", "ecada49fe236a09663186988da3eac70"),
        (b"abc\x00defg", "5951c8099fc26540b4aa99e969d3c070"),
        (b"abc:defg", "a2df3d92166604dae905b0748d2e34d2"),
        (b"\xff\xfe:\x00\x00::\x80", "67ae05aef7c8c182605139ce52c01864"),
    ] {
        let computed = response(&register("nonce"), DigestAlgorithm::AkaV1Md5, &key_from_res(res));
        assert_eq!(computed.as_deref(), Ok(expected));
    }
}

#[test]
fn oversized_texts_are_refused_by_name() {
    let long = "x".repeat(MAXIMUM_FIELD_LENGTH + 1);
    let base = register("nonce");
    let key = key_from_res(b"12345678");
    let parameters = base.qop.unwrap();
    for (field, input) in [
        ("username", DigestInput { username: &long, ..base }),
        ("realm", DigestInput { realm: &long, ..base }),
        ("method", DigestInput { method: &long, ..base }),
        ("uri", DigestInput { uri: &long, ..base }),
        ("nonce", DigestInput { nonce: &long, ..base }),
        ("cnonce", DigestInput { qop: Some(QopParameters { cnonce: &long, ..parameters }), ..base }),
    ] {
        assert_eq!(
            response(&input, DigestAlgorithm::AkaV1Md5, &key),
            Err(DigestError::FieldTooLong {
                field,
                limit: MAXIMUM_FIELD_LENGTH,
                actual: MAXIMUM_FIELD_LENGTH + 1
            })
        );
    }
}

#[test]
fn oversized_body_is_refused() {
    let body = vec![0; MAXIMUM_BODY_LENGTH + 1];
    let base = register("nonce");
    let quality = QualityOfProtection::AuthenticationWithIntegrity { body: &body };
    let input = DigestInput { qop: base.qop.map(|qop| QopParameters { quality, ..qop }), ..base };
    assert!(matches!(
        response(&input, DigestAlgorithm::AkaV1Md5, &key_from_res(b"12345678")),
        Err(DigestError::FieldTooLong { field: "body", .. })
    ));
}

#[test]
fn nonce_count_must_be_eight_hexadecimal_digits() {
    let base = register("nonce");
    for nonce_count in ["", "1", "0000001", "000000001", "0000000g"] {
        let input = DigestInput { qop: base.qop.map(|qop| QopParameters { nonce_count, ..qop }), ..base };
        assert_eq!(
            response(&input, DigestAlgorithm::AkaV1Md5, &key_from_res(b"12345678")),
            Err(DigestError::MalformedNonceCount),
            "{nonce_count}"
        );
    }
}

#[test]
fn algorithm_tokens_are_read_without_regard_to_case() {
    for algorithm in DigestAlgorithm::ALL {
        assert_eq!(algorithm.token().parse(), Ok(algorithm));
        assert_eq!(algorithm.to_string().to_lowercase().parse(), Ok(algorithm));
        assert_eq!(algorithm.token().to_uppercase().parse(), Ok(algorithm));
    }
    for foreign in ["", "MD5", "SHA-256", "AKAv1-MD5 ", "AKAv1-SHA-256", "AKAv3-MD5"] {
        assert_eq!(foreign.parse::<DigestAlgorithm>(), Err(UnknownDigestAlgorithm), "{foreign}");
    }
}

#[test]
fn nonce_is_that_of_the_table_and_reads_back() {
    for set in &TEST_SETS {
        assert_eq!(nonce_from(&set.rand(), &set.autn(), b"").as_deref(), Ok(set.nonce));
        assert_eq!(parse_nonce(set.nonce), Ok((set.rand(), set.autn(), vec![])));
    }
}

#[test]
fn nonce_carries_server_data_up_to_the_limit() {
    let [set, ..] = &TEST_SETS;
    for length in [1, 2, 8, MAXIMUM_SERVER_DATA_LENGTH] {
        let data = vec![0xa5; length];
        let nonce = nonce_from(&set.rand(), &set.autn(), &data).unwrap();
        assert!(nonce.len() <= MAXIMUM_NONCE_LENGTH);
        assert_eq!(parse_nonce(&nonce), Ok((set.rand(), set.autn(), data)));
    }
    let excess = vec![0; MAXIMUM_SERVER_DATA_LENGTH + 1];
    assert_eq!(
        nonce_from(&set.rand(), &set.autn(), &excess),
        Err(NonceError::ServerDataTooLong { actual: excess.len() })
    );
}

#[test]
fn nonce_that_is_short_long_or_not_base64_is_refused() {
    let [set, ..] = &TEST_SETS;
    assert_eq!(parse_nonce(""), Err(NonceError::TooShort { actual: 0 }));
    assert_eq!(parse_nonce(&set.nonce[..40]), Err(NonceError::TooShort { actual: 30 }));
    assert_eq!(parse_nonce("not base64!"), Err(NonceError::NotBase64));
    assert_eq!(parse_nonce(&"A".repeat(1_000_000)), Err(NonceError::TooLong { actual: 1_000_000 }));
}
