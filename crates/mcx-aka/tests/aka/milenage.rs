//! Milenage against TS 35.208.

use mcx_aka::{Opc, Res};

use crate::test_sets::TEST_SETS;

#[test]
fn opc_is_derived_as_published() {
    for set in &TEST_SETS {
        let derived = Opc::derive(&set.key(), &set.operator_key());
        assert_eq!(hex::encode(derived.expose_octets()), set.opc);
    }
}

#[test]
fn each_function_alone_gives_the_published_output() {
    for set in &TEST_SETS {
        let (milenage, rand) = (set.milenage(), set.rand());
        assert_eq!(hex::encode(milenage.f1(&rand, set.sqn(), set.amf()).expose_octets()), set.f1);
        assert_eq!(hex::encode(milenage.f1_star(&rand, set.sqn(), set.amf()).expose_octets()), set.f1_star);
        assert_eq!(hex::encode(milenage.f2(&rand).expose_octets()), set.f2);
        assert_eq!(hex::encode(milenage.f3(&rand).expose_octets()), set.f3);
        assert_eq!(hex::encode(milenage.f4(&rand).expose_octets()), set.f4);
        assert_eq!(hex::encode(milenage.f5(&rand).expose_octets()), set.f5);
        assert_eq!(hex::encode(milenage.f5_star(&rand).expose_octets()), set.f5_star);
    }
}

#[test]
fn all_functions_together_give_the_published_outputs() {
    for set in &TEST_SETS {
        let output = set.milenage().all_functions(&set.rand(), set.sqn(), set.amf());
        assert_eq!(hex::encode(output.mac_a.expose_octets()), set.f1);
        assert_eq!(hex::encode(output.mac_s.expose_octets()), set.f1_star);
        assert_eq!(hex::encode(output.res.expose_octets()), set.f2);
        assert_eq!(hex::encode(output.ck.expose_octets()), set.f3);
        assert_eq!(hex::encode(output.ik.expose_octets()), set.f4);
        assert_eq!(hex::encode(output.ak.expose_octets()), set.f5);
        assert_eq!(hex::encode(output.ak_star.expose_octets()), set.f5_star);
    }
}

#[test]
fn vector_holds_autn_and_the_published_keys() {
    for set in &TEST_SETS {
        let vector = set.milenage().authentication_vector(set.rand(), set.sqn(), set.amf());
        assert_eq!(vector.rand, set.rand());
        assert_eq!(vector.autn.to_string(), set.autn);
        assert_eq!(hex::encode(vector.xres.expose_octets()), set.f2);
        assert_eq!(hex::encode(vector.ck.expose_octets()), set.f3);
        assert_eq!(hex::encode(vector.ik.expose_octets()), set.f4);
    }
}

#[test]
fn xres_matches_only_the_same_res() {
    let [first, second, ..] = &TEST_SETS;
    let xres = first.milenage().authentication_vector(first.rand(), first.sqn(), first.amf()).xres;
    assert!(xres.matches(&first.milenage().f2(&first.rand())));
    assert!(!xres.matches(&second.milenage().f2(&second.rand())));
    let prefix = Res::try_from(&xres.expose_octets()[..7]).unwrap();
    assert!(!xres.matches(&prefix));
}
