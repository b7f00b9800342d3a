//! No secret shows when it is printed.

use std::fmt::Debug;

use mcx_aka::digest::{DigestAlgorithm, DigestKey};
use mcx_aka::{Opc, Res};

use crate::test_sets::{TEST_SETS, TestSet};

/// Fails if the debug output shows any of these octets: run together, as a list or as one number.
fn assert_hidden(secret: &[u8], printed: &dyn Debug) {
    for text in [format!("{printed:?}"), format!("{printed:#?}"), format!("{printed:x?}")] {
        assert!(text.contains("[redacted]"), "{text}");
        let compact = text.to_lowercase().replace(char::is_whitespace, "");
        let number = secret.iter().fold(0_u128, |number, octet| number << 8 | u128::from(*octet));
        assert!(!compact.contains(&number.to_string()), "{text}");
        // Three octets in a row are already too much, and too many to occur by chance.
        for window in secret.windows(3) {
            let listed = |show: fn(&u8) -> String| window.iter().map(show).collect::<Vec<_>>().join(",");
            for shown in [
                hex::encode(window),
                listed(|octet| format!("{octet}")),
                listed(|octet| format!("{octet:x}")),
                listed(|octet| format!("{octet:02x}")),
                listed(|octet| format!("{octet:#x}")),
            ] {
                assert!(!compact.contains(&shown), "{text}");
            }
        }
    }
}

#[test]
fn each_secret_type_prints_redacted() {
    for set in &TEST_SETS {
        let output = set.milenage().all_functions(&set.rand(), set.sqn(), set.amf());
        assert_hidden(set.key().expose_octets(), &set.key());
        assert_hidden(set.operator_key().expose_octets(), &set.operator_key());
        assert_hidden(set.opc().expose_octets(), &set.opc());
        assert_hidden(output.res.expose_octets(), &output.res);
        assert_hidden(output.ck.expose_octets(), &output.ck);
        assert_hidden(output.ik.expose_octets(), &output.ik);
        assert_hidden(output.ak.expose_octets(), &output.ak);
        assert_hidden(output.ak_star.expose_octets(), &output.ak_star);
        assert_hidden(output.mac_a.expose_octets(), &output.mac_a);
        assert_hidden(output.mac_s.expose_octets(), &output.mac_s);
    }
}

#[test]
fn whatever_holds_secrets_hides_them() {
    for set in &TEST_SETS {
        let vector = set.milenage().authentication_vector(set.rand(), set.sqn(), set.amf());
        let output = set.milenage().all_functions(&set.rand(), set.sqn(), set.amf());
        for secret in secrets_of(set) {
            assert_hidden(&secret, &vector);
            assert_hidden(&secret, &vector.xres);
            assert_hidden(&secret, &output);
            assert_hidden(&secret, &set.milenage());
            assert_hidden(&secret, &set.isim());
        }
    }
}

#[test]
fn digest_password_prints_redacted() {
    let [set, ..] = &TEST_SETS;
    let vector = set.milenage().authentication_vector(set.rand(), set.sqn(), set.amf());
    for algorithm in DigestAlgorithm::ALL {
        let key = vector.digest_key(algorithm);
        assert_hidden(key.expose_octets(), &key);
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
    assert_eq!(format!("{:?}", DigestKey::empty_for_resynchronisation()), "[redacted]");
}

#[test]
fn secrets_compare_by_content() {
    let [first, second, ..] = &TEST_SETS;
    assert_eq!(Opc::derive(&first.key(), &first.operator_key()), first.opc());
    assert_ne!(first.opc(), second.opc());
    let short = Res::try_from([1; 4].as_slice()).unwrap();
    let long = Res::try_from([1; 5].as_slice()).unwrap();
    assert_ne!(short, long);
}

fn secrets_of(set: &TestSet) -> Vec<Vec<u8>> {
    [set.key, set.op, set.opc, set.f2, set.f3, set.f4]
        .into_iter()
        .map(|digits| hex::decode(digits).expect("the table holds hexadecimal digits"))
        .collect()
}
